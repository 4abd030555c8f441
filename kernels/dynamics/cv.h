// Collective variables ξ_k(x), k < K, with gradients; and the bias on them.
//
// A CV is a struct with n (K) and evaluate(x, xi, gradient): xi[k], gradient[k][d] = ∂ξ_k/∂x_d.
// A bias on ξ_k acts along D∇ξ_k/D_k, with D = ½σσᵀ of the noise and D_k = ∇ξ_k·D∇ξ_k: then its law is
// exp(−U/D_k), and the drift of ξ_k gains just −∂U/∂ξ_k. Where that is not ∇ξ_k (noise that is correlated
// or differs between variables, |∇ξ_k| ≠ 1), a CV has evaluate_pull(x, xi, pull), too: xi[k] and
// pull[k][d], that direction. A CV that is a coordinate without a period, and whose direction is its own,
// has its number as held_coordinate.
#pragma once

#include "kernels/lane/math.h"

namespace microlift {

inline constexpr int kMaxCvs = 2;
inline constexpr int kMaxDim = 64;

// ξ_k = Σ_d w_kd x_d + offset_k: a coordinate, or a projection.
template <int K, int D>
struct LinearCv {
    static constexpr int n = K;
    static constexpr bool linear = true;
    float weight[K][D];
    float offset[K];

    template <class M, class L>
    LANE_FN void evaluate(const L (&x)[D], L (&xi)[K], L (&gradient)[K][D]) const {
LANE_UNROLL
        for (int k = 0; k < K; ++k) {
            L sum = broadcast<L>(offset[k]);
LANE_UNROLL
            for (int d = 0; d < D; ++d) {
                gradient[k][d] = broadcast<L>(weight[k][d]);
                sum = fma(gradient[k][d], x[d], sum);
            }
            xi[k] = sum;
        }
    }
};

// The same where the noise is not alike in all directions.
template <int K, int D>
struct PulledLinearCv : LinearCv<K, D> {
    float pull[K][D];

    template <class M, class L>
    LANE_FN void evaluate_pull(const L (&x)[D], L (&xi)[K], L (&direction)[K][D]) const {
        this->template evaluate<M>(x, xi, direction);
LANE_UNROLL
        for (int k = 0; k < K; ++k)
LANE_UNROLL
            for (int d = 0; d < D; ++d) direction[k][d] = broadcast<L>(pull[k][d]);
    }
};

// ξ = x_I, with nothing multiplied by zero: the common case at full speed.
template <int I, int D>
struct CoordinateCv {
    static constexpr int n = 1;
    static constexpr bool linear = true, is_coordinate = true;
    static constexpr int held_coordinate = I;  // systems that are compiled ahead have no periods
    template <class M, class L>
    LANE_FN void evaluate(const L (&x)[D], L (&xi)[1], L (&gradient)[1][D]) const {
        xi[0] = x[I];
LANE_UNROLL
        for (int d = 0; d < D; ++d) gradient[0][d] = broadcast<L>(d == I ? 1.0f : 0.0f);
    }
    // Adds a·∇ξ.
    template <class L>
    static LANE_FN void add_gradient(L a, const L (&)[1][D], int, L (&f)[D]) {
        f[I] = f[I] + a;
    }
    // Adds a b ∇ξ in one rounding.
    template <class L>
    static LANE_FN void add_product(L a, L b, L (&f)[D]) {
        f[I] = fma(a, b, f[I]);
    }
};

// ξ, and the directions that a bias acts along.
template <class M, class Cv, int K, int D, class L>
LANE_FN void evaluate_pull(const Cv& cv, const L (&x)[D], L (&xi)[K], L (&pull)[K][D]) {
    if constexpr (requires { cv.template evaluate_pull<M>(x, xi, pull); })
        cv.template evaluate_pull<M>(x, xi, pull);
    else
        cv.template evaluate<M>(x, xi, pull);
}

// f += a ∇ξ_k, or a times the direction of the pull.
template <class Cv, int K, int D, class L>
LANE_FN void add_cv_gradient(L a, const L (&gradient)[K][D], int k, L (&f)[D]) {
    if constexpr (requires { Cv::add_gradient(a, gradient, k, f); }) {
        Cv::add_gradient(a, gradient, k, f);
    } else {
LANE_UNROLL
        for (int d = 0; d < D; ++d) f[d] = fma(a, gradient[k][d], f[d]);
    }
}

}  // namespace microlift
