// Activation functions with the two derivatives that the gradient penalty needs.
#pragma once

#include "kernels/lane/math.h"

namespace microlift {

enum class Activation : int32 { silu, leaky_relu, tanh, softplus };

inline constexpr float kLeakySlope = 0.2f;

// 1/b for 1 ≤ b < 2^126, correctly rounded. With AVX-512 an estimate and Newton's iteration beat the
// divider; the result is that of the division (tests/nn/test_nn.cpp goes through every mantissa).
template <class L>
LANE_FN L reciprocal_above_one(L b) {
    const L one = broadcast<L>(Scalar<L>(1));
#if defined(__AVX512F__) && !defined(__CUDACC__)
    if constexpr (kWidth<L> == 16 && sizeof(Scalar<L>) == 4) {
        L y;
        y.v = (decltype(y.v))_mm512_rcp14_ps((__m512)b.v);
        y = fma(y, fnma(b, y, one), y);
        y = fma(y, fnma(b, y, one), y);
        // The iteration ends one unit low for a mantissa of ones only (Markstein, 1990).
        const __mmask16 ones = _mm512_cmpeq_epi32_mask(
            _mm512_or_si512((__m512i)b.v, _mm512_set1_epi32(static_cast<int>(0xff800000u))),
            _mm512_set1_epi32(-1));
        y.v = (decltype(y.v))_mm512_mask_add_epi32((__m512i)y.v, ones, (__m512i)y.v,
                                                   _mm512_set1_epi32(1));
        return y;
    }
#endif
    return one / b;
}

// 1/(1 + e^−x), to 2 units in the last place of 1: shorter than sigmoid() of math.h by the steps that
// keep a relative accuracy which sums and products with 1 lose anyway.
template <class M, class L>
LANE_FN L logistic(L x) {
    if constexpr (sizeof(Scalar<L>) == 8 || kHardware<M, L>) {
        return sigmoid<M>(x);
    } else {
        // 2^f for |f| ≤ 1/2 to 1.1e-7.
        constexpr float c[] = {1.0f,            6.931470037e-01f, 2.402224243e-01f,
                               5.550733581e-02f, 9.671512991e-03f, 1.326472731e-03f};
        const L magic = broadcast<L>(0x1.8p23f), factor = broadcast<L>(-1.44269504f);
        x = min(broadcast<L>(87.0f), max(broadcast<L>(-87.0f), x));
        const L shifted = fma(x, factor, magic);
        const L f = fma(x, factor, magic - shifted);
        const L e = as_float(as_uint(horner(f, c)) + (as_uint(shifted) << 23));
        return reciprocal_above_one(broadcast<L>(1.0f) + e);
    }
}

template <class L>
struct ActivationValues {
    L value, first, second;  // φ(z), φ′(z), φ″(z)
};

// The kind is the same in all lanes. At the kink of LeakyReLU the right derivative counts.
template <class M, class L>
LANE_FN ActivationValues<L> activation(Activation kind, L z) {
    using S = Scalar<L>;
    const L one = broadcast<L>(S(1)), zero = broadcast<L>(S(0));
    switch (kind) {
        case Activation::silu: {
            const L s = logistic<M>(z);
            const L rest = s * (one - s);
            return {z * s, fma(z, rest, s),
                    rest * fma(z, fma(broadcast<L>(S(-2)), s, one), broadcast<L>(S(2)))};
        }
        case Activation::leaky_relu: {
            const L slope = select(z >= zero, one, broadcast<L>(S(kLeakySlope)));
            return {slope * z, slope, zero};
        }
        case Activation::tanh: {
            const L t = tanh<M>(z);
            const L first = fma(-t, t, one);
            return {t, first, broadcast<L>(S(-2)) * t * first};
        }
        case Activation::softplus: break;
    }
    const L s = logistic<M>(z);
    return {softplus<M>(z), s, s * (one - s)};
}

}  // namespace microlift
