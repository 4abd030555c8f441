// Samples that are counted and not kept: for every window a histogram of ξ and the first two moments of
// the state, in device memory.
#pragma once

#include <vector>

#include "sampling/ensemble.h"

namespace microlift {

// Bins of one collective variable; two of them make a grid in which the second varies fastest.
struct HistogramAxis {
    double from = 0, to = 1;
    index bins = 1;
};

class SampleAccumulator {
public:
    // Trajectory t belongs to window t / replicas. Memory: 8 bytes a bin and window, 16 a variable and
    // trajectory, and samples of `chunk_segments` segments on their way.
    SampleAccumulator(const Device& device, int dim, std::vector<HistogramAxis> axes, index windows,
                      index replicas, index chunk_segments = 16);

    index windows() const { return windows_; }
    index bins() const { return bins_; }
    index samples() const { return samples_; }  // of each trajectory

    // `segments` times: advance `stride` steps, then count every trajectory's state. Moves nothing between
    // host and device, stores nothing that grows.
    void sample(Stream& stream, Ensemble& ensemble, uint64 stride, index segments);

    // Results on the host. counts[window * (bins + 1) + bin]; the last is for ξ outside the axes.
    std::vector<uint64> counts(Stream& stream) const;
    // mean[window * dim + d] and variance (of the distribution, not of its mean).
    struct Moments {
        std::vector<double> mean, variance;
    };
    Moments moments(Stream& stream) const;

private:
    int dim_;
    std::vector<HistogramAxis> axes_;
    index windows_, replicas_, bins_ = 1, samples_ = 0;
    SampleSet chunk_;
    Buffer<uint64> counts_;
    Buffer<double> sums_;    // (2, dim, trajectory): Σ x, Σ x²; a trajectory's own, in the order of time
};

}  // namespace microlift
