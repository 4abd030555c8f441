#include "sampling/run/config/run_config.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "engine/at.h"
#include "engine/config/section.h"
#include "engine/files/files.h"
#include "engine/files/hash.h"
#include "nn/generators/registry.h"
#include "nn/train/limits.h"
#include "sampling/bias/cv_checks.h"
#include "sampling/dynamics/limits.h"
#include "sampling/lift/lifting.h"
#include "sampling/model/model.h"
#include "sampling/run/config/bias_readers.h"
#include "sampling/run/config/cost.h"
#include "sampling/run/config/inputs.h"
#include "sampling/run/config/plumed_input.h"
#include "sampling/run/config/spacing.h"
#include "sampling/run/config/starts.h"

namespace microlift {
namespace {

const Section<RunConfig>& top_section() {
    static const Section<RunConfig> section{"", {
        key(&RunConfig::seed, "seed", 1, "seed of every random number of the run")
            .from(0).to(9.2e18),
    }};
    return section;
}

const Section<OutputConfig>& output_files_section() {
    static const Section<OutputConfig> section{"output", {
        key(&OutputConfig::compress, "compress", 0,
            "how much samples.h5 is compressed, from 1 to 9, which takes time; 0: not at all").from(0).to(9),
        key(&OutputConfig::thin, "thin", 1,
            "samples.h5 has the first of each so many samples of a trajectory; the run itself works on all")
            .from(1).to(kMostSteps),
    }};
    return section;
}

void check_output(Config& config, const OutputConfig& output, bool samples) {
    for (const auto& [name, asked] : {std::pair("output.compress", output.compress > 0), {"output.thin", output.thin > 1}})
        config.with({name, "umbrella.store", "bias.method"}, [&] {
            if (asked && !samples)
                throw KeyError(name, "key '" + std::string(name) + "' is of samples.h5, which this run does not write",
                               "leave it out");
        });
}

// Nor one along a path.
void check_along_path(Config& config, const RunConfig& run) {
    for (const char* section : {"generator", "coupling", "closure", "learn"})
        config.with({std::string(section) + ".enabled", "coupling.rounds", "bias.method"}, [&] {
            const bool works = std::string_view(section) == "coupling" ? run.coupling.enabled : config.enabled(section);
            if (works)
                throw KeyError(section,
                               "key 'bias.method' is \"" + run.bias.method + "\", which leaves no samples of one law, and [" +
                                   std::string(section) + "] works on such",
                               "leave out [" + std::string(section) + "], or sample under windows or a shared bias");
        });
}

// What works on samples cannot follow a run that keeps none.
void check_store(Config& config, const RunConfig& run) {
    if (run.bias.along_path()) return check_along_path(config, run);
    for (const char* section : {"generator", "coupling", "closure", "learn"}) {
        config.with({"umbrella.store", std::string(section) + ".enabled", "coupling.rounds"}, [&] {
            const bool works = std::string_view(section) == "coupling" ? run.coupling.enabled
                                                                      : config.enabled(section);
            if (run.umbrella.histogram && works) {
                throw KeyError("umbrella.store",
                               "key 'umbrella.store' is \"histogram\", which keeps no samples, and [" +
                                   std::string(section) + "] works on samples",
                               "leave out [" + std::string(section) +
                                   "], or set store = \"samples\"");
            }
        });
    }
}

// What knows windows alone.
void check_shared_bias(Config& config, const RunConfig& run) {
    if (!run.bias.enabled) return;
    config.with({"estimate.method", "estimate.enabled"}, [&] {
        if (run.estimate.enabled && run.estimate.method == "umbrella_integration")
            throw KeyError("estimate.method",
                           "key 'estimate.method' is \"umbrella_integration\", which needs windows, and [bias] has none",
                           "use \"mbar\" or \"wham\"");
    });
    config.with({"bias.target_error", "estimate.enabled"}, [&] {
        if (run.bias.target_error > 0 && !run.estimate.enabled)
            throw KeyError("bias.target_error", "key 'bias.target_error' is of a free energy that is not estimated",
                           "leave it out, or let 'estimate.enabled' be true");
    });
    config.with({"coupling", "bias.method"}, [&] {
        if (run.coupling.enabled && run.bias.method == "tempering")
            throw KeyError("coupling", "[coupling] starts walkers along collective variables, and key 'bias.method' is "
                                       "\"tempering\", which moves in temperature",
                           "leave [coupling] out, or take another method");
    });
    config.with({"coupling.exchange"}, [&] {
        if (run.coupling.enabled && run.coupling.exchange > 0)
            throw KeyError("coupling.exchange", "windows exchange states, and [bias] has none", "leave it out");
    });
    config.with({"coupling.ablation"}, [&] {
        if (run.coupling.enabled && run.coupling.ablation)
            throw KeyError("coupling.ablation", "it compares with windows of umbrella sampling, and [bias] has none",
                           "leave it out");
    });
}

// What needs a system that moves, and what needs windows.
void check_given(Config& config, const RunConfig& run) {
    if (!run.samples.enabled) return;
    if (run.system.states_alone) {
        for (const auto& [section, enabled] : {std::pair("coupling", run.coupling.enabled),
                                               std::pair("closure", run.closure.enabled),
                                               std::pair("rates", run.rates.enabled),
                                               std::pair("learn", run.learn.enabled && run.learn.bursts)})
            config.with({section}, [&] {
                if (enabled)
                    throw KeyError(section,
                                   "[" + std::string(section) + "] runs trajectories, and without a [system] there is nothing "
                                   "that moves",
                                   "describe the system that the samples are of, or leave [" + std::string(section) + "] out");
            });
    }
    config.with({"samples.weights", "coupling"}, [&] {
        if (run.coupling.enabled && !run.samples.weights.empty())
            throw KeyError("coupling", "coupling adds windows to windows, and these samples have weights",
                           "leave [coupling] out, or give samples of windows or of no bias");
    });
    config.with({"coupling"}, [&] {
        if (run.coupling.enabled && run.coupling.ablation)
            throw KeyError("coupling.ablation",
                           "key 'coupling.ablation' compares with windows that run longer, and these samples were made "
                           "elsewhere",
                           "leave it out");
    });
    config.with({"samples.stiffness", "samples.windows", "coupling"}, [&] {
        for (const double stiffness : run.umbrella.stiffness)
            if (run.coupling.enabled && !(stiffness > 0))
                throw KeyError("samples.stiffness", "key 'samples.stiffness' is missing, and coupling runs windows",
                               "give the stiffness of their bias");
    });
    config.with({"estimate.method", "estimate.enabled"}, [&] {
        if (!run.estimate.enabled || run.estimate.method == "mbar") return;
        if (!run.samples.weights.empty())
            throw KeyError("estimate.method",
                           "key 'estimate.method' is " + toml_string(run.estimate.method) +
                               ", and samples with weights are reweighted, which no estimator of windows does",
                           "leave it out");
        if (run.estimate.method == "umbrella_integration" && run.samples.windows.empty())
            throw KeyError("estimate.method",
                           "key 'estimate.method' is \"umbrella_integration\", which needs windows, and [samples] has none",
                           "use \"mbar\" or \"wham\"");
    });
}

// What molecules do not have yet.
void check_molecule_sections(Config& config, const RunConfig& run) {
    if (!run.molecule) return;
    config.with({"learn.bursts"}, [&] {
        if (run.learn.enabled && run.learn.bursts)
            throw KeyError("learn.bursts", "distances in units of local noise are of overdamped dynamics, which a "
                                           "molecule's is not",
                           "leave 'learn.bursts' out");
    });
    config.with({"closure", "cv.variables"}, [&] {
        if (!run.closure.enabled) return;
        if (!run.closure.committor_points.empty() || !run.closure.passage_state.empty())
            throw KeyError("closure.committor_points",
                           "a molecule's passages begin and end at values of its collective variable",
                           "leave 'closure.passage_state' and committors of balls out");
    });
    config.with({"umbrella.store"}, [&] {
        if (run.umbrella.histogram && !run.bias.along_path())
            throw KeyError("umbrella.store", "a molecule's samples are kept",
                           "leave 'umbrella.store' out, and give a larger 'umbrella.stride'");
    });
}

// The name of a built-in system decides which keys [system] may have. One that is unknown says nothing
// of the other keys there.
std::string system_name(ConfigValue& root, std::optional<KeyError>& unknown) {
    ConfigValue* system = root.find("system");
    const ConfigValue* name = system == nullptr ? nullptr : system->find("name");
    if (name == nullptr || name->kind != ConfigValue::Kind::text || name->text.empty()) {
        return "";
    }
    try {
        check_system_name(name->text);
    } catch (const KeyError& error) {
        unknown = error;
        ConfigValue only;
        only.kind = ConfigValue::Kind::table;
        only.origin = system->origin;
        only.put("name", *name);
        *system = std::move(only);
        return "";
    }
    return name->text;
}

// The same of a molecule, whatever else [system] says.
bool is_molecule(ConfigValue& root) {
    ConfigValue* system = root.find("system");
    const ConfigValue* kind = system == nullptr ? nullptr : system->find("kind");
    return kind != nullptr && kind->kind == ConfigValue::Kind::text && kind->text == "molecule";
}

// The table is there and not switched off.
bool stands(const ConfigValue& root, const char* section) {
    const ConfigValue* table = root.find(section);
    const ConfigValue* enabled = table == nullptr ? nullptr : table->find("enabled");
    return table != nullptr &&
           !(enabled != nullptr && enabled->kind == ConfigValue::Kind::boolean && !enabled->boolean);
}

// Takes a table out, and says why.
void refuse_table(ConfigValue& root, std::string_view name, const std::string& why, std::vector<InputError>& unread) {
    for (std::size_t i = 0; i < root.keys.size(); ++i) {
        if (root.keys[i] != name) continue;
        unread.emplace_back(root.items[i].origin.str() + ": " + why);
        root.keys.erase(root.keys.begin() + static_cast<std::ptrdiff_t>(i));
        root.items.erase(root.items.begin() + static_cast<std::ptrdiff_t>(i));
        return;
    }
}

// [samples] in place of both: neither is read.
void leave_out_biases(ConfigValue& root, std::vector<InputError>& unread) {
    for (const char* name : {"umbrella", "bias"}) {
        std::vector<InputError> of_none;
        refuse_table(root, name, "there are both [" + std::string(name) + "] and [samples], and a run makes its samples or "
                                 "takes them; leave one of them out", stands(root, name) ? unread : of_none);
    }
}

// Of the method that [bias] names.
const BiasReader& reader_of(ConfigValue& root) {
    ConfigValue* bias = root.find("bias");
    const ConfigValue* method = bias == nullptr ? nullptr : bias->find("method");
    return bias_reader(method != nullptr && method->kind == ConfigValue::Kind::text ? method->text : "");
}

// A path says where such a bias is, and its samples have no estimator but its own.
void fit_to_path(Schema& schema, const BiasReader& reader) {
    if (!reader.along_path) return;
    for (KeySpec& key : schema.keys) {
        if (key.path == "bias.from" || key.path == "bias.to") key.required = false;
        if (key.path != "estimate.method") continue;
        key.choices = {reader.estimator};
        key.fallback = toml_string(reader.estimator);
    }
}

// Whether [bias] or [samples] stand in place of [umbrella], or none of them where there are [rates]. Two are refused, and
// one is read no further.
Biasing biasing_of(ConfigValue& root, std::vector<InputError>& unread) {
    if (stands(root, "samples")) return leave_out_biases(root, unread), Biasing::given;
    if (stands(root, "rates") && !stands(root, "bias") && root.find("umbrella") == nullptr) {
        for (const char* name : {"estimate", "generator", "lifting", "coupling", "closure", "learn"})
            refuse_table(root, name, "[" + std::string(name) + "] works on samples, and there is neither [umbrella] nor "
                                     "[bias]; add one of them, or leave [" + name + "] out", unread);
        for (const char* name : {"bias", "samples"})
            refuse_table(root, name, "[" + std::string(name) + "] is not enabled, and rates alone are computed; leave it out",
                         unread);
        return Biasing::none;
    }
    if (root.find("bias") == nullptr && root.find("samples") == nullptr) return Biasing::windows;
    if (!stands(root, "bias")) return Biasing::either;
    refuse_table(root, "umbrella",
                 "there are both [umbrella] and [bias], and a run has windows or one bias for all walkers; leave one of "
                 "them out", unread);
    return Biasing::shared;
}

// What messages say of windows, in words of trajectories made elsewhere.
void rename_for_given(Config& config) {
    config.rename("umbrella.replicas", "the number of trajectories");
    config.rename("umbrella.steps", "their length");
    config.rename("umbrella.equilibrate", "samples.discard");
    config.rename("umbrella.exchange", "replica exchange");
    config.rename("umbrella.heat", "the temperature of their starts");
    config.rename("umbrella.temperatures", "replica exchange in temperature");
    config.rename("umbrella.windows", "samples.places");
    config.rename("umbrella", "samples");
}

// `whole`: of a run; else what describes the system, and no other key has to be there.
Config read_config(std::string_view text, const std::string& file, const RunOptions& options,
                   bool whole) {
    ConfigValue root = parse_toml(text, file);
    std::vector<InputError> unread;
    for (const std::string& change : options.set) {
        try {
            apply_override(root, ConfigOverride::parse(change));
        } catch (const InputError& error) {
            unread.push_back(error);
        }
    }
    if (options.seed) {
        const std::string seed = std::to_string(*options.seed);
        apply_override(root, {"seed", seed, "--seed " + seed});
    }
    if (const ConfigValue* system = root.find("system"); options.resume && is_molecule(root))
        for (const std::string& change :
             molecule_copies(*system, std::filesystem::path(file).parent_path(), options.out_dir))
            apply_override(root, ConfigOverride::parse(change));
    take_plumed_inputs(root, file, options.resume ? options.out_dir : "");
    std::optional<KeyError> unknown;
    const std::string name = system_name(root, unknown);
    const Biasing biasing = biasing_of(root, unread);
    const bool alone = biasing == Biasing::given && root.find("system") == nullptr;
    Schema schema = run_schema(name, is_molecule(root), biasing, alone);
    if (!whole)
        for (KeySpec& key : schema.keys) key.required = false;
    if (biasing == Biasing::shared) fit_to_path(schema, reader_of(root));
    Config config(std::move(root), std::move(schema), file);
    if (biasing == Biasing::shared) {
        config.rename("umbrella.replicas", "bias.walkers");
        config.rename("umbrella.windows", "bias.bins");
        config.rename("umbrella.exchange", "other starts (bias.initial)");
        config.rename("umbrella", "bias");
    }
    if (biasing == Biasing::given) rename_for_given(config);
    for (const InputError& error : unread) config.keep_unread(error);
    if (unknown) {
        config.keep(*unknown);
        config.distrust("system");
    }
    return config;
}

// [samples] is read as soon as the system is known.
StatesOfModel states_of(Config& config, SamplesConfig& samples, const std::string& file, const RunOptions& options) {
    if (!samples.enabled) return {};
    return [&](ModelConfig& model) {
        config.with({"samples", "system"}, [&] {
            gather_samples(config, samples, model, std::filesystem::path(file).parent_path(),
                           options.resume ? options.out_dir : "");
        });
        if (!samples.given) config.distrust("cv");  // whose variables nobody knows
    };
}

void read_biased(Config& config, RunConfig& run) {
    const std::string method = config.sound("bias.method") ? config.text("bias.method") : "";
    run.bias = bias_reader(method).read(config, run, run.umbrella);
    refuse_keys_of_others(config, bias_section, bias_method_keys());
}

// What needs samples is not asked for.
void read_rates_alone(RunConfig& run) {
    run.sampled = false;
    run.umbrella.from.assign(at(run.cv.count()), 0.0);
    run.umbrella.to.assign(at(run.cv.count()), 1.0);
    run.umbrella.windows.assign(at(run.cv.count()), 1);
    run.umbrella.stiffness.assign(at(run.cv.count()), 0.0);
    run.umbrella.stride = 1;
}

void read_stages(Config& config, RunConfig& run);

RunConfig read_run_config(std::string_view text, const std::string& file,
                          const RunOptions& options) {
    Config config = read_config(text, file, options, true);
    RunConfig run = top_section().read(config);
    if (config.renamed("umbrella") == "samples") {
        run.samples = samples_section.read(config);
        run.samples.enabled = true;
    }
    static_cast<ModelConfig&>(run) = read_model(config, states_of(config, run.samples, file, options));
    run.rates = read_rates(config, run);
    if (config.knows("umbrella") || config.knows("bias") || run.samples.enabled)
        read_stages(config, run);
    else
        read_rates_alone(run);
    run.config = std::move(config);
    find_inputs(run, file, options);
    return run;
}

void read_stages(Config& config, RunConfig& run) {
    const int cvs = run.cv.count();
    if (run.samples.enabled)
        run.umbrella = read_given_windows(config, run, run.samples);
    else if (config.enabled("bias"))
        read_biased(config, run);
    else
        run.umbrella = read_umbrella(config, run);
    run.estimate = read_estimate(config, run.umbrella, cvs);
    run.generator = read_generator(config);
    run.lifting = lifting_section.read(config);
    config.with({"lifting.candidates", "generator.kind", "generator.enabled"}, [&] {
        if (run.lifting.candidates > 1 && run.generator.enabled && !has_density(run.generator.kind))
            throw KeyError("lifting.candidates",
                           "key 'lifting.candidates' asks for weights, but a generator of kind \"" +
                               run.generator.kind + "\" has no density",
                           "use generator.kind = \"flow\" or \"score\", or leave lifting.candidates out");
    });
    run.coupling = read_coupling(config, run.umbrella.stride, cvs);
    run.closure = read_closure(config, cvs, variable_count(run.system), run.system.is_molecule());
    run.learn = read_learn(config, config.sound("umbrella") ? run.umbrella.sample_count() : 0);
    run.output = output_files_section().read(config);
    check_output(config, run.output, !run.umbrella.histogram && !run.bias.along_path());
    check_store(config, run);
    check_shared_bias(config, run);
    check_given(config, run);
    check_molecule_sections(config, run);
}

std::string read_config_file(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    std::error_code problem;
    if (std::filesystem::is_directory(file, problem) || !in) {
        throw InputError(file + ": cannot read the configuration" +
                         (in ? ": it is a directory" : "") +
                         "; give the path of a TOML file, for example tools/examples/"
                         "muller_brown.toml");
    }
    std::string text(std::size_t{1} << 20 | 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(in.gcount()));
    return text;
}

// --- what the stages would refuse --------------------------------------------------------------------

// Path kernels begin what they refuse with the key: "integrator.scheme: …; use …".
void check_path_kernel(const Model& model, const RunConfig& run) {
    try {
        PathSetup setup = model.path_setup(run.integrator);
        setup.bias = bias_kind(run.bias);
        (void)model.path_kernel(setup);
    } catch (const InputError& error) {
        const std::string text = error.what();
        const std::size_t cut = std::min(text.rfind("; "), text.size());
        throw KeyError(text.substr(0, text.find(": ")), text.substr(0, cut),
                       cut + 2 < text.size() ? text.substr(cut + 2) : "choose another");
    }
}

void check_training_samples(const RunConfig& run) {
    if (run.generator.enabled &&
        run.stored_samples() > static_cast<double>(kMostColumns)) {
        throw KeyError("umbrella.stride",
                       "the run stores " + toml_number(run.stored_samples()) +
                           " samples, more than the " + std::to_string(kMostColumns) +
                           " that a generator is trained on",
                       "give a larger 'umbrella.stride', or fewer windows, replicas or steps");
    }
}

// Balls about states are known to kernels of built-in systems and to gradient systems.
void check_committors(const RunConfig& run, const Model& model) {
    const std::string& scheme = run.integrator.scheme;
    if (run.closure.enabled && !run.closure.committor_points.empty() && scheme != "baoab" &&
        scheme != "mala" && !model.gradient() && (run.system.is_formula() || !model.linear_cvs())) {
        throw KeyError("closure.committor_points",
                       "key 'closure.committor_points' needs a system with a potential",
                       "leave it out, or give first passages by the collective variable");
    }
}

// Passages begin at stored samples, and reduced models end where the windows do.
void check_passages(const RunConfig& run) {
    for (std::size_t k = 0; k < run.closure.passage_from.size(); ++k) {
        const double from = run.closure.passage_from[k];
        if (run.cv.variables[k].period > 0 ||
            (from >= run.umbrella.from[k] && from <= run.umbrella.to[k]))
            continue;
        throw KeyError("closure.passage_from",
                       "key 'closure.passage_from' has " + toml_number(from) +
                           ", which lies outside the windows, " + toml_number(run.umbrella.from[k]) +
                           " to " + toml_number(run.umbrella.to[k]),
                       "give a value within them, or let them reach further");
    }
}

void check_numbers(RunConfig& run) {
    const auto check = [&](const char* key, const std::vector<double>& values, bool may_vanish) {
        check_single_precision(run.config, key, values, may_vanish);
    };
    if (run.system.beta && !run.system.states_alone) check("system.beta", {*run.system.beta}, false);
    if (!run.system.states_alone) check("integrator.dt", {run.integrator.dt}, false);
    if (run.sampled) {
        check("umbrella.from", run.umbrella.from, true);
        check("umbrella.to", run.umbrella.to, true);
        check("umbrella.stiffness", run.umbrella.stiffness, true);
    }
    if (run.rates.enabled) {
        check("rates.dt", {run.rates.dt}, true);
        if (run.rates.from.value) check("rates.from", {*run.rates.from.value}, true);
        if (run.rates.to.value) check("rates.to", {*run.rates.to.value}, true);
        check("rates.levels", run.rates.levels, true);
    }
    if (run.closure.enabled) check("closure.dt", {run.closure.dt}, false);
    if (run.learn.enabled) check("learn.epsilon", {run.learn.epsilon}, false);
}

void check_starts_of_windows(Config& config, const RunConfig& run, const Model& model) {
    config.with({"umbrella.initial"}, [&] { check_initial_file(run.umbrella); });
    check_starts(config, run, model);
}

// That a bias may pull along the collective variables over the whole range.
void check_windows(Config& config, const RunConfig& run, const Model& model) {
    check_cuts(config, run, run.umbrella, model);
    check_seams(config, run, run.umbrella, model);
    config.with({"umbrella", "integrator"}, [&] { check_spacing(run, model); });
}

void check_stages(RunConfig& run, double available_bytes) {
    Config& config = run.config;
    std::optional<Model> model;
    check_formulas(config, run);
    check_numbers(run);
    check_independent(config, run);
    config.with({"system", "cv", "integrator"}, [&] {
        model.emplace(run);
        if (run.sampled) model->check_bias();
        if (!model->states_alone()) check_path_kernel(*model, run);
    });
    if (model && !model->states_alone())
        config.with({"rates", "cv.variables"}, [&] { check_rates(run.rates, run, *model); });
    if (model && run.sampled) {
        const std::size_t made = model->observed() ? static_cast<std::size_t>(model->target_dim())
                                                   : free_variables(*model).size();
        check_generator(config, run.generator, run.cv, static_cast<index>(made), model->dim(),
                        model->observed());
        if (run.samples.enabled)
            config.with({"samples", "cv.variables"}, [&] { check_given_cvs(run.samples, run, *model, run.umbrella); });
        else
            check_starts_of_windows(config, run, *model);
        if (!run.samples.enabled || run.coupling.enabled) check_windows(config, run, *model);
        config.with({"closure"}, [&] { check_committors(run, *model); });
    }
    check_memory(config, run, available_bytes);
    config.with({"closure", "umbrella", "cv.variables"}, [&] {
        if (run.closure.enabled) check_passages(run);
    });
    config.with({"umbrella", "coupling", "generator"}, [&] { check_training_samples(run); });
}

}  // namespace

double RunConfig::stored_samples() const {
    double stored = umbrella.given > 0 ? static_cast<double>(umbrella.given)
                                        : static_cast<double>(umbrella.trajectories()) *
                                              static_cast<double>(umbrella.samples_per_trajectory());
    if (coupling.enabled) {
        stored += static_cast<double>(coupling.rounds) * coupling.trajectories() *
                   std::max(1.0, static_cast<double>(coupling.steps / umbrella.stride));
    }
    return stored;
}

Grid RunConfig::grid() const {
    Grid grid;
    grid.dims = cv.count();
    for (std::size_t k = 0; k < at(grid.dims); ++k) {
        grid.from[k] = umbrella.from[k];
        grid.to[k] = umbrella.to[k];
        grid.round[k] = umbrella.all_round(k);
        grid.bins[k] = estimate.bins.empty() ? 100 : estimate.bins[k];
    }
    return grid;
}

std::string RunConfig::checksum() const {
    return checksum_of(config.to_toml());
}

Schema run_schema(const std::string& system_name, bool molecule, Biasing biasing, bool alone) {
    Schema schema;
    top_section().add_to(schema);
    add_model_keys(schema, system_name, molecule);
    if (alone)
        std::erase_if(schema.keys, [](const KeySpec& key) {
            return key.section() == "system" || key.section() == "integrator";
        });
    if (biasing == Biasing::windows || biasing == Biasing::either) {
        umbrella_section.add_to(schema);
        if (molecule) molecule_sampling_section.add_to(schema);
    }
    if (biasing == Biasing::shared || biasing == Biasing::either) {
        add_bias_keys(schema);
        add_bias_methods(schema);
    }
    if (biasing == Biasing::given || biasing == Biasing::either) add_samples_keys(schema);
    rates_section.add_to(schema);
    if (biasing == Biasing::none) return schema;
    output_files_section().add_to(schema);
    estimate_section.add_to(schema);
    generator_section.add_to(schema);
    lifting_section.add_to(schema);
    coupling_section.add_to(schema);
    closure_section.add_to(schema);
    learn_section.add_to(schema);
    return schema;
}

RunConfig parse_run_config(std::string_view text, const std::string& file,
                           const RunOptions& options) {
    RunConfig run = read_run_config(text, file, options);
    run.config.throw_faults();
    return run;
}

RunConfig load_run_config(const std::string& file, const RunOptions& options) {
    return parse_run_config(read_config_file(file), file, options);
}

ModelConfig load_system(const std::string& file, const std::vector<std::string>& set) {
    return parse_system(read_config_file(file), file, set);
}

ModelConfig parse_system(std::string_view text, const std::string& file, const std::vector<std::string>& set) {
    RunOptions options;
    options.set = set;
    Config config = read_config(text, file, options, false);
    const ModelConfig model = read_system_and_cvs(config);
    check_formulas(config, model);
    for (std::size_t k = 0; k < model.cv.variables.size(); ++k)
        if (!model.cv.variables[k].file.empty())
            config.keep(KeyError("cv.variables", "learned coordinates have no values in double precision",
                                 "leave them out, or give formulas"));
    config.throw_faults();
    return model;
}

RunConfig check_run_config(std::string_view text, const std::string& file,
                           const RunOptions& options, double available_bytes) {
    RunConfig run = read_run_config(text, file, options);
    check_stages(run, available_bytes);
    run.config.throw_faults();
    return run;
}

RunConfig check_run_config(const std::string& file, const RunOptions& options,
                           double available_bytes) {
    return check_run_config(read_config_file(file), file, options, available_bytes);
}

}  // namespace microlift
