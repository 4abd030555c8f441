// Stored samples of biased runs: what a stage hands on and every estimator reads.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "engine/device/buffer.h"
#include "kernels/dynamics/cv.h"

namespace microlift {

// One rectangular run: windows × replicas trajectories, `samples` stored states each. Column
// j = first + s*trajectories() + t; trajectory t is replica t % replicas of window
// first_window + t / replicas.
struct SampleBlock {
    index first = 0, first_window = 0, windows = 0, replicas = 0, samples = 0;
    // How many there are, and how many columns.
    index trajectories() const { return windows * replicas; }
    index size() const { return trajectories() * samples; }
};

// What estimators read of samples: the collective variables.
struct BiasedSamples {
    Span<const float> xi;  // (n_cvs, row) on the device: xi[k*row + j], j < n
    index row = 0;
    int n_cvs = 1;
    index n = 0;
    std::vector<SampleBlock> blocks;  // one after the other, together n columns
    // Of each column beside others at its ξ, where a bias was of other variables, too; empty: all alike.
    Span<const float> weight{};
};

// Stored samples, variable-major on the device: x[d*row + j], xi[k*row + j], j < n ≤ row.
struct SampleSet {
    SampleSet() = default;
    SampleSet(const Device& device, int dims, int cvs, index capacity)
        : dim(dims), n_cvs(cvs), row(capacity), x(device, dims * capacity),
          xi(device, cvs * capacity) {}

    int dim = 0, n_cvs = 0;
    index row = 0, n = 0;
    Buffer<float> x, xi;
    std::vector<SampleBlock> blocks;
    Buffer<float> weight;  // as in BiasedSamples

    // What estimators read of it; a view.
    BiasedSamples biased() const { return {xi.span(), row, n_cvs, n, blocks, weight.span()}; }
};

// One of each of `count` equal parts of n columns, 1 ≤ count ≤ n, not at the same place of each: as trajectories lie
// side by side, equal steps would find the same few of them again and again.
inline std::vector<index> spread_over(index n, index count) {
    std::vector<index> columns;
    for (index k = 0; k < count; ++k) {
        const double place = 0.6180339887498949 * static_cast<double>(k + 1);
        const double part = static_cast<double>(k) + place - std::floor(place);
        columns.push_back(std::min(n - 1, static_cast<index>(part * static_cast<double>(n) / static_cast<double>(count))));
    }
    return columns;
}

// How samples are divided into independent blocks for errors: block = (replica group, time
// segment).
struct ErrorBlocks {
    index replica_groups = 1, time_segments = 1;
    index count() const { return replica_groups * time_segments; }  // of blocks
    std::string description;
};

}  // namespace microlift
