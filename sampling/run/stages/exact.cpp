// exact.csv: the answers by quadrature, where that is possible.
#include "sampling/run/stages.h"

#include <algorithm>

#include "engine/files/files.h"

namespace microlift {

void write_exact(Run& run) {
    const std::optional<ExactModel> exact =
        run.model.observed() ? std::nullopt : run.model.exact();
    if (!exact) return;
    std::vector<std::string> columns{"cv_1", "free_energy"};
    const bool other = run.model.dim() == 2;
    if (other) {
        const std::string& name = run.model.variables()[static_cast<std::size_t>(exact->other())];
        columns.insert(columns.end(), {"mean_" + name, "variance_" + name});
    }
    const double kt = run.model.kt();
    std::vector<ExactConditional> at;
    double least = 1e300;
    for (index b = 0; b < run.grid.size(); ++b) {
        at.push_back(exact->at(run.grid.centre(0, b)));
        least = std::min(least, -at.back().log_z * kt);
    }
    CsvWriter csv(run.dir / "exact.csv", columns);
    for (index b = 0; b < run.grid.size(); ++b) {
        const ExactConditional& e = at[static_cast<std::size_t>(b)];
        std::vector<CsvWriter::Cell> cells{run.grid.centre(0, b), -e.log_z * kt - least};
        if (other) cells.insert(cells.end(), {e.mean, e.variance});
        csv.row(cells);
    }
    csv.finish();
}

}  // namespace microlift
