// The potential energy of states at a few values of ξ: of long runs held there, of generated and of
// healed states; and, where the variables are a ring of like sites, their two-point correlation.
#include "sampling/run/stages.h"

#include <algorithm>
#include <cmath>

#include "engine/launch/gather.h"
#include "sampling/model/ensembles.h"
#include "sampling/numerics/statistics.h"
#include "sampling/run/checks.h"
#include "sampling/run/lifted.h"
#include "sampling/run/places.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

constexpr index kReplicas = 256;  // runs at each value
constexpr index kSamples = 256;   // of each, at most
constexpr int kBins = 20;         // between the bounds that leave out kTail of the reference
constexpr double kTail = 0.002;

// Energies and correlations of many states at one value.
struct Seen {
    std::vector<double> energy;
    std::vector<double> correlation;  // ⟨x_i x_{i+r}⟩ − ⟨x⟩², over sites and states; r ≤ n/2
};
using SeenAtValues = std::vector<Seen>;

// Correlation of states x[d*row + from + i], i < n. In this order whatever the threads.
std::vector<double> ring_correlation(const std::vector<float>& x, index sites, index row,
                                     index from, index n) {
    const auto count = static_cast<std::size_t>(sites);
    std::vector<double> sum(count / 2 + 1, 0.0), state(count);
    double total = 0;
    for (index i = from; i < from + n; ++i) {
        for (std::size_t d = 0; d < count; ++d) {
            state[d] = static_cast<double>(x[d * static_cast<std::size_t>(row) +
                                             static_cast<std::size_t>(i)]);
            total += state[d];
        }
        for (std::size_t r = 0; r < sum.size(); ++r) {
            double s = 0;
            for (std::size_t d = 0; d + r < count; ++d) s += state[d] * state[d + r];
            for (std::size_t d = count - r; d < count; ++d) s += state[d] * state[d + r - count];
            sum[r] += s;
        }
    }
    const double all = static_cast<double>(n) * static_cast<double>(sites);
    for (double& s : sum) s = s / all - (total / all) * (total / all);
    return sum;
}

std::vector<double> shares(const std::vector<double>& energy, double low, double high) {
    std::vector<double> share(kBins, 0.0);
    for (const double v : energy) {
        const double u = (v - low) / (high - low) * kBins;
        share[static_cast<std::size_t>(std::clamp(u, 0.0, kBins - 1.0))] += 1;
    }
    for (double& s : share) s /= static_cast<double>(energy.size());
    return share;
}

double mean_of(const std::vector<double>& v) {
    double sum = 0;
    for (const double x : v) sum += x;
    return sum / static_cast<double>(v.size());
}

// Looks at states of all values at once: x (dim, row), `each` consecutive ones a value.
class Onlooker {
public:
    explicit Onlooker(Run& run) : run_(run) {}
    // Adds their energies to those seen, and of `looks` looks' mean correlation this one's part.
    void look(const Buffer<float>& x, index each, index looks, SeenAtValues& seen) {
        const index D = run_.model.dim(), row = static_cast<index>(seen.size()) * each;
        const bool ring = run_.config.generator.ring;
        const std::vector<float> host =
            ring ? to_host(run_.stream, Span<const float>(x.span())) : std::vector<float>();
        Buffer<float> v(run_.device, row);
        for (std::size_t value = 0; value < seen.size(); ++value) {
            const index from = static_cast<index>(value) * each;
            run_.model.energies(run_.stream, {x.data() + from, (D - 1) * row + each}, row, each, v.span());
            for (const float e : to_host(run_.stream, Span<const float>(v.span().subspan(0, each))))
                seen[value].energy.push_back(static_cast<double>(e));
            if (!ring) continue;
            const auto now = ring_correlation(host, D, row, from, each);
            seen[value].correlation.resize(now.size(), 0.0);
            for (std::size_t r = 0; r < now.size(); ++r)
                seen[value].correlation[r] += now[r] / static_cast<double>(looks);
        }
    }

private:
    Run& run_;
};

// Stored samples at each value, of its runs' starts: (dim, value, run).
Buffer<float> stored_starts(Run& run, const std::vector<CvValue>& values) {
    const StoredCvs xi(run);
    const index D = run.model.dim(), runs = static_cast<index>(values.size()) * kReplicas;
    std::vector<index> which;
    for (std::size_t v = 0; v < values.size(); ++v) {
        std::vector<index> near;
        for (double reach = 0.5; near.empty(); reach *= 2)
            near = samples_near(run, xi, values[v], reach, kReplicas);
        for (index r = 0; r < kReplicas; ++r) which.push_back(near[static_cast<std::size_t>(r) % near.size()]);
    }
    Buffer<index> chosen(run.device, runs);
    copy_to_device(run.stream, chosen.span(), which.data());
    Buffer<float> start(run.device, D * runs);
    gather_columns(run.stream, run.samples.x.data(), run.samples.row, D, std::as_const(chosen).span(), start.data());
    return start;
}

