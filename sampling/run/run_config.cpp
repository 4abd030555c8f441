#include "sampling/run/run_config.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numbers>

#include "nn/generators/registry.h"
#include "sampling/dynamics/systems.h"

namespace microlift {
namespace {

constexpr index kMaxVariables = 64;
constexpr double kMaxTrajectories = 2147483647.0;  // a trajectory's number has 31 bits

KeySpec key(const char* path, KeyType type, const char* fallback, const char* help) {
    KeySpec spec;
    spec.path = path;
    spec.type = type;
    spec.fallback = fallback;
    spec.help = help;
    return spec;
}

KeySpec required(const char* path, KeyType type, const char* example, const char* help) {
    KeySpec spec = key(path, type, "", help);
    spec.example = example;
    spec.required = true;
    return spec;
}

KeySpec optional(const char* path, KeyType type, const char* example, const char* help) {
    KeySpec spec = key(path, type, "", help);
    spec.example = example;
    return spec;
}

KeySpec at_least(KeySpec spec, double least) {
    spec.least = least;
    return spec;
}

KeySpec above(KeySpec spec, double least) {
    spec.least = least;
    spec.least_excluded = true;
    return spec;
}

KeySpec at_most(KeySpec spec, double most) {
    spec.most = most;
    return spec;
}

KeySpec below(KeySpec spec, double most) {
    spec.most = most;
    spec.most_excluded = true;
    return spec;
}

KeySpec one_of(KeySpec spec, std::vector<std::string> choices) {
    spec.choices = std::move(choices);
    return spec;
}

KeySpec in_units(KeySpec spec, const char* unit) {
    spec.unit = unit;
    return spec;
}

bool is_identifier(const std::string& name) {
    const auto letter = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    };
    if (name.empty() || name.size() > 64 || !letter(name[0])) {
        return false;
    }
    return std::all_of(name.begin(), name.end(),
                       [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

std::string count_of(std::size_t n, const char* thing) {
    return std::to_string(n) + " " + thing + (n == 1 ? "" : "s");
}

void check_names(const Config& config, const char* path, const std::vector<std::string>& names) {
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (!is_identifier(names[i])) {
            config.fail(path, "'" + names[i] + "' in '" + path + "' is not a name",
                        "use letters, digits and _, a letter first");
        }
        if (std::find(names.begin(), names.begin() + static_cast<long>(i), names[i]) !=
            names.begin() + static_cast<long>(i)) {
            config.fail(path, "'" + names[i] + "' stands twice in '" + path + "'",
                        "give each its own name");
        }
    }
}

void check_count(const Config& config, const char* path, std::size_t found, std::size_t expected,
                 const char* thing) {
    if (found != expected) {
        config.fail(path,
                    "key '" + std::string(path) + "' has " + count_of(found, "value") +
                        " for " + count_of(expected, thing),
                    "give one entry for each " + std::string(thing));
    }
}

// What a built-in leaves open: its own temperature, observation and starting state.
void fill_from_registry(Config& config) {
    const SystemInfo& info = find_system(config.text("system.name"));
    if (info.gradient() && !config.has("system.beta")) {
        config.set("system.beta", ConfigValue::of(info.beta));
    }
    if (!info.gradient() && config.has("system.beta")) {
        config.fail("system.beta", "the system '" + info.name + "' has no single temperature",
                    "leave out 'system.beta': its noise is given by its parameters");
    }
    if (!info.observe.empty() && !config.has("system.observe")) {
        config.set("system.observe", ConfigValue::of(info.observe));
    }
    if (!info.initial.empty() && !config.given("umbrella.initial")) {
        config.set("umbrella.initial", ConfigValue::of(info.initial));
    }
}

SystemConfig read_system(Config& config) {
    SystemConfig system;
    if (config.has("system.name")) {
        fill_from_registry(config);
    }
    if (config.has("system.beta")) {
        system.beta = config.number("system.beta");
    }
    if (config.has("system.observe")) {
        system.observe = config.texts("system.observe");
    }
    const bool potential = config.has("system.potential");
    const bool drift = config.has("system.drift");
    const bool diffusion = config.has("system.diffusion");
    if (config.has("system.name")) {
        system.name = config.text("system.name");
        for (const char* path : {"system.variables", "system.potential", "system.drift",
                                 "system.diffusion", "system.parameters"}) {
            if (config.has(path)) {
                config.fail(path,
                            "key '" + std::string(path) + "' does not go with the built-in system '" +
                                system.name + "'",
                            "leave out 'system.name' to describe a system by formulas, or set the "
                            "built-in's own parameters (see: microlift systems " +
                                system.name + ")");
            }
        }
        for (const KeySpec& spec : config.schema().keys) {
            if (spec.section() == "system" && spec.type == KeyType::number &&
                spec.path != "system.beta" && spec.path.find('*') == std::string::npos) {
                system.parameters.emplace_back(spec.name(), config.number(spec.path));
            }
        }
        return system;
    }
    if (!potential && !drift) {
        config.fail("system", "[system] says neither which built-in nor which formulas to run",
                    "give name = \"muller_brown\" (see: microlift systems), or variables and a "
                    "potential, or variables, drift and diffusion");
    }
    if (potential && drift) {
        config.fail("system.drift", "both 'system.potential' and 'system.drift' are given",
                    "keep one: the drift of a potential is its negative gradient");
    }
    if (!config.has("system.variables")) {
        config.fail("system", "key 'system.variables' is missing",
                    "name the variables of the formulas, for example variables = [\"x\", \"y\"]");
    }
    system.variables = config.texts("system.variables");
    check_names(config, "system.variables", system.variables);
    const std::size_t count = system.variables.size();
    if (count > static_cast<std::size_t>(kMaxVariables)) {
        config.fail("system.variables", "there are " + std::to_string(count) + " variables",
                    "give at most " + std::to_string(kMaxVariables));
    }
    if (const ConfigValue* parameters = config.find("system.parameters")) {
        for (std::size_t i = 0; i < parameters->keys.size(); ++i) {
            const std::string& name = parameters->keys[i];
            const bool taken = std::find(system.variables.begin(), system.variables.end(), name) !=
                               system.variables.end();
            if (!is_identifier(name) || taken) {
                config.fail("system.parameters",
                            "parameter '" + name + "' " +
                                (taken ? "has the name of a variable" : "is not a name"),
                            "use letters, digits and _, a letter first, and no variable's name");
            }
            system.parameters.emplace_back(name, parameters->items[i].as_number());
        }
    }
    if (potential) {
        system.potential = config.text("system.potential");
        if (diffusion) {
            config.fail("system.diffusion", "'system.diffusion' does not go with a potential",
                        "leave it out: the noise is sqrt(2/beta); or give a drift instead");
        }
        if (!system.beta) {
            config.fail("system", "key 'system.beta' is missing",
                        "give the inverse temperature of the potential, for example beta = 1.0");
        }
        return system;
    }
    system.drift = config.texts("system.drift");
    check_count(config, "system.drift", system.drift.size(), count, "variable");
    if (!diffusion) {
        config.fail("system", "key 'system.diffusion' is missing",
                    "give the noise amplitude of each variable, for example diffusion = [\"0.1\", "
                    "\"1/sqrt(eps)\"]");
    }
    const ConfigValue& rows = config.at("system.diffusion");
    check_count(config, "system.diffusion", rows.items.size(), count, "variable");
    if (rows.items[0].kind == ConfigValue::Kind::array) {
        system.diffusion_is_matrix = true;
        for (const ConfigValue& row : rows.items) {
            auto& out = system.diffusion.emplace_back();
            for (const ConfigValue& item : row.items) {
                out.push_back(item.text);
            }
        }
    } else {
        system.diffusion.push_back(config.texts("system.diffusion"));
    }
    return system;
}

// The angle φ of four atoms about the middle bond.
void read_dihedral(const Config& config, const ConfigValue& entry, const SystemConfig& system,
                   CvVariable& variable) {
    const char* path = "cv.variables";
    const ConfigValue* atoms = entry.find("atoms");
    if (!system.is_formula()) {
        config.fail(path, "kind = \"dihedral\" does not go with the built-in system '" + system.name + "'",
                    "describe the system by formulas whose variables are x, y, z of each atom");
    }
    const std::size_t count = system.variables.size() / 3;
    bool good = atoms != nullptr && atoms->items.size() == 4;
    std::string names;
    for (std::size_t i = 0; good && i < 4; ++i) {
        const index atom = atoms->items[i].integer;
        good = atom >= 0 && atom < static_cast<index>(count) &&
               std::find(variable.atoms.begin(), variable.atoms.end(), atom) == variable.atoms.end();
        if (!good) break;
        variable.atoms.push_back(atom);
        for (std::size_t d = 0; d < 3; ++d)
            names += (names.empty() ? "" : ", ") + system.variables[3 * static_cast<std::size_t>(atom) + d];
    }
    if (!good) {
        config.fail(path, "key 'cv.variables[].atoms' must name four different atoms of " +
                              std::to_string(count),
                    "count them from 0, atom i being the variables 3i, 3i + 1 and 3i + 2, for example atoms = "
                    "[4, 6, 8, 14]");
    }
    variable.formula = "dihedral(" + names + ")";
    variable.name = "dihedral";
    for (const index atom : variable.atoms) variable.name += "_" + std::to_string(atom);
    variable.unit = "rad";
}

// φ is cut opposite to the middle of the windows, so that it is continuous over all of them. Umbrellas pull
// along it, not round the turn: none may reach the cut.
void cut_dihedrals(const Config& config, RunConfig& run) {
    for (std::size_t k = 0; k < run.cv.variables.size(); ++k) {
        if (run.cv.variables[k].atoms.empty()) continue;
        const UmbrellaConfig& umbrella = run.umbrella;
        const double beta = run.system.beta.value_or(1.0);
        const double reach = 4.0 / std::sqrt(std::max(beta * umbrella.stiffness[k], 1e-300));
        const double half = 0.5 * (umbrella.to[k] - umbrella.from[k]);
        if (half + reach > std::numbers::pi) {
            config.fail("umbrella.to",
                        "the windows of the dihedral angle cover " + toml_number(2.0 * half) +
                            " of a turn's 6.283, and their samples reach " + toml_number(reach) + " further",
                        "leave room beside them, by a shorter range or a larger 'umbrella.stiffness': "
                        "umbrellas do not go round the turn");
        }
        const double middle = 0.5 * (umbrella.from[k] + umbrella.to[k]);
        if (middle == 0.0) continue;
        std::string& formula = run.cv.variables[k].formula;
        const std::string center = toml_number(middle), off = formula + " - (" + center + ")";
        formula = center + " + atan2(sin(" + off + "), cos(" + off + "))";
    }
}

// A formula, a dihedral angle, or a coordinate that was learned.
void read_cv_kind(const Config& config, const ConfigValue& entry, const SystemConfig& system,
                  CvVariable& variable) {
    const char* path = "cv.variables";
    const ConfigValue* formula = entry.find("formula");
    const ConfigValue* file = entry.find("file");
    const std::string& kind = entry.find("kind")->text;
    const struct {
        const char *key, *kind;
    } owners[] = {{"formula", "formula"},
                  {"atoms", "dihedral"},
                  {"file", "diffusion_map"},
                  {"coordinate", "diffusion_map"}};
    for (const auto& owner : owners) {
        if (entry.find(owner.key) != nullptr && kind != owner.kind) {
            config.fail(path,
                        "key 'cv.variables[]." + std::string(owner.key) +
                            "' does not go with kind = \"" + kind + "\"",
                        "leave it out, or set kind = \"" + std::string(owner.kind) + "\"");
        }
    }
    if (kind == "dihedral") return read_dihedral(config, entry, system, variable);
    if (kind == "formula") {
        if (formula == nullptr) {
            config.fail(path, "key 'cv.variables[].formula' is missing",
                        "give a formula in the system's variables, for example formula = \"x - y\"");
        }
        variable.formula = formula->text;
        return;
    }
    if (file == nullptr) {
        config.fail(path, "key 'cv.variables[].file' is missing",
                    "give what 'microlift learn' wrote, for example file = \"out/diffusion_map.json\"");
    }
    variable.file = file->text;
    if (const ConfigValue* coordinate = entry.find("coordinate")) {
        variable.coordinate = static_cast<int>(coordinate->integer);
    }
    variable.formula = "phi_" + std::to_string(variable.coordinate);
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(variable.file, ignored)) {
        config.fail(path,
                    "key 'cv.variables[].file' names the file '" + variable.file +
                        "', which does not exist",
                    "give the path of a file that 'microlift learn' wrote");
    }
}

CvConfig read_cv(const Config& config, const SystemConfig& system) {
    CvConfig cv;
    const ConfigValue& entries = config.at("cv.variables");
    for (const ConfigValue& entry : entries.items) {
        CvVariable variable;
        if (entry.kind == ConfigValue::Kind::text) {
            variable.formula = entry.text;
        } else {
            read_cv_kind(config, entry, system, variable);
            variable.period = entry.find("period")->as_number();
            if (const ConfigValue* name = entry.find("name")) {
                variable.name = name->text;
            }
            if (const ConfigValue* unit = entry.find("unit")) {
                variable.unit = unit->text;
            }
        }
        if (variable.name.empty()) {
            variable.name = variable.formula;
        }
        cv.variables.push_back(variable);
    }
    if (cv.count() > 2) {
        config.fail("cv.variables",
                    "key 'cv.variables' has " + std::to_string(cv.count()) +
                        " collective variables",
                    "give one or two");
    }
    return cv;
}

// One value for all collective variables is repeated; the resolved file shows every one.
template <class T>
std::vector<T> spread(Config& config, const char* path, std::vector<T> values, int count) {
    const auto n = static_cast<std::size_t>(count);
    if (values.size() == 1 && n > 1) {
        values.assign(n, values[0]);
        config.set(path, ConfigValue::of(values));
    } else if (values.size() == 1 && config.at(path).kind == ConfigValue::Kind::array) {
        config.set(path, ConfigValue::of(values[0]));
    }
    if (values.size() != n) {
        config.fail(path,
                    "key '" + std::string(path) + "' has " +
                        (values.size() == 1 ? std::string("1 entry")
                                            : std::to_string(values.size()) + " entries") +
                        " for " + count_of(n, "collective variable"),
                    "give one number, or one for each collective variable");
    }
    return values;
}

void read_initial(const Config& config, const SystemConfig& system, UmbrellaConfig& umbrella) {
    const char* path = "umbrella.initial";
    const ConfigValue& initial = config.at(path);
    if (initial.kind == ConfigValue::Kind::array) {
        umbrella.initial_state = config.numbers(path);
        check_count(config, path, umbrella.initial_state.size(),
                    static_cast<std::size_t>(variable_count(system)), "variable");
        return;
    }
    if (initial.text == "line") {
        umbrella.initial_line = true;
        return;
    }
    umbrella.initial_file = initial.text;
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(umbrella.initial_file, ignored)) {
        config.fail(path,
                    "key 'umbrella.initial' names the file '" + umbrella.initial_file +
                        "', which does not exist",
                    "give a state such as [-0.5, 1.5], \"line\", or the path of a file");
    }
}

UmbrellaConfig read_umbrella(Config& config, const SystemConfig& system, int cvs) {
    UmbrellaConfig umbrella;
    umbrella.from = spread(config, "umbrella.from", config.numbers("umbrella.from"), cvs);
    umbrella.to = spread(config, "umbrella.to", config.numbers("umbrella.to"), cvs);
    umbrella.windows = spread(config, "umbrella.windows", config.integers("umbrella.windows"), cvs);
    umbrella.stiffness =
        spread(config, "umbrella.stiffness", config.numbers("umbrella.stiffness"), cvs);
    umbrella.replicas = config.integer("umbrella.replicas");
    umbrella.equilibrate = config.integer("umbrella.equilibrate");
    umbrella.steps = config.integer("umbrella.steps");
    umbrella.stride = config.integer("umbrella.stride");
    umbrella.exchange = config.integer("umbrella.exchange");
    umbrella.histogram = config.text("umbrella.store") == "histogram";
    for (int d = 0; d < cvs; ++d) {
        const auto i = static_cast<std::size_t>(d);
        if (!(umbrella.from[i] < umbrella.to[i])) {
            config.fail("umbrella.to",
                        "key 'umbrella.to' is " + toml_number(umbrella.to[i]) +
                            ", not above 'umbrella.from' = " + toml_number(umbrella.from[i]),
                        "let 'umbrella.from' be less than 'umbrella.to'");
        }
    }
    if (umbrella.steps % umbrella.stride != 0) {
        config.fail("umbrella.stride",
                    "key 'umbrella.stride' = " + std::to_string(umbrella.stride) +
                        " does not divide 'umbrella.steps' = " + std::to_string(umbrella.steps),
                    "give a stride that divides the number of steps");
    }
    if (umbrella.exchange > umbrella.steps) {
        config.fail("umbrella.exchange",
                    "key 'umbrella.exchange' = " + std::to_string(umbrella.exchange) +
                        " is more than 'umbrella.steps' = " + std::to_string(umbrella.steps),
                    "give fewer steps between attempts, or 0 for none");
    }
    double trajectories = static_cast<double>(umbrella.replicas);
    for (index windows : umbrella.windows) {
        trajectories *= static_cast<double>(windows);
    }
    if (trajectories > kMaxTrajectories) {
        config.fail("umbrella.replicas", "'umbrella.windows' times 'umbrella.replicas' is more than 2147483647",
                    "give fewer windows or replicas");
    }
    const double samples =
        trajectories * static_cast<double>(umbrella.samples_per_trajectory());
    if (samples > 1e12) {
        config.fail("umbrella.stride", "with this 'umbrella.stride' more than 1e12 samples would be stored",
                    "give a larger one, or fewer steps, windows or replicas");
    }
    read_initial(config, system, umbrella);
    return umbrella;
}

EstimateConfig read_estimate(Config& config, int cvs) {
    EstimateConfig estimate;
    estimate.enabled = config.enabled("estimate");
    estimate.method = config.text("estimate.method");
    estimate.bins = spread(config, "estimate.bins", config.integers("estimate.bins"), cvs);
    estimate.blocks = config.integer("estimate.blocks");
    estimate.tolerance = config.number("estimate.tolerance");
    estimate.max_iterations = config.integer("estimate.max_iterations");
    double cells = 1.0;
    for (index bins : estimate.bins) {
        cells *= static_cast<double>(bins);
    }
    if (config.text("umbrella.store") == "histogram" && estimate.method == "mbar") {
        if (config.given("estimate.method"))
            config.fail("estimate.method",
                        "key 'estimate.method' is \"mbar\", which needs the samples that "
                        "'umbrella.store' = \"histogram\" does not keep",
                        "use \"wham\" or \"umbrella_integration\", or store = \"samples\"");
        estimate.method = "wham";
        config.set("estimate.method", ConfigValue::of(estimate.method));
    }
    if (cells > 1e8) {
        config.fail("estimate.bins", "key 'estimate.bins' makes more than 1e8 bins",
                    "give fewer bins");
    }
    if (estimate.enabled && estimate.method == "umbrella_integration" && cvs > 1) {
        config.fail("estimate.method",
                    "key 'estimate.method' is \"umbrella_integration\", which works with one "
                    "collective variable, there are " +
                        std::to_string(cvs),
                    "use \"mbar\" or \"wham\"");
    }
    return estimate;
}

// What the kind leaves open: its own batch, rates and so on.
void fill_from_kind(Config& config, const std::string& kind) {
    const TrainerConfig base = TrainerConfig::defaults("cgan"), own = TrainerConfig::defaults(kind);
    const auto fill = [&](const char* path, auto member) {
        if (!config.given(path) && own.*member != base.*member) {
            config.set(path, ConfigValue::of(own.*member));
        }
    };
    fill("generator.batch", &TrainerConfig::batch);
    fill("generator.iterations", &TrainerConfig::iterations);
    fill("generator.generator_rate", &TrainerConfig::rate);
    fill("generator.beta1", &TrainerConfig::beta1);
    fill("generator.beta2", &TrainerConfig::beta2);
    fill("generator.ema", &TrainerConfig::ema);
    fill("generator.validate_every", &TrainerConfig::validation_every);
}

GeneratorConfig read_generator(Config& config) {
    GeneratorConfig generator;
    generator.enabled = config.enabled("generator");
    generator.kind = config.text("generator.kind");
    fill_from_kind(config, generator.kind);
    generator.generator_widths = config.integers("generator.generator_widths");
    generator.critic_widths = config.integers("generator.critic_widths");
    generator.latent = config.integer("generator.latent");
    generator.activation = config.text("generator.activation");
    generator.batch = config.integer("generator.batch");
    generator.iterations = config.integer("generator.iterations");
    generator.critic_steps = config.integer("generator.critic_steps");
    generator.generator_rate = config.number("generator.generator_rate");
    generator.critic_rate = config.number("generator.critic_rate");
    generator.beta1 = config.number("generator.beta1");
    generator.beta2 = config.number("generator.beta2");
    generator.penalty = config.text("generator.penalty");
    generator.penalty_weight = config.number("generator.penalty_weight");
    generator.energy_weight = config.number("generator.energy_weight");
    generator.ema = config.number("generator.ema");
    generator.flow_steps = config.integer("generator.flow_steps");
    generator.time_waves = config.integer("generator.time_waves");
    generator.group = config.integer("generator.group");
    if (config.has("generator.compare")) {
        generator.compare = config.texts("generator.compare");
        for (const std::string& kind : generator.compare) {
            const auto& kinds = generator_kinds();
            const std::string& main = generator.kind;
            if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end() || kind == main ||
                std::count(generator.compare.begin(), generator.compare.end(), kind) > 1) {
                config.fail("generator.compare",
                            "key 'generator.compare' names '" + kind + "', which " +
                                (kind == main ? "is the kind that is trained anyway"
                                              : "is no kind of generator, or stands there twice"),
                            "name other kinds than 'generator.kind', of cgan, flow, energy");
            }
        }
    }
    generator.project = config.boolean("generator.project");
    generator.architecture = config.text("generator.architecture");
    generator.kernel = config.integer("generator.kernel");
    generator.ring = config.boolean("generator.ring");
    generator.precision = config.text("generator.precision");
    if (generator.architecture == "conv") {
        if (generator.kind != "flow") {
            config.fail("generator.architecture",
                        "key 'generator.architecture' is \"conv\", which is built for flows; "
                        "'generator.kind' is \"" + generator.kind + "\"",
                        "use kind = \"flow\", or architecture = \"mlp\"");
        }
        if (!generator.ring) {
            config.fail("generator.architecture",
                        "key 'generator.architecture' is \"conv\", which needs a ring of like "
                        "variables, but 'generator.ring' is false",
                        "set ring = true if the variables are one, or use architecture = \"mlp\"");
        }
        if (!generator.compare.empty()) {
            config.fail("generator.compare",
                        "key 'generator.compare' names kinds without convolutions",
                        "leave it out, or use architecture = \"mlp\"");
        }
        for (const index channels : generator.generator_widths) {
            if (channels % 16 != 0) {
                config.fail("generator.generator_widths",
                            "key 'generator.generator_widths' holds " + std::to_string(channels) +
                                ", no multiple of 16, which channels of convolutions must be",
                            "give for example [32, 32, 32]");
            }
        }
    }
    if (generator.kernel % 2 == 0) {
        config.fail("generator.kernel",
                    "key 'generator.kernel' is " + std::to_string(generator.kernel) + ", not odd",
                    "use 3, 5, 7 or another odd number");
    }
    generator.held_out = config.number("generator.held_out");
    generator.validate_every = config.integer("generator.validate_every");
    generator.validation_states = config.integer("generator.validation_states");
    if ((generator.group & (generator.group - 1)) != 0) {
        config.fail("generator.group",
                    "key 'generator.group' is " + std::to_string(generator.group) +
                        ", no power of two",
                    "use 2, 4, 8, 16, 32 or 64");
    }
    for (const char* path : {"generator.generator_widths", "generator.critic_widths"}) {
        if (config.integers(path).size() > 16) {
            config.fail(path, "key '" + std::string(path) + "' has more than 16 layers",
                        "give the widths of the hidden layers, for example [64, 64, 64]");
        }
    }
    return generator;
}

