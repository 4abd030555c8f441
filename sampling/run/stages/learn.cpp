// Learning coordinates: a diffusion map of the stored samples, for a later run.
#include "sampling/learn/landmarks.h"
#include "sampling/learn/learn.h"
#include "sampling/run/meter.h"
#include "sampling/run/stages.h"

namespace microlift {

namespace {

LearnedSummary learn_from(Run& run) {
    StageMeter meter(run.record, "learn");
    LearnOptions options;
    static_cast<LearnConfig&>(options) = run.config.learn;
    options.dir = run.dir.string();
    return learn_coordinates(run.stream, run.config, options, run.progress);
}

}  // namespace

void learn(Run& run) {
    const LearnedSummary learned = learn_from(run);
    Json& j = run.record["learn"] = Json::object();
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
    for (const std::string& warning : learned.warnings) run.warn("learned coordinates: " + warning);
    run.write_metrics();
}

}  // namespace microlift
