// The device that is emulated has an H100's numbers.
#pragma once

#include <cstddef>

#include "tests/emulator/ptx.h"

namespace emulator {

inline constexpr int kMultiprocessors = 132, kThreadsPerMultiprocessor = 2048, kBlocksPerMultiprocessor = 32;
inline constexpr int kRegisters = 65536, kSharedPerBlock = 48 << 10, kSharedOptIn = 227 << 10;
inline constexpr int kSharedPerMultiprocessor = 228 << 10, kSharedReserved = 1 << 10, kL2Bytes = 50 << 20;

// Registers that a thread is taken to have: what a launch of this size may use, since nothing here assembles.
int registers_of(const KernelFacts& kernel);
// Blocks that a multiprocessor holds at a time.
int occupancy(const KernelFacts& kernel, int threads, std::size_t dynamic_shared);

}  // namespace emulator
