// What swarms of trajectories say of where they were released, on the device.
#pragma once

#include "engine/device/buffer.h"
#include "kernels/dynamics/period.h"

namespace microlift {

class Stream;

// to (K, n) = how far ξ (K, n) is from `from` (K, n), by the nearest image; where `add`, added to what `to` holds.
void swarm_offsets(Stream& stream, int cvs, const CvPeriods& periods, Span<const float> xi, Span<const float> from,
                   Span<double> to, bool add = false);

}  // namespace microlift
