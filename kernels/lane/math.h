// Elementary functions for lanes, in two policies:
//   Portable  explicit fma, add, multiply, select and integer operations only: the same bits in every
//             lane width, on every CPU and on CUDA (compiled without contraction);
//   Fast      on CUDA the special-function unit; on the CPU the same as Portable.
// The polynomials are weighted minimax fits made for these intervals (error bounds in tests/kernels/test_math.cpp).
#pragma once

#include "kernels/lane/lane.h"
#if !defined(__CUDACC__)
#include "kernels/lane/simd.h"
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

// --- the special-function unit ----------------------------------------------------------------------

#if defined(__CUDA_ARCH__)
// Denormal arguments count as 0: without .ftz each of these costs up to four more instructions.
LANE_FN float hardware_exp2(float x) {
    float r;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
LANE_FN float hardware_log2(float x) {
    float r;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
LANE_FN float hardware_sqrt(float x) {
    float r;
    asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
LANE_FN void hardware_sincos(float x, float& s, float& c) {
    asm("sin.approx.ftz.f32 %0, %1;" : "=f"(s) : "f"(x));
    asm("cos.approx.ftz.f32 %0, %1;" : "=f"(c) : "f"(x));
}
#endif

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
    if constexpr (kHardware<M, L>) return hardware_exp2(x * 1.44269504f);
#endif
    return exp_portable(x, Scalar<L>{});
}

// 2^x to 2 units in the last place. The portable form holds x at −125 from below and at 127 from above,
// so that no intermediate value is denormal or overflows; Low, High: whether x can get there at all.
template <class M, bool Low = true, bool High = true, class L>
LANE_FN L exp2(L x) {
#if defined(__CUDA_ARCH__)
    if constexpr (kHardware<M, L>) return hardware_exp2(x);
#endif
    constexpr float c[] = {1.0f,            6.931470037e-01f, 2.402224690e-01f,
                           5.550710857e-02f, 9.671292268e-03f, 1.326953527e-03f};
    if constexpr (Low) x = max(broadcast<L>(-125.0f), x);  // NaN passes
    if constexpr (High) x = min(broadcast<L>(127.0f), x);
    // x = n + r, |r| ≤ ½, both exact.
#if defined(__AVX512DQ__) && !defined(__CUDACC__)
    if constexpr (kWidth<L> == 16 && sizeof(Scalar<L>) == 4) {
        L r, power;
        r.v = (decltype(r.v))_mm512_reduce_ps((__m512)x.v, 0);
        const L n = x - r, p = horner(r, c);
        power.v = (decltype(power.v))_mm512_scalef_ps((__m512)p.v, (__m512)n.v);
        return power;
    }
#endif
    const L magic = broadcast<L>(0x1.8p23f);
    const L shifted = x + magic;
    const L r = x - (shifted - magic);
    return as_float(as_uint(horner(r, c)) + (as_uint(shifted) << 23));
}

// --- log ------------------------------------------------------------------------------------------
// Infinities and NaN are written as bits: the run-time compiler of CUDA lacks the builtins.

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
    const L huge = broadcast<L>(as_float(0x7f800000u));
    const L r = select(x < huge, log_scaled(max(x, broadcast<L>(1.17549435e-38f)), 1.0f), x);
    return select(x > broadcast<L>(0.0f), r,
                  select(x == broadcast<L>(0.0f), -huge, broadcast<L>(as_float(0x7fc00000u))));
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
    const L huge = broadcast<L>(as_float(uint64{0x7ff0000000000000u})),
            nan = broadcast<L>(as_float(uint64{0x7ff8000000000000u}));
    return select(x > broadcast<L>(0.0), select(x < huge, r, x),
                  select(x == broadcast<L>(0.0), -huge, nan));
}

template <class M, class L>
LANE_FN L log(L x) {
#if defined(__CUDA_ARCH__)
    if constexpr (kHardware<M, L>) return hardware_log2(x) * kLn2;
#endif
    return log_portable(x, Scalar<L>{});
}

// Normals of standard deviation σ instead of 1, at no cost: the factors of the squared radius.
struct NormalScale {
    float log_weight = -2.0f, log2_weight = -2.0f * kLn2;  // −2σ², −2σ² ln 2
};

LANE_FN NormalScale normal_scale(float sigma) {
    return {-2.0f * (sigma * sigma), -2.0f * kLn2 * (sigma * sigma)};
}

// −2σ² ln u for u in (0, 1], to a relative 4e-7: the squared radius of a Box–Muller pair.
template <class M, class L>
LANE_FN L minus_two_log(L u, NormalScale scale = {}) {
#if defined(__CUDA_ARCH__)
    if constexpr (kHardware<M, L>) return hardware_log2(u) * scale.log2_weight;
#endif
    constexpr float c[] = {1.0f,
                           -5.000016689e-01f, 3.333070874e-01f, -2.497927994e-01f,
                           2.009530962e-01f,  -1.733700782e-01f, 1.415368766e-01f,
                           -6.720652431e-02f};
    // u = 2^e m with m in [3/4, 3/2). `power` is e·2²³ as a float; ln(m) = t (1 + c₁ t + …).
    L m, power;
#if defined(__AVX512F__) && !defined(__CUDACC__)
    if constexpr (kWidth<L> == 16) {
        m.v = (decltype(m.v))_mm512_getmant_ps((__m512)u.v, _MM_MANT_NORM_p75_1p5,
                                               _MM_MANT_SIGN_src);
        power = to_float(as_int(as_uint(u) - as_uint(m)));
    } else
#endif
    {
        const Uint<L> shifted = as_uint(u) - 0x3f400000u;
        m = as_float((shifted & 0x007fffffu) + 0x3f400000u);
        power = to_float(as_int(shifted & 0xff800000u));
    }
    const L t = m - broadcast<L>(1.0f);
    return fma(t * broadcast<L>(scale.log_weight), horner(t, c),
               power * broadcast<L>(scale.log2_weight * 0x1p-23f));
}

// --- roots ----------------------------------------------------------------------------------------

template <class M, class L>
LANE_FN L sqrt(L x) {
#if defined(__CUDA_ARCH__)
    if constexpr (kHardware<M, L>) return hardware_sqrt(x);
#endif
    return sqrt_exact(x);
}

// --- trigonometry ----------------------------------------------------------------------------------

// Sine and cosine of a uniformly distributed angle made from 32 random bits: 30 bits place it in
// [−π/4, π/4), the upper two choose one of four images.
template <class M, class L>
LANE_FN void random_direction(Uint<L> u, L& s, L& c) {
#if defined(__CUDA_ARCH__)
    if constexpr (kHardware<M, L>) {
        hardware_sincos(to_float(as_int(u)) * (3.14159265f * 0x1p-31f), s, c);
        return;
    }
#endif
    constexpr float sine[] = {7.853981853e-01f, -8.074543625e-02f, 2.490001032e-03f,
                              -3.595045200e-05f};
    constexpr float cosine[] = {1.0f, -3.084244132e-01f, 1.585014910e-02f, -3.189770214e-04f};
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
        hardware_sincos(x, s, c);
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
