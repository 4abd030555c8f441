// Compiled once for each instruction set: says which one its caller got.
#include "engine/device/cpu.h"
#include "kernels/lane/simd.h"

namespace microlift {

const char* cpu_level() {
    return kNativeWidth == 16 ? "avx512" : kNativeWidth == 8 ? "avx2" : "baseline";
}

int cpu_lanes() { return kNativeWidth; }

void wide_arithmetic() {
    NativeLane chains[8];
    for (int i = 0; i < 8; ++i) chains[i] = broadcast<NativeLane>(static_cast<float>(i));
    const NativeLane factor = broadcast<NativeLane>(0.5f), one = broadcast<NativeLane>(1.0f);
    for (int i = 0; i < 1 << 17; ++i)
        for (NativeLane& chain : chains) chain = fma(chain, factor, one);
    for (const NativeLane& chain : chains) asm volatile("" : : "m"(chain));
}

}  // namespace microlift
