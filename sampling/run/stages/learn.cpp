// Learning coordinates: a diffusion map of the stored samples, for a later run.
#include "sampling/learn/landmarks.h"
#include "sampling/learn/learn.h"
#include "sampling/run/checks.h"
#include "sampling/run/meter.h"
#include "sampling/run/stages.h"

namespace microlift {

namespace {

SomeSamples some_samples(Run& run, const std::vector<index>& rows) {
    const SampleSet& samples = run.samples;
    SomeSamples some;
    some.n = static_cast<index>(rows.size());
    std::vector<float> column(static_cast<std::size_t>(samples.n));
    for (int d = 0; d < run.model.dim(); ++d) {
        copy_to_host(run.stream, column.data(),
                     Span<const float>(samples.x.span().subspan(d * samples.row, samples.n)));
        for (index row : rows) some.x.push_back(column[static_cast<std::size_t>(row)]);
    }
    // Estimators that weigh no samples leave none.
    std::fill(column.begin(), column.end(), 0.0f);
    if (run.samples.log_weight.size() >= samples.n)
        copy_to_host(run.stream, column.data(),
                     Span<const float>(run.samples.log_weight.span().subspan(0, samples.n)));
    for (index row : rows)
        some.log_weight.push_back(static_cast<double>(column[static_cast<std::size_t>(row)]));
    return some;
}

LearnedSummary learn_from(Run& run) {
    StageMeter meter(run.record, "learn");
    const LearnConfig& config = run.config.learn;
    const std::vector<index> rows = samples_to_read(run.samples.n, config, run.config.seed);
    return learn_coordinates(run.stream, run.model, run.config.integrator, config,
                             some_samples(run, rows), run.config.seed,
                             (run.dir / "diffusion_map.json").string(), run.progress);
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
    const Checking check(run, "learned");
    for (const std::string& warning : learned.warnings) run.warn("learned coordinates: " + warning);
    run.write_metrics();
}

}  // namespace microlift