struct Reference {
    index steps, stride, count;  // count samples of each run
};

Reference reference_of(const Run& run) {
    const index steps = run.config.lifting.reference_steps;
    const index stride = std::max<index>(1, steps / kSamples);
    return {steps, stride, steps / stride};
}

// Physics: runs held at each value, begun at stored samples there.
SeenAtValues held_runs(Run& run, StageMeter& meter, Onlooker& onlooker,
                       const std::vector<CvValue>& values) {
    const index runs = static_cast<index>(values.size()) * kReplicas;
    Buffer<float> x = stored_starts(run, values);
    const Buffer<float> aim = conditions(run, values, kReplicas);
    run.model.project(run.stream, aim.span(), runs, runs, x.span(), runs, 10);
    const std::unique_ptr<Ensemble> held =
        held_ensemble(run.stream, run.model, run.config.integrator, aim.span(), x.span(), runs,
                      derived_seed(run.config.seed, 9302));
    Ensemble& ensemble = *held;
    const Reference reference = reference_of(run);
    ensemble.advance(static_cast<uint64>(reference.steps / 4));
    SampleSet samples(run.device, run.model.dim(), run.model.n_cvs(), runs);
    SeenAtValues seen(values.size());
    for (index t = 0; t < reference.count; ++t) {
        samples.n = 0;
        samples.blocks.clear();
        ensemble.sample(static_cast<uint64>(reference.stride), 1, samples);
        throw_if_stopped();
        onlooker.look(samples.x, kReplicas, reference.count, seen);
    }
    ensemble.check_finite([&](index t) { return "reference run " + std::to_string(t); });
    meter.work(0, ensemble.force_evaluations());
    return seen;
}

// Generated states, and the same healed.
std::vector<SeenAtValues> lifted_states(Run& run, StageMeter& meter, Onlooker& onlooker,
                                        const std::vector<CvValue>& values, index heal_steps) {
    const index each = run.config.lifting.energy_states;
    const index n = static_cast<index>(values.size()) * each;
    Lifter lifter = make_lifter(run);
    const Buffer<float> s = conditions(run, values, each);
    Buffer<float> x(run.device, run.model.dim() * n);
    lifter.lift(s.span(), n, derived_seed(run.config.seed, 9300), 0, x.span());
    std::vector<SeenAtValues> seen(heal_steps > 0 ? 2 : 1, SeenAtValues(values.size()));
    onlooker.look(x, each, 1, seen[0]);
    if (heal_steps > 0) {
        heal(run, meter, s, n, heal_steps, 9301, x);
        onlooker.look(x, each, 1, seen[1]);
    }
    return seen;
}

// Energies and correlations of each source beside physics, into tables and the record.
class EnergyReport {
public:
    EnergyReport(Run& run, std::vector<std::string> sources);
    // `seen` in the order of the sources, physics first.
    void add(const CvValue& value, const std::vector<const Seen*>& seen);
    void finish();

private:
    void write(const CvValue& value, const Seen& seen, const std::vector<double>& share, double low,
               double high, const std::string& source);

    Run& run_;
    const std::vector<std::string> sources_;
    CsvWriter csv_;
    std::optional<CsvWriter> pairs_;  // of a ring
    std::vector<std::vector<double>> worst_;  // (source, histogram and correlation)
    double greatest_floor_ = 0;
};

EnergyReport::EnergyReport(Run& run, std::vector<std::string> sources)
    : run_(run), sources_(std::move(sources)),
      csv_(run.dir / "energies.csv", cv_columns(run.grid.dims, {"energy", "density", "source"})),
      worst_(sources_.size(), std::vector<double>(2, 0.0)) {
    if (run.config.generator.ring)
        pairs_.emplace(run.dir / "correlation.csv",
                       cv_columns(run.grid.dims, {"distance", "correlation", "source"}));
}

