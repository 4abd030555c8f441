// The classical way of lifting beside the generator: the state as a function of ξ, extended from
// the stored samples by geometric harmonics. A function has one state for each value: it can be
// right in the mean, never in the distribution.
#include "sampling/run/stages.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "sampling/learn/harmonics.h"
#include "sampling/run/lifted.h"
#include "sampling/run/places.h"
#include "sampling/run/stages/distributions.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

constexpr index kLearnedFrom = 60013;  // samples at most; a prime, no stride of which is a period

// The states that one way of lifting gives.
struct Lifted {
    std::string source;
    std::vector<double> residual;  // RMS of ξ(x) − s of each value
    std::vector<float> x;          // (row, value, state)
    index each;                    // states a value
};

// The stored samples, for the host.
struct Physics {
    StoredCvs xi;
    std::vector<HostView<float>> variables;  // (variable, sample)
};

// What the lines of one source say, to be summarised.
struct Figures {
    std::vector<double> w1, mean, spread, residual;
};

double mean_of(const std::vector<float>& x) {
    double sum = 0;
    for (const float v : x) sum += static_cast<double>(v);
    return sum / static_cast<double>(x.size());
}

double deviation_of(const std::vector<float>& x) {
    const double mean = mean_of(x);
    double sum = 0;
    for (const float v : x) sum += (static_cast<double>(v) - mean) * (static_cast<double>(v) - mean);
    return std::sqrt(sum / static_cast<double>(x.size()));
}

Physics physics_of(Run& run) {
    Physics physics{StoredCvs(run), {}};
    const Targets y = targets(run);
    for (index v = 0; v < y.count; ++v) physics.variables.push_back(host_column(run, y, v));
    return physics;
}

// States by geometric harmonics, (variable, value).
std::vector<float> harmonic_states(const Run& run, const Physics& physics,
                                   const std::vector<CvValue>& values) {
    const index samples = run.samples.n, m = std::min(samples, kLearnedFrom);
    const int K = run.grid.dims;
    const std::size_t F = physics.variables.size(), V = values.size();
    std::vector<double> points, f;  // in bins
    const std::vector<index> which = spread_over(samples, m);
    for (int k = 0; k < K; ++k)
        for (const index i : which)
            points.push_back(physics.xi(k, i) / run.grid.width(k));
    for (const HostView<float>& variable : physics.variables)
        for (const index i : which)
            f.push_back(static_cast<double>(variable[static_cast<std::size_t>(i)]));
    const GeometricHarmonics harmonics(points, K, m, f, static_cast<int>(F));
    std::vector<float> made(F * V);
    std::vector<double> state(F);
    for (std::size_t c = 0; c < V; ++c) {
        double place[kMaxCvs];
        for (int k = 0; k < K; ++k)
            place[k] = values[c][static_cast<std::size_t>(k)] / run.grid.width(k);
        harmonics(place, state.data());
        for (std::size_t v = 0; v < F; ++v) made[v * V + c] = static_cast<float>(state[v]);
    }
    return made;
}

// Both ways, as they are and moved onto the value where that changes anything.
std::vector<Lifted> lift_both_ways(Run& run, const std::vector<CvValue>& values,
                                   const std::vector<float>& harmonic) {
    const auto V = static_cast<index>(values.size());
    Lifter lifter(run.stream, run.model, run.generator.make(run.stream), false);
    // Newton steps onto ξ = s change nothing where every ξ is a variable.
    const bool project = run.config.generator.project && !run.model.observed() &&
                         static_cast<int>(run.free.size()) + run.grid.dims > run.model.dim();
    std::vector<Lifted> ways;
    const auto add = [&](const std::string& source, index count, const auto& lift) {
        const index n = V * count;
        const Buffer<float> s = conditions(run, values, count);
        Buffer<float> x(run.device, lifter.dim() * n);
        const auto keep = [&](const std::string& name) {
            ways.push_back({name, residuals(run, x, s, n, count),
                            to_host(run.stream, Span<const float>(x.span())), count});
        };
        lift(s, n, x);
        keep(source);
        if (!project) return;
        run.model.project(run.stream, s.span(), n, n, x.span(), n);
        keep(source + "_projected");
    };
    add("generator", run.config.lifting.states,
        [&](const Buffer<float>& s, index n, Buffer<float>& x) {
            lifter.lift(s.span(), n, derived_seed(run.config.seed, 4010), 0, x.span());
        });
    add("geometric_harmonics", 1, [&](const Buffer<float>& s, index n, Buffer<float>& x) {
        Buffer<float> rows(run.device, static_cast<index>(harmonic.size()));
        copy_to_device(run.stream, rows.span(), harmonic.data());
        lifter.complete(s.span(), n, rows.span(), x.span());
    });
    return ways;
}

