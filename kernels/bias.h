// Biases on the collective variables, one set of parameters a trajectory.
//
// A bias is a struct with add_force<Cv>(xi, gradient, f), applied with the drift, and
// constrain<M>(cv, x), applied after a step.
#pragma once

#include "kernels/cv.h"

namespace microlift {

// U = Σ_k stiffness_k/2 (ξ_k − center_k)²: the umbrella. Stiffness 0 is no bias.
template <class L, int K>
struct HarmonicBias {
    L center[K], stiffness[K];

    template <class Cv, int D>
    LANE_FN void add_force(const L (&xi)[K], const L (&gradient)[K][D], L (&f)[D]) const {
LANE_UNROLL
        for (int k = 0; k < K; ++k)
            add_cv_gradient<Cv>(stiffness[k] * (center[k] - xi[k]), gradient, k, f);
    }
    template <class M, class Cv, int D>
    LANE_FN void constrain(const Cv&, L (&)[D]) const {}
};

// Moves x along span(∇ξ) onto the level set ξ = center: one Newton step, exact for linear ξ.
template <class M, class Cv, class L, int K, int D>
LANE_FN void newton_to_level_set(const Cv& cv, const L (&center)[K], L (&x)[D]) {
    L xi[K], g[K][D], move[K];
    cv.template evaluate<M>(x, xi, g);
    const L tiny = broadcast<L>(1e-20f);
    L gram00 = tiny;
    for (int d = 0; d < D; ++d) gram00 = fma(g[0][d], g[0][d], gram00);
    if constexpr (K == 1) {
        move[0] = (center[0] - xi[0]) / gram00;
    } else {
        L gram01 = broadcast<L>(0.0f), gram11 = tiny;
        for (int d = 0; d < D; ++d) {
            gram01 = fma(g[0][d], g[1][d], gram01);
            gram11 = fma(g[1][d], g[1][d], gram11);
        }
        const L det = fma(gram00, gram11, -(gram01 * gram01)) + tiny;
        const L r0 = center[0] - xi[0], r1 = center[1] - xi[1];
        move[0] = fma(gram11, r0, -(gram01 * r1)) / det;
        move[1] = fma(gram00, r1, -(gram01 * r0)) / det;
    }
    for (int k = 0; k < K; ++k) add_cv_gradient<Cv>(move[k], g, k, x);
}

// Holds ξ = center exactly (to rounding): free dynamics, then the projection after every step. With the
// Fixman term in the force (zero for linear ξ) it samples p(x | ξ = center); Ciccotti, Lelièvre,
// Vanden-Eijnden, Comm. Pure Appl. Math. 61 (2008) 371.
template <class L, int K>
struct LevelSetConstraint {
    L center[K], stiffness[K];
    static constexpr int newton_steps = 2;

    template <class Cv, int D>
    LANE_FN void add_force(const L (&)[K], const L (&)[K][D], L (&)[D]) const {}
    template <class M, class Cv, int D>
    LANE_FN void constrain(const Cv& cv, L (&x)[D]) const {
        for (int s = 0; s < newton_steps; ++s) newton_to_level_set<M>(cv, center, x);
    }
};

}  // namespace microlift
