// The classical way of lifting beside the generator: the state as a function of ξ, extended from
// the stored samples by geometric harmonics. A function has one state for each value: it can be
// right in the mean, never in the distribution.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "sampling/learn/harmonics.h"
#include "sampling/run/run.h"

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

}  // namespace

void Pipeline::classical_lifting(const std::vector<std::string>& names) {
    StageMeter meter(metrics_["stages"], "classical_lifting");
    progress_.begin("classical lifting", 1, "pass");
    const auto values = judged_values();
    const std::vector<int> which = generated_rows();
    const auto V = static_cast<index>(values.size()), F = static_cast<index>(names.size());
    const index samples = samples_.n, each = run_.lifting.states;
    const int K = grid_.dims;
    const std::vector<float> xi = stored_cvs();
    index row = 0;
    const Span<const float> y = targets(row);
    std::vector<float> physics(static_cast<std::size_t>(F * samples));  // (variable, sample)
    for (index v = 0; v < F; ++v)
        copy_to_host(stream_, physics.data() + v * samples, y.subspan(v * row, samples));

    const index m = std::min(samples, kLearnedFrom);
    std::vector<double> points, f;  // in bins
    for (int k = 0; k < K; ++k)
        for (index i = 0; i < m; ++i)
            points.push_back(static_cast<double>(xi[static_cast<std::size_t>(
                                 k * samples + i * samples / m)]) / grid_.width(k));
    for (index v = 0; v < F; ++v)
        for (index i = 0; i < m; ++i)
            f.push_back(static_cast<double>(
                physics[static_cast<std::size_t>(v * samples + i * samples / m)]));
    const GeometricHarmonics harmonics(points, K, m, f, static_cast<int>(F));
    std::vector<float> made(static_cast<std::size_t>(F * V));
    for (index c = 0; c < V; ++c) {
        double place[kMaxCvs];
        std::vector<double> state(static_cast<std::size_t>(F));
        for (int k = 0; k < K; ++k)
            place[k] = values[static_cast<std::size_t>(c)][static_cast<std::size_t>(k)] /
                       grid_.width(k);
        harmonics(place, state.data());
        for (index v = 0; v < F; ++v)
            made[static_cast<std::size_t>(v * V + c)] =
                static_cast<float>(state[static_cast<std::size_t>(v)]);
    }

    Lifter lifter(stream_, model_, Generator(stream_, dir_ / "generator.safetensors"), false);
    // Newton steps onto ξ = s change nothing where every ξ is a variable.
    const bool project = run_.generator.project && !model_.observed() &&
                         static_cast<int>(free_.size()) + K > model_.dim();
    std::vector<Lifted> ways;
    const auto add = [&](const std::string& source, index count, const auto& lift) {
        const index n = V * count;
        const Buffer<float> s = conditions(values, count);
        Buffer<float> x(device_, lifter.dim() * n);
        const auto keep = [&](const std::string& name) {
            ways.push_back({name, residuals(x, s, n, count),
                            to_host(stream_, Span<const float>(x.span())), count});
        };
        lift(s, n, x);
        keep(source);
        if (!project) return;
        model_.project(stream_, s.span(), n, n, x.span(), n);
        keep(source + "_projected");
    };
    add("generator", each, [&](const Buffer<float>& s, index n, Buffer<float>& x) {
        lifter.lift(s.span(), n, derived_seed(run_.seed, 4010), 0, x.span());
    });
    add("geometric_harmonics", 1, [&](const Buffer<float>& s, index n, Buffer<float>& x) {
        Buffer<float> rows(device_, F * n);
        copy_to_device(stream_, rows.span(), made.data());
        lifter.complete(s.span(), n, rows.span(), x.span());
    });

    const std::optional<ExactModel> exact = model_.observed() ? std::nullopt : model_.exact();
    const bool has_exact = exact && model_.dim() == 2 && F == 1;
    std::vector<std::string> columns;
    for (int k = 0; k < K; ++k) columns.push_back("cv_" + std::to_string(k + 1));
    columns.insert(columns.end(), {"variable", "source", "w1_over_sigma", "floor",
                                   "mean_over_sigma", "spread_over_sigma", "residual"});
    CsvWriter csv(dir_ / "classical_lifting.csv", columns);
    struct Figures {
        std::vector<double> w1, mean, spread, residual;
    };
    std::map<std::string, Figures> figures;
    for (std::size_t c = 0; c < values.size(); ++c) {
        const std::vector<index> near = samples_near(xi, values[c], 0.5, each);
        for (std::size_t v = 0; v < names.size(); ++v) {
            std::vector<float> nearby;
            for (const index j : near)
                nearby.push_back(physics[v * static_cast<std::size_t>(samples) +
                                         static_cast<std::size_t>(j)]);
            std::optional<ExactConditional> law;
            if (has_exact) law = exact->at(values[c][0]);
            const ReferenceLaw reference(nearby, law);
            if (!reference.known()) continue;
            const auto judge = [&](const std::string& source, const ReferenceLaw& against,
                                   std::vector<float> states, double residual) {
                std::sort(states.begin(), states.end());
                const double w1 = against.distance(states), sigma = against.sigma();
                const double mean = std::fabs(mean_of(states) - against.mean()) / sigma;
                const double spread = deviation_of(states) / sigma;
                std::vector<CsvWriter::Cell> cells;
                for (int k = 0; k < K; ++k) cells.emplace_back(values[c][static_cast<std::size_t>(k)]);
                cells.insert(cells.end(), {names[v], source, w1, against.floor(states.size()), mean,
                                           spread, residual});
                csv.row(cells);
                Figures& of = figures[source];
                of.w1.push_back(w1);
                of.mean.push_back(mean);
                of.spread.push_back(spread);
                if (v == 0 && std::isfinite(residual)) of.residual.push_back(residual);
            };
            if (nearby.size() >= 2 * ReferenceLaw::kLeastSamples) {
                // Against the exact law, or one half against the other.
                std::vector<float> one, other;
                double square = 0;
                for (std::size_t i = 0; i < near.size(); ++i) {
                    (has_exact || i % 2 ? one : other).push_back(nearby[i]);
                    for (int k = 0; k < K; ++k) {
                        const double d =
                            static_cast<double>(xi[static_cast<std::size_t>(k * samples + near[i])]) -
                            values[c][static_cast<std::size_t>(k)];
                        square += d * d;
                    }
                }
                judge("samples", has_exact ? reference : ReferenceLaw(other, std::nullopt), one,
                      std::sqrt(square / static_cast<double>(near.size())));
            }
            for (const Lifted& way : ways) {
                const float* first =
                    way.x.data() + (which[v] * V + static_cast<index>(c)) * way.each;
                // A single state stands for as many equal ones: it is what every lift gives.
                std::vector<float> states(first, first + way.each);
                if (way.each == 1) states.assign(static_cast<std::size_t>(each), *first);
                judge(way.source, reference, std::move(states),
                      model_.observed() ? std::numeric_limits<double>::quiet_NaN()
                                        : way.residual[c]);
            }
        }
    }
    csv.finish();
    Json& record = metrics_["classical_lifting"];
    record = Json::object();
    record["learned_from"] = m;
    record["against"] = has_exact ? "exact" : "physics";
    const auto summarise = [](Json& entry, const char* name, std::vector<double>& list) {
        if (list.empty()) return;
        std::sort(list.begin(), list.end());
        entry[name] = {{"median", list[list.size() / 2]}, {"worst", list.back()}};
    };
    for (auto& [source, of] : figures) {
        Json& entry = record[source];
        summarise(entry, "w1_over_sigma", of.w1);
        summarise(entry, "mean_over_sigma", of.mean);
        summarise(entry, "spread_over_sigma", of.spread);
        summarise(entry, "residual", of.residual);
    }
    progress_.update(1);
    progress_.end();
}

}  // namespace microlift