LiftingConfig read_lifting(const Config& config) {
    return {config.integer("lifting.values"), config.integer("lifting.states"),
            config.integer("lifting.heal_steps"), config.integer("lifting.heal_limit"),
            config.integer("lifting.energies"), config.integer("lifting.energy_states"),
            config.integer("lifting.reference_steps"), config.integer("lifting.proposals")};
}

CouplingConfig read_coupling(const Config& config, bool generator) {
    CouplingConfig coupling;
    coupling.rounds = config.integer("coupling.rounds");
    coupling.enabled = config.enabled("coupling") && coupling.rounds > 0;
    coupling.windows = config.integer("coupling.windows");
    coupling.replicas = config.integer("coupling.replicas");
    coupling.equilibrate = config.integer("coupling.equilibrate");
    coupling.steps = config.integer("coupling.steps");
    coupling.iterations = config.integer("coupling.iterations");
    coupling.exchange = config.integer("coupling.exchange");
    coupling.jump = config.integer("coupling.jump");
    coupling.budget = config.number("coupling.budget");
    coupling.target_error = config.number("coupling.target_error");
    coupling.target_w1 = config.number("coupling.target_w1");
    coupling.discard = config.number("coupling.discard");
    coupling.ablation = config.boolean("coupling.ablation");
    const index stride = config.integer("umbrella.stride");
    if (coupling.exchange % stride != 0) {
        config.fail("coupling.exchange",
                    "'coupling.exchange' = " + std::to_string(coupling.exchange) +
                        " is not a multiple of umbrella.stride",
                    "exchange at steps that are sampled, for example every " +
                        std::to_string(stride));
    }
    if (coupling.exchange > 0 && config.at("cv.variables").items.size() != 1) {
        config.fail("coupling.exchange", "'coupling.exchange' needs a single collective variable",
                    "leave it out: the places of new windows are no grid");
    }
    if (coupling.enabled && !generator) {
        config.fail("coupling.rounds",
                    "key 'coupling.rounds' is " + std::to_string(coupling.rounds) +
                        " but no generator is trained",
                    "add a [generator] table, or set rounds = 0");
    }
    return coupling;
}

