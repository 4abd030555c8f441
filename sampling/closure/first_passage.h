// First-passage times and committors by direct simulation of the full model, and of reduced ones.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sampling/dynamics/passage_kernel.h"

namespace microlift {

class Model;

// ξ_k ≥ bound, or ξ_k ≤ bound.
PassageSet above(int k, double bound);
PassageSet below(int k, double bound);
// |ξ − center| ≤ radius.
PassageSet ball(std::span<const double> center, double radius);
// Σ ((ξ_k − center_k)/radius_k)² ≤ 1
PassageSet ellipse(std::span<const double> center, std::span<const double> radius,
                   std::span<const double> period = {});

// How passages are run; times are in the unit of dt.
struct PassageOptions {
    double dt = 0;
    uint64 seed = 1;
    uint64 max_steps = 0;     // of each; 0: 2e9
    uint64 launch_steps = 0;  // between looks at what has passed; 0: chosen. No result depends on it.
    std::function<void(double done)> after;  // between launches, with the share that has passed
};

// What came of each.
struct PassageResult {
    std::vector<float> time;   // of the passage, by trajectory
    std::vector<int32> entered;  // 0: not within max_steps, 1: `first`, 2: `second`
    index finished = 0;
    double steps = 0, force_evaluations = 0;  // over all trajectories
    double waited = 0;         // Σ of all times, those that have not passed included
};

// Runs every start (dim, n), on the device, until it enters a set: all at a time, of which after each launch those
// go on that have not passed. Passage i has the random numbers of i, however many there are. Throws NumericError
// where a state blows up. The host reads three words after each launch, and the results at the end.
PassageResult run_passages(Stream& stream, const PassageKernel& kernel, Span<const float> start,
                           index n, const PassageSet& first, const PassageSet& second,
                           const PassageOptions& options);

// A mean first-passage time and its standard error, in the unit of dt.
struct MeanTime {
    double mean = 0, error = 0;
    index n = 0, unfinished = 0;
};
// Mean and standard error; where some did not finish, total time over passages, which is right for
// exponential times.
MeanTime mean_passage_time(const PassageResult& result);
// Share of trajectories [from, to) that entered the second set before the first, and its error.
struct SecondFirst {
    double value = 0, error = 0;
    index n = 0;
};
// That share; with `from` and `to` the trajectories that count.
SecondFirst second_before_first(const PassageResult& result, index from, index to);

// The kernel of a model: compiled for built-in systems with linear CVs, else by formula.
std::unique_ptr<PassageKernel> passage_kernel(const Model& model, const PathSetup& setup);
// A one-dimensional reduced model from tables (points) on the device, which must outlive the kernel; `portable`: in
// which mathematics.
std::unique_ptr<PassageKernel> table_passage_kernel(double from, double to, Span<const float> drift,
                                                    Span<const float> sigma, bool portable);
// A two-dimensional one: b₁, b₂ and the lower triangular σ with σσᵀ = 2 D on a rectangle of points,
// (5, points₀, points₁). With a period the rectangle holds the one about the middle.
std::unique_ptr<PassageKernel> plane_passage_kernel(const std::array<double, 2>& from,
                                                    const std::array<double, 2>& to,
                                                    const std::array<index, 2>& points,
                                                    Span<const float> table, bool portable,
                                                    const CvPeriods& periods = {});
// The compiled kernel of a built-in, or null.
std::unique_ptr<PassageKernel> builtin_passage_kernel(const std::string& name,
                                                      std::span<const double> parameters,
                                                      const PathSetup& setup);

}  // namespace microlift
