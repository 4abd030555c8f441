// Replica exchange between neighbouring windows: their trajectories swap states, by Metropolis.
#pragma once

#include "sampling/dynamics/ensemble.h"

namespace microlift {

// Which windows are neighbours.
struct ExchangeGrid {
    index windows[2] = {1, 1};  // CV 0 varies slowest, as in Grid
    index replicas = 1;
    float beta[2] = {1, 1};
    bool round[2] = {false, false};  // the last window is a neighbour of the first, too

    // All round every other window begins a pair, from a first one that goes on with each attempt.
    LANE_FN index pairs(int axis, index first) const {
        return round[axis] ? windows[axis] / 2 : (windows[axis] - first) / 2;
    }
    // The windows of a pair along `axis`.
    LANE_FN index lower(int axis, index first, index pair) const {
        const index w = 2 * pair + first;
        return w < windows[axis] ? w : w - windows[axis];
    }
    LANE_FN index upper(int axis, index lower) const {
        return lower + 1 < windows[axis] ? lower + 1 : 0;
    }
};

// One attempt: replica r of window w against replica r of its neighbour along `axis`; `first`, the lower
// window of the first pair, chooses which half of the pairs: 0 or 1, all round any window. xi (K, n) is scratch that holds the trajectories' CVs at entry.
// accepted[0] counts swaps, accepted[1] attempts (device memory).
void exchange_neighbours(Stream& stream, Ensemble& ensemble, const ExchangeGrid& grid, int axis,
                         index first, uint64 seed, uint64 attempt, Span<const float> xi,
                         Span<uint64> accepted);

}  // namespace microlift
