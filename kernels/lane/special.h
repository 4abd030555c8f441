// Special functions that few need: formulas the error function, diffusion maps the Gaussian kernel.
#pragma once

#include "kernels/lane/math.h"

namespace microlift {

// The error function: a polynomial near 0, 1 − exp(polynomial) beyond.
// Coefficients: N. Juffa's single-precision erf (minimax, below 1 ulp with a correctly rounded exp).
template <class M, class L>
LANE_FN L erf(L x) {
    constexpr float tail[] = {-1.28717512e-1f, -6.34846687e-1f, -1.06777877e-1f,
                              2.42546219e-2f,  -3.88396438e-3f, 3.83197126e-4f,
                              -1.72853470e-5f};
    constexpr float near_zero[] = {1.28379166e-1f, -3.76125336e-1f, 1.12819925e-1f,
                                   -2.67681349e-2f, 4.99119423e-3f, -5.96761703e-4f};
    const L t = abs(x);
    const L t2 = t * t;
    const L capped = min(t, broadcast<L>(4.0f));  // erf(4) rounds to 1
    const L beyond = broadcast<L>(1.0f) - exp<M>(fma(horner(capped, tail), capped, -capped));
    return select(t > broadcast<L>(0.927734375f), copy_sign(beyond, x),
                  fma(horner(t2, near_zero), x, x));
}

// e^a of a = −d²/4ε ≤ 0. What is too small to matter is exactly 0: products of it would be subnormal
// numbers, which some processors multiply a hundred times more slowly.
template <class L>
LANE_FN L gaussian_kernel(L a) {
    const L least = broadcast<L>(-60.0f);
    return select(a < least, broadcast<L>(0.0f), exp<Portable>(max(least, a)));
}

}  // namespace microlift
