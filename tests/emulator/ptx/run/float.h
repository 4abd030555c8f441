// What several classes of instructions do to floats.
#pragma once

#include <bit>
#include <cstdint>

#include "tests/emulator/ptx/run/lanes.h"

namespace emulator {

// .ftz: a denormal counts as 0 of its sign.
inline float flush(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    return (bits & 0x7f800000u) == 0 ? std::bit_cast<float>(bits & 0x80000000u) : x;
}
// The one NaN that single precision gives.
inline float canonical(float x) {
    return x == x ? x : std::bit_cast<float>(0x7fffffffu);
}
// .sat: into [0, 1]; NaN becomes 0.
inline float saturate(float x) {
    return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f;
}

}  // namespace emulator