// What works on samples cannot follow a run that keeps none.
void check_store(const Config& config, const RunConfig& run) {
    if (!run.umbrella.histogram) return;
    for (const auto& [section, enabled] : {std::pair{"generator", run.generator.enabled},
                                           std::pair{"coupling", run.coupling.enabled},
                                           std::pair{"closure", run.closure.enabled},
                                           std::pair{"learn", run.learn.enabled}})
        if (enabled)
            config.fail("umbrella.store",
                        "key 'umbrella.store' is \"histogram\", which keeps no samples, and [" +
                            std::string(section) + "] works on samples",
                        "leave out [" + std::string(section) + "], or set store = \"samples\"");
}

// Thresholds of one collective variable, places with a radius of two.
void read_passage_sets(const Config& config, int cvs, ClosureConfig& c) {
    const auto K = static_cast<std::size_t>(cvs);
    if (cvs == 1 && !c.passage_radius.empty()) {
        config.fail("closure.passage_radius",
                    "key 'closure.passage_radius' is given with one collective variable",
                    "leave it out: 'closure.passage_to' is reached where it is crossed");
    }
    if (c.passage_to.empty()) {
        if (!c.passage_radius.empty()) {
            config.fail("closure.passage_radius",
                        "key 'closure.passage_radius' is given without 'closure.passage_to'",
                        "give both, or neither");
        }
        return;
    }
    check_count(config, "closure.passage_from", c.passage_from.size(), K, "collective variable");
    if (cvs == 1) {
        return;
    }
    if (c.passage_to.size() % K != 0) {
        config.fail("closure.passage_to",
                    "key 'closure.passage_to' has " + count_of(c.passage_to.size(), "number") +
                        ", not a multiple of " + std::to_string(K),
                    "give both collective variables of each place to reach");
    }
    if (c.passage_radius.empty()) {
        config.fail("closure.passage_to",
                    "key 'closure.passage_to' is given without 'closure.passage_radius'",
                    "say how near to each place counts as there");
    }
    if (c.passage_radius.size() == 1) {
        c.passage_radius.resize(K, c.passage_radius[0]);
    }
    check_count(config, "closure.passage_radius", c.passage_radius.size(), K,
                "collective variable");
    for (std::size_t t = 0; t < c.passage_to.size(); t += K) {
        double distance = 0;
        for (std::size_t k = 0; k < K; ++k) {
            const double d = (c.passage_to[t + k] - c.passage_from[k]) / c.passage_radius[k];
            distance += d * d;
        }
        if (distance <= 4) {
            config.fail("closure.passage_radius",
                        "key 'closure.passage_radius' makes the sets about 'closure.passage_from' "
                        "and 'closure.passage_to' overlap",
                        "give a smaller one");
        }
    }
}

