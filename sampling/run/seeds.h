#pragma once

#include "kernels/lane/lane.h"

namespace microlift {

// Different seeds for different parts of a run, all from the run's own (SplitMix64's finaliser).
inline uint64 derived_seed(uint64 seed, uint64 part) {
    uint64 z = seed + 0x9E3779B97F4A7C15ull * (part + 1);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

}  // namespace microlift
