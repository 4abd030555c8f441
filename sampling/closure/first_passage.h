// First-passage times and committors by direct simulation of the full model, and of reduced ones.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/launch/lanes.h"
#include "kernels/dynamics/first_passage.h"
#include "sampling/dynamics/path_kernel.h"

namespace microlift {

class Model;

// Advances first-passage runs of one system. Heun's scheme in registers for compiled systems,
// Euler–Maruyama for formulas.
class PassageKernel {
public:
    virtual ~PassageKernel() = default;
    virtual int dim() const = 0;
    virtual void launch(Stream& stream, const PassageArgs& args) const = 0;
    virtual double forces_per_step() const = 0;
};

// ξ_k ≥ bound, or ξ_k ≤ bound.
PassageSet above(int k, double bound);
PassageSet below(int k, double bound);
PassageSet ball(std::span<const double> center, double radius);
// Σ ((ξ_k − center_k)/radius_k)² ≤ 1
PassageSet ellipse(std::span<const double> center, std::span<const double> radius);

struct PassageOptions {
    double dt = 0;
    uint64 seed = 1;
    index slots = 0;        // that run at a time; 0: an eighth of the trajectories
    uint64 max_steps = 0;   // of one slot; 0: 2e9
    std::function<void(double done)> after;  // between launches, with the share that has passed
};

struct PassageResult {
    std::vector<float> time;   // of the passage, by trajectory
    std::vector<int32> entered;  // 0: not within max_steps, 1: `first`, 2: `second`
    index finished = 0;
    double steps = 0, force_evaluations = 0;  // over all trajectories
    double waited = 0;         // Σ of all times, those that have not passed included
};

// Runs every start (dim, n), on the device, until it enters a set. Throws NumericError where a state
// blows up. The host reads three words after each launch, and the results at the end.
PassageResult run_passages(Stream& stream, const PassageKernel& kernel, Span<const float> start,
                           index n, const PassageSet& first, const PassageSet& second,
                           const PassageOptions& options);

struct MeanTime {
    double mean = 0, error = 0;
    index n = 0, unfinished = 0;
};
// Mean and standard error; where some did not finish, total time over passages, which is right for
// exponential times.
MeanTime mean_passage_time(const PassageResult& result);
// Share of trajectories [from, to) that entered the second set before the first, and its error.
struct Share {
    double value = 0, error = 0;
    index n = 0;
};
Share second_before_first(const PassageResult& result, index from, index to);

// The kernel of a model: compiled for built-in systems with linear CVs, else by formula.
std::unique_ptr<PassageKernel> passage_kernel(const Model& model, const PathSetup& setup);
// A one-dimensional reduced model from tables on the device, which must outlive the kernel.
std::unique_ptr<PassageKernel> table_passage_kernel(double from, double to, Span<const float> drift,
                                                    Span<const float> sigma);
// A two-dimensional one: b₁, b₂ and the lower triangular σ with σσᵀ = 2 D on a rectangle of points,
// (5, points₀, points₁).
std::unique_ptr<PassageKernel> plane_passage_kernel(const std::array<double, 2>& from,
                                                    const std::array<double, 2>& to,
                                                    const std::array<index, 2>& points,
                                                    Span<const float> table);
// The compiled kernel of a built-in, or null.
std::unique_ptr<PassageKernel> builtin_passage_kernel(const std::string& name,
                                                      std::span<const double> parameters,
                                                      const PathSetup& setup);

HOST_PASS_BEGIN

template <class System, class Cv>
class TypedPassageKernel final : public PassageKernel {
public:
    TypedPassageKernel(const System& system, const Cv& cv, bool portable)
        : system_(system), cv_(cv), portable_(portable) {}
    int dim() const override { return System::dim; }
    double forces_per_step() const override { return 2; }
    void launch(Stream& stream, const PassageArgs& args) const override {
        if (stream.device().is_cpu() || portable_)
            for_each_lane(stream, args.slots, PassageBody<System, Cv, Portable>{system_, cv_, args});
        else
            for_each_lane_on_cuda(stream, args.slots,
                                  PassageBody<System, Cv, Fast>{system_, cv_, args});
    }

private:
    System system_;
    Cv cv_;
    bool portable_;
};

// The kernel for a system struct (kernels/dynamics/systems.h) and linear CVs; compile the call in a *.ops.cpp
// file to have it on CUDA too.
template <class System>
std::unique_ptr<PassageKernel> make_passage_kernel(const System& system, const PathSetup& s) {
    constexpr int D = System::dim;
    if (s.cv_weight.size() == 1)
        return std::make_unique<TypedPassageKernel<System, LinearCv<1, D>>>(
            system, make_linear_cv<1, D>(s), s.portable_math);
    if constexpr (D >= 2)
        if (s.cv_weight.size() == 2)
            return std::make_unique<TypedPassageKernel<System, LinearCv<2, D>>>(
                system, make_linear_cv<2, D>(s), s.portable_math);
    throw InputError("cv.variables: 1 or 2 collective variables, no more than the system has "
                     "variables");
}

HOST_PASS_END

}  // namespace microlift
