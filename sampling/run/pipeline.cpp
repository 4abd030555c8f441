#include "sampling/run/pipeline.h"

#include <stdexcept>
#include <string_view>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "engine/comm/communicator.h"
#include "engine/files/log_file.h"
#include "sampling/dynamics/mathematics.h"
#include "sampling/run/checkpoint.h"
#include "sampling/run/files/sample_files.h"
#include "sampling/run/checks.h"
#include "sampling/run/config/inputs.h"
#include "sampling/run/config/memory.h"
#include "sampling/run/stages.h"
#include "sampling/run/summary.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

Json describe_system(const Model& model) {
    const FormulaSystemText& text = model.text();
    Json j;
    j["name"] = model.name();
    j["variables"] = model.variables();
    j["observed"] = model.observed() ? Json(model.target_names()) : Json::array();
    j["cvs"] = model.cv_names();
    if (model.all_round(0) || (model.n_cvs() > 1 && model.all_round(1)))
        for (int k = 0; k < model.n_cvs(); ++k) j["periods"].push_back(model.period(k));
    j["potential_formula"] = text.potential;
    j["drift"] = text.drift;
    j["diffusion"] = text.diffusion;
    j["observe"] = text.observe;
    j["parameters"] = Json::object();
    for (const auto& [name, value] : text.parameters) j["parameters"][name] = value;
    if (model.gradient()) j["beta"] = model.formulas().beta;
    j["kt"] = model.kt();
    j["energy_unit"] = model.energy_unit();
    return j;
}

void describe(Run& run) {
    Json& metrics = run.record.metrics;
    if (!metrics["stages"].is_object()) metrics["stages"] = Json::object();
    metrics["version"] = MICROLIFT_VERSION;
    metrics["configuration"] = run.config.checksum();
    metrics["system"] = describe_system(run.model);
    metrics["device"] = run.device.description();
    metrics["threads"] = run.device.threads();
    metrics["processes"] = Communicator::world().size();
    metrics["math"] = mathematics_name(run.config.integrator.portable_math);
    metrics["precision"] = "fp32";
    metrics["seed"] = run.config.seed;
}

// Those of `check` refuse what they find, and the run goes on past them.
void record_first_checks(Run& run) {
    const bool taken = run.config.samples.enabled;  // elsewhere nobody checked
    if (run.config.sampled && !taken) Checking made(run, "starts");
    if (run.config.sampled && (!taken || run.config.coupling.enabled))
        for (const char* name : {"ends", "spacing"}) Checking made(run, name);
    if (run.model.n_cvs() == 2) Checking made(run, "independent");
    if (!run.config.sampled || run.model.states_alone()) return;
    Checking balance(run, "balance");
    if (const std::string remark = run.model.bias_remark(); !remark.empty()) run.warn(remark);
}

// What a stage has freed goes back to the system, which the C library may keep for itself.
void run_stage(const Stage& stage, Run& run) {
    stage.run(run);
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}

// Sampling, estimating and training, round after round of coupling. A run that goes on begins with the
// stage at which it was stopped.
void run_rounds(Run& run) {
    Position& position = run.position;
    std::string resumed = position.stage;
    for (;; ++position.round) {
        for (const Stage& stage : stages()) {
            if (stage.when != Stage::When::every_round || !stage.wanted(run)) continue;
            if (!resumed.empty() && resumed != stage.name) continue;
            resumed.clear();
            position.stage = stage.name;
            run_stage(stage, run);
        }
        if (run.coupling.places.empty()) return;
    }
}

void run_the_rest(Run& run) {
    for (const Stage& stage : stages())
        if (stage.when == Stage::When::at_the_end && stage.wanted(run)) run_stage(stage, run);
    write_thinned(run);
    run.record["complete"] = true;
    run.record["memory"]["peak_bytes"] = most_resident_bytes();
    run.write_metrics();
    run.position.stage = "done";
    save_checkpoint(run);
    take_thinned(run.dir);
}

void go_on(Run& run) {
    if (run.position.done()) {
        take_thinned(run.dir);
        run.progress.note("nothing to do: " + run.dir.string() + " is complete");
    } else {
        describe(run);
        if (run.device.is_cpu())
            run.record["memory"]["predicted_bytes"] =
                run_memory(run.config, run.model, run.device, resident_bytes()).most();
        record_first_checks(run);
        run_rounds(run);
        run_the_rest(run);
    }
    run.progress.tell(summary(run));
}

}  // namespace

void run_pipeline(const RunConfig& of, const RunOptions& options, Progress& progress) {
    std::optional<Store> checkpoint;
    if (options.resume) checkpoint = read_checkpoint(options.out_dir);
    Device device = Device::pick(options.device, options.threads);
    RunConfig config = of;
    config.integrator.portable_math =
        checkpoint ? same_mathematics(options.math, mathematics_of(*checkpoint), device,
                                      (fs::path(options.out_dir) / "checkpoint.h5").string())
                   : portable_mathematics(options.math, device);
    device.compute_portably(config.integrator.portable_math);
    Run run(config, options, device, progress);
    if (checkpoint) load_checkpoint(run, *checkpoint);
    remove_segments(run);
    weigh_given(run);
    checkpoint.reset();
    Communicator::world().wait_for_all();  // the first replaces what the others read
    try {
        go_on(run);
    } catch (const Error&) {
        throw;
    } catch (const std::runtime_error& error) {
        // Metrics of a checkpoint that hold another kind of value than stages put there.
        if (!options.resume || !std::string_view(error.what()).starts_with("JSON: ")) throw;
        throw InputError((run.dir / "checkpoint.h5").string() +
                         ": its metrics are not those of a run; begin anew with --force");
    }
}

std::vector<std::string> run_files() {
    std::vector<std::string> files{"config.toml", "metrics.json", "checkpoint.h5", "report.html", kStatusName};
    for (const std::string& name : LogFile::names(kLogName)) files.push_back(name);
    const std::vector<std::string> inputs = input_names();
    files.insert(files.end(), inputs.begin(), inputs.end());
    for (const Stage& stage : stages())
        files.insert(files.end(), stage.files.begin(), stage.files.end());
    return files;
}

}  // namespace microlift
