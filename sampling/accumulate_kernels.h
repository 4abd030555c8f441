// The kernel behind sampling/accumulate.h (sampling/accumulate.ops.cpp compiles it).
#pragma once

#include "engine/stream.h"
#include "kernels/lane.h"

namespace microlift {

// One trajectory's samples of a chunk. Counts are integers and sums stay with their trajectory, so that
// neither depends on the order of threads.
struct CountSamples {
    static constexpr index kGrain = 64;
    index trajectories, row, segments, replicas, bins;
    int dim, cvs;
    float from[2], per_width[2];
    index axis_bins[2];
    const float* x;   // (dim, row), column s · trajectories + i
    const float* xi;  // (cvs, row)
    uint64* counts;
    double* sums;

    LANE_FN void operator()(index i) const {
        uint64* const histogram = counts + (i / replicas) * (bins + 1);
        for (index s = 0; s < segments; ++s) {
            const index column = s * trajectories + i;
            index bin = 0;
            bool inside = true;
            for (int k = 0; k < cvs; ++k) {
                const float at = (xi[k * row + column] - from[k]) * per_width[k];
                inside = inside && at >= 0.0f && at < static_cast<float>(axis_bins[k]);
                bin = bin * axis_bins[k] + (inside ? static_cast<index>(at) : 0);
            }
            atomic_add(&histogram[inside ? bin : bins], 1);
        }
        for (int d = 0; d < dim; ++d) {
            double* const first = sums + d * trajectories + i;
            double* const second = first + dim * trajectories;
            double m1 = *first, m2 = *second;
            for (index s = 0; s < segments; ++s) {
                const double value = static_cast<double>(x[d * row + s * trajectories + i]);
                m1 += value;
                m2 += value * value;
            }
            *first = m1;
            *second = m2;
        }
    }
};

// Counts the samples of every trajectory.
void count_samples(Stream& stream, const CountSamples& body);

}  // namespace microlift
