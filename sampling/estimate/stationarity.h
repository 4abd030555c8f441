// Do samples move at all, and do they still forget where their trajectories started? A slow variable that ξ does not see can
// leave a window far from equilibrium while ξ itself looks well sampled.
#pragma once

#include "sampling/estimate/histogram.h"

namespace microlift {

// Throws NumericError where no trajectory of a window ever moved along a CV; some that did not are a
// warning.
void check_moving(Stream& stream, const BiasedSamples& samples, const BiasWindows& windows,
                  FreeEnergyResult& r);
void check_moving(const HistogramSamples& samples, const BiasWindows& windows, FreeEnergyResult& r);

struct Drifting {
    index window;
    int variable;
    double z;  // the worst variable's deviation, as of a standard normal number
};

// Windows in which the means of the first and of the second half of a trajectory differ, by a t-test
// over the window's replicas, which are independent. x (dim, row) on the device, its columns those of
// `samples`. Families of windows that are all stationary give a result with probability `false_alarm`
// at most (Bonferroni). Runs of fewer than four replicas or samples are not judged.
std::vector<Drifting> drifting_windows(Stream& stream, const BiasedSamples& samples,
                                       Span<const float> x, index row, int dim,
                                       double false_alarm = 1e-3);

}  // namespace microlift
