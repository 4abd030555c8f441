// Division of whole numbers in kernels.
#pragma once

#include "kernels/lane/lane.h"

namespace microlift {

// a / b and a % b of numbers that are not negative: where both fit 32 bits a GPU needs a tenth of the
// instructions.
LANE_FN index quotient(index a, index b) {
#if defined(__CUDA_ARCH__)
    if (((a | b) >> 32) == 0)
        return static_cast<index>(static_cast<uint32>(a) / static_cast<uint32>(b));
#endif
    return a / b;
}
LANE_FN index modulo(index a, index b) {
    return a - quotient(a, b) * b;
}

}  // namespace microlift
