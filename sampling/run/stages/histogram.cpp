#include "sampling/run/stages/histogram.h"

#include "sampling/run/places.h"

namespace microlift {

void start_histogram(Run& run, const RoundPlan& plan) {
    const Grid& grid = run.grid;
    std::vector<HistogramAxis> axes;
    for (std::size_t k = 0; k < static_cast<std::size_t>(grid.dims); ++k)
        axes.push_back({grid.from[k], grid.to[k], grid.bins[k]});
    SampleAccumulator& counts = run.histogram.accumulator.emplace(
        run.device, run.model.dim(), axes, plan.windows, plan.replicas);
    BiasedSamples shape;
    shape.blocks = {{0, 0, plan.windows, plan.replicas, plan.segments}};
    ErrorBlocks blocks = choose_error_blocks(shape, static_cast<double>(plan.segments),
                                             run.config.estimate.blocks);
    // Few replicas: segments of time as well, joined later where they are short against a relaxation time
    // that is not known yet.
    constexpr index kReplicas = 16, kBlocks = 32, kShortest = 8;
    if (blocks.replica_groups < kReplicas)
        while (blocks.count() < kBlocks && 2 * blocks.time_segments * kShortest <= plan.segments)
            blocks.time_segments *= 2;
    const std::vector<double> range = expected_range(run.windows, grid.dims);
    counts.count_cells(run.device, cell_layout(range.data(), run.windows, grid), blocks,
                       plan.segments);
    run.histogram.resume();
}

void write_histogram(Run& run) {
    const SampleAccumulator& histogram = *run.histogram.accumulator;
    std::vector<std::string> columns{"window"};
    for (const std::string& name : cv_columns(run.grid.dims, {"count"})) columns.push_back(name);
    CsvWriter csv(run.dir / "histogram.csv", columns);
    const std::vector<uint64> counts = histogram.counts(run.stream);
    const std::vector<CvValue> centres = bin_centres(run.grid);
    const index row = histogram.bins() + 1;
    double outside = 0, all = 0;
    for (index w = 0; w < histogram.windows(); ++w) {
        for (index b = 0; b < row; ++b) {
            const uint64 count = counts[static_cast<std::size_t>(w * row + b)];
            all += static_cast<double>(count);
            if (b == row - 1) outside += static_cast<double>(count);
            if (count == 0 || b == row - 1) continue;
            std::vector<CsvWriter::Cell> cells{w};
            for (const auto& cell : cv_cells(run.grid.dims, centres[static_cast<std::size_t>(b)]))
                cells.push_back(cell);
            cells.emplace_back(static_cast<index>(count));
            csv.row(cells);
        }
    }
    csv.finish();
    run.record.stage("sample")["outside_share"] = all > 0 ? outside / all : 0.0;
}

}  // namespace microlift
