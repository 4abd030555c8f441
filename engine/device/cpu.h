// The instruction set of the CPU kernels. A build has one (MICROLIFT_CPU=native), or several of which one
// is chosen at start (MICROLIFT_CPU=dispatch): the highest that the machine has, or the one that the
// environment variable MICROLIFT_CPU_LEVEL names: avx512, avx2 or baseline. In the portable mathematics,
// which is all that the CPU has, every level computes the same bits.
#pragma once

#include <string>
#include <vector>

namespace microlift {

// The level in use: "avx512", "avx2" or "baseline".
const char* cpu_level();
// Floats in a SIMD register at that level.
int cpu_lanes();
// What this build can choose from, lowest first.
std::vector<std::string> cpu_levels();
// Throws if MICROLIFT_CPU_LEVEL is no level (InputError), or one that this machine or this build lacks
// (DeviceError).
void check_cpu_level();

// A fifth of a millisecond of what the kernels do: some processors slow down under wide arithmetic and
// stay slow for a while. Returns how many multiply-adds of floats it did, as fast as they go. For benchmarks.
double wide_arithmetic();

}  // namespace microlift
