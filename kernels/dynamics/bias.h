// Biases on the collective variables.
//
// A bias is made from its View, what it reads of the arguments of a launch, for the trajectories of a
// pack, and has
//   energy(xi, v)   v + U(ξ)
//   pull(xi, p)     p_k = −∂U/∂ξ_k
// and, where `holds`, instead of a pull constrain<M>(cv, start, x), applied after a step at whose start
// evaluate_pull's directions (cv.h) were `start`. A bias that can add its force in fewer roundings has
// add_force<Cv>(xi, f), too; one of variables with a period has fold(xi), which makes of values those that
// are stored.
// The time loops know four: HarmonicBias, PeriodicBias, GridBias (grid_bias.h) and LevelSetConstraint.
#pragma once

#include "kernels/dynamics/period.h"

namespace microlift {

// A centre and a stiffness for each trajectory, (K, row).
struct WindowView {
    const float* center = nullptr;
    const float* stiffness = nullptr;  // energy / ξ²
    index row = 0;
    CvPeriods periods{};
    // Of one variable alone.
    LANE_FN WindowView variable(int k) const {
        return {center + k * row, stiffness + k * row, row, periods.variable(k)};
    }
};

// U = Σ_k stiffness_k/2 (ξ_k − center_k)²: the umbrella. Stiffness 0 is no bias.
template <class L, int K>
struct HarmonicBias {
    using View = WindowView;
    static constexpr bool holds = false;
    L center[K], stiffness[K];

    HarmonicBias() = default;
    LANE_FN HarmonicBias(const View& view, index i, int lanes = kWidth<L>) {
LANE_UNROLL
        for (int k = 0; k < K; ++k) {
            center[k] = load<L>(view.center + k * view.row, i, lanes);
            stiffness[k] = load<L>(view.stiffness + k * view.row, i, lanes);
        }
    }
    // Each variable's part times its β.
    LANE_FN HarmonicBias times(const float (&beta)[K]) const {
        HarmonicBias scaled = *this;
        for (int k = 0; k < K; ++k) scaled.stiffness[k] = broadcast<L>(beta[k]) * stiffness[k];
        return scaled;
    }

    LANE_FN L energy(const L (&xi)[K], L v) const {
LANE_UNROLL
        for (int k = 0; k < K; ++k) {
            const L r = center[k] - xi[k];
            v = fma(broadcast<L>(0.5f) * stiffness[k] * r, r, v);
        }
        return v;
    }
    // v + U(to) − U(from), without the difference of large numbers.
    LANE_FN L energy_rise(const L (&from)[K], const L (&to)[K], L v) const {
LANE_UNROLL
        for (int k = 0; k < K; ++k) {
            const L a = from[k] - center[k], b = to[k] - center[k];
            v = fma(broadcast<L>(0.5f) * stiffness[k], fma(b, b, -(a * a)), v);
        }
        return v;
    }
    LANE_FN void pull(const L (&xi)[K], L (&p)[K]) const {
LANE_UNROLL
        for (int k = 0; k < K; ++k) p[k] = stiffness[k] * (center[k] - xi[k]);
    }
    // On a coordinate: product and sum in one rounding.
    template <class Cv, int D>
        requires requires(L a, L (&f)[D]) { Cv::add_product(a, a, f); }
    LANE_FN void add_force(const L (&xi)[K], L (&f)[D]) const {
        Cv::add_product(stiffness[0], center[0] - xi[0], f);
    }
};

// The umbrella where variables have a period: each about the nearest image of its centre. Without one the
// same bits.
template <class L, int K>
struct PeriodicBias {
    using View = WindowView;
    static constexpr bool holds = false;
    HarmonicBias<L, K> window;
    CvPeriods periods;

    LANE_FN PeriodicBias(const View& view, index i, int lanes = kWidth<L>)
        : window(view, i, lanes), periods(view.periods) {}
    // Each variable's part times its β.
    LANE_FN PeriodicBias times(const float (&beta)[K]) const {
        PeriodicBias scaled = *this;
        scaled.window = window.times(beta);
        return scaled;
    }
    // The umbrella about the images of the centres that are nearest to ξ.
    LANE_FN HarmonicBias<L, K> about(const L (&xi)[K]) const {
        HarmonicBias<L, K> image = window;
LANE_UNROLL
        for (int k = 0; k < K; ++k)
            image.center[k] = image.center[k] - whole_turns(image.center[k] - xi[k], periods.period[k]);
        return image;
    }

