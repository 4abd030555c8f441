// The free energy, and samples.h5 with the weights that come with it.
#include "sampling/run/stages.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "sampling/estimate/reweight/reweighting.h"
#include "sampling/run/biased_runs.h"
#include "sampling/run/checks.h"
#include "sampling/run/meter.h"
#include "sampling/run/places.h"
#include "sampling/run/summary.h"
#include "sampling/run/files/sample_files.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

FreeEnergyResult estimate_from(Run& run) {
    StageMeter meter(run.record, "estimate");
    if (run.bias.method) return estimate_under_bias(run, run.samples.biased(), run.windows);
    const EstimateOptions options = estimate_options(run);
    if (run.config.samples.enabled && run.config.samples.given->weighted())
        return reweight(run.stream, run.samples.biased(), run.windows, given_log_weights(run), run.grid, options);
    if (run.histogram.kept())
        return estimate_free_energy(run.histogram.accumulator->histogram(run.stream), run.windows,
                                    run.grid, options);
    return estimate_free_energy(run.stream, run.samples.biased(), run.windows, run.grid, options);
}

Json describe_windows(Run& run, const FreeEnergyResult& result) {
    Json list = Json::array();
    for (index w = 0; w < run.windows.size(); ++w) {
        const auto i = static_cast<std::size_t>(w);
        Json j;
        j["center"] = cv_json(run.grid.dims, run.windows.center[i]);
        j["stiffness"] = cv_json(run.grid.dims, run.windows.stiffness[i]);
        if (i < result.inefficiency.size()) j["inefficiency"] = result.inefficiency[i];
        if (i < result.effective_samples.size())
            j["effective_samples"] = result.effective_samples[i];
        for (const WindowOverlap& o : result.overlaps)
            if (o.a == w && !j.contains("overlap_next")) j["overlap_next"] = o.overlap;
        if (i < result.window_f.size()) j["free_energy_kt"] = result.window_f[i];
        list.push_back(j);
    }
    if (!run.histogram.kept()) return list;
    const SampleAccumulator::Moments moments = run.histogram.accumulator->moments(run.stream);
    const auto D = static_cast<std::size_t>(run.model.dim());
    for (std::size_t w = 0; w < list.size(); ++w)
        for (std::size_t d = 0; d < D; ++d) {
            list[w]["mean"].push_back(moments.mean[w * D + d]);
            list[w]["variance"].push_back(moments.variance[w * D + d]);
        }
    return list;
}

void record_estimate(Run& run, const FreeEnergyResult& result) {
    Json& record = run.record.stage("estimate");
    const bool weighted = run.config.samples.enabled && run.config.samples.given->weighted();
    record["method"] = weighted ? std::string("reweighting") : run.config.estimate.method;
    record["iterations"] = result.iterations;
    record["residual"] = result.residual;
    record["converged"] = result.converged;
    if (std::isfinite(result.once_round))
        record["once_round_kt"] = {result.once_round, result.once_round_error};
    record["error_blocks"] = result.error_blocks.count();
    record["compared"] = result.compared;
    record["samples"] =
        run.histogram.kept()
            ? run.histogram.accumulator->samples() * run.config.umbrella.trajectories()
            : run.samples.n;
    run.record["windows"] = describe_windows(run, result);
    record["overlaps"] = Json::array();
    for (const WindowOverlap& o : result.overlaps)
        record["overlaps"].push_back({o.a, o.b, o.overlap});
}

// The start is forgotten after several relaxation times, τ = g/2 samples.
void warn_equilibration(Run& run, const std::vector<double>& inefficiency) {
    const UmbrellaConfig& u = run.config.umbrella;
    if (u.given > 0) return;  // who knows how long elsewhere
    if (run.config.bias.annealed()) return;  // in equilibrium before, however slowly walkers move
    const Checking equilibration(run, "equilibration");
    std::string slow;
    for (std::size_t w = 0; w < inefficiency.size(); ++w) {
        if (static_cast<index>(w) >= u.window_count()) break;  // coupling's windows begin lifted
        const double relaxation = 0.5 * inefficiency[w] * static_cast<double>(u.stride);
        if (inefficiency[w] > 4 && 5 * relaxation > static_cast<double>(u.equilibrate))
            slow += (slow.empty() ? "" : ", ") + std::to_string(w) + " (" + number(relaxation) +
                    " steps)";
    }
    run.free_energy.start_shows = !slow.empty();
    if (!slow.empty() && u.shared)
        run.warn("walkers relax in " + number(0.5 * inefficiency[0] * static_cast<double>(u.stride)) + " steps" +
                 ", and less than five times that passed before the first sample, so the start may still show, and the "
                 "error bars do not include it; give more 'bias.steps', or a larger part of them before 'bias.freeze'");
    else if (!slow.empty())
        run.warn("equilibrated for less than five relaxation times, so the start may still show, "
                 "and the error bars do not include it: windows " + slow +
                 "; raise umbrella.equilibrate or use umbrella.exchange");
}

// What a doubt says that came of comparing these.
const char* doubted(const std::string& compared) {
    if (compared == "halves") return "two halves of the data";
    if (compared == "round") return "once round the period";
    return compared == "windows" ? "windows contradict" : " differ by ";
}

void write_profile(const Run& run) {
    CsvWriter csv(run.dir / "free_energy.csv", cv_columns(run.grid.dims, {"free_energy", "std_error"}));
    const std::vector<CvValue> centres = bin_centres(run.grid);
    for (std::size_t b = 0; b < centres.size(); ++b) {
        std::vector<CsvWriter::Cell> cells = cv_cells(run.grid.dims, centres[b]);
        cells.emplace_back(run.free_energy.profile[b]);
        cells.emplace_back(run.free_energy.error[b]);
        csv.row(cells);
    }
    csv.finish();
}

}  // namespace

void estimate(Run& run) {
    run.progress.begin("estimate", 1, "estimate");
    FreeEnergyResult result = estimate_from(run);
    record_estimate(run, result);
    run.free_energy.profile = result.profile.free_energy;
    run.free_energy.error = result.profile.std_error;
    run.free_energy.influence = result.profile.influence;
    run.free_energy.bias = result.profile.bias;
    run.free_energy.samples = result.profile.samples;
    run.free_energy.doubts = result.doubts;  // told at the end: another round may settle them
    run.free_energy.overlaps = result.overlaps;
    run.free_energy.error_blocks = result.error_blocks;
    run.progress.figure("free_energy_error", typical_error(result.profile).rms);
    {
        const Checking samples(run, "samples");
        for (const std::string& w : result.warnings) run.warn(w);
    }
    for (const std::string& name : result.compared)
        note_check(run, name, std::ranges::any_of(result.doubts, [&](const std::string& doubt) {
            return doubt.find(doubted(name)) != std::string::npos;
        }));
    warn_equilibration(run, result.inefficiency);
    write_profile(run);
    if (!run.histogram.kept()) {
        write_samples(run, &result.log_weight);
        if (run.samples.weighted) run.samples.log_weight = std::move(result.log_weight);
    }
    run.write_metrics();
    run.progress.end();
    if (const std::string words = free_energy_in_words(run); !words.empty()) run.progress.note("free energy: " + words);
    if (!result.converged)
        throw NumericError("the free-energy estimator '" + run.config.estimate.method +
                           "' did not converge in " + std::to_string(result.iterations) +
                           " iterations (residual " + number(result.residual) +
                           "); add windows where they do not overlap, or raise "
                           "estimate.max_iterations");
}

}  // namespace microlift
