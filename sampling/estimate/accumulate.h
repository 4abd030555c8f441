// Samples that are counted and not kept: for every window a histogram of ξ and the first two moments of
// the state, in device memory. Each process counts those of its own trajectories; results are of all, and every
// process has to ask for them.
#pragma once

#include <span>
#include <vector>

#include "sampling/dynamics/ensemble.h"
#include "sampling/estimate/histogram.h"

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

    // From now on also what estimate_free_energy() needs of every window: before the first sample.
    // `total`: the samples of each trajectory in the end, where blocks are segments of time, too.
    void count_cells(const Device& device, const CellLayout& layout, const ErrorBlocks& blocks,
                     index total = 1);

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
    // After count_cells(). Throws NumericError if a ξ was not finite.
    HistogramSamples histogram(Stream& stream) const;

    // All counts and all sums, for a checkpoint.
    std::vector<long long> save_counts(Stream& stream) const;
    std::vector<double> save_sums(Stream& stream) const;
    // Throws InputError if the sizes are others.
    void load(Stream& stream, index samples, std::span<const long long> counts,
              std::span<const double> sums);

private:
    std::vector<uint64> sum(Stream& stream, const Buffer<uint64>& own) const;
    std::vector<double> of_all(Stream& stream, const Buffer<double>& own) const;
    void load_own(Stream& stream, Buffer<double>& own, const double* all);
    index trajectories() const { return windows_ * replicas_; }
    bool shared() const { return share_.count != trajectories(); }
    int dim_;
    std::vector<HistogramAxis> axes_;
    index windows_, replicas_, bins_ = 1, samples_ = 0;
    Share share_;  // of the trajectories
    SampleSet chunk_;
    Buffer<uint64> counts_;
    CellLayout layout_;
    ErrorBlocks blocks_;
    index total_ = 1;
    Buffer<uint64> cell_counts_, cell_offsets_;
    Buffer<double> xi_sums_;
    Buffer<double> sums_;    // (2, dim, own trajectory): Σ x, Σ x²; a trajectory's own, in the order of time
};

}  // namespace microlift
