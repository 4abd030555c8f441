// The device pass of sampling/estimate/conditional.h.
#pragma once

#include "sampling/estimate/sample_kernels.h"

namespace microlift {

// Moments of one bin and block: Σ1, Σz, Σzz (upper triangle), then for each variable Σy, Σyz, Σyy;
// z = (ξ − centre)/width.
LANE_FN int base_moments(int dims) {
    return dims == 1 ? 3 : 6;
}
LANE_FN int variable_moments(int dims) {
    return dims == 1 ? 3 : 4;
}

struct ConditionalBins {
    int32 dims = 1;
    double from[kMaxCvs] = {0, 0}, inverse_width[kMaxCvs] = {0, 0};
    index bins[kMaxCvs] = {1, 1};
};

// Adds one run to sums[(block * bins + bin) * moments + i]; blocks are merged `merge` at a time.
void conditional_sums(Stream& stream, const BiasedSamples& samples, const SampleBlock& run,
                      const ErrorBlocks& blocks, index merge, Span<const float> y, index y_row,
                      index variables, const ConditionalBins& bins, Span<double> sums);

}  // namespace microlift
