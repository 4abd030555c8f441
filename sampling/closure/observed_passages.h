// First passages of molecules, seen at looks at the collective variables every few steps.
#pragma once

#include "sampling/closure/first_passage.h"
#include "sampling/model/model.h"

namespace microlift {

inline constexpr uint64 kLookEvery = 10;  // steps; a passage is timed between two looks

// As run_passages(), by free dynamics with velocities of the system's temperature. A set is one of the
// collective variables: a half space of one, on a ring of the turns that lead there, or an ellipse.
PassageResult run_observed_passages(Stream& stream, const Model& model, const IntegratorConfig& integrator,
                                    Span<const float> start, index n, const PassageSet& first,
                                    const PassageSet& second, const PassageOptions& options);

}  // namespace microlift
