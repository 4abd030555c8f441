// The slowest relaxation rate of the full model by direct simulation: how fast the correlation of the
// slowest function of ξ, which a reduced model gives, decays along free trajectories.
#pragma once

#include "sampling/closure/bursts.h"
#include "sampling/closure/reduced_of_two.h"

namespace microlift {

// The slowest motion of a reduced model: its rate, the stationary density, and the function of ξ that
// decays with it.
struct SlowMotion {
    double rate = 0;
    std::function<double(const CvValue&)> density;
    std::function<std::vector<double>(const std::vector<CvValue>&)> function;
};
SlowMotion slow_motion(const ReducedModel& model);
SlowMotion slow_motion(const ReducedModelOfTwo& model);

struct SlowestRateOptions {
    double dt = 0;
    uint64 seed = 1;
    index lag = 0;    // steps after which only the slowest motion is left, at least
    double work = 0;  // trajectory-steps to spend
    std::function<void(double steps)> after;
};

struct SlowestRate {
    Figure rate;                // NaN where the work does not suffice
    double first = 0, second = 0;  // the times between which the decay is measured
    index trajectories = 0;
    double steps = 0, force_evaluations = 0;
};

// Starts (dim, values · replicas) at the values, drawn anew by the density of `motion`: where free
// trajectories spend their time. rate = −ln(cov(ψ(0), ψ(t₂)) / cov(ψ(0), ψ(t₁))) / (t₂ − t₁), with a
// jackknife error and, where the two halves of the span differ by more than twice theirs, the difference;
// ψ need not be exact, nor the starts in equilibrium, once other motions have died out by t₁.
SlowestRate slowest_rate(Stream& stream, const Model& model, const IntegratorConfig& integrator,
                        const std::vector<CvValue>& values, Span<const float> start, index replicas,
                        const SlowMotion& motion, const SlowestRateOptions& options);

}  // namespace microlift
