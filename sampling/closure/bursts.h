// Closures: the effective drift and diffusion of the collective variables from short unbiased bursts of
// the full model, at several lags, and from averages over states lifted to values of ξ.
#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <vector>

#include "sampling/estimate/conditional.h"
#include "sampling/model/model.h"
#include "sampling/closure/reduced.h"

namespace microlift {

// Relative: what rounding to single precision does, half its spacing over √3.
inline constexpr double kRounded = 3.4e-8;

// --- where bursts start ------------------------------------------------------------------------

// `replicas` states at each value from the samples nearest to it, moved onto it: x (dim, values ·
// replicas), the states of one value side by side. Inside a narrow reach the bias leaves p(x | ξ) as it
// is. Throws InputError where no sample lies within `reach` (K) of a value.
Buffer<float> physics_starts(Stream& stream, const Model& model, const SampleSet& samples,
                             const std::vector<CvValue>& values, const CvValue& reach,
                             index replicas);
// The same by dynamics held at each value, from one state (dim): for systems that no bias can hold.
Buffer<float> constrained_starts(Stream& stream, const Model& model,
                                 const IntegratorConfig& integrator,
                                 const std::vector<double>& state,
                                 const std::vector<CvValue>& values, index replicas, index steps,
                                 uint64 seed);
// ξ of every column: s (K, values · replicas).
Buffer<float> repeated_values(Stream& stream, int cvs, const std::vector<CvValue>& values,
                              index replicas);

// Averages of the closure's integrands over the states of each value: mean and standard error,
// (output, value). Throws as the device does; moves the sums alone to the host.
struct AveragedClosure {
    std::vector<double> mean, error;
};
// x (dim, values · replicas) on the device, the states of one value side by side.
AveragedClosure average_closure(Stream& stream, const Model& model, Span<const float> x,
                                index values, index replicas);

// --- bursts ------------------------------------------------------------------------------------

// How bursts are run.
struct BurstOptions {
    double dt = 0;
    uint64 seed = 1;
    std::vector<index> lags;  // steps, increasing
    // As many of the lags, from the first, have their averages cleared of the martingale part of the
    // displacements, which is known along each burst and has mean 0; −1: all.
    index controlled = -1;
    std::array<double, kMaxCvs> periods{};  // 0: not periodic
    std::function<void(double steps)> after;
};

// Bytes that n bursts of a state of `dim` and K variables take beside their ensemble; of a molecule, without martingales.
double burst_bytes(const Device& device, int dim, int K, index n, bool molecule);

inline constexpr index kBurstBlocks = 16;  // of the replicas of a value, for errors

// Of the displacements Δξ from one value over one lag.
struct BurstPoint {
    double mean[kMaxCvs] = {}, mean_error[kMaxCvs] = {};
    double covariance[3] = {}, covariance_error[3] = {};  // (0,0) (0,1) (1,1)
    double martingale[kMaxCvs] = {}, martingale_error[kMaxCvs] = {};  // mean of what was taken out
};

// What they showed; times in the unit of dt.
struct BurstMoments {
    int cvs = 1;
    double dt = 0, period = 0;  // of the first ξ
    index replicas = 0;
    std::vector<CvValue> values;
    std::vector<index> lags;
    std::vector<BurstPoint> points;  // (lag, value)
    std::vector<double> transition;  // one CV: (lag, value, block, value), cubic weights of the end
    double steps = 0, force_evaluations = 0;

    // The lag as a time, and its point at a value.
    double tau(std::size_t lag) const { return dt * static_cast<double>(lags[lag]); }
    const BurstPoint& point(std::size_t lag, std::size_t value) const {
        return points[lag * values.size() + value];
    }
};

// Free Euler–Maruyama dynamics from start (dim, values · replicas). Values of one CV must be evenly
// spaced. The host reads the sums once, at the end.
BurstMoments run_bursts(Stream& stream, const Model& model, const IntegratorConfig& integrator,
                        const std::vector<CvValue>& values, Span<const float> start, index replicas,
                        const BurstOptions& options);

// --- the closure from bursts, one CV -------------------------------------------------------------

// The reduced model by displacements over one lag.
struct BurstLag {
    double tau = 0;
    index steps = 0;
    ClosureEstimate apparent;   // Δξ/τ and its variance/2τ as measured
    ClosureEstimate corrected;  // b and D of the reduced model that would give these
    ReducedModel model;
    double rate = 0, rate_error = 0;  // the reduced model's slowest relaxation rate
    bool plateau = false;
};

// All lags, and which is to be believed.
struct BurstClosure {
    std::vector<BurstLag> lags;
    std::size_t chosen = 0;
    bool plateau = false;  // at least two neighbouring lags agree, up to the longest
};

// The first `lags` of the moments. The plateau is the longest run of lags, ending at the longest, over
// which the slowest rate changes by less than `tolerance` a doubling (and one error) from one to the
// next. Taken is its lag of half the longest, or a shorter one if the rate stays the same
// within errors at every lag between.
BurstClosure burst_closure(const BurstMoments& moments, std::size_t lags, double tolerance = 0.1);

// A number and its standard error.
struct Figure {
    double value = 0, error = 0;
};
// Estimates shifted by normal deviates of their errors; the same for the same seed and number.
ClosureEstimate perturbed(const ClosureEstimate& estimate, uint64 seed, uint64 number);

// Of a squared difference, this many squares of its noise are taken for noise, and the rest for
// bias. An error that adds it to the noise has a mean z² between 0.72 (no bias) and 1.34 (a bias of
// 2 to 3 times the noise): with 1 it would be 0.5, with 4 up to 1.9.
inline constexpr double kNoiseOfDifference = 2.5;
// The square of what a difference has beyond noise of that mean square: of a bias.
inline double square_beyond(double difference, double noise_square) {
    return std::max(0.0, difference * difference - kNoiseOfDifference * noise_square);
}
// An error that takes in how far another estimate lies from this one, beyond what errors explain.
double with_difference(double error, double difference, double other_error);

// Slowest relaxation rates −ln(μ(t₂)/μ(t₁))/(t₂ − t₁) of the transition matrices at the two longest
// lags, with jackknife errors.
std::vector<Figure> burst_rates(const BurstMoments& moments, int count);

}  // namespace microlift
