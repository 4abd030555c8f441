// Steps down the force that generated states take before a run goes on from them.
#pragma once

#include "engine/device/buffer.h"
#include "engine/device/stream.h"

namespace microlift {

// x += step · force.
void descend(Stream& stream, Span<const float> force, float step, Span<float> x);
// The same for those of n states whose step is larger than `limit` in some variable, cut to it in each.
void calm_step(Stream& stream, Span<const float> force, float step, float limit, int dim, index n,
               Span<float> x);

}  // namespace microlift
