#include "sampling/model/model_config.h"

#include <algorithm>

#include "engine/config/names.h"
#include "engine/config/section.h"
#include "sampling/dynamics/schemes.h"
#include "sampling/dynamics/systems.h"
#include "sampling/model/cv_config.h"
#include "sampling/model/molecule_config.h"

namespace microlift {
namespace {

constexpr std::size_t kMaxVariables = 64;
constexpr const char* kMoleculeScheme = "lf_middle";

// --- what keys of other than a member's type say -----------------------------------------------------

void read_diffusion(SystemConfig& system, const ConfigValue& rows) {
    system.diffusion_is_matrix = rows.items[0].kind == ConfigValue::Kind::array;
    if (!system.diffusion_is_matrix) {
        assign(system.diffusion.emplace_back(), rows);
        return;
    }
    for (const ConfigValue& row : rows.items) {
        assign(system.diffusion.emplace_back(), row);
    }
}

void read_parameters(SystemConfig& system, const ConfigValue& table) {
    for (std::size_t i = 0; i < table.keys.size(); ++i) {
        system.parameters.emplace_back(table.keys[i], table.items[i].as_number());
    }
}

}  // namespace

const Section<SystemConfig> system_section{"system", {
    optional(&SystemConfig::kind, "kind", "\"molecule\"",
             "molecule: a system from files; leave out otherwise").one_of({"molecule"}),
    optional(&SystemConfig::name, "name", "\"muller_brown\"",
             "a built-in system (`microlift systems` lists them); leave out for formulas"),
    optional(&SystemConfig::beta, "beta", "1.0", "inverse temperature").above(0).unit("1/energy"),
    optional(&SystemConfig::variables, "variables", "[\"x\", \"y\"]",
             "names of the variables of a system given by formulas"),
    optional(&SystemConfig::potential, "potential", "\"(x^2-1)^2 + y^2\"",
             "formula of V in dX = -grad V dt + sqrt(2/beta) dW"),
    optional(&SystemConfig::drift, "drift", "[\"-x + y\", \"-(y - x)/eps\"]",
             "formulas of the drift, one for each variable (Ito)"),
    optional_read_by<SystemConfig>(read_diffusion, KeyType::rows, "diffusion",
             "[\"0.1\", \"1/sqrt(eps)\"]",
             "formulas of the noise amplitude, one for each variable, or a matrix of them"),
    optional_read_by<SystemConfig>(read_parameters, KeyType::number, "parameters.*", "0.01",
             "value of a parameter of the formulas, for example parameters = { eps = 0.01 }"),
    optional(&SystemConfig::observe, "observe", "[\"x*cos(y)\", \"x*sin(y)\"]",
             "formulas of what the generator learns instead of the state"),
}};

const Section<IntegratorConfig> integrator_section{"integrator", {
    key(&IntegratorConfig::scheme, "scheme", "leimkuhler_matthews",
        "time stepping")
        .one_of(scheme_names()),
    required(&IntegratorConfig::dt, "dt", "1e-4", "time step").above(0).unit("time"),
    key(&IntegratorConfig::mass, "mass", 1.0, "mass of every variable; baoab only").above(0),
    key(&IntegratorConfig::friction, "friction", 1.0, "friction; of baoab, and of molecules")
        .above(0).unit("1/time"),
    key(&IntegratorConfig::philox_rounds, "philox_rounds", 10,
        "rounds of the random number generator: 10, or 7 for speed").from(7).to(10),
    key(&IntegratorConfig::compile_after, "compile_after", 1e9,
        "trajectory-steps after which a formula system is compiled by the machine's C++ compiler, on "
        "the CPU; the results keep their bits; -1: never").from(-1).to(1e18),
}};

void add_model_keys(Schema& schema, const std::string& system_name, bool molecule) {
    system_section.add_to(schema);
    if (molecule) molecule_section.add_to(schema);
    for (const SystemInfo& info : system_registry()) {
        if (info.name != system_name) {
            continue;
        }
        for (const ParameterInfo& parameter : info.parameters) {
            KeySpec spec;
            spec.path = "system." + parameter.name;
            spec.type = KeyType::number;
            spec.fallback = toml_number(parameter.value);
            spec.help = parameter.meaning;
            spec.unit = parameter.unit;
            schema.keys.push_back(std::move(spec));
        }
    }
    add_cv_keys(schema);
    integrator_section.add_to(schema);
    if (!molecule) return;
    for (KeySpec& key : schema.keys)
        if (key.path == "integrator.scheme") {
            key.help += " of a molecule; of all other systems " + join(key.choices, ", ") + ", by default leimkuhler_matthews";
            key.choices = {kMoleculeScheme, "baoab"};
            key.fallback = toml_string(kMoleculeScheme);
        }
}

namespace {

// --- [system] ----------------------------------------------------------------------------------------

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

void check_names(const char* path, const std::vector<std::string>& names) {
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (!is_identifier(names[i])) {
            throw KeyError(path, "'" + printable(names[i]) + "' in '" + path + "' is not a name",
                           "use letters, digits and _, a letter first");
        }
        if (std::find(names.begin(), names.begin() + static_cast<long>(i), names[i]) !=
            names.begin() + static_cast<long>(i)) {
            throw KeyError(path, "'" + names[i] + "' stands twice in '" + path + "'",
                           "give each its own name");
        }
    }
    if (names.size() > kMaxVariables) {
        throw KeyError(path, "there are " + std::to_string(names.size()) + " variables",
                       "give at most " + std::to_string(kMaxVariables));
    }
}

void check_parameters(const SystemConfig& system) {
    for (const auto& [name, value] : system.parameters) {
        const bool taken = std::find(system.variables.begin(), system.variables.end(), name) !=
                           system.variables.end();
        if (!is_identifier(name) || taken) {
            throw KeyError("system.parameters",
                           "parameter '" + name + "' " +
                               (taken ? "has the name of a variable" : "is not a name"),
                           "use letters, digits and _, a letter first, and no variable's name");
        }
    }
}

// What a built-in leaves open: its own temperature, observation and starting state.
void fill_from_registry(Config& config, const SystemInfo& info) {
    if (info.gradient() && !config.has("system.beta")) {
        config.set("system.beta", ConfigValue::of(info.beta));
    }
    config.with({"system.beta"}, [&] {
        if (!info.gradient() && config.has("system.beta")) {
            throw KeyError("system.beta",
                           "the system '" + info.name + "' has no single temperature",
                           "leave out 'system.beta': its noise is given by its parameters");
        }
    });
    if (!info.observe.empty() && !config.has("system.observe")) {
        config.set("system.observe", ConfigValue::of(info.observe));
    }
    if (!info.initial.empty() && !config.given("umbrella.initial") && config.sound("umbrella.initial")) {
        config.set("umbrella.initial", ConfigValue::of(info.initial));
    }
    config.with({"system"}, [&] {
        for (const char* path : {"system.variables", "system.potential", "system.drift",
                                 "system.diffusion", "system.parameters"}) {
            if (!config.has(path)) continue;
            throw KeyError(path,
                           "key '" + std::string(path) +
                               "' does not go with the built-in system '" + info.name + "'",
                           "leave out 'system.name' to describe a system by formulas, or set the "
                           "built-in's own parameters (see: microlift systems " +
                               info.name + ")");
        }
    });
}

// A system of the user's own: either a potential and its temperature, or a drift and its noise.
void check_formula_system(Checks& checks, const SystemConfig& system) {
    const bool potential = !system.potential.empty();
    checks.with({"system.name", "system.potential", "system.drift"}, [&] {
        if (!potential && system.drift.empty()) {
            throw KeyError("system", "[system] says neither which built-in nor which formulas to run",
                           "give name = \"muller_brown\" (see: microlift systems), or variables and "
                           "a potential, or variables, drift and diffusion");
        }
        if (potential && !system.drift.empty()) {
            throw KeyError("system.drift", "both 'system.potential' and 'system.drift' are given",
                           "keep one: the drift of a potential is its negative gradient");
        }
    });
    checks.with({"system.name", "system.variables"}, [&] {
        if (system.variables.empty()) {
            throw KeyError("system.variables", "key 'system.variables' is missing",
                           "name the variables of the formulas, for example variables = [\"x\", "
                           "\"y\"]");
        }
        check_names("system.variables", system.variables);
    });
    checks.with({"system.name", "system.variables", "system.parameters"},
                [&] { check_parameters(system); });
    checks.with({"system.name", "system.potential", "system.drift", "system.diffusion"}, [&] {
        if (potential && !system.diffusion.empty()) {
            throw KeyError("system.diffusion", "'system.diffusion' does not go with a potential",
                           "leave it out: the noise is sqrt(2/beta); or give a drift instead");
        }
        if (!potential && system.diffusion.empty()) {
            throw KeyError("system.diffusion", "key 'system.diffusion' is missing",
                           "give the noise amplitude of each variable, for example diffusion = "
                           "[\"0.1\", \"1/sqrt(eps)\"]");
        }
    });
    checks.with({"system.name", "system.potential", "system.drift", "system.beta"}, [&] {
        if (potential && !system.beta) {
            throw KeyError("system.beta", "key 'system.beta' is missing",
                           "give the inverse temperature of the potential, for example beta = 1.0");
        }
    });
    const std::size_t count = system.variables.size();
    checks.with({"system.name", "system.potential", "system.variables", "system.drift"}, [&] {
        if (!potential) check_count("system.drift", system.drift.size(), count, "variable");
    });
    checks.with({"system.name", "system.potential", "system.variables", "system.drift",
                 "system.diffusion"}, [&] {
        if (potential) return;
        check_count("system.diffusion",
                    system.diffusion_is_matrix ? system.diffusion.size() : system.diffusion[0].size(),
                    count, "variable");
    });
}

// A molecule's variables are x0, y0, z0, x1, …
void read_molecule_system(Config& config, ModelConfig& model) {
    for (const Key<SystemConfig>& key : system_section.keys())
        if (key.spec.path != "system.kind" && config.given(key.spec.path.substr(0, key.spec.path.find(".*"))))
            throw KeyError(key.spec.path,
                           "key '" + key.spec.path + "' does not go with kind = \"molecule\"",
                           "leave it out: a molecule is described by its files");
    const MoleculeConfig molecule = molecule_section.read(config);
    model.molecule = load_molecule(config, molecule);
    SystemConfig& system = model.system;
    system.kind = "molecule";
    system.beta = 1 / (kGasConstant * molecule.temperature.value_or(kRoomTemperature));
    for (index atom = 0; atom < model.molecule->molecule.size(); ++atom)
        for (const char* axis : {"x", "y", "z"})
            system.variables.push_back(axis + std::to_string(atom));
}

SystemConfig read_system(Config& config) {
    if (!config.has("system.name") || !config.sound("system.name")) {
        const SystemConfig system = system_section.read(config);
        check_formula_system(config, system);
        return system;
    }
    const SystemInfo& info = find_system(config.text("system.name"));
    fill_from_registry(config, info);
    SystemConfig system = system_section.read(config);
    for (const ParameterInfo& parameter : info.parameters) {
        const std::string path = "system." + parameter.name;
        system.parameters.emplace_back(
            parameter.name, config.sound(path) ? config.number(path) : parameter.value);
    }
    return system;
}

IntegratorConfig read_integrator(Config& config, bool molecule) {
    const IntegratorConfig integrator = integrator_section.read(config);
    config.with({"integrator.philox_rounds"}, [&] {
        if (integrator.philox_rounds != 7 && integrator.philox_rounds != 10) {
            throw KeyError("integrator.philox_rounds",
                           "'integrator.philox_rounds' is " +
                               std::to_string(integrator.philox_rounds),
                           "give 7 or 10");
        }
    });
    config.with({"integrator.mass", "system.kind"}, [&] {
        if (molecule && integrator.mass != integrator_section.defaults().mass)
            throw KeyError("integrator.mass", "key 'integrator.mass' does not go with a molecule",
                           "leave it out: the masses stand in its files (see hydrogen_mass)");
    });
    return integrator;
}

}  // namespace

