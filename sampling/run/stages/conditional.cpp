// conditional.csv: moments of every generated variable at every bin, of the samples here, of lifted
// states by the stages that lift.
#include "sampling/run/stages.h"

#include "sampling/run/meter.h"
#include "sampling/run/places.h"
#include "sampling/run/targets.h"

namespace microlift {

void average_samples(Run& run) {
    run.progress.begin("conditional averages", 1, "pass");
    StageMeter meter(run.record, "conditional");
    const ConditionalMoments m = target_moments(run);
    run.conditional.push_back({"physics", m.mean, m.mean_error, m.variance});
    run.progress.end();
}

void write_conditional(Run& run) {
    const std::vector<std::string> names = target_names(run);
    const std::vector<CvValue> centres = bin_centres(run.grid);
    CsvWriter csv(run.dir / "conditional.csv",
                  cv_columns(run.grid.dims, {"variable", "mean", "mean_se", "variance", "source"}));
    for (const BinMoments& m : run.conditional)
        for (std::size_t v = 0; v < names.size(); ++v)
            for (std::size_t b = 0; b < centres.size(); ++b) {
                const std::size_t i = v * centres.size() + b;
                std::vector<CsvWriter::Cell> cells = cv_cells(run.grid.dims, centres[b]);
                cells.insert(cells.end(),
                             {names[v], m.mean[i], m.error[i], m.variance[i], m.source});
                csv.row(cells);
            }
    csv.finish();
}

}  // namespace microlift
