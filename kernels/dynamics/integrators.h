// One step of each integrator, split around its force evaluation so that the same source serves
// systems evaluated in registers and formulas evaluated by tiles:
//   before(x, v, f, z)          uses the force at the step's start, where needs_initial_force
//   — force at x —
//   after(noise, x, v, f, z, z_previous)
// z are the step's standard normals, z_previous the last step's (zero before the first).
// Where the noise has one constant amplitude σ and `scales_noise` holds, normals of standard deviation
// σ · noise_factor() may be drawn instead and the step ends with after_scaled(x, f, z, z_previous).
// Where `averages_force` holds, `after` is taken twice from the same start: with the force there, then
// with the mean of that and the force at where it led. Where `metropolis` holds, the step is a proposal.
#pragma once

#include "kernels/lane/math.h"

namespace microlift {

// x += f dt + σ sqrt(dt) z. Stationary variance of a harmonic well: 1 / (βk (1 − k dt/2)).
struct EulerMaruyama {
    static constexpr bool needs_initial_force = false, needs_previous_noise = false,
                          has_velocity = false, scales_noise = true, averages_force = false,
                          metropolis = false, needs_noise_slope = false;
    float dt, sqrt_dt;

    LANE_FN float noise_factor() const { return sqrt_dt; }
    template <class L, int D>
    LANE_FN void after_scaled(L (&x)[D], const L (&f)[D], const L (&z)[D], L (&)[D]) const {
LANE_UNROLL
        for (int d = 0; d < D; ++d) x[d] = x[d] + fma(f[d], broadcast<L>(dt), z[d]);
    }

    template <class L, int D>
    LANE_FN void before(L (&)[D], L (&)[D], const L (&)[D], const L (&)[D]) const {}
    template <class Noise, class L, int D>
    LANE_FN void after(const Noise& noise, L (&x)[D], L (&)[D], const L (&f)[D], const L (&z)[D],
                       L (&)[D]) const {
        L step[D];
LANE_UNROLL
        for (int d = 0; d < D; ++d) step[d] = f[d] * broadcast<L>(dt);
        noise.add_noise(x, z, sqrt_dt, step);
LANE_UNROLL
        for (int d = 0; d < D; ++d) x[d] = x[d] + step[d];
    }
};

// Stochastic Heun (Rümelin, SIAM J. Numer. Anal. 19 (1982) 604) for additive noise: the drift is the mean
// of that at the start and at an Euler–Maruyama step from it, weak order 2. Stationary variance of a
// harmonic well, h = k dt: (1 − h/2) / (1 − h/2 + h²/4) / (βk). Two force evaluations a step.
struct Heun : EulerMaruyama {
    static constexpr bool averages_force = true;
};

// Milstein for diagonal noise where σ_d depends on x_d alone, strong order 1: Euler–Maruyama and
// ½ σ ∂σ (ΔW² − dt), from noise.add_noise_slope(x, z² − 1, dt, step).
struct Milstein : EulerMaruyama {
    static constexpr bool scales_noise = false, needs_noise_slope = true;

    template <class Noise, class L, int D>
    LANE_FN void after(const Noise& noise, L (&x)[D], L (&)[D], const L (&f)[D], const L (&z)[D],
                       L (&)[D]) const {
        L step[D], square[D];
LANE_UNROLL
        for (int d = 0; d < D; ++d) {
            step[d] = f[d] * broadcast<L>(dt);
            square[d] = fma(z[d], z[d], broadcast<L>(-1.0f));
        }
        noise.add_noise(x, z, sqrt_dt, step);
        noise.add_noise_slope(x, square, dt, step);
LANE_UNROLL
        for (int d = 0; d < D; ++d) x[d] = x[d] + step[d];
    }
};

// Metropolis-adjusted Langevin (Roberts and Tweedie, Bernoulli 2 (1996) 341): an Euler–Maruyama step is
// a proposal, refused so often that exp(−β(V + U)) is stationary at any dt. It samples a law and is no
// dynamics. Gradient systems only.
struct Mala : EulerMaruyama {
    static constexpr bool needs_initial_force = true, metropolis = true;
    float beta;