ModelConfig read_system_and_cvs(Config& config, const StatesOfModel& states) {
    ModelConfig model;
    if (states && !config.has("system")) {
        model.system.states_alone = true;
    } else if (config.has("system.kind")) {
        config.with({"system"}, [&] { read_molecule_system(config, model); });
        if (!model.molecule) config.distrust("cv");  // whose atoms nobody knows
    } else {
        model.system = read_system(config);
    }
    if (states) states(model);
    if (config.has("cv.variables")) model.cv = read_cv(config, model);
    return model;
}

ModelConfig read_model(Config& config, const StatesOfModel& states) {
    ModelConfig model = read_system_and_cvs(config, states);
    if (model.system.states_alone)
        model.integrator = integrator_section.defaults();
    else
        model.integrator = read_integrator(config, model.system.is_molecule());
    return model;
}

void check_system_name(const std::string& name) {
    std::vector<std::string> known;
    for (const SystemInfo& info : system_registry()) {
        if (info.name == name) {
            return;
        }
        known.push_back(info.name);
    }
    const std::string near = nearest_name(name, known);
    throw KeyError("system.name",
                   "key 'system.name' is " + toml_string(name) + ", which is no built-in system",
                   near.empty() ? "the built-in systems are " + join(known, ", ")
                                : "did you mean " + toml_string(near) + "?");
}

int variable_count(const SystemConfig& system) {
    if (system.is_formula()) {
        return static_cast<int>(system.variables.size());
    }
    return static_cast<int>(find_system(system.name).variables.size());
}

}  // namespace microlift
