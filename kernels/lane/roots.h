// Functions of distances and angles that force fields need, in float and double.
#pragma once

#include "kernels/lane/math.h"

namespace microlift {

// 1/x of normal x whose inverse is normal.
template <class M, class L>
LANE_FN L reciprocal(L x) {
#if defined(__CUDA_ARCH__)
    if constexpr (kHardware<M, L>) {
        float r;
        asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
        return r;
    }
#endif
    return broadcast<L>(Scalar<L>(1)) / x;
}
template <class M, class L>
LANE_FN L quotient(L a, L b) {
    if constexpr (kHardware<M, L>)
        return a * reciprocal<M>(b);
    else
        return a / b;
}

// The larger of two numbers, in one instruction where it need not be the same one everywhere that NaN or zeros of
// both signs give.
template <class M, class L>
LANE_FN L larger(L a, L b) {
#if defined(__CUDA_ARCH__)
    if constexpr (kHardware<M, L>) {
        float r;
        asm("max.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
        return r;
    }
#endif
    return max(a, b);
}

// 1/√x of positive normal x.
template <class M, class L>
LANE_FN L inverse_sqrt(L x) {
#if defined(__CUDA_ARCH__)
    if constexpr (kHardware<M, L>) {
        float r;
        asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
        return r;
    }
#endif
    return broadcast<L>(Scalar<L>(1)) / sqrt_exact(x);
}

// 1/√x and 1/x.
template <class L>
struct InverseRoot {
    L root, square;
};
template <class M, class L>
LANE_FN InverseRoot<L> inverse_root(L x) {
    const L root = inverse_sqrt<M>(x);
    return {root, root * root};
}

// The same of two at once, with one division.
template <class L>
struct InverseRoots {
    L first, second;    // 1/√a, 1/√b
    L square, squared;  // 1/a, 1/b
};
template <class M, class L>
LANE_FN InverseRoots<L> inverse_roots(L a, L b) {
    InverseRoots<L> r;
    if constexpr (kHardware<M, L>) {
        r.first = inverse_sqrt<M>(a);
        r.second = inverse_sqrt<M>(b);
        r.square = r.first * r.first;
        r.squared = r.second * r.second;
    } else {
        const L both = broadcast<L>(Scalar<L>(1)) / (a * b);
        r.square = both * b;
        r.squared = both * a;
        r.first = sqrt_exact(r.square);
        r.second = sqrt_exact(r.squared);
    }
    return r;
}

// acos(c)/√(1 − c²), 0 ≤ c ≤ 1, smooth where the root vanishes: Chebyshev fits in 2c − 1, to 1.4e-7 and
// 3e-16.
template <class L>
LANE_FN L acos_over_sine(L c) {
    if constexpr (sizeof(Scalar<L>) == 4) {
        constexpr float p[] = {1.209199590e+00f, -2.636001663e-01f, 6.973250428e-02f,
                               -1.983665344e-02f, 5.867037097e-03f, -1.775641069e-03f,
                               5.300576238e-04f, -1.632976837e-04f, 6.895964026e-05f,
                               -2.240253093e-05f};
        return horner(fma(broadcast<L>(2.0f), c, broadcast<L>(-1.0f)), p);
    } else {
        constexpr double p[] = {
            1.20919957615614515e+00, -2.63600141281284950e-01, 6.97331920520484344e-02,
            -1.98371469224792804e-02, 5.86162897489707520e-03, -1.77292846109963743e-03,
            5.44773989071451392e-04, -1.69309947492029579e-04, 5.30736957291694234e-05,
            -1.67491426898581236e-05, 5.31432206653551995e-06, -1.69364096920532337e-06,
            5.41757059505099114e-07, -1.73881652409946241e-07, 5.59458180060534715e-08,
            -1.79698065316813427e-08, 5.80754949686124178e-09, -1.96265403928919113e-09,
            6.35899000123174574e-10, -1.47814205320173642e-10, 4.83515449900551175e-11,
            -3.95061761082615703e-11, 1.28128618825940066e-11};
        return horner(fma(broadcast<L>(2.0), c, broadcast<L>(-1.0)), p);
    }
}

// The angle in (−π, π] of a cosine and a sine.
template <class L>
LANE_FN L angle_of(L cosine, L sine) {
    using T = Scalar<L>;
    const L s = abs(sine);
    const L part = s * acos_over_sine(min(abs(cosine), broadcast<L>(T(1))));
    const L pi = broadcast<L>(T(3.14159265358979323846));
    return copy_sign(select(cosine < broadcast<L>(T(0)), pi - part, part), sine);
}

// ½ ln x of positive normal x.
template <class M, class L>
LANE_FN L half_log_of_positive(L x) {
    if constexpr (sizeof(Scalar<L>) == 4)
        return minus_two_log<M>(x, NormalScale{0.5f, 0.5f * kLn2});
    else
        return broadcast<L>(0.5) * log<M>(x);
}

// e^{s x} of s x ≤ 0.
template <class M, class L>
LANE_FN L exp_of_negative(L x, Scalar<L> s) {
    if constexpr (sizeof(Scalar<L>) == 4)
        return exp2<M, true, false>(x * broadcast<L>(s * 1.44269504f));
    else
        return exp<M>(x * broadcast<L>(s));
}

}  // namespace microlift
