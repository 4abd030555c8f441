// The closure from conditional averages.
#include "sampling/pipeline_stages.h"

namespace microlift {

void Pipeline::close() {
    progress_.begin("close", 1, "pass");
    StageMeter meter(metrics_["stages"], "close");
    const int K = model_.n_cvs();
    const int outputs = model_.closure_outputs();
    Buffer<float> values(device_, outputs * samples_.n);
    model_.closure(stream_, samples_.x.span(), samples_.row, samples_.n, values.span(), samples_.n);
    const ConditionalMoments m = conditional_moments(
        stream_, samples_.biased(), values.span(), samples_.n, outputs, grid_, error_blocks_);
    std::vector<std::string> columns;
    for (int k = 0; k < K; ++k) columns.push_back("cv_" + std::to_string(k + 1));
    if (K == 1)
        columns.insert(columns.end(), {"drift", "drift_se", "diffusion", "diffusion_se"});
    else
        columns.insert(columns.end(),
                       {"drift_1", "drift_1_se", "drift_2", "drift_2_se", "diffusion_11",
                        "diffusion_11_se", "diffusion_12", "diffusion_12_se", "diffusion_22",
                        "diffusion_22_se"});
    columns.push_back("source");
    CsvWriter csv(dir_ / "closure.csv", columns);
    for (index b = 0; b < grid_.size(); ++b) {
        std::vector<CsvWriter::Cell> cells;
        for (int k = 0; k < K; ++k) cells.emplace_back(grid_.centre(k, b));
        for (int o = 0; o < outputs; ++o) {
            cells.emplace_back(m.mean[m.place(o, b)]);
            cells.emplace_back(m.mean_error[m.place(o, b)]);
        }
        cells.emplace_back(std::string("conditional"));
        csv.row(cells);
    }
    csv.finish();
    progress_.end();
}

}  // namespace microlift
