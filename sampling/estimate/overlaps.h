// Which windows share samples, and which are connected by them.
#pragma once

#include "sampling/estimate/window_statistics.h"

namespace microlift {

// Fills overlaps, tree and missing_overlaps from those of every pair (K, K), with a warning if there are
// links under the threshold.
void find_overlaps(const std::vector<double>& overlap, const BiasWindows& windows, int dims,
                   double threshold, FreeEnergyResult& r);

// Which windows are connected: the number of each one's part. Links with hardly a sample in common do not
// connect.
std::vector<index> connected_parts(const FreeEnergyResult& r);

}  // namespace microlift
