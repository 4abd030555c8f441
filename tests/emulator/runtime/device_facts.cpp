#include "tests/emulator/runtime/device_facts.h"

#include <algorithm>

namespace emulator {

int registers_of(const KernelFacts& kernel) {
    const int most = std::min(255, kRegisters / std::max(32, kernel.max_threads));
    return std::clamp(kernel.registers, 16, most);
}

int occupancy(const KernelFacts& kernel, int threads, std::size_t dynamic_shared) {
    const int warps = (threads + 31) / 32;
    // Registers are given out to warps, 256 at a time.
    const int of_warp = (registers_of(kernel) * 32 + 255) / 256 * 256;
    const auto shared = static_cast<int>(kernel.shared_bytes + dynamic_shared) + kSharedReserved;
    return std::min({kThreadsPerMultiprocessor / (warps * 32), kBlocksPerMultiprocessor,
                     kRegisters / of_warp / warps, kSharedPerMultiprocessor / shared});
}

}  // namespace emulator