ClosureConfig read_closure(const Config& config, const RunConfig& run) {
    ClosureConfig c;
    c.enabled = config.enabled("closure");
    c.bursts = config.boolean("closure.bursts");
    c.dt = config.number("closure.dt");
    c.values = config.integer("closure.values");
    c.replicas = config.integer("closure.replicas");
    c.start = config.text("closure.start");
    c.equilibrate = config.integer("closure.equilibrate");
    c.burst_steps = config.integer("closure.burst_steps");
    if (config.has("closure.burst_lags")) c.burst_lags = config.integers("closure.burst_lags");
    c.tolerance = config.number("closure.tolerance");
    c.relaxation = config.number("closure.relaxation");
    const auto list = [&](const char* path) {
        return config.has(path) ? config.numbers(path) : std::vector<double>{};
    };
    c.passage_from = list("closure.passage_from");
    c.passage_to = list("closure.passage_to");
    c.passage_radius = list("closure.passage_radius");
    c.passage_state = list("closure.passage_state");
    c.passages = config.integer("closure.passages");
    c.passage_steps = config.integer("closure.passage_steps");
    c.committor_a = list("closure.committor_a");
    c.committor_b = list("closure.committor_b");
    c.committor_points = list("closure.committor_points");
    c.committor_runs = config.integer("closure.committor_runs");
    if (!c.enabled) {
        return c;
    }
    for (std::size_t i = 0; i < c.burst_lags.size(); ++i) {
        if (i > 0 && c.burst_lags[i] <= c.burst_lags[i - 1]) {
            config.fail("closure.burst_lags", "key 'closure.burst_lags' does not increase",
                        "give each lag once, the shortest first");
        }
        if (c.burst_steps > 0 && c.burst_lags[i] > c.burst_steps) {
            config.fail("closure.burst_lags",
                        "key 'closure.burst_lags' has a lag of " + std::to_string(c.burst_lags[i]) +
                            " steps, longer than the burst of 'closure.burst_steps' = " +
                            std::to_string(c.burst_steps),
                        "give lags within the burst, or a longer burst");
        }
    }
    if ((c.start == "generator" || c.start == "healed") && !run.generator.enabled) {
        config.fail("closure.start",
                    "key 'closure.start' is \"" + c.start + "\" but no generator is trained",
                    "add a [generator] table, or use \"physics\"");
    }
    if (c.passage_to.empty() != c.passage_from.empty()) {
        const char* path = c.passage_to.empty() ? "closure.passage_from" : "closure.passage_to";
        config.fail(path,
                    "key '" + std::string(path) + "' is given without '" +
                        (c.passage_to.empty() ? "closure.passage_to" : "closure.passage_from") + "'",
                    "give both, or neither");
    }
    read_passage_sets(config, run.cv.count(), c);
    const auto dim = static_cast<std::size_t>(variable_count(run.system));
    if (!c.passage_state.empty()) {
        check_count(config, "closure.passage_state", c.passage_state.size(), dim, "variable");
    }
    if (!c.committor_points.empty()) {
        for (const char* path : {"closure.committor_a", "closure.committor_b"}) {
            const std::vector<double>& set = path[18] == 'a' ? c.committor_a : c.committor_b;
            if (set.size() != dim + 1 || !(set.back() > 0)) {
                config.fail("closure.committor_points",
                            "key 'closure.committor_points' needs '" + std::string(path) +
                                "' as a state and a radius, " + count_of(dim + 1, "number"),
                            "give the centre and then the radius of each ball");
            }
        }
        if (c.committor_points.size() % dim != 0) {
            config.fail("closure.committor_points",
                        "key 'closure.committor_points' has " +
                            count_of(c.committor_points.size(), "number") + ", not a multiple of " +
                            std::to_string(dim),
                        "give all variables of each state");
        }
    }
    return c;
}

