// sampling/: systems, ensembles, biases, estimators, lifting, closure, and the stages of a run. May
// include kernels/, engine/ and nn/.
//
// A path kernel advances trajectories of one system under one CV, bias and integrator. To run a system
// of your own, write its struct as in kernels/dynamics/systems.h and call make_path_kernel.
#pragma once

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/launch/lanes.h"
#include "kernels/dynamics/metropolis.h"

namespace microlift {

enum class Scheme { euler_maruyama, leimkuhler_matthews, heun, milstein, mala, baoab };

// What make_path_kernel has. The others run from formulas (sampling/dynamics/bytecode_path.h), which built-in
// systems have too: every kernel compiled ahead costs compile time.
inline bool is_compiled_ahead(Scheme scheme) {
    return scheme == Scheme::euler_maruyama || scheme == Scheme::leimkuhler_matthews ||
           scheme == Scheme::baoab;
}

// Everything but the system: steps, thermostat, CVs.
struct PathSetup {
    Scheme scheme = Scheme::leimkuhler_matthews;
    double dt = 1e-4;
    double beta = 1;      // of gradient systems, 1/energy
    double mass = 1;      // baoab
    double friction = 1;  // baoab, 1/time
    // Linear CVs: weight[k][d], offset[k]. Formula systems bring their own non-linear ones.
    std::vector<std::vector<double>> cv_weight;
    std::vector<double> cv_offset;
    bool constrained = false;        // hold ξ at `center` instead of biasing it
    bool portable_math = false;      // on CUDA; the CPU is always portable
    int philox_rounds = kPhiloxRounds;  // or kPhiloxFewRounds; constrained runs keep kPhiloxRounds
    // Trajectory-steps after which a formula system is compiled on the CPU; below 0: never.
    double compile_after = -1;
};

class PathKernel {
public:
    virtual ~PathKernel() = default;
    virtual int dim() const = 0;
    virtual int n_cvs() const = 0;
    virtual bool has_velocity() const = 0;
    // Steps may be refused: launches count those that were not, PathArgs::accepted.
    virtual bool metropolis() const { return false; }
    // Advances every trajectory of `args`; the arrays are on the stream's device.
    virtual void launch(Stream& stream, const PathArgs& args) const = 0;
    // Force evaluations of one trajectory over a launch of so many steps.
    virtual uint64 force_evaluations(uint64 steps) const { return steps; }
};

template <class Integrator>
uint64 integrator_force_evaluations(uint64 steps) {
    return (Integrator::averages_force ? 2 : 1) * steps + (Integrator::needs_initial_force ? 1 : 0);
}

inline EulerMaruyama make_euler_maruyama(const PathSetup& s) {
    return {static_cast<float>(s.dt), static_cast<float>(std::sqrt(s.dt))};
}
inline LeimkuhlerMatthews make_leimkuhler_matthews(const PathSetup& s) {
    return {static_cast<float>(s.dt), static_cast<float>(std::sqrt(s.dt))};
}
inline Heun make_heun(const PathSetup& s) { return {make_euler_maruyama(s)}; }
inline Milstein make_milstein(const PathSetup& s) { return {make_euler_maruyama(s)}; }
inline Mala make_mala(const PathSetup& s) {
    return {make_euler_maruyama(s), static_cast<float>(s.beta)};
}
inline Baoab make_baoab(const PathSetup& s) {
    const double keep = std::exp(-s.friction * s.dt);
    return {static_cast<float>(0.5 * s.dt), static_cast<float>(0.5 * s.dt / s.mass),
            static_cast<float>(keep),
            static_cast<float>(std::sqrt((1 - keep * keep) / (s.beta * s.mass)))};
}

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

// True where the only CV is the first variable itself.
inline bool is_first_coordinate(const PathSetup& s) {
    if (s.cv_weight.size() != 1 || (!s.cv_offset.empty() && s.cv_offset[0] != 0)) return false;
    for (std::size_t d = 0; d < s.cv_weight[0].size(); ++d)
        if (s.cv_weight[0][d] != (d == 0 ? 1.0 : 0.0)) return false;
    return true;
}

HOST_PASS_BEGIN

template <class System, class Cv, template <class, int> class Bias, class Integrator,
          int Rounds = kPhiloxRounds>
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
std::unique_ptr<PathKernel> typed_path_kernel(const System& system, const Cv& cv,
                                              const Integrator& integrator, bool portable) {
    return std::make_unique<TypedPathKernel<System, Cv, Bias, Integrator, Rounds>>(
        system, cv, integrator, portable);
}

template <class System, class Cv>
std::unique_ptr<PathKernel> path_kernel_with_cv(const System& system, const Cv& cv,
                                                const PathSetup& s) {
    const bool portable = s.portable_math;
    if (s.constrained)
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
    switch (s.scheme) {
        case Scheme::euler_maruyama:
            return typed_path_kernel<HarmonicBias>(system, cv, make_euler_maruyama(s), portable);
        case Scheme::leimkuhler_matthews:
            return typed_path_kernel<HarmonicBias>(system, cv, make_leimkuhler_matthews(s),
                                                   portable);
        case Scheme::baoab:
            if constexpr (System::gradient)
                return typed_path_kernel<HarmonicBias>(system, cv, make_baoab(s), portable);
            break;
        default:
            throw InputError("integrator.scheme: systems are compiled with 'euler_maruyama', "
                             "'leimkuhler_matthews' and 'baoab'; call typed_path_kernel with another "
                             "integrator, or write the system as formulas");
    }
    throw InputError("integrator.scheme: 'baoab' needs a system with a potential; use "
                     "'euler_maruyama' or 'leimkuhler_matthews'");
}

// The kernel for a system struct (kernels/dynamics/systems.h) and linear CVs. Compile the call in a *.ops.cpp
// file to have it on CUDA too.
template <class System>
std::unique_ptr<PathKernel> make_path_kernel(const System& system, const PathSetup& s) {
    constexpr int D = System::dim;
    if (is_first_coordinate(s)) return path_kernel_with_cv(system, CoordinateCv<0, D>{}, s);
    if (s.cv_weight.size() == 1) return path_kernel_with_cv(system, make_linear_cv<1, D>(s), s);
    if constexpr (D >= 2)
        if (s.cv_weight.size() == 2)
            return path_kernel_with_cv(system, make_linear_cv<2, D>(s), s);
    throw InputError("cv.variables: 1 or 2 collective variables, no more than the system has "
                     "variables");
}

HOST_PASS_END

}  // namespace microlift
