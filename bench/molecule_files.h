// The files of bench/data as text, and what a step of theirs takes at least.
#pragma once

namespace microlift {

extern const char kBenchTopology[];
extern const char kBenchCoordinates[];

// Cycles of one core with AVX-512 for a step of 16 replicas: bench/README.md counts them.
inline constexpr double kCyclesVacuum = 8300;
inline constexpr double kCyclesObc2 = 33500;

}  // namespace microlift
