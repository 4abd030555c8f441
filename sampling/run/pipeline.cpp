#include "sampling/run/run.h"

#include <iostream>

#include "sampling/learn/diffusion_map.h"

namespace microlift {

namespace {

Grid make_grid(const RunConfig& run) {
    Grid grid;
    grid.dims = run.cv.count();
    for (int k = 0; k < grid.dims; ++k) {
        const auto i = static_cast<std::size_t>(k);
        grid.from[i] = run.umbrella.from[i];
        grid.to[i] = run.umbrella.to[i];
        grid.bins[i] = run.estimate.bins.empty() ? 100 : run.estimate.bins[i];
    }
    return grid;
}

}  // namespace

Pipeline::Pipeline(const RunConfig& run, const RunOptions& options, Progress& progress)
    : run_(run), dir_(options.out_dir), progress_(progress),
      device_(Device::pick(options.device, options.threads)), stream_(device_), model_(run),
      grid_(make_grid(run)), free_(free_variables(model_)) {
    const PathSetup setup = model_.path_setup(run.integrator);
    kernel_ = model_.path_kernel(setup);
    if (run.generator.enabled) {
        if (!model_.observed() && free_.empty())
            run.config.fail("generator",
                            "the collective variables are the whole state, nothing is left "
                            "for a generator to make",
                            "leave out [generator], or choose fewer collective variables");
        const auto made = static_cast<index>(target_names().size());
        if (run.generator.ring && !model_.observed() && made != model_.dim())
            run.config.fail("generator.ring",
                            "generator.ring = true, but a collective variable is one of the "
                            "ring's variables, so that they are not alike",
                            "take a collective variable of all of them, or set ring = false");
        if (run.generator.architecture == "conv" && run.generator.kernel > made)
            run.config.fail("generator.kernel",
                            "generator.kernel = " + std::to_string(run.generator.kernel) +
                                " is more than the " + std::to_string(made) + " sites of the ring",
                            "give a smaller odd number");
    }
    if (run.umbrella.exchange > 0 && run.umbrella.exchange % run.umbrella.stride != 0)
        run.config.fail("umbrella.exchange",
                        "umbrella.exchange = " + std::to_string(run.umbrella.exchange) +
                            " is not a multiple of umbrella.stride",
                        "exchange at steps that are sampled, for example every " +
                            std::to_string(run.umbrella.stride * 10));
    if (run.learn.enabled && run.umbrella.sample_count() < least_samples(run.learn.coordinates))
        run.config.fail("learn",
                        "the run stores " + std::to_string(run.umbrella.sample_count()) +
                            " samples, which are too few for " +
                            std::to_string(run.learn.coordinates) + " coordinates",
                        "sample longer, or give a shorter umbrella.stride; at least " +
                            std::to_string(least_samples(run.learn.coordinates)) + " are needed");
    index capacity = run.umbrella.histogram ? 0 : run.umbrella.sample_count();
    if (run.coupling.enabled)
        capacity += run.coupling.rounds * run.coupling.windows * run.coupling.replicas *
                    (run.coupling.steps / run.umbrella.stride);
    samples_ = SampleSet(device_, model_.dim(), model_.n_cvs(), capacity);
    windows_.beta = model_.cv_beta();
    if (options.resume) restore();
    if (!metrics_.is_object()) metrics_ = Json::object();
    if (!metrics_["stages"].is_object()) metrics_["stages"] = Json::object();
    metrics_["version"] = MICROLIFT_VERSION;
    metrics_["system"] = describe_system();
    metrics_["device"] = device_.description();
    metrics_["threads"] = device_.threads();
    metrics_["math"] = "portable";
    metrics_["precision"] = "fp32";
    metrics_["seed"] = run.seed;
}

void Pipeline::run() {
    if (stage_ == "done") {
        progress_.note("nothing to do: " + dir_.string() + " is complete");
        print_summary();
        return;
    }
    const index rounds = run_.coupling.enabled ? run_.coupling.rounds : 0;
    for (; round_ <= rounds; ++round_, stage_ = "sample") {
        if (stage_ == "sample") {
            sample();
            if (round_ > 0) discard_outdated();
            if (run_.estimate.enabled) estimate();
            stage_ = "train";
        }
        if (run_.generator.enabled) train();
        if (rounds > 0 && !plan_round()) break;
    }
    round_ = std::min(round_, rounds);
    if (run_.estimate.enabled) write_potential();
    compare();
    if (run_.learn.enabled) learn();
    if (rounds > 0 && run_.coupling.ablation) ablate();
    judge();
    metrics_["complete"] = true;
    write_metrics();
    stage_ = "done";
    Store store = base_checkpoint();
    store.save(dir_ / "checkpoint.h5");
    print_summary();
}

Json Pipeline::describe_system() const {
    const FormulaSystemText& text = model_.text();
    Json j;
    j["name"] = model_.name();
    j["variables"] = model_.variables();
    j["observed"] = model_.observed() ? Json(model_.target_names()) : Json::array();
    j["cvs"] = model_.cv_names();
    j["potential_formula"] = text.potential;
    j["drift"] = text.drift;
    j["diffusion"] = text.diffusion;
    j["observe"] = text.observe;
    j["parameters"] = Json::object();
    for (const auto& [name, value] : text.parameters) j["parameters"][name] = value;
    if (model_.gradient()) j["beta"] = model_.formulas().beta;
    j["kt"] = model_.kt();
    return j;
}

void Pipeline::warn(const std::string& text) {
    Json& list = metrics_["warnings"];
    if (!list.is_array()) list = Json::array();
    for (const auto& known : list)
        if (known == text) return;
    list.push_back(text);
    progress_.note("warning: " + text);
}

void Pipeline::judge() {
    if (run_.umbrella.histogram) return write_exact();
    warn_flat_cv();
    warn_drift();
    index row = 0;
    const std::vector<std::string> names = target_names();
    Json& stages = metrics_["stages"];
    if (error_blocks_.count() <= 1) error_blocks_ = choose_error_blocks(samples_.biased(), 1.0);
    std::vector<Moments> rows;
    if (!names.empty()) {
        progress_.begin("conditional averages", 1, "pass");
        StageMeter meter(stages, "conditional");
        const Span<const float> y = targets(row);
        const ConditionalMoments m = conditional_moments(
            stream_, samples_.biased(), y, row, static_cast<index>(names.size()), grid_,
            error_blocks_);
        rows.push_back({"physics", m.mean, m.mean_error, m.variance});
        progress_.end();
    }
    if (run_.closure.enabled) close();
    if (run_.generator.enabled) {
        lift(rows, names);
        classical_lifting(names);
        weigh_proposals(rows, names);
        consistency();
        energies();
    }
    if (!rows.empty()) write_conditional(rows, names);
    write_exact();
}

void Pipeline::print_summary() const {
    const Json stages = metrics_.value("stages", Json::object());
    double seconds = 0;
    for (const auto& [name, stage] : stages.items()) seconds += stage.value("seconds", 0.0);
    std::cout << "results in " << dir_.string() << " (" << number(seconds) << " s of work)\n";
    if (stages.contains("sample"))
        std::cout << "  sampled    " << number(stages["sample"].value("steps", 0.0))
                  << " trajectory-steps at "
                  << number(stages["sample"].value("steps_per_second", 0.0)) << "/s\n";
    if (stages.contains("estimate"))
        std::cout << "  estimate   " << stages["estimate"].value("method", "") << ", "
                  << (stages["estimate"].value("converged", false) ? "converged" : "not converged")
                  << " in " << stages["estimate"].value("iterations", 0) << " iterations\n";
    if (stages.contains("train"))
        std::cout << "  generator  " << number(stages["train"].value("updates", 0.0))
                  << " updates, held-out W1/sigma "
                  << number(stages["train"].value("best_w1", 0.0)) << " (sampling floor "
                  << number(stages["train"].value("w1_floor", 0.0)) << ")\n";
    const Json lifting = metrics_.value("lifting", Json::object());
    for (const char* source : {"generator_w1", "healed_w1"})
        if (lifting.contains(source))
            std::cout << "  lifting    " << source << "/sigma against "
                      << lifting.value("against", "") << ": median "
                      << number(lifting[source].value("median", 0.0)) << ", worst "
                      << number(lifting[source].value("worst", 0.0)) << "\n";
    const Json proposals = metrics_.value("proposals", Json::object());
    if (proposals.contains("acceptance"))
        std::cout << "  proposals  Metropolis acceptance: median "
                  << number(proposals["acceptance"].value("median", 0.0)) << ", worst "
                  << number(proposals["acceptance"].value("worst", 0.0))
                  << "; effective samples: median "
                  << number(100 * proposals["effective"].value("median", 0.0)) << " %, worst "
                  << number(100 * proposals["effective"].value("worst", 0.0)) << " %\n";
    const Json energies = metrics_.value("energies", Json::object());
    for (const char* source : {"generator", "healed"})
        if (energies.contains(source)) {
            const Json& worst = energies[source];
            std::cout << "  energies   " << source << " against physics: histogram within "
                      << number(100 * worst.value("histogram", 0.0)) << " % (sampling floor "
                      << number(100 * energies.value("floor", 0.0)) << " %)";
            if (worst.contains("correlation"))
                std::cout << ", correlation within "
                          << number(100 * worst.value("correlation", 0.0)) << " %";
            std::cout << "\n";
        }
    for (const auto& row : metrics_.value("compare", Json::array()))
        std::cout << "  compared   " << row.value("kind", "") << ": W1/sigma median "
                  << number(row.value("median", 0.0)) << ", worst "
                  << number(row.value("worst", 0.0)) << "\n";
    const Json learned = metrics_.value("learn", Json::object());
    if (learned.contains("eigenvalues")) {
        std::cout << "  learned    " << learned["eigenvalues"].size() << " coordinates; the first";
        for (const auto& [name, r] : learned["rank_correlation"][0].items())
            std::cout << (name == learned["rank_correlation"][0].begin().key()
                              ? ": rank correlation "
                              : ", ")
                      << number(r.get<double>()) << " with " << name;
        std::cout << "\n";
    }
    for (const auto& w : metrics_.value("warnings", Json::array()))
        std::cout << "  warning    " << w.get<std::string>() << "\n";
}

void run_pipeline(const RunConfig& run, const RunOptions& options, Progress& progress) {
    Pipeline(run, options, progress).run();
}

}  // namespace microlift
