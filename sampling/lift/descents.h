// States of a molecule that no step of the run can leave, as where atoms overlap, are led down its energy first.
#pragma once

#include <vector>

#include "sampling/model/model.h"

namespace microlift {

inline constexpr index kDescentIterations = 400;  // of a state, at most

// Of n states (dim, n) those in which a force would change a velocity by more than 5 · `times` thermal deviations
// in one step, or is not finite; ascending.
std::vector<index> wild_states(Stream& stream, const Model& model, const IntegratorConfig& integrator,
                               Span<const float> x, index n, double times = 1);

// Minimises the wild ones of n states x (dim, n) until they are no longer, rigid bonds kept; which those were.
std::vector<index> descend_wild_states(Stream& stream, const Model& model, const IntegratorConfig& integrator,
                                       index n, Span<float> x);

// x (rows, n)[:, which] = from (rows, which.size()).
void put_columns(Stream& stream, Span<const float> from, const std::vector<index>& which, index rows, index n,
                 Span<float> x);

}  // namespace microlift
