// What a training takes at most, beside what trainer.h and nn/layers/limits.h say.
#pragma once

#include "kernels/lane/lane.h"

namespace microlift {

inline constexpr index kMostKernel = 63;  // of a convolution, an odd number
inline constexpr index kMostValidationSamples = 10000000;
inline constexpr index kMostColumns = (index{1} << 32) - 1;  // samples of the training data

}  // namespace microlift
