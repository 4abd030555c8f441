// WHAM (Kumar et al., J. Comput. Chem. 13 (1992) 1011): MBAR on a histogram, every sample at the
// centre of its cell. The cells nest in the bins of the profile and are fine against the windows'
// widths.
#pragma once

#include "sampling/estimate/histogram.h"
#include "sampling/estimate/mbar.h"

namespace microlift {

// Samples in cells, and in the bins of the grid with a margin of empty or outlying bins around it.
struct CellHistogram {
    Grid grid;                  // the profile's
    index margin[kMaxCvs]{};    // bins added at the lower end
    index bins[kMaxCvs]{1, 1};  // with margins
    index blocks = 0;
    GatheredSamples at_mean;          // every cell at the mean of its samples
    std::vector<double> cell_centre;  // as at_mean.x, but the cells' centres
    double cell_width[kMaxCvs]{};
    std::vector<double> bin_count;    // blocks × bins[0]*bins[1], by block

    index padded_bin(index b) const {
        const index b0 = grid.bin(0, b) + margin[0];
        return grid.dims == 1 ? b0 : b0 * bins[1] + grid.bin(1, b) + margin[1];
    }
};

CellHistogram gather_cells(Stream& stream, const BiasedSamples& samples, const double* range,
                           const BiasWindows& windows, const Grid& grid, const ErrorBlocks& blocks);

CellHistogram gather_cells(const HistogramSamples& samples, const Grid& grid);

MixtureSolution solve_wham(const Mixture& mixture, const CellHistogram& cells,
                           std::vector<double> start, double tolerance, index max_iterations);
std::vector<double> estimate_wham(Estimation& e);

}  // namespace microlift
