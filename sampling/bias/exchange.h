// Replica exchange between neighbouring windows: their trajectories swap states, by Metropolis.
#pragma once

#include "sampling/dynamics/ensemble.h"

namespace microlift {

struct ExchangeGrid {
    index windows[2] = {1, 1};  // CV 0 varies slowest, as in Grid
    index replicas = 1;
    float beta[2] = {1, 1};
};

// One attempt: replica r of window w against replica r of its neighbour along `axis`; `parity` chooses
// which half of the pairs. xi (K, n) is scratch that holds the trajectories' CVs at entry.
// accepted[0] counts swaps, accepted[1] attempts (device memory).
void exchange_neighbours(Stream& stream, Ensemble& ensemble, const ExchangeGrid& grid, int axis,
                         int parity, uint64 seed, uint64 attempt, Span<const float> xi,
                         Span<uint64> accepted);

}  // namespace microlift
