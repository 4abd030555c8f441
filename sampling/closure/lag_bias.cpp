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
    const std::vector<double>& x = lag.corrected.x;
    BurstBias out{std::vector<double>(x.size(), 0.0), std::vector<double>(x.size(), 0.0)};
    if (lag.steps == 1) return out;
    std::vector<double> mean, variance, finer_mean, finer_variance;
    lag.model.displacement(x, lag.tau, mean, variance, lag.steps);
    lag.model.with_finer_curves().displacement(x, lag.tau, finer_mean, finer_variance, lag.steps);
    for (std::size_t i = 0; i < x.size(); ++i) {
        out.drift[i] = (mean[i] - finer_mean[i]) / lag.tau;
        out.diffusion[i] = (variance[i] - finer_variance[i]) / (2 * lag.tau);
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