    LANE_FN L energy(const L (&xi)[K], L v) const { return about(xi).energy(xi, v); }
    // v + U(to) − U(from).
    LANE_FN L energy_rise(const L (&from)[K], const L (&to)[K], L v) const {
        const HarmonicBias<L, K> before = about(from), after = about(to);
LANE_UNROLL
        for (int k = 0; k < K; ++k) {
            const L a = from[k] - before.center[k], b = to[k] - after.center[k];
            v = fma(broadcast<L>(0.5f) * window.stiffness[k], fma(b, b, -(a * a)), v);
        }
        return v;
    }
    LANE_FN void pull(const L (&xi)[K], L (&p)[K]) const { about(xi).pull(xi, p); }
    LANE_FN void fold(L (&xi)[K]) const {
LANE_UNROLL
        for (int k = 0; k < K; ++k) xi[k] = periods.image(k, xi[k]);
    }
};

// f += what the bias adds to the drift, along `direction` (evaluate_pull's).
template <class Cv, class Bias, class L, int K, int D>
LANE_FN void add_bias_force(const Bias& bias, const L (&xi)[K], const L (&direction)[K][D],
                            L (&f)[D]) {
    if constexpr (requires { bias.template add_force<Cv>(xi, f); }) {
        bias.template add_force<Cv>(xi, f);
    } else if constexpr (!Bias::holds) {
        L pull[K];
        bias.pull(xi, pull);
LANE_UNROLL
        for (int k = 0; k < K; ++k) add_cv_gradient<Cv>(pull[k], direction, k, f);
    }
}

// Newton's step onto ξ = center along span(start_l): x gains Σ_l move_l start_l, where
// residual = center − ξ(x). gradient(k, d) = ∂ξ_k/∂x_d at x and start(l, d), d < dim, are functions, so
// that one solver serves registers, tiles and columns. Exact for linear ξ.
template <int K, class L, class Gradient, class Start>
LANE_FN void newton_move(const L (&residual)[K], int dim, const Gradient& gradient,
                         const Start& start, L (&move)[K]) {
    // The matrix ∇ξ_k(x) · start_l.
    L m[K][K];
    for (int k = 0; k < K; ++k)
        for (int l = 0; l < K; ++l) {
            m[k][l] = broadcast<L>(k == l ? 1e-20f : 0.0f);
            for (int d = 0; d < dim; ++d) m[k][l] = fma(gradient(k, d), start(l, d), m[k][l]);
        }
    if constexpr (K == 1) {
        move[0] = residual[0] / m[0][0];
    } else {
        const L det = fma(m[0][0], m[1][1], -(m[0][1] * m[1][0])) + broadcast<L>(1e-20f);
        move[0] = fma(m[1][1], residual[0], -(m[0][1] * residual[1])) / det;
        move[1] = fma(m[0][0], residual[1], -(m[1][0] * residual[0])) / det;
    }
}

// Steps that bring a step of noise back: from linear ξ the second removes rounding alone; a curved level
// set may need four.
LANE_FN constexpr int newton_steps(bool linear) { return linear ? 2 : 4; }

// Holds ξ = center exactly (to rounding): free dynamics, then after every step a projection along D∇ξ of
// the step's start (along that of the unprojected point it would add a drift, −2β⁻¹ ∇ln|∇ξ| where
// D = 1/β). With the Fixman term in the force (zero for linear ξ and constant noise) it samples
// p(x | ξ = center); Ciccotti, Lelièvre, Vanden-Eijnden, Comm. Pure Appl. Math. 61 (2008) 371.
template <class L, int K>
struct LevelSetConstraint {
    using View = WindowView;
    static constexpr bool holds = true;
    L center[K];
    CvPeriods periods;

    LANE_FN LevelSetConstraint(const View& view, index i, int lanes = kWidth<L>)
        : periods(view.periods) {
        for (int k = 0; k < K; ++k) center[k] = load<L>(view.center + k * view.row, i, lanes);
    }
    LANE_FN L energy(const L (&)[K], L v) const { return v; }
    LANE_FN void fold(L (&xi)[K]) const {
        for (int k = 0; k < K; ++k) xi[k] = periods.image(k, xi[k]);
    }
    template <class M, class Cv, int D>
    LANE_FN void constrain(const Cv& cv, const L (&start)[K][D], L (&x)[D]) const {
        if constexpr (requires { Cv::held_coordinate; }) {  // where Newton's method ends; force and noise along it go
            x[Cv::held_coordinate] = center[0];
            return;
        }
        for (int s = 0; s < newton_steps(requires { Cv::linear; }); ++s) {
            L xi[K], g[K][D], residual[K], move[K];
            cv.template evaluate<M>(x, xi, g);
            for (int k = 0; k < K; ++k)
                residual[k] = nearest_image(center[k] - xi[k], periods.period[k]);
            newton_move(
                residual, D, [&](int k, int d) { return g[k][d]; },
                [&](int l, int d) { return start[l][d]; }, move);
            for (int k = 0; k < K; ++k) add_cv_gradient<Cv>(move[k], start, k, x);
        }
    }
};

}  // namespace microlift
