// Compiled once for each instruction set: says which one its caller got.
#include "engine/device/cpu.h"
#include "kernels/lane/simd.h"

namespace microlift {

const char* cpu_level() {
    return kNativeWidth == 16 ? "avx512" : kNativeWidth == 8 ? "avx2" : "baseline";
}

int cpu_lanes() { return kNativeWidth; }

double wide_arithmetic() {
    // As many chains as hide the latency of two multiply-adds a cycle, in half of the registers.
    constexpr int kChains = 10, kRounds = 1 << 17;
    NativeLane chains[kChains];
    for (int i = 0; i < kChains; ++i) chains[i] = broadcast<NativeLane>(static_cast<float>(i));
    const NativeLane factor = broadcast<NativeLane>(0.5f), one = broadcast<NativeLane>(1.0f);
    for (int i = 0; i < kRounds; ++i)
#pragma GCC unroll 16
        for (int c = 0; c < kChains; ++c) chains[c] = fma(chains[c], factor, one);
    for (const NativeLane& chain : chains) asm volatile("" : : "m"(chain));
    return static_cast<double>(kChains) * kRounds * kNativeWidth;
}

}  // namespace microlift
