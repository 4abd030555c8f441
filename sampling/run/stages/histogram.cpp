// Sampling that keeps counts and sums instead of samples.
#include <algorithm>

#include "sampling/run/run.h"

namespace microlift {

void Pipeline::start_histogram(const RoundPlan& p) {
    std::vector<HistogramAxis> axes;
    for (std::size_t k = 0; k < static_cast<std::size_t>(grid_.dims); ++k)
        axes.push_back({grid_.from[k], grid_.to[k], grid_.bins[k]});
    histogram_.emplace(device_, model_.dim(), axes, p.windows, p.replicas);
    BiasedSamples shape;
    shape.blocks = {{0, 0, p.windows, p.replicas, p.segments}};
    // No segments of time: they would need to be long against a relaxation time not known yet.
    const ErrorBlocks blocks =
        choose_error_blocks(shape, static_cast<double>(p.segments), run_.estimate.blocks);
    const std::vector<double> range = expected_range(windows_, grid_.dims);
    histogram_->count_cells(device_, cell_layout(range.data(), windows_, grid_), blocks);
}

void Pipeline::put_histogram(Store& store) {
    if (!histogram_) return;
    store.put("histogram_counts", histogram_->save_counts(stream_));
    store.put("histogram_sums", histogram_->save_sums(stream_));
}

FreeEnergyResult Pipeline::estimate_histogram(const EstimateOptions& options) {
    return estimate_free_energy(histogram_->histogram(stream_), windows_, grid_, options);
}

void Pipeline::write_histogram() {
    std::vector<std::string> columns{"window"};
    for (int k = 0; k < grid_.dims; ++k) columns.push_back("cv_" + std::to_string(k + 1));
    columns.push_back("count");
    CsvWriter csv(dir_ / "histogram.csv", columns);
    const std::vector<uint64> counts = histogram_->counts(stream_);
    const index row = histogram_->bins() + 1;
    double outside = 0, all = 0;
    for (index w = 0; w < histogram_->windows(); ++w) {
        for (index b = 0; b < row; ++b) {
            const uint64 count = counts[static_cast<std::size_t>(w * row + b)];
            all += static_cast<double>(count);
            if (b == row - 1) outside += static_cast<double>(count);
            if (count == 0 || b == row - 1) continue;
            std::vector<CsvWriter::Cell> cells{static_cast<long long>(w)};
            for (int k = 0; k < grid_.dims; ++k) cells.emplace_back(grid_.centre(k, b));
            cells.emplace_back(static_cast<long long>(count));
            csv.row(cells);
        }
    }
    csv.finish();
    metrics_["stages"]["sample"]["outside_share"] = all > 0 ? outside / all : 0.0;
}

}  // namespace microlift
