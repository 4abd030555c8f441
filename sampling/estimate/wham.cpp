#include "sampling/estimate/wham.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "sampling/estimate/estimators.h"

namespace microlift {

namespace {

// By dimension: cells in one thermal width of the stiffest bias, and in all.
constexpr double kCellsPerWidth[kMaxCvs] = {8.0, 4.0};
constexpr index kMostCells[kMaxCvs] = {16384, 131072};
constexpr index kMostMargin = 64;

// Cells with samples, numbered: −1 for the others.
std::vector<int32> place_cells(const CellLayout& layout, const std::vector<uint64>& count,
                               const std::vector<uint64>& offset, CellHistogram& h) {
    const CellGrid& cells = layout.cells;
    const int dims = cells.dims;
    std::vector<int32> map(at(cells.size()), -1);
    int32 kept = 0;
    for (index c = 0; c < cells.size(); ++c) {
        if (count[at(c)] == 0) continue;
        map[at(c)] = kept++;
        h.at_mean.count.push_back(static_cast<double>(count[at(c)]));
        for (int k = 0; k < dims; ++k) {
            const index part = dims == 1 ? c : (k == 0 ? c / cells.cells[1] : c % cells.cells[1]);
            const double mean = static_cast<double>(offset[at(k * cells.size() + c)]) /
                                (kOffsetScale * static_cast<double>(count[at(c)]));
            const double width = h.grid.width(k) / static_cast<double>(layout.parts[k]);
            const double corner = cells.from[k] + static_cast<double>(part) * width;
            h.at_mean.x.push_back(corner + mean * width);
            h.cell_centre.push_back(corner + 0.5 * width);
        }
    }
    return map;
}

// The margins of bins that go all round: the bins at the other end.
void fill_margins(const CellLayout& layout, CellHistogram& h) {
    const index row = h.bins[1], all = h.bins[0] * row;
    for (index g = 0; g < h.blocks; ++g) {
        double* const count = &h.bin_count[at(g * all)];
        for (int k = 0; k < h.grid.dims; ++k) {
            if (!layout.cells.round[k]) continue;
            const bool slow = h.grid.dims == 2 && k == 0;
            const index step = slow ? row : 1, lines = all / h.bins[k], last = h.bins[k] - 1;
            for (index line = 0; line < lines; ++line) {
                double* const at_line = count + (slow ? line : line * h.bins[k]);
                at_line[0] = at_line[(last - 1) * step];
                at_line[last * step] = at_line[step];
            }
        }
    }
}

// The bins' counts, from those of the cells in every block.
void count_bins(const CellLayout& layout, const std::vector<int32>& map, CellHistogram& h) {
    const CellGrid& cells = layout.cells;
    const index kept = h.at_mean.points();
    h.bin_count.assign(at(h.blocks * h.bins[0] * h.bins[1]), 0.0);
    for (index c = 0; c < cells.size(); ++c) {
        if (map[at(c)] < 0) continue;
        const auto along = [&](int k, index cell) {
            return cell / layout.parts[k] + (cells.round[k] ? layout.margin[k] : 0);
        };
        const index bin = cells.dims == 1 ? along(0, c)
                                          : along(0, c / cells.cells[1]) * h.bins[1] +
                                                along(1, c % cells.cells[1]);
        for (index g = 0; g < h.blocks; ++g)
            h.bin_count[at(g * h.bins[0] * h.bins[1] + bin)] +=
                h.at_mean.block_count[at(g * kept + map[at(c)])];
    }
    fill_margins(layout, h);
}

CellHistogram empty_histogram(const CellLayout& layout, const Grid& grid, const ErrorBlocks& blocks) {
    CellHistogram h;
    h.grid = grid;
    h.blocks = blocks.count();
    for (int k = 0; k < kMaxCvs; ++k) {
        h.margin[k] = layout.margin[k];
        if (k < grid.dims) h.cell_width[k] = grid.width(k) / static_cast<double>(layout.parts[k]);
        h.bins[k] = layout.bins[k];
    }
    return h;
}

}  // namespace

CellLayout cell_layout(const double* range, const BiasWindows& windows, const Grid& grid) {
    const int dims = grid.dims;
    CellLayout layout;
    index* const parts = layout.parts;
    index total = 1;
    for (int k = 0; k < dims; ++k) {
        const double width = grid.width(k);
        const auto bins_over = [&](double length) {
            return static_cast<index>(
                std::ceil(std::clamp(length / width, 1.0, static_cast<double>(kMostMargin))));
        };
        const bool round = grid.round[k];
        layout.margin[k] = round ? 1 : bins_over(grid.from[k] - range[2 * k]);
        layout.bins[k] = layout.margin[k] + grid.bins[k] +
                         (round ? 1 : bins_over(range[2 * k + 1] - grid.to[k]));
        double stiffest = 1e-300;
        for (index w = 0; w < windows.size(); ++w)
            stiffest = std::max(stiffest, windows.reduced_stiffness(w, k));
        parts[k] = static_cast<index>(
            std::ceil(std::min(width * kCellsPerWidth[dims - 1] * std::sqrt(stiffest), 1e6)));
        total *= layout.bins[k] * parts[k];
    }
    while (total > kMostCells[dims - 1] && (parts[0] > 1 || parts[1] > 1)) {
        index& part = parts[0] >= parts[1] ? parts[0] : parts[1];
        part = (part + 1) / 2;
        total = layout.bins[0] * parts[0] * layout.bins[1] * parts[1];
    }
    CellGrid& cells = layout.cells;
    cells.dims = dims;
    for (int k = 0; k < dims; ++k) {
        // All round the margins repeat what lies at the other end, and have no cells of their own.
        const index without = grid.round[k] ? layout.margin[k] : 0;
        cells.round[k] = grid.round[k];
        cells.from[k] = grid.from[k] -
                        static_cast<double>(layout.margin[k] - without) * grid.width(k);
        cells.inverse_width[k] = 1.0 / (grid.width(k) / static_cast<double>(parts[k]));
        cells.cells[k] = static_cast<int32>((layout.bins[k] - 2 * without) * parts[k]);
    }
    return layout;
}

std::vector<double> expected_range(const BiasWindows& windows, int dims) {
    std::vector<double> range;
    for (int k = 0; k < dims; ++k) {
        double low = 1e300, high = -1e300;
        for (index w = 0; w < windows.size(); ++w) {
            const double reach = 10.0 / std::sqrt(std::max(windows.reduced_stiffness(w, k), 1e-300));
            const double center = windows.center[at(w)][static_cast<std::size_t>(k)];
            low = std::min(low, center - reach);
            high = std::max(high, center + reach);
        }
        range.push_back(low);
        range.push_back(high);
    }
    return range;
}

CellHistogram gather_cells(Stream& stream, const BiasedSamples& samples, const double* range,
                           const BiasWindows& windows, const Grid& grid,
                           const ErrorBlocks& blocks) {
    const CellLayout layout = cell_layout(range, windows, grid);
    const CellGrid& cells = layout.cells;
    CellHistogram h = empty_histogram(layout, grid, blocks);
    std::vector<int32> map;
    {
        Buffer<uint64> counts(stream.device(), cells.size()),
            offsets(stream.device(), cells.dims * cells.size());
        cell_histogram(stream, samples, cells, counts.span(), offsets.span());
        map = place_cells(layout, to_host(stream, counts.span()), to_host(stream, offsets.span()), h);
    }
    const index kept = h.at_mean.points();
    Buffer<int32> device_map(stream.device(), cells.size());
    Buffer<uint64> by_block(stream.device(), h.blocks * kept);
    copy_to_device(stream, device_map.span(), map.data());
    for (const SampleBlock& run : samples.blocks)
        block_histogram(stream, samples, run, block_division(run, blocks), cells, device_map.span(),
                        kept, by_block.span());
    const std::vector<uint64> counts = to_host(stream, by_block.span());
    h.at_mean.block_count.assign(counts.begin(), counts.end());
    count_bins(layout, map, h);
    return h;
}

CellHistogram gather_cells(const HistogramSamples& samples, const Grid& grid) {
    CellHistogram h = empty_histogram(samples.layout, grid, samples.blocks);
    const index size = samples.layout.cells.size();
    std::vector<uint64> total(at(size), 0);
    for (index g = 0; g < h.blocks; ++g)
        for (index c = 0; c < size; ++c) total[at(c)] += samples.counts[at(g * size + c)];
    const std::vector<int32> map = place_cells(samples.layout, total, samples.offsets, h);
    const index kept = h.at_mean.points();
    h.at_mean.block_count.assign(at(h.blocks * kept), 0.0);
    for (index g = 0; g < h.blocks; ++g)
        for (index c = 0; c < size; ++c)
            if (map[at(c)] >= 0)
                h.at_mean.block_count[at(g * kept + map[at(c)])] =
                    static_cast<double>(samples.counts[at(g * size + c)]);
    count_bins(samples.layout, map, h);
    return h;
}

MixtureSolution solve_wham(const Mixture& mixture, const CellHistogram& cells,
                           std::vector<double> start, double tolerance, index max_iterations) {
    GatheredSamples gathered;
    gathered.x = cells.cell_centre;
    gathered.count = cells.at_mean.count;
    return solve_gathered(mixture, gathered, std::move(start), tolerance, max_iterations);
}

std::vector<double> estimate_wham(Estimation& e) {
    const MixtureSolution solution =
        solve_wham(e.mixture, e.cells, gaussian_start(e.mixture, e.statistics.mean, e.statistics.variance),
                   e.options.tolerance, e.options.max_iterations);
    weigh_samples(e, solution.a);
    e.second = solve_gathered(e.mixture, e.cells.at_mean, solution.a,
                              std::max(e.options.tolerance, 1e-4), e.options.max_iterations).a;
    e.second_name = "MBAR";
    e.second_cause = "the histogram is too coarse for windows this stiff; use \"mbar\"";
    e.cells.at_mean.x = e.cells.cell_centre;
    return finish_mixture(e, solution);
}

}  // namespace microlift
