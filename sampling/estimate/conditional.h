// Conditional averages E[y | ξ = bin centre] and variances of any arrays along the samples: states,
// observables, the closure's integrands.
//
// The bias depends on ξ alone, so p(y | ξ) is the same in every window and inside a narrow bin no
// reweighting is needed; equal weights are the most efficient consistent choice. Each bin has its
// own linear regression on ξ about its centre; what is left, h²/24 times the second derivative, is
// taken off by second differences between bins. Errors: delete-one-block jackknife over independent
// blocks.
#pragma once

#include "sampling/estimate/window_statistics.h"

namespace microlift {

// Means and variances of given arrays by bin, with standard errors.
struct ConditionalMoments {
    Grid grid;
    index variables = 0, blocks = 0;
    // (variable, bin); NaN where a bin has no (or too few) data.
    std::vector<double> mean, mean_error, variance, variance_error;
    std::vector<double> count;                               // samples, by bin
    std::vector<double> mean_influence, variance_influence;  // (variable, block, bin)

    // Where a number stands in the arrays (variable, bin).
    std::size_t place(index variable, index bin) const {
        return static_cast<std::size_t>(variable * grid.size() + bin);
    }
    // Cubic interpolation between bin centres, and its standard error.
    double mean_at(index variable, double x0, double x1 = 0.0) const;
    double mean_error_at(index variable, double x0, double x1 = 0.0) const;
    double variance_at(index variable, double x0, double x1 = 0.0) const;
    double variance_error_at(index variable, double x0, double x1 = 0.0) const;
};

// Bytes that this takes for a while, where all samples are of one rectangular run.
double conditional_bytes(index samples, const Grid& grid, const ErrorBlocks& blocks, index variables);
// y (variables, y_row) on the device: y[v*y_row + j] belongs to column j of the samples.
ConditionalMoments conditional_moments(Stream& stream, const BiasedSamples& samples,
                                       Span<const float> y, index y_row, index variables,
                                       const Grid& grid, const ErrorBlocks& blocks);

}  // namespace microlift
