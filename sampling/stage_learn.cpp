// Learning coordinates: a diffusion map of the stored samples.
#include "sampling/learned.h"
#include "sampling/pipeline_stages.h"

namespace microlift {

void Pipeline::learn() {
    LearnOptions options;
    static_cast<LearnConfig&>(options) = run_.learn;
    options.dir = dir_.string();
    LearnedSummary learned;
    {
        StageMeter meter(metrics_["stages"], "learn");
        learned = learn_coordinates(stream_, run_, options, progress_);
    }
    Json& j = metrics_["learn"] = Json::object();
    j["points"] = learned.points;
    j["epsilon"] = learned.epsilon;
    if (learned.dimension > 0) j["dimension"] = learned.dimension;
    j["eigenvalues"] = learned.eigenvalues;
    j["rates"] = learned.rates;
    j["independent"] = learned.independent;
    j["rank_correlation"] = Json::array();
    for (const std::vector<double>& row : learned.rank_correlation) {
        Json named;
        for (std::size_t d = 0; d < row.size(); ++d) named[learned.variables[d]] = row[d];
        j["rank_correlation"].push_back(named);
    }
    j["geometric_harmonics_error"] = learned.harmonics_error;
    for (const std::string& warning : learned.warnings) warn("learned coordinates: " + warning);
    write_metrics();
}

}  // namespace microlift
