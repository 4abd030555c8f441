// Which of many numbers lie between two.
#pragma once

#include <algorithm>

#include "kernels/lane/lane.h"

namespace microlift {

// use(j), in order, for every x[j], j < n, with low ≤ x[j] ≤ high. Stretches without one are passed over at the
// speed of memory: neighbours are often of one window.
template <class Use>
void each_within(const float* x, index n, double low, double high, const Use& use) {
    constexpr index kStretch = 256;
    for (index from = 0; from < n; from += kStretch) {
        const index to = std::min(n, from + kStretch);
        int32 any = 0;
        for (index j = from; j < to; ++j)
            any |= static_cast<int32>(static_cast<double>(x[j]) >= low) & static_cast<int32>(static_cast<double>(x[j]) <= high);
        if (any == 0) continue;
        for (index j = from; j < to; ++j)
            if (static_cast<double>(x[j]) >= low && static_cast<double>(x[j]) <= high) use(j);
    }
}

}  // namespace microlift
