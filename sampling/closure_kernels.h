// Launchers of the closure's bodies (sampling/closure_kernels.ops.cpp).
#pragma once

#include "engine/buffer.h"

namespace microlift {

// to[d · n + i] = from[d · row + which[i]], i < n.
void gather_states(Stream& stream, int dim, Span<const float> from, index row,
                   Span<const index> which, index n, Span<float> to);

struct BurstSums {
    int cvs;
    index values, replicas, blocks;
    const float* begin;  // (cvs, n): ξ at the start
    const float* end;    // (cvs, n)
    float from, inverse_width;  // of the values, one CV
    double* sums;               // (value, block, width)
    double* transition;         // (value, block, value), or null
};
void add_burst_sums(Stream& stream, const BurstSums& sums);

// Σ y and Σ y² of each group of `size` columns of each row: out (row, group, 2).
void group_sums(Stream& stream, Span<const float> y, index row, index rows, index groups, index size,
                Span<double> out);

}  // namespace microlift