LearnConfig read_learn(const Config& config) {
    LearnConfig learn;
    learn.enabled = config.enabled("learn");
    learn.alpha = config.number("learn.alpha");
    learn.epsilon = config.number("learn.epsilon");
    learn.points = config.integer("learn.points");
    learn.coordinates = static_cast<int>(config.integer("learn.coordinates"));
    learn.landmarks = static_cast<int>(config.integer("learn.landmarks"));
    learn.neighbours = static_cast<int>(config.integer("learn.neighbours"));
    learn.bursts = config.boolean("learn.bursts");
    learn.burst_time = config.number("learn.burst_time");
    learn.burst_replicas = static_cast<int>(config.integer("learn.burst_replicas"));
    learn.unweighted = config.boolean("learn.unweighted");
    if (learn.enabled && !config.enabled("estimate")) {
        config.fail("learn", "[learn] needs the weights of the samples, which [estimate] finds",
                    "add a line [estimate]");
    }
    return learn;
}

// Before the keys are read: which keys [system] may have depends on the name.
void check_system_name(const ConfigValue& name) {
    std::vector<std::string> known;
    std::string list;
    for (const SystemInfo& info : system_registry()) {
        if (info.name == name.text) {
            return;
        }
        known.push_back(info.name);
        list += (list.empty() ? "" : ", ") + info.name;
    }
    const std::string near = nearest_name(name.text, known);
    throw InputError(name.origin.str() + ": key 'system.name' is " + toml_string(name.text) +
                     ", which is no built-in system; " +
                     (near.empty() ? "the built-in systems are " + list
                                   : "did you mean " + toml_string(near) + "?"));
}

std::string gigabytes(double bytes) {
    char text[40];
    std::snprintf(text, sizeof text, "%.1f GB", bytes / 1e9);
    return text;
}

}  // namespace

index UmbrellaConfig::window_count() const {
    index count = 1;
    for (index n : windows) {
        count *= n;
    }
    return count;
}