    // ln of p(y) q(x | y) / (p(x) q(y | x)) of the proposal y = x + dt f(x) + noise, g = f(y): with
    // h = f + g, −β (E(y) − E(x) + ½ Σ h (noise + ½ dt h)). `sum` is over variables, from 0.
    template <class L>
    LANE_FN L add_term(L sum, L f, L g, L noise) const {
        const L h = f + g;
        return fma(h, fma(broadcast<L>(0.5f * dt), h, noise), sum);
    }
    template <class L>
    LANE_FN L log_ratio(L energy_change, L sum) const {
        return broadcast<L>(-beta) * fma(broadcast<L>(0.5f), sum, energy_change);
    }
};

// Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34: the noise of two steps is averaged, which
// makes the configurations of a harmonic well exact and the invariant measure second order. Additive
// noise only.
struct LeimkuhlerMatthews {
    static constexpr bool needs_initial_force = false, needs_previous_noise = true,
                          has_velocity = false, scales_noise = true, averages_force = false,
                          metropolis = false, needs_noise_slope = false;
    float dt, sqrt_dt;

    LANE_FN float noise_factor() const { return 0.5f * sqrt_dt; }
    template <class L, int D>
    LANE_FN void after_scaled(L (&x)[D], const L (&f)[D], const L (&z)[D],
                              L (&z_previous)[D]) const {
LANE_UNROLL
        for (int d = 0; d < D; ++d) {
            x[d] = x[d] + fma(f[d], broadcast<L>(dt), z[d] + z_previous[d]);
            z_previous[d] = z[d];
        }
    }

    template <class L, int D>
    LANE_FN void before(L (&)[D], L (&)[D], const L (&)[D], const L (&)[D]) const {}
    template <class Noise, class L, int D>
    LANE_FN void after(const Noise& noise, L (&x)[D], L (&)[D], const L (&f)[D], const L (&z)[D],
                       L (&z_previous)[D]) const {
        L step[D], sum[D];
LANE_UNROLL
        for (int d = 0; d < D; ++d) {
            step[d] = f[d] * broadcast<L>(dt);
            sum[d] = z[d] + z_previous[d];
            z_previous[d] = z[d];
        }
        noise.add_noise(x, sum, 0.5f * sqrt_dt, step);
LANE_UNROLL
        for (int d = 0; d < D; ++d) x[d] = x[d] + step[d];
    }
};

// Underdamped Langevin dynamics by the BAOAB splitting (Leimkuhler and Matthews, J. Chem. Phys. 138
// (2013) 174102), one mass and friction for all variables. Gradient systems only.
struct Baoab {
    static constexpr bool needs_initial_force = true, needs_previous_noise = false,
                          has_velocity = true, scales_noise = false, averages_force = false,
                          metropolis = false, needs_noise_slope = false;
    float half_dt, half_dt_over_mass;
    float keep, kick;  // e^{−γ dt}, sqrt((1 − e^{−2γ dt}) / (β m))

    template <class L, int D>
    LANE_FN void before(L (&x)[D], L (&v)[D], const L (&f)[D], const L (&z)[D]) const {
        const L half = broadcast<L>(half_dt);
LANE_UNROLL
        for (int d = 0; d < D; ++d) {
            v[d] = fma(broadcast<L>(half_dt_over_mass), f[d], v[d]);
            x[d] = fma(half, v[d], x[d]);
            v[d] = fma(broadcast<L>(keep), v[d], broadcast<L>(kick) * z[d]);
            x[d] = fma(half, v[d], x[d]);
        }
    }
    template <class Noise, class L, int D>
    LANE_FN void after(const Noise&, L (&)[D], L (&v)[D], const L (&f)[D], const L (&)[D],
                       L (&)[D]) const {
LANE_UNROLL
        for (int d = 0; d < D; ++d) v[d] = fma(broadcast<L>(half_dt_over_mass), f[d], v[d]);
    }
};

}  // namespace microlift
