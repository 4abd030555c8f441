// Biases on the collective variables, one set of parameters a trajectory.
//
// A bias is a struct with add_force<Cv>(xi, gradient, f), applied with the drift, energy(xi, v), v plus
// the bias's own, for Metropolis schemes, and, where `holds`, constrain<M>(cv, start, x), applied after
// a step whose ∇ξ at its start was `start`.
#pragma once

#include "kernels/dynamics/cv.h"

namespace microlift {

// U = Σ_k stiffness_k/2 (ξ_k − center_k)²: the umbrella. Stiffness 0 is no bias.
template <class L, int K>
struct HarmonicBias {
    static constexpr bool holds = false;
    L center[K], stiffness[K];

    template <class Cv, int D>
    LANE_FN void add_force(const L (&xi)[K], const L (&gradient)[K][D], L (&f)[D]) const {
LANE_UNROLL
        for (int k = 0; k < K; ++k) {
            if constexpr (requires { Cv::add_product(stiffness[k], xi[k], f); })
                Cv::add_product(stiffness[k], center[k] - xi[k], f);
            else
                add_cv_gradient<Cv>(stiffness[k] * (center[k] - xi[k]), gradient, k, f);
        }
    }
    LANE_FN L energy(const L (&xi)[K], L v) const {
LANE_UNROLL
        for (int k = 0; k < K; ++k) {
            const L r = center[k] - xi[k];
            v = fma(broadcast<L>(0.5f) * stiffness[k] * r, r, v);
        }
        return v;
    }
};

// Moves x along span(start_k) towards the level set ξ = center: one Newton step, exact for linear ξ.
template <class M, class Cv, class L, int K, int D>
LANE_FN void newton_to_level_set(const Cv& cv, const L (&center)[K], const L (&start)[K][D],
                                 L (&x)[D]) {
    L xi[K], g[K][D], move[K];
    cv.template evaluate<M>(x, xi, g);
    // The matrix ∇ξ_k(x) · start_l.
    L m[K][K];
    for (int k = 0; k < K; ++k)
        for (int l = 0; l < K; ++l) {
            m[k][l] = broadcast<L>(k == l ? 1e-20f : 0.0f);
            for (int d = 0; d < D; ++d) m[k][l] = fma(g[k][d], start[l][d], m[k][l]);
        }
    if constexpr (K == 1) {
        move[0] = (center[0] - xi[0]) / m[0][0];
    } else {
        const L det = fma(m[0][0], m[1][1], -(m[0][1] * m[1][0]));
        const L r0 = center[0] - xi[0], r1 = center[1] - xi[1];
        move[0] = fma(m[1][1], r0, -(m[0][1] * r1)) / det;
        move[1] = fma(m[0][0], r1, -(m[1][0] * r0)) / det;
    }
    for (int k = 0; k < K; ++k) add_cv_gradient<Cv>(move[k], start, k, x);
}

// Holds ξ = center exactly (to rounding): free dynamics, then after every step a projection along ∇ξ of
// the step's start (along ∇ξ of the unprojected point it would add a drift −2β⁻¹ ∇ln|∇ξ|). With the
// Fixman term in the force (zero for linear ξ) it samples p(x | ξ = center); Ciccotti, Lelièvre,
// Vanden-Eijnden, Comm. Pure Appl. Math. 61 (2008) 371.
template <class L, int K>
struct LevelSetConstraint {
    static constexpr bool holds = true;
    L center[K], stiffness[K];

    template <class Cv, int D>
    LANE_FN void add_force(const L (&)[K], const L (&)[K][D], L (&)[D]) const {}
    template <class M, class Cv, int D>
    LANE_FN void constrain(const Cv& cv, const L (&start)[K][D], L (&x)[D]) const {
        // A step of noise may leave a curved level set far enough to need four.
        constexpr int newton_steps = requires { Cv::linear; } ? 2 : 4;
        for (int s = 0; s < newton_steps; ++s) newton_to_level_set<M>(cv, center, start, x);
    }
};

}  // namespace microlift
