#include "sampling/closure/lag_bias.h"

#include <algorithm>
#include <cmath>

namespace microlift {

std::vector<double> beyond_noise(const std::vector<double>& difference,
                                 const std::vector<double>& error) {
    double square = 0, count = 0;
    for (std::size_t i = 0; i < difference.size(); ++i) {
        if (!(error[i] > 0) || !std::isfinite(difference[i])) continue;
        square += difference[i] * difference[i] / (error[i] * error[i]);
        count += 1;
    }
    std::vector<double> out(difference.size(), 0.0);
    // The 95th percentile of χ² (Wilson and Hilferty, PNAS 17 (1931) 684).
    const double part = 2 / (9 * std::max(count, 1.0));
    if (square <= count * std::pow(1 - part + 1.645 * std::sqrt(part), 3)) return out;
    for (std::size_t i = 0; i < out.size(); ++i) {
        const double excess = difference[i] * difference[i] - error[i] * error[i];
        if (excess > 0) out[i] = std::copysign(std::sqrt(excess), difference[i]);
    }
    return out;
}

BurstBias curve_bias(const BurstLag& lag) {
    const ClosureEstimate &e = lag.corrected, &seen = lag.apparent;
    BurstBias out{std::vector<double>(e.size(), 0.0), std::vector<double>(e.size(), 0.0)};
    if (lag.steps == 1) return out;
    std::vector<double> mean, mean_error, variance, variance_error;
    for (std::size_t i = 0; i < e.size(); ++i) {
        mean.push_back(seen.drift[i] * lag.tau);
        mean_error.push_back(seen.drift_error[i] * lag.tau);
        variance.push_back(seen.diffusion[i] * 2 * lag.tau);
        variance_error.push_back(seen.diffusion_error[i] * 2 * lag.tau);
    }
    ReducedModel model;
    const ClosureEstimate finer = invert_displacements(
        e.x, lag.tau, mean, mean_error, variance, variance_error, model, &lag.model,
        lag.model.drift_lambda(), lag.model.diffusion_lambda(), seen.period, lag.steps, true);
    for (std::size_t i = 0; i < e.size(); ++i) {
        out.drift[i] = finer.drift[i] - e.drift[i];
        out.diffusion[i] = finer.diffusion[i] - e.diffusion[i];
    }
    return out;
}

BurstBias lag_bias(const BurstLag& lag, const BurstLag& other) {
    const ClosureEstimate &e = lag.corrected, &seen = other.apparent;
    const ReducedModel& model = lag.model;
    std::vector<double> mean, variance, drift, drift_error, diffusion, diffusion_error;
    model.with_finer_curves().displacement(e.x, other.tau, mean, variance, other.steps);
    for (std::size_t i = 0; i < e.size(); ++i) {
        const double reach = std::sqrt(2 * model.diffusion(e.x[i]) * other.tau);
        const bool leaves = other.tau > lag.tau && !model.ring() &&
                            std::min(e.x[i] - model.from(), model.to() - e.x[i]) < reach;
        const double kept = leaves ? 0.0 : 1.0;
        drift.push_back(kept * (seen.drift[i] - mean[i] / other.tau));
        drift_error.push_back(kept * std::hypot(seen.drift_error[i], e.drift_error[i]));
        diffusion.push_back(kept * (seen.diffusion[i] - variance[i] / (2 * other.tau)));
        diffusion_error.push_back(kept *
                                  std::hypot(seen.diffusion_error[i], e.diffusion_error[i]));
    }
    return {beyond_noise(drift, drift_error), beyond_noise(diffusion, diffusion_error)};
}

ClosureEstimate shifted(const ClosureEstimate& estimate, const BurstBias& bias) {
    ClosureEstimate e = estimate;
    for (std::size_t i = 0; i < e.size(); ++i) {
        e.drift[i] += bias.drift[i];
        e.diffusion[i] = std::max(e.diffusion[i] + bias.diffusion[i], 0.1 * e.diffusion[i]);
    }
    return e;
}

}  // namespace microlift
