// rates.csv: how long it takes from one state to another.
#include <cmath>

#include "engine/files/files.h"
#include "sampling/rates/method.h"
#include "sampling/rates/methods.h"
#include "sampling/run/checkpoint.h"
#include "sampling/run/meter.h"
#include "sampling/run/stages.h"

namespace microlift {

namespace {

// Advances the method to its end, with checkpoints on the way.
void advance_to_end(Run& run, RateMethod& method) {
    constexpr double kUnits = 1000;
    const StopLater later;
    run.progress.begin("rates", kUnits, "of a thousand", kUnits * method.share());
    run.rates.fill = [&](Store& store) { method.save(store); };
    SaveClock saves;
    try {
        while (method.advance()) {
            run.progress.update(kUnits * method.share());
            if (!saves.due()) continue;
            save_checkpoint(run);
            throw_if_stopped();
        }
    } catch (...) {
        run.rates.fill = nullptr;
        throw;
    }
    run.rates.fill = nullptr;
    run.progress.end();
}

void write_rates(Run& run, RateMethod& method, RateResult result) {
    const RateLanes& lanes = method.lanes();
    for (const RateFigure& figure : result.figures)
        if (figure.quantity == "mfpt" && !std::isfinite(figure.value))
            throw NumericError("no trajectory of [rates] came to rates.to: give more replicas, levels that lie closer, more "
                               "steps, or a progress coordinate that grows from rates.from to rates.to");
    CsvWriter csv(run.dir / "rates.csv", {"quantity", "value", "std_error", "force_evaluations", "method"});
    Json& record = run.record.metrics["rates"];
    record = result.metrics;
    record["method"] = run.config.rates.method;
    record["force_evaluations"] = lanes.force_evaluations();
    record["steps"] = lanes.steps();
    record["bridged"] = lanes.bridged();
    Json& figures = record["figures"] = Json::array();
    for (const RateFigure& figure : result.figures) {
        csv.row({figure.quantity, figure.value, figure.error, lanes.force_evaluations(), run.config.rates.method});
        figures.push_back({{"quantity", figure.quantity}, {"value", figure.value}, {"std_error", figure.error}});
        if (figure.quantity != "mfpt") continue;
        // N passages, which take mfpt each, have the relative error 1/√N; one after the other.
        const double passages = std::pow(figure.value / figure.error, 2);
        record["direct_force_evaluations"] =
            passages * figure.value / lanes.dt() * static_cast<double>(run.config.rates.stride) * lanes.forces_per_step();
    }
    csv.finish();
    for (const std::string& warning : result.warnings) run.warn(warning);
    if (!result.paths.names().empty()) result.paths.save(run.dir / "rates.h5", "rates");
}

}  // namespace

void compute_rates(Run& run) {
    {
        StageMeter meter(run.record, "rates");
        const RateSetup setup{run.model, run.config.integrator, run.config.rates, derived_seed(run.config.seed, 7000)};
        const std::unique_ptr<RateMethod> method = make_rate_method(run.stream, setup);
        if (!run.rates.kept.names().empty()) method->load(run.rates.kept);
        run.rates.kept = {};
        const double steps = method->lanes().steps(), forces = method->lanes().force_evaluations();
        advance_to_end(run, *method);
        meter.work(method->lanes().steps() - steps, method->lanes().force_evaluations() - forces);
        write_rates(run, *method, method->result());
    }
    run.write_metrics();
}

}  // namespace microlift
