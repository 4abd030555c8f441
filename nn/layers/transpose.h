// Reverse sweeps read a copy of the weights, transposed.
#pragma once

#include "nn/layers/limits.h"

namespace microlift {

// Where the elements of a flat parameter span go in that copy.
struct TransposeMap {
    int layers = 0;
    int32 begin[kMostLayers] = {}, end[kMostLayers] = {};  // of the weights
    int32 out[kMostLayers] = {}, ld[kMostLayers] = {};     // width and padded width
    int32 target[kMostLayers] = {}, target_ld[kMostLayers] = {};
};

// A direction of forward tangents: an input, or an angle θ that the network sees as √2 (cos kθ, sin kθ),
// k = 1…waves, from that input on.
struct TangentDirection {
    int32 input = 0, waves = 0;
};

}  // namespace microlift