Schema run_schema(const std::string& system_name) {
    using T = KeyType;
    constexpr double kManySteps = 1e15;
    Schema schema;
    auto& keys = schema.keys;
    const auto add = [&](KeySpec spec) { keys.push_back(std::move(spec)); };
    schema.optional_sections = {"estimate", "generator", "coupling", "closure", "learn"};

    add(at_most(at_least(key("seed", T::integer, "1", "seed of every random number of the run"), 0),
                9.2e18));

    add(optional("system.name", T::text, "\"muller_brown\"",
                 "a built-in system (`microlift systems` lists them); leave out for formulas"));
    add(in_units(above(optional("system.beta", T::number, "1.0", "inverse temperature"), 0.0),
                 "1/energy"));
    add(optional("system.variables", T::texts, "[\"x\", \"y\"]",
                 "names of the variables of a system given by formulas"));
    add(optional("system.potential", T::text, "\"(x^2-1)^2 + y^2\"",
                 "formula of V in dX = -grad V dt + sqrt(2/beta) dW"));
    add(optional("system.drift", T::texts, "[\"-x + y\", \"-(y - x)/eps\"]",
                 "formulas of the drift, one for each variable (Ito)"));
    add(optional("system.diffusion", T::rows, "[\"0.1\", \"1/sqrt(eps)\"]",
                 "formulas of the noise amplitude, one for each variable, or a matrix of them"));
    add(optional("system.parameters.*", T::number, "0.01",
                 "value of a parameter of the formulas, for example parameters = { eps = 0.01 }"));
    add(optional("system.observe", T::texts, "[\"x*cos(y)\", \"x*sin(y)\"]",
                 "formulas of what the generator learns instead of the state"));
    for (const SystemInfo& info : system_registry()) {
        if (info.name != system_name) {
            continue;
        }
        for (const ParameterInfo& parameter : info.parameters) {
            KeySpec spec = key("", T::number, "", parameter.meaning.c_str());
            spec.path = "system." + parameter.name;
            spec.fallback = toml_number(parameter.value);
            spec.unit = parameter.unit;
            add(spec);
        }
    }

    add(required("cv.variables", T::entries, "[\"x\"]",
                 "the collective variables xi, one or two: formulas in the system's variables, or "
                 "tables { formula = \"x\", period = 6.283185307179586 }"));
    add(one_of(key("cv.variables[].kind", T::text, "\"formula\"",
                   "how the collective variable is computed"),
               {"formula", "dihedral", "diffusion_map"}));
    add(optional("cv.variables[].formula", T::text, "\"x - y\"",
                 "formula in the system's variables"));
    add(optional("cv.variables[].atoms", T::integers, "[4, 6, 8, 14]",
                 "the four atoms of a dihedral angle in radians, counted from 0; atom i is variables 3i, "
                 "3i + 1 and 3i + 2"));
    add(optional("cv.variables[].file", T::text, "\"out/diffusion_map.json\"",
                 "what `microlift learn` wrote, for kind = \"diffusion_map\""));
    add(at_most(at_least(optional("cv.variables[].coordinate", T::integer, "1",
                                  "number of the learned coordinate; 1 if left out"),
                         1),
                48));
    add(optional("cv.variables[].name", T::text, "\"phi\"",
                 "name in file headers and pictures; the formula if left out"));
    add(optional("cv.variables[].unit", T::text, "\"rad\"", "unit, for files and pictures"));
    add(at_least(key("cv.variables[].period", T::number, "0.0",
                     "period of a periodic collective variable; 0: not periodic"),
                 0.0));

    add(one_of(key("integrator.scheme", T::text, "\"leimkuhler_matthews\"", "time stepping"),
               {"euler_maruyama", "leimkuhler_matthews", "heun", "milstein", "mala", "baoab"}));
    add(in_units(above(required("integrator.dt", T::number, "1e-4", "time step"), 0.0), "time"));
    add(above(key("integrator.mass", T::number, "1.0", "mass of every variable; baoab only"), 0.0));
    add(in_units(above(key("integrator.friction", T::number, "1.0",
                           "friction; baoab only"),
                       0.0),
                 "1/time"));
    add(at_most(at_least(key("integrator.philox_rounds", T::integer, "10",
                             "rounds of the random number generator: 10, or 7 for speed"),
                         7),
                10));
    add(at_most(at_least(key("integrator.compile_after", T::number, "1e9",
                             "trajectory-steps after which a formula system is compiled by the "
                             "machine's C++ compiler, on the CPU, where its collective variables "
                             "are linear and its noise constant; the results keep their bits; -1: "
                             "never"),
                         -1.0),
                1e18));

    add(required("umbrella.from", T::numbers, "-1.5", "centre of the first window"));
    add(required("umbrella.to", T::numbers, "1.2", "centre of the last window"));
    add(at_most(at_least(required("umbrella.windows", T::integers, "28",
                                  "number of windows of U = stiffness/2 (xi - centre)^2"),
                         2),
                1e6));
    add(in_units(above(required("umbrella.stiffness", T::numbers, "500.0", "stiffness of the bias"),
                       0.0),
                 "energy/xi^2"));
    add(at_most(at_least(key("umbrella.replicas", T::integer, "64", "trajectories in each window"),
                         1),
                1e8));
    add(at_most(at_least(key("umbrella.equilibrate", T::integer, "10000",
                             "steps before the first sample"),
                         0),
                kManySteps));
    add(at_most(at_least(key("umbrella.steps", T::integer, "100000", "steps sampled"), 1),
                kManySteps));
    add(at_most(at_least(key("umbrella.stride", T::integer, "100", "steps between stored samples"),
                         1),
                kManySteps));
    add(at_most(at_least(key("umbrella.exchange", T::integer, "0",
                             "steps between exchange attempts of neighbouring windows; 0: none"),
                         0),
                kManySteps));
    add(one_of(key("umbrella.store", T::text, "\"samples\"",
                   "what sampling keeps: every sample, or counts in fine cells of the collective "
                   "variable, moments and nothing that grows with the steps (free energy by wham or "
                   "umbrella_integration; no generator, coupling or closure)"),
               {"samples", "histogram"}));
    add(key("umbrella.initial", T::state, "\"line\"",
            "where trajectories start: a state, `\"line\"` (the state zero, moved to the window's "
            "centre along grad xi), or a .npy or .csv file with one state a row"));

    add(optional("estimate.enabled", T::boolean, "true", "whether to estimate the free energy"));
    add(one_of(key("estimate.method", T::text, "\"mbar\"", "estimator of the free energy"),
               {"mbar", "wham", "umbrella_integration"}));
    add(at_most(at_least(key("estimate.bins", T::integers, "100",
                             "bins of each collective variable over [from, to]"),
                         1),
                1e7));
    add(at_most(at_least(key("estimate.blocks", T::integer, "32",
                             "blocks that the standard errors are taken from"),
                         2),
                1e5));
    add(below(above(key("estimate.tolerance", T::number, "1e-9",
                        "largest change of a window's free energy that counts as converged"),
                    0.0),
              1.0));
    keys.back().unit = "kT";
    add(at_most(at_least(key("estimate.max_iterations", T::integer, "10000",
                             "iterations after which the estimator gives up"),
                         1),
                1e9));

    add(optional("generator.enabled", T::boolean, "true", "whether to train a generator"));
    add(one_of(key("generator.kind", T::text, "\"cgan\"",
                   "kind of generator: a GAN, a flow (slower to lift, knows its density), or one "
                   "taught by the energy score; flow and energy have other defaults of batch, "
                   "iterations, rate, betas and validate_every"),
               {"cgan", "flow", "energy"}));
    add(at_most(at_least(key("generator.generator_widths", T::integers, "[64, 64, 64]",
                             "widths of the generator's hidden layers"),
                         1),
                65536));
    add(at_most(at_least(key("generator.critic_widths", T::integers, "[64, 64, 64]",
                             "widths of the critic's hidden layers"),
                         1),
                65536));
    add(at_most(at_least(key("generator.latent", T::integer, "4", "dimension of the noise"), 1),
                4096));
    add(one_of(key("generator.activation", T::text, "\"silu\"", "activation of hidden layers"),
               {"silu", "leaky_relu", "tanh", "softplus"}));
    add(at_most(at_least(key("generator.batch", T::integer, "512", "samples in each update"), 1),
                1e7));
    add(at_most(at_least(key("generator.iterations", T::integer, "8000", "generator updates"), 1),
                1e12));
    add(at_most(at_least(key("generator.critic_steps", T::integer, "5",
                             "critic updates for each generator update"),
                         1),
                1000));
    add(at_most(above(key("generator.generator_rate", T::number, "2e-3",
                          "learning rate of the generator at the start"),
                      0.0),
                1.0));
    add(at_most(above(key("generator.critic_rate", T::number, "1e-3",
                          "learning rate of the critic at the start"),
                      0.0),
                1.0));
    add(below(at_least(key("generator.beta1", T::number, "0.0", "Adam's first decay"), 0.0), 1.0));
    add(below(at_least(key("generator.beta2", T::number, "0.99", "Adam's second decay"), 0.0), 1.0));
    add(one_of(key("generator.penalty", T::text, "\"one_sided\"",
                   "gradient penalty of the critic (r1r2: relativistic loss with R1 and R2)"),
               {"one_sided", "two_sided", "r1r2"}));
    add(at_most(at_least(key("generator.penalty_weight", T::number, "1.0",
                             "weight of the gradient penalty"),
                         0.0),
                1e6));
    add(at_most(at_least(key("generator.energy_weight", T::number, "1.0",
                             "weight of the energy score beside the critic; 0: the critic alone"),
                         0.0),
                1e6));
    add(below(at_least(key("generator.ema", T::number, "0.9995",
                           "decay of the running mean of the generator's weights; 0: none"),
                       0.0),
              1.0));
    add(at_most(at_least(key("generator.flow_steps", T::integer, "10",
                             "steps of a flow from noise to a state"),
                         1),
                1000));
    add(at_most(at_least(key("generator.time_waves", T::integer, "4",
                             "Fourier features of a flow's time"),
                         0),
                32));
    add(at_most(at_least(key("generator.group", T::integer, "8",
                             "states that kind energy generates for each sample: 2, 4, … 64"),
                         2),
                64));
    add(optional("generator.compare", T::texts, "[\"flow\", \"energy\"]",
                 "further kinds to train on the same data, with their own defaults, and to compare"));
    add(key("generator.project", T::boolean, "true",
            "whether generated states are moved onto xi(x) = s by Newton steps"));
    add(one_of(key("generator.architecture", T::text, "\"mlp\"",
                   "a network of full layers, or, of a flow on a ring, of circular convolutions: "
                   "generator_widths are their channels then"),
               {"mlp", "conv"}));
    add(at_most(at_least(key("generator.kernel", T::integer, "5",
                             "width of a convolution in sites, an odd number"),
                         1),
                63));
    add(key("generator.ring", T::boolean, "false",
            "whether the variables are like sites of a ring, in order: a flow then learns from "
            "them turned and mirrored at random"));
    add(one_of(key("generator.precision", T::text, "\"tf32\"",
                   "how a CUDA device rounds the factors of a network's products; tf32x3 comes close "
                   "to fp32, which is the slow reference. The CPU computes in fp32 always"),
               {"tf32", "bf16", "tf32x3", "fp32"}));
    add(below(above(key("generator.held_out", T::number, "0.1",
                        "share of the trajectories kept for validation"),
                    0.0),
              1.0));
    add(at_most(at_least(key("generator.validate_every", T::integer, "500",
                             "generator updates between validations"),
                         1),
                1e12));
    add(at_most(at_least(key("generator.validation_states", T::integer, "10000",
                             "generated states at each condition that validation looks at"),
                         16),
                1e7));

    add(at_most(at_least(key("lifting.values", T::integer, "50",
                             "values of the collective variables at which lifting is judged"),
                         1),
                10000));
    add(at_most(at_least(key("lifting.states", T::integer, "20000", "states generated at each"),
                         100),
                1e8));
    add(at_most(at_least(key("lifting.heal_steps", T::integer, "2000",
                             "steps that heal a generated state; 0: none; -1: five measured "
                             "relaxation times"),
                         -1),
                kManySteps));
    add(at_most(at_least(key("lifting.heal_limit", T::integer, "20000",
                             "most steps that heal_steps = -1 may choose"),
                         64),
                kManySteps));
    add(at_most(at_least(key("lifting.energies", T::integer, "0",
                             "values at which the potential energy of lifted and of healed states "
                             "is compared with long runs held there; 0: none"),
                         0),
                1000));
    add(at_most(at_least(key("lifting.energy_states", T::integer, "20000",
                             "states generated at each of them"),
                         100),
                1e8));
    add(at_most(at_least(key("lifting.reference_steps", T::integer, "20000",
                             "steps of the 256 runs at each of them, after a quarter as many more"),
                         64),
                kManySteps));
    add(at_most(at_least(key("lifting.proposals", T::integer, "4096",
                             "states of a flow that are weighed against exp(-beta V) at each bin; "
                             "0: none"),
                         0),
                1e8));

    add(optional("coupling.enabled", T::boolean, "true", "whether to couple"));
    add(at_most(at_least(key("coupling.rounds", T::integer, "0",
                             "rounds of new biased runs from generated states; 0: none"),
                         0),
                1000));
    add(at_most(at_least(key("coupling.windows", T::integer, "8", "new windows in each round"), 1),
                1e6));
    add(at_most(at_least(key("coupling.replicas", T::integer, "64",
                             "trajectories in each new window"),
                         1),
                1e8));
    add(at_most(at_least(key("coupling.equilibrate", T::integer, "2000",
                             "steps of a new run before its first sample"),
                         0),
                kManySteps));
    add(at_most(at_least(key("coupling.steps", T::integer, "20000", "steps sampled of a new run"),
                         1),
                kManySteps));
    add(at_most(at_least(key("coupling.iterations", T::integer, "2000",
                             "generator updates after each round"),
                         1),
                1e12));

    add(at_most(at_least(key("coupling.exchange", T::integer, "0",
                             "steps between exchange attempts of a round's neighbouring windows; "
                             "0: none"),
                         0),
                kManySteps));
    add(at_most(at_least(key("coupling.jump", T::integer, "100",
                             "steps between attempts of a round's trajectories to jump to a lifted "
                             "state, accepted by Metropolis; rounded up to whole umbrella.stride; "
                             "0: none"),
                         0),
                kManySteps));
    add(at_most(at_least(key("coupling.budget", T::number, "0.0",
                             "force evaluations of all biased runs, the umbrella's included, after "
                             "which no round begins; 0: no limit"),
                         0.0),
                1e18));
    add(at_least(key("coupling.target_error", T::number, "0.0",
                     "largest standard error of the free energy at which rounds end, once "
                     "coupling.target_w1 is met too (energy); 0: not asked for"),
                 0.0));
    add(at_least(key("coupling.target_w1", T::number, "0.0",
                     "largest held-out W1/sigma above its floor at which rounds end; 0: not asked "
                     "for"),
                 0.0));
    add(at_least(key("coupling.discard", T::number, "3.0",
                     "a window's earlier samples are discarded where a later run at the same place "
                     "disagrees by more than so many standard errors; 0: never"),
                 0.0));
    add(key("coupling.ablation", T::boolean, "false",
            "whether to compare, at equal force evaluations, with umbrella sampling alone and "
            "with the generator alone"));

    add(optional("closure.enabled", T::boolean, "true", "whether to close the reduced model"));
    add(key("closure.bursts", T::boolean, "true", "whether to close from short unbiased runs too"));
    add(in_units(at_least(key("closure.dt", T::number, "0.0",
                              "time step of bursts and first passages; 0: the integrator's"),
                          0.0),
                 "time"));
    add(at_most(at_least(key("closure.values", T::integer, "49",
                             "values of the collective variables at which bursts start"),
                         8),
                2000));
    add(at_most(at_least(key("closure.replicas", T::integer, "4096", "bursts at each value"), 16),
                1e7));
    add(one_of(key("closure.start", T::text, "\"physics\"",
                   "where bursts start: stored samples, generated or healed states, or states held "
                   "at the value"),
               {"physics", "generator", "healed", "constrained"}));
    add(at_most(at_least(key("closure.equilibrate", T::integer, "5000",
                             "steps held at a value before a burst; start = \"constrained\" only"),
                         1),
                1e12));
    add(at_most(at_least(key("closure.burst_steps", T::integer, "0",
                             "steps of a burst; 0: chosen from the diffusion"),
                         0),
                1e12));
    add(at_most(at_least(optional("closure.burst_lags", T::integers, "[10, 20, 40]",
                                  "lags of the closure, in steps; chosen if left out"),
                         1),
                1e12));
    add(below(above(key("closure.tolerance", T::number, "0.1",
                        "relative change of the slowest rate when the lag doubles that still counts "
                        "as a plateau"),
                    0.0),
              1.0));
    add(at_most(at_least(key("closure.relaxation", T::number, "1e9",
                             "trajectory-steps spent on the full model's slowest rate by free "
                             "trajectories; 0: not measured"),
                         0.0),
                1e15));
    add(optional("closure.passage_from", T::numbers, "-1.0",
                 "value of the collective variable, or of both, at which first passages start"));
    add(optional("closure.passage_to", T::numbers, "[0.0, 1.0]",
                 "values of the collective variable that they are to reach; of two: places, one "
                 "after the other"));
    add(above(optional("closure.passage_radius", T::numbers, "[0.1, 0.1]",
                       "two collective variables: how near to a place counts as there, one number "
                       "or one for each of them (half axes of an ellipse)"),
              0));
    add(optional("closure.passage_state", T::numbers, "[-0.5, 1.5]",
                 "state that full-model passages start from; left out: states with the value "
                 "passage_from"));
    add(at_most(at_least(key("closure.passages", T::integer, "4096",
                             "first passages simulated to each value"),
                         16),
                1e8));
    add(at_most(at_least(key("closure.passage_steps", T::integer, "50000000",
                             "steps after which waiting for first passages ends"),
                         1),
                1e15));
    add(optional("closure.committor_a", T::numbers, "[-0.5, 1.5, 0.1]",
                 "centre and radius of a ball, all variables: where committor 0 is"));
    add(optional("closure.committor_b", T::numbers, "[0.6, 0.0, 0.1]",
                 "centre and radius of the ball where committor 1 is"));
    add(optional("closure.committor_points", T::numbers, "[0.0, 0.5]",
                 "states at which the committor is simulated, one after the other"));
    add(at_most(at_least(key("closure.committor_runs", T::integer, "4096",
                             "trajectories from each of them"),
                         16),
                1e7));

    add(optional("learn.enabled", T::boolean, "true",
                 "whether to learn coordinates from the samples: a diffusion map, which a later run "
                 "may bias"));
    add(at_most(at_least(key("learn.alpha", T::number, "0.5",
                             "power of the sampling density that is divided out: 0, 0.5 (the "
                             "samples' own dynamics) or 1 (geometry alone)"),
                         0.0),
                1.0));
    add(at_least(key("learn.epsilon", T::number, "0.0",
                     "bandwidth of exp(-d^2/(4 epsilon)), a squared length; 0: from the data"),
                 0.0));
    add(at_most(at_least(key("learn.points", T::integer, "5000", "samples that are used"), 64),
                1e7));
    add(at_most(at_least(key("learn.coordinates", T::integer, "6", "coordinates that are computed"),
                         1),
                15));
    add(at_most(at_least(key("learn.landmarks", T::integer, "120",
                             "centres that the coordinates as functions are made of"),
                         10),
                1000));
    add(at_most(at_least(key("learn.neighbours", T::integer, "0",
                             "nearest neighbours of each sample in the kernel; 0: all samples"),
                         0),
                4096));
    add(key("learn.bursts", T::boolean, "false",
            "distances in units of the local noise of what is observed, from short runs"));
    add(in_units(at_least(key("learn.burst_time", T::number, "0.0",
                              "length of those runs; 0: one step of the integrator"),
                          0.0),
                 "time"));
    add(at_most(at_least(key("learn.burst_replicas", T::integer, "200", "runs from each sample"), 8),
                1e5));
    add(key("learn.unweighted", T::boolean, "false",
            "takes the biased samples as they are, without their weights"));
    return schema;
}

