// The potential energy of states at a few values of ξ: of long runs held there, of generated and of
// healed states; and, where the variables are a ring of like sites, their two-point correlation.
#include "sampling/run/run.h"

#include <algorithm>
#include <cmath>

#include "kernels/random/streams.h"
#include "sampling/numerics/statistics.h"

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

std::vector<double> histogram(const std::vector<double>& energy, double low, double high) {
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

}  // namespace

void Pipeline::energies() {
    if (model_.observed() || !model_.gradient() || free_.empty() || run_.lifting.energies == 0)
        return;
    const index heal_steps = healing_steps();
    StageMeter meter(metrics_["stages"], "energies");
    progress_.begin("energies", 1, "pass");
    const auto values = some_of(judged_values(), run_.lifting.energies);
    const auto V = static_cast<index>(values.size());
    const index D = model_.dim(), each = run_.lifting.energy_states;
    const bool ring = run_.generator.ring;
    const ColumnProgram potential(device_, model_.formulas().potential);
    // (value, state) columns, of which one value's.
    const auto look = [&](Span<const float> x, index row, index from, index n, Seen& seen) {
        Buffer<float> v(device_, n);
        const Span<const float> here{x.data + from, (D - 1) * row + n};
        potential.run(stream_, here, row, n, v.span(), n);
        for (const float e : to_host(stream_, Span<const float>(v.span())))
            seen.energy.push_back(static_cast<double>(e));
    };

    // Generated states, and the same healed.
    Lifter lifter(stream_, model_, Generator(stream_, dir_ / "generator.safetensors"),
                  run_.generator.project);
    std::vector<std::string> sources{"physics", "generator"};
    if (heal_steps > 0) sources.push_back("healed");
    std::vector<std::vector<Seen>> seen(sources.size(), std::vector<Seen>(values.size()));
    const index n = V * each;
    {
        const Buffer<float> s = conditions(values, each);
        Buffer<float> x(device_, D * n);
        lifter.lift(s.span(), n, derived_seed(run_.seed, 9300), 0, x.span());
        for (std::size_t source = 1; source < sources.size(); ++source) {
            if (source == 2)
                meter.work(0, heal(stream_, model_, run_.integrator, s.span(), n, heal_steps,
                                   derived_seed(run_.seed, 9301), 0, x.span(),
                                   [](index) { throw_if_stopped(); }));
            const std::vector<float> host =
                ring ? to_host(stream_, Span<const float>(x.span())) : std::vector<float>();
            for (index v = 0; v < V; ++v) {
                Seen& to = seen[source][static_cast<std::size_t>(v)];
                look(x.span(), n, v * each, each, to);
                if (ring) to.correlation = ring_correlation(host, D, n, v * each, each);
            }
        }
    }

    // Physics: runs held at each value, begun at stored samples there.
    const std::vector<float> xi = stored_cvs();
    const std::vector<float> stored =
        to_host(stream_, Span<const float>(samples_.x.span()));
    const index runs = V * kReplicas;
    std::vector<float> start(static_cast<std::size_t>(D * runs));
    for (index v = 0; v < V; ++v) {
        std::vector<index> near;
        for (double reach = 0.5; near.empty(); reach *= 2)
            near = samples_near(xi, values[static_cast<std::size_t>(v)], reach, kReplicas);
        for (index r = 0; r < kReplicas; ++r)
            for (index d = 0; d < D; ++d)
                start[static_cast<std::size_t>(d * runs + v * kReplicas + r)] =
                    stored[static_cast<std::size_t>(
                        d * samples_.row +
                        near[static_cast<std::size_t>(r) % near.size()])];
    }
    const Buffer<float> aim = conditions(values, kReplicas);
    PathSetup setup = model_.path_setup(run_.integrator);
    setup.constrained = true;
    Ensemble ensemble(stream_, model_.path_kernel(setup), runs, derived_seed(run_.seed, 9302),
                      kStreamHeal);
    copy_to_device(stream_, ensemble.x(), start.data());
    model_.project(stream_, aim.span(), runs, runs, ensemble.x(), runs, 10);
    copy(stream_, ensemble.center(), Span<const float>(aim.span()));
    const index steps = run_.lifting.reference_steps;
    const index stride = std::max<index>(1, steps / kSamples), count = steps / stride;
    ensemble.advance(static_cast<uint64>(steps / 4));
    SampleSet samples(device_, model_.dim(), model_.n_cvs(), runs);
    std::vector<std::vector<double>> products(values.size());
    for (index t = 0; t < count; ++t) {
        samples.n = 0;
        samples.blocks.clear();
        ensemble.sample(static_cast<uint64>(stride), 1, samples);
        throw_if_stopped();
        const std::vector<float> host =
            ring ? to_host(stream_, Span<const float>(samples.x.span())) : std::vector<float>();
        for (index v = 0; v < V; ++v) {
            Seen& to = seen[0][static_cast<std::size_t>(v)];
            look(samples.x.span(), runs, v * kReplicas, kReplicas, to);
            if (!ring) continue;
            const auto now = ring_correlation(host, D, runs, v * kReplicas, kReplicas);
            to.correlation.resize(now.size(), 0.0);
            for (std::size_t r = 0; r < now.size(); ++r)
                to.correlation[r] += now[r] / static_cast<double>(count);
        }
    }
    ensemble.check_finite([&](index t) { return "reference run " + std::to_string(t); });
    meter.work(0, ensemble.force_evaluations());

    Json& record = metrics_["energies"];
    record = Json::object();
    record["heal_steps"] = heal_steps;
    record["states"] = each;
    record["reference"] = {{"runs", kReplicas}, {"steps", steps}, {"samples", count}};
    std::vector<std::string> columns;
    for (int k = 0; k < grid_.dims; ++k) columns.push_back("cv_" + std::to_string(k + 1));
    auto with = [&](std::vector<std::string> more) {
        more.insert(more.begin(), columns.begin(), columns.end());
        return more;
    };
    CsvWriter csv(dir_ / "energies.csv", with({"energy", "density", "source"}));
    std::optional<CsvWriter> pairs;
    if (ring) pairs.emplace(dir_ / "correlation.csv", with({"distance", "correlation", "source"}));
    std::vector<std::vector<double>> worst(sources.size(), std::vector<double>(2, 0.0));
    double greatest_floor = 0;
    for (std::size_t v = 0; v < values.size(); ++v) {
        const Seen& physics = seen[0][v];
        std::vector<double> sorted = physics.energy;
        std::sort(sorted.begin(), sorted.end());
        const auto tail = static_cast<std::size_t>(kTail * 0.5 * static_cast<double>(sorted.size()));
        const double low = sorted[tail], high = sorted[sorted.size() - 1 - tail];
        const std::vector<double> reference = histogram(physics.energy, low, high);
        const double g = statistical_inefficiency(physics.energy.data(), count, kReplicas);
        const double effective = static_cast<double>(physics.energy.size()) / g;
        Json j;
        std::vector<CsvWriter::Cell> place;
        for (int k = 0; k < grid_.dims; ++k) {
            j["cv"].push_back(values[v][static_cast<std::size_t>(k)]);
            place.emplace_back(values[v][static_cast<std::size_t>(k)]);
        }
        j["effective"] = effective;
        for (std::size_t source = 0; source < sources.size(); ++source) {
            const Seen& here = seen[source][v];
            const std::vector<double> share = histogram(here.energy, low, high);
            Json entry = {{"mean", mean_of(here.energy)}};
            for (int b = 0; b < kBins; ++b) {
                auto cells = place;
                const double width = (high - low) / kBins;
                cells.insert(cells.end(), {low + (b + 0.5) * width,
                                           share[static_cast<std::size_t>(b)] / width,
                                           sources[source]});
                csv.row(cells);
            }
            if (pairs)
                for (std::size_t r = 0; r < here.correlation.size(); ++r) {
                    auto cells = place;
                    cells.insert(cells.end(), {static_cast<double>(r), here.correlation[r],
                                               sources[source]});
                    pairs->row(cells);
                }
            if (source == 0) {
                j["physics"] = entry;
                continue;
            }
            // Total variation, and what sampling alone would give.
            double distance = 0, floor = 0, apart = 0;
            for (std::size_t b = 0; b < share.size(); ++b) {
                distance += 0.5 * std::fabs(share[b] - reference[b]);
                floor += 0.3989 * std::sqrt(reference[b] * (1 - reference[b]) *
                                            (1 / static_cast<double>(each) + 1 / effective));
            }
            for (std::size_t r = 0; r < here.correlation.size(); ++r)
                apart = std::max(apart, std::fabs(here.correlation[r] - physics.correlation[r]) /
                                            physics.correlation[0]);
            entry["histogram"] = distance;
            j["histogram_floor"] = floor;
            greatest_floor = std::max(greatest_floor, floor);
            worst[source][0] = std::max(worst[source][0], distance);
            if (ring) entry["correlation"] = apart;
            worst[source][1] = std::max(worst[source][1], apart);
            j[sources[source]] = entry;
        }
        record["values"].push_back(j);
    }
    csv.finish();
    if (pairs) pairs->finish();
    record["floor"] = greatest_floor;
    for (std::size_t source = 1; source < sources.size(); ++source) {
        record[sources[source]]["histogram"] = worst[source][0];
        if (ring) record[sources[source]]["correlation"] = worst[source][1];
    }
    progress_.end();
}

}  // namespace microlift
