// What a path kernel is made from, and the schemes: one line of kSchemes each, visited by visit_scheme().
// To add one: its struct in kernels/dynamics/integrators.h, its name in `Scheme`, its line here.
#pragma once

#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/dynamics/integrators.h"
#include "kernels/dynamics/period.h"
#include "kernels/random/philox.h"

namespace microlift {

// lf_middle is that of molecules alone (kernels/molecule/molecule_motion.h), which have baoab, too.
enum class Scheme { euler_maruyama, leimkuhler_matthews, heun, milstein, mala, baoab, lf_middle };

// What acts on the collective variables (kernels/dynamics/bias.h, grid_bias.h).
enum class BiasKind {
    harmonic,   // a centre and a stiffness for each trajectory
    grid,       // one table for all
    level_set,  // ξ is held at the centre
};

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
    // Of a system without a potential, (k, d): what a bias pulls along, D∇ξ_k/(∇ξ_k·D∇ξ_k) with
    // D = ½σσᵀ. Empty with a potential: ∇ξ_k.
    std::vector<std::vector<double>> cv_pull;
    BiasKind bias = BiasKind::harmonic;
    // Of CVs that go all round: the umbrellas are PeriodicBias, and values are told in one period.
    CvPeriods periods{};
    bool portable_math = false;         // on CUDA; the CPU is always portable
    int philox_rounds = kPhiloxRounds;  // or kPhiloxFewRounds; held runs keep kPhiloxRounds
    // Trajectory-steps after which a formula system is compiled on the CPU; below 0: never.
    double compile_after = -1;

    // Whether ξ is held, and whether a collective variable goes all round.
    bool held() const { return bias == BiasKind::level_set; }
    bool periodic() const { return periods.period[0] > 0 || periods.period[1] > 0; }
};

// The integrators of kernels/dynamics/integrators.h, with steps and temperature of a setup.
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

// What a scheme asks of a system.
enum class SchemeNeeds { nothing, constant_noise, own_noise, potential };

// `Ahead`: make_path_kernel compiles it for every system struct. The others run from formulas, which
// built-in systems have too (sampling/dynamics/bytecode_path.h): what is compiled ahead costs build time.
template <class T, bool Ahead>
struct SchemeEntry {
    using Integrator = T;
    static constexpr bool ahead = Ahead;
    Scheme scheme;
    const char* name;  // in configurations
    const char* type;  // in C++
    SchemeNeeds needs;
    T (*make)(const PathSetup&);
};

inline constexpr std::tuple kSchemes{
    SchemeEntry<EulerMaruyama, true>{Scheme::euler_maruyama, "euler_maruyama", "EulerMaruyama",
                                     SchemeNeeds::nothing, make_euler_maruyama},
    SchemeEntry<LeimkuhlerMatthews, true>{Scheme::leimkuhler_matthews, "leimkuhler_matthews",
                                          "LeimkuhlerMatthews", SchemeNeeds::constant_noise,
                                          make_leimkuhler_matthews},
    SchemeEntry<Heun, false>{Scheme::heun, "heun", "Heun", SchemeNeeds::constant_noise, make_heun},
    SchemeEntry<Milstein, false>{Scheme::milstein, "milstein", "Milstein", SchemeNeeds::own_noise,
                                 make_milstein},
    SchemeEntry<Mala, false>{Scheme::mala, "mala", "Mala", SchemeNeeds::potential, make_mala},
    SchemeEntry<Baoab, true>{Scheme::baoab, "baoab", "Baoab", SchemeNeeds::potential, make_baoab},
};

// Calls visit(entry) with the scheme's line.
template <class Visit>
void visit_scheme(Scheme scheme, Visit&& visit) {
    std::apply(
        [&](const auto&... entry) { ((entry.scheme == scheme && (visit(entry), true)) || ...); },
        kSchemes);
}

// As configurations name them.
std::vector<std::string> scheme_names();
// Throws InputError with the nearest name.
Scheme scheme_named(const std::string& name);

}  // namespace microlift
