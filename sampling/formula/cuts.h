// Where a formula jumps: atan2 and dihedral by a whole turn at their cut, atan of a quotient by half a
// turn where the denominator changes its sign, x/abs(x). A bias does not see such a jump, and samples
// cross it. And where asin and acos end with an infinite slope.
#pragma once

#include <optional>
#include <vector>

#include "sampling/formula/formula.h"

namespace microlift {

struct Cut {
    // The values on its two sides, if they are the same everywhere; else −∞ and ∞.
    double low, high;
    bool ends = false;  // there, and does not jump
};

// Of a formula that is an angle, times and plus what does not jump; of sums of several angles the first.
// A function of an angle (its sine) counts as one that does not jump.
std::optional<Cut> cut_of(const Expressions& graph, NodeId f);

// By how much such a formula jumps where each of its angles has its cut; +∞ where that depends on the state.
std::vector<double> jumps_of(const Expressions& graph, NodeId f);

}  // namespace microlift
