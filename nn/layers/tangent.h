// Directions of forward tangents through a network.
#pragma once

#include "kernels/lane/lane.h"

namespace microlift {

// An input, or an angle θ that the network sees as √2 (cos kθ, sin kθ), k = 1…waves, from that input on.
struct TangentDirection {
    int32 input = 0, waves = 0;
};

}  // namespace microlift
