// What every estimator asks of the windows' samples first: counts, means, variances by block, statistical
// inefficiencies, overlaps; and the division of samples into independent blocks for errors.
#pragma once

#include <vector>

#include "sampling/bias/windows.h"
#include "sampling/estimate/result.h"

namespace microlift {

// Per window: counts, means, variances; and the sums of each block they come from.
struct WindowStatistics {
    index windows = 0, blocks = 0;
    int dims = 1;
    std::vector<double> sums;  // (window, block, 1 + 2*dims), about the window's centre
    std::vector<double> population, mean, variance;

    const double* sum(index w, index g) const {
        return &sums[static_cast<std::size_t>((w * blocks + g) * (1 + 2 * dims))];
    }
};

inline constexpr index kFewBlocks = 8;  // fewer tell their own spread badly

// Samples as images near the centres of their windows, the cut of a period opposite: means, variances and
// correlations within a window are then those of numbers without a period. Without periods the samples
// themselves.
class NearWindows {
public:
    NearWindows(Stream& stream, const BiasedSamples& samples, const BiasWindows& windows);
    const BiasedSamples& samples() const { return samples_; }

private:
    Buffer<float> xi_;
    BiasedSamples samples_;
};

// Fills population, mean and variance from the sums.
void finish_statistics(const BiasWindows& windows, WindowStatistics& s);
WindowStatistics window_statistics(Stream& stream, const BiasedSamples& samples,
                                   const BiasWindows& windows, const ErrorBlocks& blocks);

// Fills inefficiency and effective_samples.
void window_inefficiencies(Stream& stream, const BiasedSamples& samples, FreeEnergyResult& r);

std::string window_name(const BiasWindows& windows, index w, int dims);  // for messages

// Checks shapes and that the grid makes sense; throws InputError.
void check_estimate_input(const BiasedSamples& samples, const BiasWindows* windows,
                          const Grid& grid);
// The division for errors. `inefficiency`: the largest over windows, in samples (time segments are
// at least ten times as long).
ErrorBlocks choose_error_blocks(const BiasedSamples& samples, double inefficiency,
                                index wanted = 0);

// A warning where errors rest on few blocks.
void warn_of_few_blocks(FreeEnergyResult& r);

// Least and greatest of each CV; throws NumericError where one is not finite, naming the sample.
void check_range(Stream& stream, const BiasedSamples& samples, double* range);

}  // namespace microlift