RunConfig parse_run_config(std::string_view text, const std::string& file,
                           const RunOptions& options) {
    ConfigValue root = parse_toml(text, file);
    for (const std::string& change : options.set) {
        apply_override(root, ConfigOverride::parse(change));
    }
    if (options.seed) {
        const std::string seed = std::to_string(*options.seed);
        apply_override(root, {"seed", seed, "--seed " + seed});
    }
    std::string name;
    if (const ConfigValue* system = root.find("system")) {
        const ConfigValue* given = system->find("name");
        if (given != nullptr && given->kind == ConfigValue::Kind::text &&
            !given->text.empty()) {
            name = given->text;
            check_system_name(*given);
        }
    }
    RunConfig run;
    Config config(std::move(root), run_schema(name), file);
    run.seed = static_cast<std::uint64_t>(config.integer("seed"));
    run.system = read_system(config);
    run.cv = read_cv(config, run.system);
    run.integrator = {config.text("integrator.scheme"), config.number("integrator.dt"),
                      config.number("integrator.mass"), config.number("integrator.friction"),
                      static_cast<int>(config.integer("integrator.philox_rounds")),
                      config.number("integrator.compile_after")};
    if (run.integrator.philox_rounds != 7 && run.integrator.philox_rounds != 10)
        config.fail("integrator.philox_rounds",
                    "integrator.philox_rounds = " + std::to_string(run.integrator.philox_rounds),
                    "7 or 10");
    run.umbrella = read_umbrella(config, run.system, run.cv.count());
    cut_dihedrals(config, run);
    run.estimate = read_estimate(config, run.cv.count());
    run.generator = read_generator(config);
    run.lifting = read_lifting(config);
    run.coupling = read_coupling(config, run.generator.enabled);
    run.closure = read_closure(config, run);
    run.learn = read_learn(config);
    check_store(config, run);
    run.config = std::move(config);
    return run;
}

