// Free energies from histograms alone, where no sample was stored: WHAM and umbrella integration.
#pragma once

#include <vector>

#include "sampling/estimate/sample_kernels.h"

namespace microlift {

// Cells that nest in the bins of a grid with a margin around it, fine against the windows' widths.
struct CellLayout {
    CellGrid cells;
    index margin[kMaxCvs]{};    // bins added at the lower end
    index bins[kMaxCvs]{1, 1};  // with margins
    index parts[kMaxCvs]{1, 1};  // cells a bin
};

// `range`: least and greatest of each CV; what lies beyond 64 bins of margin counts as at the edge.
CellLayout cell_layout(const double* range, const BiasWindows& windows, const Grid& grid);
// The range that windows reach, for sampling yet to come: ten thermal widths around every centre.
std::vector<double> expected_range(const BiasWindows& windows, int dims);

// What SampleAccumulator counts. Window w has the trajectories w·replicas + r, r < replicas; the blocks
// for errors are groups of replicas times segments of time.
struct HistogramSamples {
    index windows = 0, replicas = 0, samples = 0;  // samples of each trajectory
    CellLayout layout;
    ErrorBlocks blocks;
    std::vector<uint64> counts;   // (block, cell)
    std::vector<uint64> offsets;  // (dims, cell), as cell_histogram() makes them
    std::vector<double> sums;     // (time, 2, dims, trajectory): Σ(ξ − centre), Σ(ξ − centre)²
    // Of a trajectory, over all times.
    double sum(index moment, index trajectory) const;
    index samples_in(index time) const;  // of each trajectory
    // Of a window, from the spread of its trajectories' means in each segment of time.
    double inefficiency(index window) const;
    index moments() const { return 2 * layout.cells.dims; }
    index trajectories() const { return windows * replicas; }
};

// Joins segments of time (a power of two) until they are long against the windows' relaxation.
void merge_times(HistogramSamples& samples);

// As from the samples themselves, but for MBAR, which needs them, and log_weight, which stays empty.
// The inefficiency of a window comes from the spread of its trajectories' means.
FreeEnergyResult estimate_free_energy(const HistogramSamples& samples, const BiasWindows& windows,
                                      const Grid& grid, const EstimateOptions& options);

}  // namespace microlift
