// Elementary functions for lanes, in two policies:
//   Portable  explicit fma, add, multiply, select and integer operations only: the same bits in every
//             lane width, on every CPU and on CUDA (compiled without contraction);
//   Fast      on CUDA the special-function unit; on the CPU the same as Portable.
// The polynomials are weighted minimax fits made for these intervals (error bounds in tests/test_math.cpp).
#pragma once

#include "kernels/lane.h"
#if !defined(__CUDACC__)
#include "kernels/lane_simd.h"
#endif

namespace microlift {

struct Portable {
    static constexpr bool fast = false;
};
struct Fast {
    static constexpr bool fast = true;
};

#if defined(__CUDA_ARCH__)
template <class M, class L>
inline constexpr bool kHardware = M::fast;
template <class M>
inline constexpr bool kHardware<M, double> = false;
#else
template <class M, class L>
inline constexpr bool kHardware = false;
#endif

inline constexpr float kLn2 = 0.69314718056f;

// --- helpers --------------------------------------------------------------------------------------

LANE_FN int32 as_int(uint32 a) { return static_cast<int32>(a); }
LANE_FN int64 as_int(uint64 a) { return static_cast<int64>(a); }

// c[0] + c[1] x + …, Horner.
template <class L, int N>
LANE_FN L horner(L x, const Scalar<L> (&c)[N]) {
    L r = broadcast<L>(c[N - 1]);
LANE_UNROLL
    for (int k = N - 2; k >= 0; --k) r = fma(r, x, broadcast<L>(c[k]));
    return r;
}

// Takes the sign of s, the magnitude of x.
template <class L>
LANE_FN L copy_sign(L x, L s) {
    using U = decltype(as_uint(Scalar<L>{}));
    constexpr U sign = U{1} << (sizeof(U) * 8 - 1);
    return as_float((as_uint(x) & (sign - 1)) | (as_uint(s) & sign));
}

// --- exp ------------------------------------------------------------------------------------------

// 2^n e^r with |r| ≤ ln2/2 and n given as a float plus the magic number, so that its low bits hold n.
template <class L>
LANE_FN L exp_reconstruct(L shifted, L r) {
    constexpr float c[] = {4.999999404e-01f, 1.666652113e-01f, 4.166838899e-02f, 8.368716575e-03f,
                           1.381459879e-03f};
    const L p = fma(horner(r, c) * r, r, r) + broadcast<L>(1.0f);
    return as_float(as_uint(p) + (as_uint(shifted) << 23));
}

template <class L>
LANE_FN L exp_portable(L x, float) {
    const L magic = broadcast<L>(0x1.8p23f);
    // Below −87.3 the result would be denormal: it is held at e^−87.3 ≈ 1e−38; above 88 at e^88.
    x = min(broadcast<L>(88.02f), max(broadcast<L>(-87.3f), x));  // NaN passes
    const L shifted = fma(x, broadcast<L>(1.44269504f), magic);
    const L n = shifted - magic;
    L r = fma(n, broadcast<L>(-0.693359375f), x);
    r = fma(n, broadcast<L>(2.12194440e-4f), r);
    return exp_reconstruct(shifted, r);
}

template <class L>
LANE_FN L exp_portable(L x, double) {
    const L magic = broadcast<L>(0x1.8p52);
    x = min(broadcast<L>(709.0), max(broadcast<L>(-708.0), x));
    const L shifted = fma(x, broadcast<L>(1.4426950408889634), magic);
    const L n = shifted - magic;
    L r = fma(n, broadcast<L>(-0x1.62e42fefa0000p-1), x);
    r = fma(n, broadcast<L>(-0x1.cf79abc9e3b3ap-40), r);
    constexpr double c[] = {1.0 / 2,        1.0 / 6,         1.0 / 24,        1.0 / 120,
                            1.0 / 720,      1.0 / 5040,      1.0 / 40320,     1.0 / 362880,
                            1.0 / 3628800,  1.0 / 39916800,  1.0 / 479001600, 1.0 / 6227020800};
    const L p = fma(horner(r, c) * r, r, r) + broadcast<L>(1.0);
    return as_float(as_uint(p) + (as_uint(shifted) << 52));
}

template <class M, class L>
LANE_FN L exp(L x) {
#if defined(__CUDA_ARCH__)
    if constexpr (kHardware<M, L>) return __expf(x);
#endif
    return exp_portable(x, Scalar<L>{});
}

// --- log ------------------------------------------------------------------------------------------

// scale·ln(x) for positive normal x.
template <class L>
LANE_FN L log_scaled(L x, float scale) {
    constexpr float c[] = {3.333333135e-01f, -2.500081956e-01f, 2.000122666e-01f,
                           -1.662335694e-01f, 1.420175731e-01f, -1.316018254e-01f,
                           1.276157796e-01f, -7.634497434e-02f};
    // x = 2^e m with m in [sqrt(1/2), sqrt(2)).
    const Uint<L> shifted = as_uint(x) - 0x3f3504f3u;
    const L e = to_float(as_int(shifted) >> 23);
    const L t = as_float((shifted & 0x007fffffu) + 0x3f3504f3u) - broadcast<L>(1.0f);
    const L t2 = t * t;
    const L p = fma(horner(t, c) * t, t2, fma(t2, broadcast<L>(-0.5f), t));
    return fma(e, broadcast<L>(scale * kLn2), p * broadcast<L>(scale));
}

template <class L>
LANE_FN L log_portable(L x, float) {
    const L huge = broadcast<L>(__builtin_huge_valf());
    const L r = select(x < huge, log_scaled(max(x, broadcast<L>(1.17549435e-38f)), 1.0f), x);
    return select(x > broadcast<L>(0.0f), r,
                  select(x == broadcast<L>(0.0f), -huge, broadcast<L>(__builtin_nanf(""))));
}

template <class L>
LANE_FN L log_portable(L x, double) {
    const Uint<L> shifted = as_uint(x) - static_cast<uint64>(0x3fe6a09e667f3bcdull);
    // The exponent as a double, without a conversion: its low bits under a magic number.
    const L e = as_float(((shifted >> 52) ^ static_cast<uint64>(0x4330000000000800ull)) &
                         static_cast<uint64>(0x4330000000000fffull)) -
                broadcast<L>(0x1.0p52 + 0x800);
    const L m = as_float((shifted & static_cast<uint64>(0x000fffffffffffffull)) +
                         static_cast<uint64>(0x3fe6a09e667f3bcdull));
    const L s = (m - broadcast<L>(1.0)) / (m + broadcast<L>(1.0));
    const L s2 = s * s;
    constexpr double c[] = {2.0 / 3, 2.0 / 5, 2.0 / 7, 2.0 / 9, 2.0 / 11, 2.0 / 13,
                            2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21};
    const L r = fma(e, broadcast<L>(0x1.62e42fefa0000p-1),
                    fma(s, broadcast<L>(2.0),
                        fma(horner(s2, c) * s, s2, e * broadcast<L>(0x1.cf79abc9e3b3ap-40))));
    const L huge = broadcast<L>(__builtin_huge_val());
    return select(x > broadcast<L>(0.0), select(x < huge, r, x),
                  select(x == broadcast<L>(0.0), -huge, broadcast<L>(__builtin_nan(""))));
}

template <class M, class L>
LANE_FN L log(L x) {
#if defined(__CUDA_ARCH__)
    if constexpr (kHardware<M, L>) return __logf(x);
#endif
    return log_portable(x, Scalar<L>{});
}

// −2 ln u for u in (0, 1]: the squared radius of a Box–Muller pair.
template <class M, class L>
LANE_FN L minus_two_log(L u) {
#if defined(__CUDA_ARCH__)
    if constexpr (kHardware<M, L>) return -2.0f * kLn2 * __log2f(u);
#endif
    return log_scaled(u, -2.0f);
}

// --- roots ----------------------------------------------------------------------------------------

template <class M, class L>
LANE_FN L sqrt(L x) {
#if defined(__CUDA_ARCH__)
    if constexpr (kHardware<M, L>) {
        float r;
        asm("sqrt.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
        return r;
    }
#endif
    return sqrt_exact(x);
}

// The square root of a normal number or 0, correctly rounded. With AVX-512 an estimate of 1/sqrt and
// Markstein's iteration beat the divider; the result is the one correctly rounded value all the same
// (tests/test_math.cpp goes through every mantissa).
template <class M, class L>
LANE_FN L sqrt_positive(L x) {
#if defined(__AVX512F__) && !defined(__CUDACC__)
    if constexpr (kWidth<L> == 16 && sizeof(Scalar<L>) == 4) {
        const L guarded = max(x, broadcast<L>(1e-30f));
        L y;
        y.v = (decltype(y.v))_mm512_rsqrt14_ps((__m512)guarded.v);
        L g = guarded * y;
        L h = y * broadcast<L>(0.5f);
        const L r = fnma(h, g, broadcast<L>(0.5f));
        g = fma(g, r, g);
        h = fma(h, r, h);
        const L d = fnma(g, g, guarded);
        return fma(h, d, g);
    }
#endif
    return sqrt<M>(max(x, broadcast<L>(static_cast<Scalar<L>>(1e-30f))));
}

// --- trigonometry ----------------------------------------------------------------------------------

// Sine and cosine of a uniformly distributed angle made from 32 random bits: 30 bits place it in
// [−π/4, π/4), the upper two choose one of four images.
template <class M, class L>
LANE_FN void random_direction(Uint<L> u, L& s, L& c) {
#if defined(__CUDA_ARCH__)
    if constexpr (kHardware<M, L>) {
        __sincosf(to_float(as_int(u)) * (3.14159265f * 0x1p-31f), &s, &c);
        return;
    }
#endif
    constexpr float sine[] = {7.853981853e-01f, -8.074543625e-02f, 2.490001032e-03f,
                              -3.595045200e-05f};
    constexpr float cosine[] = {1.0f, -3.084251285e-01f, 1.585432328e-02f, -3.259365039e-04f,
                                3.528761681e-06f};
    const L t = to_float(as_int(u << 2)) * broadcast<L>(0x1p-31f);
    const L t2 = t * t;
    const L sin_t = t * horner(t2, sine);
    const L cos_t = as_float(as_uint(horner(t2, cosine)) ^ (u & 0x80000000u));
    const auto swap = (u & 0x40000000u) != 0u;
    s = select(swap, cos_t, sin_t);
    c = select(swap, sin_t, cos_t);
}

// Sine and cosine in radians; relative accuracy holds for |x| ≤ 1e5.
template <class M, class L>
LANE_FN void sincos(L x, L& s, L& c) {
#if defined(__CUDA_ARCH__)
    if constexpr (kHardware<M, L>) {
        __sincosf(x, &s, &c);
        return;
    }
#endif
    constexpr float sine[] = {-1.666666716e-01f, 8.333329111e-03f, -1.983933471e-04f,
                              2.718307996e-06f};
    constexpr float cosine[] = {4.166664556e-02f, -1.388731645e-03f, 2.443312042e-05f};
    const L magic = broadcast<L>(0x1.8p23f);
    const L shifted = fma(x, broadcast<L>(0.636619772f), magic);
    const L n = shifted - magic;
    L r = fma(n, broadcast<L>(-1.5703125f), x);
    r = fma(n, broadcast<L>(-4.837512969970703125e-4f), r);
    r = fma(n, broadcast<L>(-7.54978995489188216e-8f), r);
    const L r2 = r * r;
    const L sin_r = fma(horner(r2, sine) * r, r2, r);
    const L cos_r = fma(horner(r2, cosine) * r2, r2, fma(r2, broadcast<L>(-0.5f),
                                                          broadcast<L>(1.0f)));
    const auto quadrant = as_uint(shifted);
    const auto swap = (quadrant & 1u) != 0u;
    s = as_float(as_uint(select(swap, cos_r, sin_r)) ^ ((quadrant & 2u) << 30));
    c = as_float(as_uint(select(swap, sin_r, cos_r)) ^ (((quadrant + 1u) & 2u) << 30));
}

// arctan: reduced to |x| ≤ tan(π/8).
template <class M, class L>
LANE_FN L atan(L x) {
    constexpr float c[] = {-3.333331645e-01f, 1.999848932e-01f, -1.424384862e-01f,
                           1.059600338e-01f, -6.083457544e-02f};
    const L one = broadcast<L>(1.0f);
    const L a = abs(x);
    const auto big = a > broadcast<L>(2.41421356f);
    const auto middle = a > broadcast<L>(0.414213562f);
    const L numerator = select(big, -one, select(middle, a - one, a));
    const L denominator = select(big, a, select(middle, a + one, one));
    const L offset = select(big, broadcast<L>(1.57079633f),
                            select(middle, broadcast<L>(0.785398163f), broadcast<L>(0.0f)));
    const L t = numerator / denominator;
    const L t2 = t * t;
    return copy_sign(offset + fma(horner(t2, c) * t, t2, t), x);
}

// --- hyperbolic functions and the activations' parts -------------------------------------------------

template <class L>
LANE_FN L tanh_portable(L x, float) {
    constexpr float c[] = {-3.333328068e-01f, 1.333144158e-01f, -5.373971537e-02f,
                           2.063908800e-02f, -5.704986863e-03f};
    const L one = broadcast<L>(1.0f);
    const L a = abs(x);
    const L x2 = x * x;
    const L small = fma(horner(x2, c) * x, x2, x);
    const L e = exp_portable(min(a, broadcast<L>(15.0f)) * broadcast<L>(2.0f), 0.0f);
    const L large = one - broadcast<L>(2.0f) / (e + one);
    return select(a >= broadcast<L>(0.625f), copy_sign(large, x), small);  // NaN: small
}

template <class L>
LANE_FN L tanh_portable(L x, double) {
    const L one = broadcast<L>(1.0);
    const L a = abs(x);
    // e^{2a} − 1 without cancellation for small a: a series in a².
    const L x2 = x * x;
    constexpr double c[] = {-1.0 / 3,          2.0 / 15,          -17.0 / 315,
                            62.0 / 2835,       -1382.0 / 155925,  21844.0 / 6081075,
                            -929569.0 / 638512875.0};
    const L small = fma(horner(x2, c) * x, x2, x);
    const L e = exp_portable(min(a, broadcast<L>(20.0)) * broadcast<L>(2.0), 0.0);
    const L large = one - broadcast<L>(2.0) / (e + one);
    return select(a >= broadcast<L>(0.1), copy_sign(large, x), small);
}

template <class M, class L>
LANE_FN L tanh(L x) {
#if defined(__CUDA_ARCH__)
    if constexpr (kHardware<M, L>) {
        float r;
        asm("tanh.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
        return r;
    }
#endif
    return tanh_portable(x, Scalar<L>{});
}

template <class M, class L>
LANE_FN L sinh(L x) {
    constexpr float c[] = {1.666666716e-01f, 8.333350532e-03f, 1.983606635e-04f, 2.817439508e-06f};
    const L a = abs(x);
    const L x2 = x * x;
    const L small = fma(horner(x2, c) * x, x2, x);
    const L e = exp<M>(a);
    const L half = broadcast<L>(0.5f);
    return select(a >= broadcast<L>(1.0f), copy_sign(fma(half, e, -(half / e)), x), small);
}

template <class M, class L>
LANE_FN L cosh(L x) {
    const L e = exp<M>(abs(x));
    const L half = broadcast<L>(0.5f);
    return fma(half, e, half / e);
}

template <class M, class L>
LANE_FN L sigmoid(L x) {
    const L one = broadcast<L>(Scalar<L>(1));
    return one / (one + exp<M>(-x));
}

// ln(1 + e^x).
template <class M, class L>
LANE_FN L softplus(L x) {
    const L zero = broadcast<L>(Scalar<L>(0));
    const L one = broadcast<L>(Scalar<L>(1));
    return max(zero, x) + log<M>(one + exp<M>(-abs(x)));
}

}  // namespace microlift
