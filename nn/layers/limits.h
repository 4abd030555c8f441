// What a network may be at most. Keys of a configuration have the same bounds.
#pragma once

#include "kernels/lane/lane.h"

namespace microlift {

inline constexpr int kMostLayers = 12;
inline constexpr int kMostHiddenLayers = kMostLayers - 1;
inline constexpr index kMostWidth = 16384;    // of a full layer
inline constexpr index kMostChannels = 4096;  // of a convolution, and multiples of kPad
inline constexpr int kMostStates = 4096;
inline constexpr int kMostConditions = 16;
inline constexpr int kMostWaves = 32;  // half waves of a condition or of a flow's time

}  // namespace microlift
