// How long and how many trajectories may be.
#pragma once

namespace microlift {

inline constexpr double kMostTrajectories = 2147483647.0;  // a trajectory's number has 31 bits
inline constexpr double kMostSteps = 1e15;

}  // namespace microlift
