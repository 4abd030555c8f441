// Samples whose bias is known by its energy at each of them, as of metadynamics elsewhere: their weights exp(U/kT) by
// bins. The bias may be of other variables than ξ, so that states at one ξ have different weights, too.
#pragma once

#include <vector>

#include "sampling/bias/windows.h"
#include "sampling/estimate/result.h"

namespace microlift {

// log_weight: of each column, ln of unbiased over sampled density, up to a constant. Errors from blocks of time that
// are long against what ξ and the weights remember.
FreeEnergyResult reweight(Stream& stream, const BiasedSamples& samples, const BiasWindows& windows,
                          const std::vector<double>& log_weight, const Grid& grid, const EstimateOptions& options);

// The same weights beside other samples in the same bin: their sum in a bin is the number of samples of equal weight
// that would tell as much.
std::vector<float> weights_within_bins(Stream& stream, const BiasedSamples& samples,
                                       const std::vector<double>& log_weight, const Grid& grid);

}  // namespace microlift
