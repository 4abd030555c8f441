// The Gaussian kernel e^a, a = −d²/4ε ≤ 0, of diffusion maps.
#pragma once

#include "kernels/lane/math.h"

namespace microlift {

// What is too small to matter is exactly 0: products of it would be subnormal numbers, which some
// processors multiply a hundred times more slowly.
template <class L>
LANE_FN L gaussian_kernel(L a) {
    const L least = broadcast<L>(-60.0f);
    return select(a < least, broadcast<L>(0.0f), exp<Portable>(max(least, a)));
}

}  // namespace microlift