// Judges states value by value and variable by variable, into a table.
class ClassicalTable {
public:
    ClassicalTable(Run& run, const Physics& physics, const std::vector<CvValue>& values)
        : run_(run), physics_(physics), values_(values), names_(target_names(run)),
          rows_(generated_rows(run)),
          csv_(run.dir / "classical_lifting.csv",
               cv_columns(run.grid.dims, {"variable", "source", "w1_over_sigma", "floor",
                                          "mean_over_sigma", "spread_over_sigma", "residual"})) {
        if (!run.model.observed() && run.model.dim() == 2 && names_.size() == 1)
            exact_ = run.model.exact();
    }
    void judge(std::size_t value, const std::vector<Lifted>& ways);
    Json finish();

private:
    void judge_samples(std::size_t value, std::size_t variable, const std::vector<float>& nearby,
                       const ReferenceLaw& reference);
    void row(std::size_t value, std::size_t variable, const std::string& source,
             const ReferenceLaw& against, std::vector<float> states, double residual);

    Run& run_;
    const Physics& physics_;
    const std::vector<CvValue>& values_;
    const std::vector<std::string> names_;
    const std::vector<int> rows_;
    std::optional<ExactModel> exact_;
    CsvWriter csv_;
    std::vector<index> near_;  // samples near the value at hand
    std::map<std::string, Figures> figures_;
};

void ClassicalTable::row(std::size_t value, std::size_t variable, const std::string& source,
                         const ReferenceLaw& against, std::vector<float> states, double residual) {
    std::sort(states.begin(), states.end());
    const double w1 = against.distance(states), sigma = against.sigma();
    const double mean = std::fabs(mean_of(states) - against.mean()) / sigma;
    const double spread = deviation_of(states) / sigma;
    std::vector<CsvWriter::Cell> cells = cv_cells(run_.grid.dims, values_[value]);
    cells.insert(cells.end(), {names_[variable], source, w1, against.floor(states.size()), mean,
                               spread, residual});
    csv_.row(cells);
    Figures& of = figures_[source];
    of.w1.push_back(w1);
    of.mean.push_back(mean);
    of.spread.push_back(spread);
    if (variable == 0 && std::isfinite(residual)) of.residual.push_back(residual);
}

// Against the exact law, or one half against the other.
void ClassicalTable::judge_samples(std::size_t value, std::size_t variable,
                                   const std::vector<float>& nearby, const ReferenceLaw& reference) {
    std::vector<float> one, other;
    double square = 0;
    for (std::size_t i = 0; i < near_.size(); ++i) {
        (reference.exact() || i % 2 ? one : other).push_back(nearby[i]);
        for (int k = 0; k < run_.grid.dims; ++k) {
            const double d =
                run_.grid.apart(k, physics_.xi(k, near_[i]), values_[value][static_cast<std::size_t>(k)]);
            square += d * d;
        }
    }
    row(value, variable, "samples", reference.exact() ? reference : ReferenceLaw(other, std::nullopt),
        one, std::sqrt(square / static_cast<double>(near_.size())));
}

void ClassicalTable::judge(std::size_t value, const std::vector<Lifted>& ways) {
    const index each = run_.config.lifting.states;
    near_ = samples_near(run_, physics_.xi, values_[value], 0.5, each);
    for (std::size_t v = 0; v < names_.size(); ++v) {
        std::vector<float> nearby;
        for (const index j : near_)
            nearby.push_back(physics_.variables[v][static_cast<std::size_t>(j)]);
        std::optional<ExactConditional> law;
        if (exact_) law = exact_->law(values_[value][0]);
        const ReferenceLaw reference(nearby, law);
        if (!reference.known()) continue;
        if (nearby.size() >= 2 * ReferenceLaw::kLeastSamples)
            judge_samples(value, v, nearby, reference);
        for (const Lifted& way : ways) {
            const index place = rows_[v] * static_cast<index>(values_.size()) +
                                static_cast<index>(value);
            const float* first = way.x.data() + place * way.each;
            // A single state stands for as many equal ones: it is what every lift gives.
            std::vector<float> states(first, first + way.each);
            if (way.each == 1) states.assign(static_cast<std::size_t>(each), *first);
            row(value, v, way.source, reference, std::move(states),
                run_.model.observed() ? std::numeric_limits<double>::quiet_NaN()
                                      : way.residual[value]);
        }
    }
}

Json ClassicalTable::finish() {
    csv_.finish();
    Json record = Json::object();
    record["learned_from"] = std::min(run_.samples.n, kLearnedFrom);
    record["against"] = exact_ ? "exact" : "physics";
    for (const auto& [source, of] : figures_) {
        Json& entry = record[source];
        const auto summarise = [&](const char* name, const std::vector<double>& list) {
            if (!list.empty()) entry[name] = median_and_worst(list);
        };
        summarise("w1_over_sigma", of.w1);
        summarise("mean_over_sigma", of.mean);
        summarise("spread_over_sigma", of.spread);
        summarise("residual", of.residual);
    }
    return record;
}

}  // namespace

void lift_classically(Run& run) {
    StageMeter meter(run.record, "classical_lifting");
    run.progress.begin("classical lifting", 1, "pass");
    const std::vector<CvValue> values = judged_values(run);
    const Physics physics = physics_of(run);
    const std::vector<Lifted> ways =
        lift_both_ways(run, values, harmonic_states(run, physics, values));
    ClassicalTable table(run, physics, values);
    for (std::size_t value = 0; value < values.size(); ++value) table.judge(value, ways);
    run.record["classical_lifting"] = table.finish();
    run.progress.update(1);
    run.progress.end();
}

}  // namespace microlift