void EnergyReport::write(const CvValue& value, const Seen& seen, const std::vector<double>& share,
                         double low, double high, const std::string& source) {
    const double width = (high - low) / kBins;
    for (int b = 0; b < kBins; ++b) {
        auto cells = cv_cells(run_.grid.dims, value);
        cells.insert(cells.end(), {low + (b + 0.5) * width,
                                   share[static_cast<std::size_t>(b)] / width, source});
        csv_.row(cells);
    }
    for (std::size_t r = 0; pairs_ && r < seen.correlation.size(); ++r) {
        auto cells = cv_cells(run_.grid.dims, value);
        cells.insert(cells.end(), {static_cast<double>(r), seen.correlation[r], source});
        pairs_->row(cells);
    }
}

void EnergyReport::add(const CvValue& value, const std::vector<const Seen*>& seen) {
    const Seen& physics = *seen[0];
    std::vector<double> sorted = physics.energy;
    std::sort(sorted.begin(), sorted.end());
    const auto tail = static_cast<std::size_t>(kTail * 0.5 * static_cast<double>(sorted.size()));
    const double low = sorted[tail], high = sorted[sorted.size() - 1 - tail];
    if (!(high > low)) {
        run_.warn("nearly all energies of the samples are equal at one of the values where they are to "
                  "be compared: there is no histogram");
        return;
    }
    const std::vector<double> reference = shares(physics.energy, low, high);
    const double g =
        statistical_inefficiency(physics.energy.data(), reference_of(run_).count, kReplicas);
    const double effective = static_cast<double>(physics.energy.size()) / g;
    const double each = static_cast<double>(run_.config.lifting.energy_states);
    Json j;
    j["cv"] = cv_json(run_.grid.dims, value);
    j["effective"] = effective;
    for (std::size_t source = 0; source < sources_.size(); ++source) {
        const Seen& here = *seen[source];
        const std::vector<double> share = shares(here.energy, low, high);
        write(value, here, share, low, high, sources_[source]);
        Json& entry = j[sources_[source]] = {{"mean", mean_of(here.energy)}};
        if (source == 0) continue;
        // Total variation, and what sampling alone would give.
        double distance = 0, floor = 0, apart = 0;
        for (std::size_t b = 0; b < share.size(); ++b) {
            distance += 0.5 * std::fabs(share[b] - reference[b]);
            floor += 0.3989 * std::sqrt(reference[b] * (1 - reference[b]) *
                                        (1 / each + 1 / effective));
        }
        for (std::size_t r = 0; r < here.correlation.size(); ++r)
            apart = std::max(apart, std::fabs(here.correlation[r] - physics.correlation[r]) /
                                        physics.correlation[0]);
        entry["histogram"] = distance;
        if (pairs_) entry["correlation"] = apart;
        j["histogram_floor"] = floor;
        greatest_floor_ = std::max(greatest_floor_, floor);
        worst_[source][0] = std::max(worst_[source][0], distance);
        worst_[source][1] = std::max(worst_[source][1], apart);
    }
    run_.record["energies"]["values"].push_back(j);
}

void EnergyReport::finish() {
    csv_.finish();
    if (pairs_) pairs_->finish();
    Json& record = run_.record["energies"];
    record["floor"] = greatest_floor_;
    for (std::size_t source = 1; source < sources_.size(); ++source) {
        record[sources_[source]]["histogram"] = worst_[source][0];
        if (pairs_) record[sources_[source]]["correlation"] = worst_[source][1];
    }
}

}  // namespace

void compare_energies(Run& run) {
    const index heal_steps = healing_steps(run);
    StageMeter meter(run.record, "energies");
    run.progress.begin("energies", 1, "pass");
    const auto values = some_of(judged_values(run), run.config.lifting.energies);
    Onlooker onlooker(run);
    std::vector<SeenAtValues> seen = lifted_states(run, meter, onlooker, values, heal_steps);
    seen.insert(seen.begin(), held_runs(run, meter, onlooker, values));
    const Reference reference = reference_of(run);
    run.record["energies"] = {{"heal_steps", heal_steps},
                              {"states", run.config.lifting.energy_states},
                              {"reference",
                               {{"runs", kReplicas},
                                {"steps", reference.steps},
                                {"samples", reference.count}}}};
    std::vector<std::string> sources{"physics", "generator"};
    if (heal_steps > 0) sources.push_back("healed");
    const Checking check(run, "energies");
    EnergyReport report(run, sources);
    for (std::size_t v = 0; v < values.size(); ++v) {
        std::vector<const Seen*> here;
        for (const SeenAtValues& source : seen) here.push_back(&source[v]);
        report.add(values[v], here);
    }
    report.finish();
    run.progress.end();
}

}  // namespace microlift
