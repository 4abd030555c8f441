// Narrow floats in the bits of a word: bf16, f16, tf32.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace emulator {

// To nearest, ties to even; every NaN is 0x7fff.
inline std::uint32_t round_bf16(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    if (x != x) return 0x7fffu;
    return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}
inline float widen_bf16(std::uint32_t x) {
    return std::bit_cast<float>(x << 16);
}

// To nearest, ties away from 0 (cvt.rna); 13 low bits are 0.
inline std::uint32_t round_tf32(std::uint32_t bits) {
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fffffffu;
    return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & 0xffffe000u;
}

inline float widen_f16(std::uint32_t x) {
    const std::uint32_t sign = (x & 0x8000u) << 16, exponent = x >> 10 & 31u, fraction = x & 0x3ffu;
    if (exponent == 31) return std::bit_cast<float>(fraction ? 0x7fffffffu : sign | 0x7f800000u);
    if (exponent == 0) {
        const float r = std::ldexp(static_cast<float>(fraction), -24);
        return sign ? -r : r;
    }
    return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}
inline std::uint32_t round_f16(float x) {
    if (x != x) return 0x7fffu;
    const std::uint32_t sign = std::bit_cast<std::uint32_t>(x) >> 16 & 0x8000u;
    const float a = std::fabs(x);
    if (a >= 65520.0f) return sign | 0x7c00u;
    if (a < 0x1p-14f) return sign | static_cast<std::uint32_t>(std::nearbyint(a * 0x1p24f));
    const auto bits = std::bit_cast<std::uint32_t>(a);
    return sign | (((bits + 0xfffu + (bits >> 13 & 1u)) >> 13) - (112u << 10));
}

}  // namespace emulator
