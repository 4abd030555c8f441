// sampling/: systems, ensembles, biases, estimators, lifting, closure, and the stages of a run. May
// include kernels/, engine/ and nn/.
//
// A path kernel advances trajectories of one system under one CV, bias and integrator. To run a system
// of your own, write its struct as in kernels/dynamics/systems.h and call make_path_kernel.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "engine/error.h"
#include "engine/launch/lanes.h"
#include "kernels/dynamics/path.h"
#include "sampling/dynamics/schemes.h"

namespace microlift {

class PathKernel {
public:
    virtual ~PathKernel() = default;
    // Variables of a state; collective variables; whether states have velocities, rows behind those of x.
    virtual int dim() const = 0;
    virtual int n_cvs() const = 0;
    virtual bool has_velocity() const = 0;
    // Steps may be refused: launches count those that were not, PathArgs::accepted.
    virtual bool metropolis() const { return false; }
    // Of the CVs that go all round, for PathArgs::periods.
    virtual CvPeriods periods() const { return {}; }
    // Advances every trajectory of `args`; the arrays are on the stream's device.
    virtual void launch(Stream& stream, const PathArgs& args) const = 0;
    // What a step of one trajectory takes, in steps of a built-in system of two variables.
    virtual double step_cost() const { return 1; }
    // Force evaluations of one trajectory over a launch of so many steps.
    virtual uint64 force_evaluations(uint64 steps) const { return steps; }
    // What is wrong with a state (dim) that is not finite, in words; empty: nothing is known.
    virtual std::string describe_state(Stream&, std::span<const float>) const { return {}; }
};

// Of one trajectory over a launch of so many steps.
template <class Integrator>
uint64 integrator_force_evaluations(uint64 steps) {
    return (Integrator::averages_force ? 2 : 1) * steps + (Integrator::needs_initial_force ? 1 : 0);
}

// The linear CVs of a setup: K rows of `cv_weight`, and offsets.
template <int K, int D>
LinearCv<K, D> make_linear_cv(const PathSetup& s) {
    LinearCv<K, D> cv{};
    for (int k = 0; k < K; ++k) {
        const auto row = static_cast<std::size_t>(k);
        for (int d = 0; d < D; ++d)
            cv.weight[k][d] = static_cast<float>(s.cv_weight[row][static_cast<std::size_t>(d)]);
        cv.offset[k] = row < s.cv_offset.size() ? static_cast<float>(s.cv_offset[row]) : 0.0f;
    }
    return cv;
}

// True where the only CV is the first variable itself, and it is what a bias pulls on.
inline bool is_first_coordinate(const PathSetup& s) {
    if (s.cv_weight.size() != 1 || (!s.cv_offset.empty() && s.cv_offset[0] != 0)) return false;
    for (const auto& row : {s.cv_weight[0], s.cv_pull.empty() ? s.cv_weight[0] : s.cv_pull[0]})
        for (std::size_t d = 0; d < row.size(); ++d)
            if (row[d] != (d == 0 ? 1.0 : 0.0)) return false;
    return true;
}

// The CVs of a system: with directions of their own to pull along where its noise is its own.
template <int K, class System>
auto make_cvs_of(const PathSetup& s) {
    constexpr int D = System::dim;
    if constexpr (System::gradient) {
        return make_linear_cv<K, D>(s);
    } else {
        PulledLinearCv<K, D> cv{make_linear_cv<K, D>(s), {}};
        for (int k = 0; k < K; ++k)
            for (int d = 0; d < D; ++d)
                cv.pull[k][d] = static_cast<float>(
                    s.cv_pull[static_cast<std::size_t>(k)][static_cast<std::size_t>(d)]);
        return cv;
    }
}

HOST_PASS_BEGIN

template <class System, class Cv, template <class, int> class Bias, class Integrator,
          int Rounds = kPhiloxRounds>
// A path kernel of types that are known ahead.
class TypedPathKernel final : public PathKernel {
public:
    TypedPathKernel(const System& system, const Cv& cv, const Integrator& integrator, bool portable)
        : system_(system), cv_(cv), integrator_(integrator), portable_(portable) {}
    int dim() const override { return System::dim; }
    int n_cvs() const override { return Cv::n; }
    bool has_velocity() const override { return Integrator::has_velocity; }
    bool metropolis() const override { return Integrator::metropolis; }
    void launch(Stream& stream, const PathArgs& args) const override {
        if (stream.device().is_cpu() || portable_)
            for_each_lane(stream, args.trajectories,
                          PathBody<System, Cv, Bias, Integrator, Portable, Rounds>{
                              system_, cv_, integrator_, args});
        else
            for_each_lane_on_cuda(stream, args.trajectories,
                                  PathBody<System, Cv, Bias, Integrator, Fast, Rounds>{
                                      system_, cv_, integrator_, args});
    }
    uint64 force_evaluations(uint64 steps) const override {
        return integrator_force_evaluations<Integrator>(steps);
    }

private:
    System system_;
    Cv cv_;
    Integrator integrator_;
    bool portable_;
};

template <template <class, int> class Bias, int Rounds = kPhiloxRounds, class System, class Cv,
          class Integrator>
// One with a bias and an integrator of your own choice (kernels/dynamics/bias.h, integrators.h).
std::unique_ptr<PathKernel> typed_path_kernel(const System& system, const Cv& cv,
                                              const Integrator& integrator, bool portable) {
    return std::make_unique<TypedPathKernel<System, Cv, Bias, Integrator, Rounds>>(
        system, cv, integrator, portable);
}

// One with a CV of your own (kernels/dynamics/cv.h); bias and scheme are the setup's. InputError where they do not fit.
template <class System, class Cv>
std::unique_ptr<PathKernel> path_kernel_with_cv(const System& system, const Cv& cv,
                                                const PathSetup& s) {
    const bool portable = s.portable_math;
    if (s.periodic())
        throw InputError("collective variables all round a period: systems are compiled ahead without; "
                         "write the system as formulas");
    if (s.bias == BiasKind::grid)
        throw InputError("a bias from a table: systems are compiled ahead for umbrellas; call "
                         "typed_path_kernel<GridBias>, or write the system as formulas");
    if (s.held())
        return typed_path_kernel<LevelSetConstraint>(system, cv, make_leimkuhler_matthews(s),
                                                     portable);
    if (s.philox_rounds != kPhiloxRounds) {
        // Compiled for the usual case alone: every further kernel costs compile time.
        if constexpr (requires { Cv::is_coordinate; }) {
            if (s.scheme == Scheme::euler_maruyama)
                return typed_path_kernel<HarmonicBias, kPhiloxFewRounds>(
                    system, cv, make_euler_maruyama(s), portable);
            if (s.scheme == Scheme::leimkuhler_matthews)
                return typed_path_kernel<HarmonicBias, kPhiloxFewRounds>(
                    system, cv, make_leimkuhler_matthews(s), portable);
        }
        throw InputError("integrator.philox_rounds: built-in systems have 7 rounds only with "
                         "'euler_maruyama' or 'leimkuhler_matthews' and the first variable as the "
                         "collective variable; use 10");
    }
    std::unique_ptr<PathKernel> kernel;
    visit_scheme(s.scheme, [&](const auto& scheme) {
        using Entry = std::remove_cvref_t<decltype(scheme)>;
        if constexpr (!Entry::ahead)
            throw InputError("integrator.scheme: systems are compiled with 'euler_maruyama', "
                             "'leimkuhler_matthews' and 'baoab'; call typed_path_kernel with another "
                             "integrator, or write the system as formulas");
        else if constexpr (Entry::Integrator::has_velocity && !System::gradient)
            throw InputError("integrator.scheme: 'baoab' needs a system with a potential; use "
                             "'euler_maruyama' or 'leimkuhler_matthews'");
        else
            kernel = typed_path_kernel<HarmonicBias>(system, cv, scheme.make(s), portable);
    });
    return kernel;
}

// The kernel for a system struct (kernels/dynamics/systems.h) and linear CVs. Compile the call in a *.ops.cpp
// file to have it on CUDA too.
template <class System>
std::unique_ptr<PathKernel> make_path_kernel(const System& system, const PathSetup& s) {
    constexpr int D = System::dim;
    if (s.cv_pull.empty() ? !System::gradient : s.cv_pull.size() != s.cv_weight.size())
        throw InputError("PathSetup::cv_pull: a system with a noise of its own needs the direction "
                         "of the pull on each collective variable, D grad xi/(grad xi . D grad xi) "
                         "with D = sigma sigma^T/2");
    if (is_first_coordinate(s)) return path_kernel_with_cv(system, CoordinateCv<0, D>{}, s);
    if (s.cv_weight.size() == 1) return path_kernel_with_cv(system, make_cvs_of<1, System>(s), s);
    if constexpr (D >= 2)
        if (s.cv_weight.size() == 2)
            return path_kernel_with_cv(system, make_cvs_of<2, System>(s), s);
    throw InputError("cv.variables: 1 or 2 collective variables, no more than the system has "
                     "variables");
}

HOST_PASS_END

}  // namespace microlift