RunConfig load_run_config(const std::string& file, const RunOptions& options) {
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
    return parse_run_config(text, file, options);
}

int variable_count(const SystemConfig& system) {
    if (system.is_formula()) {
        return static_cast<int>(system.variables.size());
    }
    return static_cast<int>(find_system(system.name).variables.size());
}

RunCost run_cost(const RunConfig& run) {
    const UmbrellaConfig& umbrella = run.umbrella;
    const int variables = variable_count(run.system);
    const auto values = static_cast<double>(variables + run.cv.count()) +
                        static_cast<double>(run.system.observe.size());
    RunCost cost;
    cost.trajectories = static_cast<double>(umbrella.trajectories());
    cost.samples = cost.trajectories * static_cast<double>(umbrella.samples_per_trajectory());
    cost.force_evaluations =
        cost.trajectories * static_cast<double>(umbrella.equilibrate + umbrella.steps);
    if (run.coupling.enabled) {
        const CouplingConfig& coupling = run.coupling;
        const double rounds = static_cast<double>(coupling.rounds);
        const double trajectories = static_cast<double>(coupling.windows * coupling.replicas);
        const double stored =
            std::max(1.0, static_cast<double>(coupling.steps / umbrella.stride));
        cost.trajectories += rounds * trajectories;
        cost.samples += rounds * trajectories * stored;
        cost.force_evaluations +=
            rounds * trajectories * static_cast<double>(coupling.equilibrate + coupling.steps);
    }
    // Samples are float; the estimator adds one double weight each; a trajectory also keeps its
    // state, its last noise or velocity, and its window.
    const double stored = umbrella.histogram ? 0.0 : cost.samples;
    cost.memory_bytes = stored * (4.0 * values + 8.0) +
                        cost.trajectories * (8.0 * static_cast<double>(variables) + 16.0);
    cost.disk_bytes = 2.0 * stored * (4.0 * values + 12.0);
    if (umbrella.histogram)  // sums of a trajectory, and samples of 16 segments on their way
        cost.memory_bytes += cost.trajectories * (16.0 + 64.0) * values;
    return cost;
}

void check_memory(const RunConfig& run, const RunCost& cost, double available_bytes) {
    if (cost.memory_bytes <= available_bytes) {
        return;
    }
    run.config.fail("umbrella.stride",
                    "the samples take " + gigabytes(cost.memory_bytes) + " of memory, there are " +
                        gigabytes(available_bytes),
                    "give a larger 'umbrella.stride', or fewer windows, replicas or steps");
}

double available_memory_bytes() {
    // MemAvailable counts what the page cache would give back; sysconf does not.
    std::ifstream in("/proc/meminfo");
    std::string name;
    double kilobytes = 0.0;
    while (in >> name >> kilobytes) {
        if (name == "MemAvailable:") {
            return kilobytes * 1024.0;
        }
        in.ignore(100, '\n');
    }
    return static_cast<double>(sysconf(_SC_PHYS_PAGES)) *
           static_cast<double>(sysconf(_SC_PAGE_SIZE));
}

}  // namespace microlift
