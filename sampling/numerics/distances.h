// Distances between two samples of equal size, (variables, n) with rows `row` apart, on the device:
// what lifted states are judged by where there is more than one variable. Fixed-order sums: no
// result depends on the number of threads.
#pragma once

#include "engine/device/buffer.h"

namespace microlift {

struct SampleView {
    Span<const float> x;  // x[d*row + j], j < n
    index row = 0, n = 0;
};

// 2 E|X − Y| − E|X − X'| − E|Y − Y'| ≥ 0, zero for equal laws only (Székely and Rizzo, J. Stat. Plan.
// Inference 143 (2013) 1249); unbiased, so it may come out slightly negative. n² distances.
double energy_distance(Stream& stream, int variables, const SampleView& a, const SampleView& b);

// Mean over `projections` random directions of the Wasserstein distance of order 1 or 2 between the
// projected samples (order 2: the root of the mean square). Needs equal n. Directions follow from the
// seed alone.
double sliced_wasserstein(Stream& stream, int variables, const SampleView& a, const SampleView& b,
                          int projections, int order, uint64 seed);

}  // namespace microlift
