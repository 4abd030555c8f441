#include "sampling/wham.h"

#include <algorithm>
#include <cmath>

namespace microlift {

namespace {

// By dimension: cells in one thermal width of the stiffest bias, and in all.
constexpr double kCellsPerWidth[kMaxCvs] = {8.0, 4.0};
constexpr index kMostCells[kMaxCvs] = {16384, 131072};
constexpr index kMostMargin = 64;

std::size_t at(index i) {
    return static_cast<std::size_t>(i);
}

}  // namespace

CellHistogram gather_cells(Stream& stream, const BiasedSamples& samples, const double* range,
                           const BiasWindows& windows, const Grid& grid,
                           const ErrorBlocks& blocks) {
    const int dims = samples.n_cvs;
    CellHistogram h;
    h.grid = grid;
    h.blocks = blocks.count();
    index parts[kMaxCvs] = {1, 1};
    index total = 1;
    for (int k = 0; k < dims; ++k) {
        const double width = grid.width(k);
        const auto bins_over = [&](double length) {
            return static_cast<index>(
                std::ceil(std::clamp(length / width, 1.0, static_cast<double>(kMostMargin))));
        };
        h.margin[k] = bins_over(grid.from[k] - range[2 * k]);
        h.bins[k] = h.margin[k] + grid.bins[k] + bins_over(range[2 * k + 1] - grid.to[k]);
        double stiffest = 1e-300;
        for (index w = 0; w < windows.size(); ++w)
            stiffest = std::max(stiffest, windows.reduced_stiffness(w, k));
        parts[k] = static_cast<index>(
            std::ceil(std::min(width * kCellsPerWidth[dims - 1] * std::sqrt(stiffest), 1e6)));
        total *= h.bins[k] * parts[k];
    }
    while (total > kMostCells[dims - 1] && (parts[0] > 1 || parts[1] > 1)) {
        index& part = parts[0] >= parts[1] ? parts[0] : parts[1];
        part = (part + 1) / 2;
        total = h.bins[0] * parts[0] * h.bins[1] * parts[1];
    }
    CellGrid cells;
    cells.dims = dims;
    double cell_width[kMaxCvs] = {1.0, 1.0};
    for (int k = 0; k < dims; ++k) {
        cell_width[k] = grid.width(k) / static_cast<double>(parts[k]);
        cells.from[k] = grid.from[k] - static_cast<double>(h.margin[k]) * grid.width(k);
        cells.inverse_width[k] = 1.0 / cell_width[k];
        cells.cells[k] = static_cast<int32>(h.bins[k] * parts[k]);
    }

    std::vector<int32> map(at(cells.size()), -1);
    index kept = 0;
    {
        Buffer<uint64> counts(stream.device(), cells.size()),
            offsets(stream.device(), dims * cells.size());
        cell_histogram(stream, samples, cells, counts.span(), offsets.span());
        const std::vector<uint64> count = to_host(stream, counts.span());
        const std::vector<uint64> offset = to_host(stream, offsets.span());
        for (index c = 0; c < cells.size(); ++c) {
            if (count[at(c)] == 0) continue;
            map[at(c)] = static_cast<int32>(kept++);
            h.at_mean.count.push_back(static_cast<double>(count[at(c)]));
            for (int k = 0; k < dims; ++k) {
                const index part =
                    dims == 1 ? c : (k == 0 ? c / cells.cells[1] : c % cells.cells[1]);
                const double mean = static_cast<double>(offset[at(k * cells.size() + c)]) /
                                    (kOffsetScale * static_cast<double>(count[at(c)]));
                const double corner = cells.from[k] + static_cast<double>(part) * cell_width[k];
                h.at_mean.x.push_back(corner + mean * cell_width[k]);
                h.cell_centre.push_back(corner + 0.5 * cell_width[k]);
            }
        }
    }
    Buffer<int32> device_map(stream.device(), cells.size());
    Buffer<uint64> by_block(stream.device(), h.blocks * kept);
    copy_to_device(stream, device_map.span(), map.data());
    for (const SampleBlock& run : samples.blocks)
        block_histogram(stream, samples, run, block_division(run, blocks), cells, device_map.span(),
                        kept, by_block.span());
    const std::vector<uint64> counts = to_host(stream, by_block.span());
    h.at_mean.block_count.assign(counts.begin(), counts.end());
    h.bin_count.assign(at(h.blocks * h.bins[0] * h.bins[1]), 0.0);
    for (index c = 0; c < cells.size(); ++c) {
        if (map[at(c)] < 0) continue;
        const index bin =
            dims == 1 ? c / parts[0]
                      : c / cells.cells[1] / parts[0] * h.bins[1] + c % cells.cells[1] / parts[1];
        for (index g = 0; g < h.blocks; ++g)
            h.bin_count[at(g * h.bins[0] * h.bins[1] + bin)] +=
                h.at_mean.block_count[at(g * kept + map[at(c)])];
    }
    return h;
}

MixtureSolution solve_wham(const Mixture& mixture, const CellHistogram& cells,
                           std::vector<double> start, double tolerance, index max_iterations) {
    GatheredSamples gathered;
    gathered.x = cells.cell_centre;
    gathered.count = cells.at_mean.count;
    return solve_gathered(mixture, gathered, std::move(start), tolerance, max_iterations);
}

}  // namespace microlift
