// How far springs of eABF reach on the grid.
#pragma once

namespace microlift {

inline constexpr int kMostReach = 64;  // points
// Points within which the law of what a spring is bound to lies, but for e^{-32}.
int spring_reach(double kt, double stiffness, double spacing);

}  // namespace microlift
