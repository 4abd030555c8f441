// What the errors of a closure's figures take in besides noise: walls, meshes, and what lies between the
// values at which drift and diffusion are known.
#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "sampling/closure/burst_kernels.h"
#include "sampling/run/stages/close/close.h"

namespace microlift {

namespace {

// Of the states of one value, x: (dim, values · replicas).
index different_states(const std::vector<float>& x, int dim, index value, index replicas) {
    const index n = std::ssize(x) / dim;
    std::set<std::vector<float>> different;
    for (index j = value * replicas; j < (value + 1) * replicas; ++j) {
        std::vector<float> state;
        for (int d = 0; d < dim; ++d) state.push_back(x[static_cast<std::size_t>(d * n + j)]);
        different.insert(std::move(state));
    }
    return std::ssize(different);
}

}  // namespace

namespace {

// ξ is one of the system's variables, or less it.
bool is_variable(const FormulaSystem::Cv& cv) {
    double size = 0;
    for (const double w : cv.weights) size += std::fabs(w);
    return cv.linear && size == 1.0 && cv.offset == 0.0 &&
           std::count(cv.weights.begin(), cv.weights.end(), 0.0) + 1 == std::ssize(cv.weights);
}

// Values of ξ are states, and nothing is hidden.
bool are_states(const FormulaSystem& system) {
    return std::ssize(system.cvs) == system.dim &&
           std::all_of(system.cvs.begin(), system.cvs.end(), is_variable);
}

// What is left of nine evenly spaced numbers besides a parabola: the standard deviation.
double left_of_parabola(const std::array<double, 9>& y) {
    double sum[3] = {}, squares = 0;
    for (int j = -4; j <= 4; ++j) {
        const double v = y[static_cast<std::size_t>(j + 4)], second = j * j - 20.0 / 3;
        sum[0] += v / 9;
        sum[1] += v * j / 60;
        sum[2] += v * second / 308;
    }
    for (int j = -4; j <= 4; ++j) {
        const double fit = sum[0] + sum[1] * j + sum[2] * (j * j - 20.0 / 3);
        squares += std::pow(y[static_cast<std::size_t>(j + 4)] - fit, 2);
    }
    return std::sqrt(squares / 6);
}

}  // namespace

// By how much, for every value, output and lag.
void ClosureStage::add_start_errors(BurstMoments& m, const std::vector<double>& of_integrands) const {
    const std::size_t values = m.values.size();
    for (std::size_t l = 0; l < m.lags.size(); ++l)
        for (std::size_t v = 0; v < values; ++v)
            for (int o = 0; o < burst_outputs(K_); ++o) {
                BurstPoint& p = m.points[l * values + v];
                const double extra = of_integrands[static_cast<std::size_t>(o) * values + v] * m.tau(l);
                double& error = o < K_ ? p.mean_error[o] : p.covariance_error[o - K_];
                if (std::isfinite(extra)) error = std::hypot(error, o < K_ ? extra : 2 * extra);
            }
}

void ClosureStage::count_starts(BurstMoments& m) {
    if (model_.molecule()) return;  // whose averages no formula tells
    count_rounding(m);
    const bool alone = model_.dim() == K_;  // no hidden variables
    if ((!alone && c_.start != "physics") || are_states(model_.formulas())) return;
    const index values = std::ssize(m.values), replicas = m.replicas;
    AveragedClosure a = average_closure(stream_, model_, starts_.span(), values, replicas);
    std::vector<float> x;
    if (!alone) x = to_host(stream_, Span<const float>(starts_.span()));
    const double all = static_cast<double>(replicas);
    for (index v = 0; v < values; ++v) {
        // Of the mean over so few beside the mean over all bursts, as if these were independent.
        const double few =
            alone ? 1.0
                  : 1 / static_cast<double>(different_states(x, model_.dim(), v, replicas)) - 1 / all;
        for (int o = 0; o < burst_outputs(K_); ++o)
            a.error[static_cast<std::size_t>(o * values + v)] *= std::sqrt((all - 1) * few);
    }
    add_start_errors(m, a.error);
}

Buffer<float> ClosureStage::some_starts(index values, index replicas, index few) const {
    const index D = model_.dim();
    Buffer<float> x(stream_.device(), D * values * few);
    for (index i = 0; i < D * values; ++i)
        copy(stream_, x.span().subspan(i * few, few),
             Span<const float>(starts_.span().subspan(i * replicas, few)));
    return x;
}

bool ClosureStage::learned() const {
    return std::any_of(config_.cv.variables.begin(), config_.cv.variables.end(),
                       [](const CvVariable& variable) { return !variable.file.empty(); });
}

std::vector<double> ClosureStage::in_double(const std::vector<float>& x, const std::vector<CvValue>& values,
                                            index few) const {
    const FormulaSystem& system = model_.formulas();
    const std::size_t n = values.size() * static_cast<std::size_t>(few), outputs = system.closure_nodes.size();
    std::vector<double> states(x.begin(), x.end());
    for (std::size_t k = 0; k < system.cvs.size() && are_states(system); ++k)
        for (std::size_t d = 0; d < system.cvs[k].weights.size(); ++d)
            for (std::size_t j = 0; j < n && system.cvs[k].weights[d] != 0.0; ++j)
                states[d * n + j] = values[j / static_cast<std::size_t>(few)][k] / system.cvs[k].weights[d];
    std::vector<double> all(outputs * n), mean(outputs * values.size(), 0.0);
    BatchEvaluator(system.graph, system.closure_nodes)(states.data(), n, n, all.data());
    for (std::size_t i = 0; i < all.size(); ++i)
        mean[i / static_cast<std::size_t>(few)] += all[i] / static_cast<double>(few);
    return mean;
}

void ClosureStage::count_rounding(BurstMoments& m) {
    // Of the distance of values: to see slopes, and rounding.
    constexpr double kStep = 1.0 / 64, kNear = 1e-4;
    const index values = std::ssize(m.values), few = std::min<index>(m.replicas, 64), n = values * few;
    const index D = model_.dim(), outputs = burst_outputs(K_);
    const Buffer<float> start = some_starts(values, m.replicas, few);
    Buffer<float> cv(stream_.device(), K_ * (1 + D) * n);
    model_.evaluate_cvs(stream_, start.span(), n, n, cv.span(), n);
    const std::vector<float> xi = to_host(stream_, Span<const float>(cv.span())),
                             x = to_host(stream_, Span<const float>(start.span()));
    // The integrands where ξ_k is a step further.
    const auto beside = [&](std::size_t k, double step) {
        std::vector<CvValue> moved = m.values;
        for (CvValue& value : moved) value[k] += step;
        Buffer<float> at(stream_.device(), D * n);
        copy(stream_, at.span(), Span<const float>(start.span()));
        const Buffer<float> s = repeated_values(stream_, K_, moved, few);
        model_.project(stream_, s.span(), n, n, at.span(), n, 4);
        return average_closure(stream_, model_, at.span(), values, few).mean;
    };
    // Of ξ_k at a value, and of ξ_k by the states' rounding: a mean square. A state knows its variables'
    // values, which single precision does.
    const auto rounded = [&](std::size_t k, index v) {
        if (is_variable(model_.formulas().cvs[k])) return 0.0;
        double square = std::pow(m.values[static_cast<std::size_t>(v)][k], 2);
        for (index d = 0; d < D; ++d)
            for (index j = v * few; j < (v + 1) * few; ++j) {
                const index row = K_ + static_cast<index>(k) * D + d;
                const double moved = static_cast<double>(x[static_cast<std::size_t>(d * n + j)]) *
                                     static_cast<double>(xi[static_cast<std::size_t>(row * n + j)]);
                square += moved * moved / static_cast<double>(few);
            }
        return kRounded * kRounded * square;
    };
    std::vector<double> error(static_cast<std::size_t>(outputs * values), 0.0);
    if (!learned() && std::ssize(model_.formulas().closure_nodes) == outputs) {
        const std::vector<double> single = average_closure(stream_, model_, start.span(), values, few).mean,
                                  exact = in_double(x, m.values, few);
        for (std::size_t i = 0; i < error.size(); ++i) error[i] = std::fabs(single[i] - exact[i]);
    }
    if (learned()) {  // as what is not smooth over a distance in which everything else is
        std::vector<std::vector<double>> near;
        for (int j = -4; j <= 4; ++j) near.push_back(beside(0, kNear * j * spacing_[0]));
        for (std::size_t i = 0; i < error.size(); ++i) {
            std::array<double, 9> y{};
            for (std::size_t j = 0; j < 9; ++j) y[j] = near[j][i];
            error[i] = left_of_parabola(y);
        }
    }
    for (std::size_t k = 0; k < static_cast<std::size_t>(K_); ++k) {
        const double step = kStep * spacing_[k];
        const std::vector<double> high = beside(k, step), low = beside(k, -step);
        for (index v = 0; v < values; ++v) {
            const double by = std::sqrt(rounded(k, v)) / (2 * step);
            for (index o = 0; o < outputs; ++o) {
                const auto i = static_cast<std::size_t>(o * values + v);
                error[i] = std::hypot(error[i], by * (high[i] - low[i]));
            }
        }
    }
    add_start_errors(m, error);
}

void ClosureStage::add_walls_and_mesh(ClosureSource& source) {
    const double mesh = source.model.ring() ? 1.0 / 3 : 1.0 / 15;  // by Richardson's rule
    source.variants.push_back({source.model.beyond_ends()});
    source.variants.push_back({source.model.coarser(), -mesh});
}

void ClosureStage::add_variants(ClosureSource& source, const ClosureEstimate& finer) const {
    add_walls_and_mesh(source);
    // Of averages that narrower bins tell more of, the difference to these says all.
    if (source.name == "free_energy" ||
        (source.name == "conditional" && unresolved(source.estimate.x)))
        return;
    source.variants.push_back({source.model.with(finer).with_finer_curves(), 1.0, true});
}

void ClosureStage::add_rougher(ClosureSource& source, const std::vector<double>& log_density) {
    const ClosureEstimate& e = source.estimate;
    const auto merged_by = [&](std::size_t stride) {
        ClosureEstimate merged;
        merged.period = e.period;
        std::vector<double> density;
        for (std::size_t first = 0; first + stride <= e.size(); first += stride) {
            double x = 0, held = 0, inverse_d = 0, error = 0;
            for (std::size_t i = first; i < first + stride; ++i) {
                const double n = static_cast<double>(stride);
                x += e.x[i] / n;
                held += std::exp(log_density[i] - log_density[first]) / n;
                inverse_d += 1 / (n * e.diffusion[i]);  // which times have in them
                error = std::max(error, e.diffusion_error[i]);
            }
            merged.x.push_back(x);
            merged.drift.push_back(0);
            merged.drift_error.push_back(1);
            merged.diffusion.push_back(1 / inverse_d);
            merged.diffusion_error.push_back(error);
            density.push_back(log_density[first] + std::log(held));
        }
        return source.model.with(merged, density);
    };
    try {
        source.series.push_back({merged_by(2), merged_by(4)});
    } catch (const NumericError&) {  // too few bins
    }
}

namespace {

// What surfaces, walls and cells do. model: of the estimates that are left.
template <class F>
void vary_surfaces(ClosureSourceOfTwo& source, const F& model) {
    constexpr double kOfSecond = 1.0 / 15, kOfCells = 1.0 / 3;  // by Richardson's rule
    const EstimateOfTwo& e = source.estimate;
    std::array<std::vector<double>, 2> values;
    for (std::size_t k = 0; k < 2; ++k) {
        for (const CvValue& x : e.at) values[k].push_back(x[k]);
        std::sort(values[k].begin(), values[k].end());
        values[k].erase(std::unique(values[k].begin(), values[k].end()), values[k].end());
    }
    // Of the values that are kept, by their place along each variable.
    const auto part = [&](const std::function<bool(std::size_t k, std::size_t place)>& keeps) {
        EstimateOfTwo kept = e;
        for (std::size_t i = 0; i < e.size(); ++i)
            for (std::size_t k = 0; k < 2; ++k) {
                const auto at = std::lower_bound(values[k].begin(), values[k].end(), e.at[i][k]);
                if (!keeps(k, static_cast<std::size_t>(at - values[k].begin())))
                    kept.error[i].fill(std::nan(""));
            }
        return model(kept);
    };
    const auto last = [&](std::size_t k, std::size_t place) { return place + 1 == values[k].size(); };
    try {
        source.variants.push_back({source.model.coarser(), -kOfCells});
        source.variants.push_back(
            {part([&](std::size_t k, std::size_t i) { return i % 2 == 0 || last(k, i); }), -kOfSecond,
             true});
        for (std::size_t axis = 0; axis < 2; ++axis) {
            if (source.model.ring(axis) > 0) continue;  // no walls
            const std::vector<double>& x = values[axis];
            source.variants.push_back(
                {part([&](std::size_t k, std::size_t i) {
                     return k != axis || (i > 0 && !last(k, i));
                 }),
                 -source.model.beyond_share(axis, x[1], x[x.size() - 2])});
        }
    } catch (const NumericError&) {  // too few values
    }
}

}  // namespace

void ClosureStage::add_variants(ClosureSourceOfTwo& source) {
    if (source.name != "free_energy")
        vary_surfaces(source, [](const EstimateOfTwo& e) { return ReducedModelOfTwo(e); });
}

void ClosureStage::add_rougher(ClosureSourceOfTwo& source, const std::vector<double>& log_density) {
    vary_surfaces(source, [&](const EstimateOfTwo& e) { return ReducedModelOfTwo(e, log_density); });
}

}  // namespace microlift
