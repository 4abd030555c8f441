#include "sampling/bias/umbrella_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/config/section.h"
#include "sampling/dynamics/limits.h"
#include "sampling/molecule/molecule.h"

namespace microlift {
namespace {

constexpr double kTurn = 2 * std::numbers::pi;  // the period of a dihedral angle

void read_store(UmbrellaConfig& umbrella, const ConfigValue& value) {
    umbrella.histogram = value.text == "histogram";
}

void read_initial(UmbrellaConfig& umbrella, const ConfigValue& value) {
    if (value.kind == ConfigValue::Kind::array)
        assign(umbrella.initial_state, value);
    else if (value.text == "line")
        umbrella.initial_line = true;
    else
        umbrella.initial_file = value.text;
}

}  // namespace

Key<UmbrellaConfig> initial_key() {
    return key_read_by<UmbrellaConfig>(read_initial, KeyType::state, "initial", "\"line\"",
        "where trajectories start: a state, `\"line\"` (the state zero, moved to the window's centre "
        "along grad xi), or a .npy or .csv file with one state a row");
}

Key<UmbrellaConfig> initial_checksum_key() {
    return optional(&UmbrellaConfig::initial_checksum, "initial_checksum", "\"ef46db3751d8e999\"",
                    "XXH64 of that file; a run writes it into its own configuration, and another file is "
                    "refused");
}

const Section<UmbrellaConfig> umbrella_section{"umbrella", {
    optional_read_by<UmbrellaConfig>([](UmbrellaConfig&, const ConfigValue&) {}, KeyType::texts, "plumed", "[\"plumed.0.dat\", \"plumed.1.dat\"]",
             "PLUMED inputs of a molecule with a restraint each, or one for all replicas, which then say [cv], from, to, "
             "windows and stiffness; a run writes the keys that they stand for into its own configuration"),
    required(&UmbrellaConfig::from, "from", "-1.5", "centre of the first window"),
    required(&UmbrellaConfig::to, "to", "1.2",
             "centre of the last window; one period from `from`: windows all round, that of `to` is the "
             "first"),
    required(&UmbrellaConfig::windows, "windows", "28",
             "number of windows of U = stiffness/2 (xi - centre)^2").from(2).to(1e6),
    required(&UmbrellaConfig::stiffness, "stiffness", "500.0",
             "stiffness of the bias; without a potential the rate, 1/time, of its pull on xi")
        .above(0).unit("energy/xi^2"),
    key(&UmbrellaConfig::replicas, "replicas", 64, "trajectories in each window").from(1).to(1e8),
    key(&UmbrellaConfig::equilibrate, "equilibrate", 10000, "steps before the first sample")
        .from(0).to(kMostSteps),
    key(&UmbrellaConfig::steps, "steps", 100000, "steps sampled").from(1).to(kMostSteps),
    key(&UmbrellaConfig::stride, "stride", 100, "steps between stored samples").from(1).to(kMostSteps),
    key(&UmbrellaConfig::exchange, "exchange", 0,
        "steps between exchange attempts of neighbouring windows; 0: none").from(0).to(kMostSteps),
    key_read_by<UmbrellaConfig>(read_store, KeyType::text, "store", "\"samples\"",
        "what sampling keeps: every sample, or counts in fine cells of the collective variable, "
        "moments and nothing that grows with the steps (free energy by wham or umbrella_integration; "
        "no generator, coupling or closure)").one_of({"samples", "histogram"}),
    initial_key(), initial_checksum_key(),
}};

// Barriers between rotamers are crossed in picoseconds at 800 K.
const Section<MoleculeSampling> molecule_sampling_section{"umbrella", {
    key(&MoleculeSampling::heat, "heat", 800.0,
        "temperature of the short runs that bring a molecule's trajectories from the start to their "
        "windows, so that what the collective variable does not see is not the same in all of them; at "
        "least the system's").from(0).to(1e5).unit("K"),
    key(&MoleculeSampling::heat_steps, "heat_steps", 20000,
        "steps of these runs, the first half of them on the way; 0: none").from(0).to(kMostSteps),
    optional(&MoleculeSampling::temperatures, "temperatures", "[340.0, 390.0, 450.0]",
             "rising temperatures above the system's, for replica exchange: so many further sets of "
             "trajectories under the same biases, of which no sample is stored").above(0).to(1e5).unit("K"),
    key(&MoleculeSampling::tempering, "tempering", 1000,
        "steps between attempts to swap states of neighbouring temperatures").from(1).to(kMostSteps),
}};

index UmbrellaConfig::window_count() const {
    if (shared) return 1;
    if (!centers.empty()) return static_cast<index>(centers.size());
    index count = 1;
    for (index n : windows) {
        count *= n;
    }
    return count;
}

double UmbrellaConfig::spacing(std::size_t k) const {
    const index gaps = all_round(k) ? windows[k] : windows[k] - 1;
    return gaps > 0 ? (to[k] - from[k]) / static_cast<double>(gaps) : to[k] - from[k];
}

template <class T>
void spread(Config& config, const char* path, std::vector<T>& values, int count) {
    const auto n = static_cast<std::size_t>(count);
    config.with({path, "cv.variables"}, [&] {
        if (values.size() == 1 && n > 1) {
            values.assign(n, values[0]);
            config.set(path, ConfigValue::of(values));
        } else if (values.size() == 1 && config.at(path).kind == ConfigValue::Kind::array) {
            config.set(path, ConfigValue::of(values[0]));
        }
        if (values.size() != n) {
            throw KeyError(path,
                           "key '" + std::string(path) + "' has " +
                               (values.size() == 1 ? std::string("1 entry")
                                                   : std::to_string(values.size()) + " entries") +
                               " for " + count_of(n, "collective variable"),
                           "give one number, or one for each collective variable");
        }
    });
}
template void spread(Config&, const char*, std::vector<double>&, int);
template void spread(Config&, const char*, std::vector<index>&, int);

namespace {

void check_range(const UmbrellaConfig& umbrella) {
    for (std::size_t i = 0; i < umbrella.from.size(); ++i) {
        if (!(umbrella.from[i] < umbrella.to[i])) {
            throw KeyError("umbrella.to",
                           "key 'umbrella.to' is " + toml_number(umbrella.to[i]) +
                               ", not above 'umbrella.from' = " + toml_number(umbrella.from[i]),
                           "let 'umbrella.from' be less than 'umbrella.to'");
        }
    }
}

// Digits of a period that are left out, as in 3.1416 for pi, are filled in.
constexpr double kOnePeriod = 1e-3;

// Whether from and to are one period apart: then the variable goes all round. More is refused.
void find_round(UmbrellaConfig& umbrella, CvConfig& cv) {
    umbrella.round.assign(cv.variables.size(), false);
    for (std::size_t k = 0; k < cv.variables.size(); ++k) {
        CvVariable& variable = cv.variables[k];
        const bool dihedral = variable.kind == "dihedral";
        const double period = variable.period > 0 ? variable.period : dihedral ? kTurn : 0.0;
        const double range = umbrella.to[k] - umbrella.from[k];
        if (period > 0 && !umbrella.centers.empty() && range <= period * (1 + kOnePeriod)) {
            variable.round = true;
            variable.period = period;
            variable.middle = 0.5 * (umbrella.from[k] + umbrella.to[k]);
            continue;
        }
        if (!(period > 0) || range < period * (1 - kOnePeriod)) continue;
        if (range > period * (1 + kOnePeriod)) {
            throw KeyError("umbrella.to",
                           "the windows cover " + toml_number(range) + " of a collective variable whose "
                           "period is " + toml_number(period),
                           "give one period at most" +
                               std::string(dihedral ? "" : ", or correct 'period'"));
        }
        if (dihedral && std::fabs(period - kTurn) > kOnePeriod * kTurn) {
            throw KeyError("cv.variables[" + std::to_string(k) + "].period",
                           "the period of a dihedral angle is given as " + toml_number(period),
                           "leave it out: it is one turn, 6.283185307179586");
        }
        umbrella.round[k] = variable.round = true;
        umbrella.to[k] = umbrella.from[k] + (dihedral ? kTurn : period);
        variable.period = dihedral ? kTurn : period;
        variable.middle = umbrella.from[k] + 0.5 * period;
    }
}

void check_stride(const UmbrellaConfig& umbrella) {
    if (umbrella.steps % umbrella.stride != 0) {
        throw KeyError("umbrella.stride",
                       "key 'umbrella.stride' = " + std::to_string(umbrella.stride) +
                           " does not divide 'umbrella.steps' = " + std::to_string(umbrella.steps),
                       "give a stride that divides the number of steps");
    }
}

void check_exchange(const UmbrellaConfig& umbrella) {
    if (umbrella.exchange > umbrella.steps) {
        throw KeyError("umbrella.exchange",
                       "key 'umbrella.exchange' = " + std::to_string(umbrella.exchange) +
                           " is more than 'umbrella.steps' = " + std::to_string(umbrella.steps),
                       "give fewer steps between attempts, or 0 for none");
    }
    if (umbrella.exchange % umbrella.stride != 0) {
        throw KeyError("umbrella.exchange",
                       "'umbrella.exchange' = " + std::to_string(umbrella.exchange) +
                           " is not a multiple of 'umbrella.stride' = " +
                           std::to_string(umbrella.stride),
                       "exchange at steps that are sampled, for example every " +
                           std::to_string(std::min(umbrella.stride * 10, umbrella.steps)));
    }
}

// In double: the numbers may be larger than any integer.
double trajectories_of(const UmbrellaConfig& umbrella) {
    double trajectories = static_cast<double>(umbrella.replicas);
    for (const index windows : umbrella.windows) {
        if (!umbrella.shared && umbrella.centers.empty()) trajectories *= static_cast<double>(windows);
    }
    trajectories *= static_cast<double>(std::max<std::size_t>(1, umbrella.centers.size()));
    return trajectories;
}

void check_temperatures(const UmbrellaConfig& umbrella, double temperature) {
    const MoleculeSampling& molecule = umbrella.molecule;
    if (molecule.temperatures.empty()) return;
    for (const double higher : molecule.temperatures) {
        if (!(higher > temperature))
            throw KeyError("umbrella.temperatures",
                           "'umbrella.temperatures' does not rise from the system's " + toml_number(temperature) +
                               " K: " + toml_number(higher) + " follows " + toml_number(temperature),
                           "give temperatures above the system's, the lowest first");
        temperature = higher;
    }
    if (molecule.tempering % umbrella.stride != 0)
        throw KeyError("umbrella.tempering",
                       "'umbrella.tempering' is " + std::to_string(molecule.tempering) +
                           ", not a multiple of 'umbrella.stride' = " + std::to_string(umbrella.stride),
                       "swap at steps that are sampled, for example every " +
                           std::to_string(umbrella.stride * 10));
}

void check_trajectories(const UmbrellaConfig& umbrella) {
    if (trajectories_of(umbrella) > kMostTrajectories) {
        throw KeyError("umbrella.replicas",
                       "'umbrella.windows' times 'umbrella.replicas' is more than " +
                           std::to_string(static_cast<index>(kMostTrajectories)),
                       "give fewer windows or replicas");
    }
}

void check_samples(const UmbrellaConfig& umbrella) {
    if (trajectories_of(umbrella) * static_cast<double>(umbrella.samples_per_trajectory()) > 1e12) {
        throw KeyError("umbrella.stride",
                       "with this 'umbrella.stride' more than 1e12 samples would be stored",
                       "give a larger one, or fewer steps, windows or replicas");
    }
}

void check_initial(const UmbrellaConfig& umbrella, const SystemConfig& system) {
    const char* path = "umbrella.initial";
    if (!umbrella.initial_state.empty()) {
        check_count(path, umbrella.initial_state.size(),
                    static_cast<std::size_t>(variable_count(system)), "variable");
    }
}

// φ is cut opposite to the middle of the windows, so that it is continuous over all of them. Where they do
// not go all round, umbrellas pull along it: none may reach the cut.
void cut_dihedrals(const UmbrellaConfig& umbrella, ModelConfig& model) {
    for (std::size_t k = 0; k < model.cv.variables.size(); ++k) {
        if (model.cv.variables[k].kind != "dihedral" || model.cv.variables[k].round) continue;
        if (umbrella.shared)
            throw KeyError("umbrella.to",
                           "the bias covers a part of the dihedral angle's turn alone, and where the turn "
                           "ends it would jump",
                           "let 'umbrella.from' and 'umbrella.to' be one turn apart; 'bias.walls' keep "
                           "walkers out of a part of it");
        const double beta = model.system.beta.value_or(1.0);
        // What was made elsewhere nothing pulls, unless windows follow.
        const bool pulled = umbrella.given == 0 || umbrella.stiffness[k] > 0;
        const double reach = pulled ? 4.0 / std::sqrt(std::max(beta * umbrella.stiffness[k], 1e-300)) : 0.0;
        const double half = 0.5 * (umbrella.to[k] - umbrella.from[k]);
        if (half + reach > 0.5 * kTurn) {
            throw KeyError("umbrella.to",
                           "the windows of the dihedral angle cover " + toml_number(2.0 * half) +
                               " of a turn's 6.283, and their samples reach " + toml_number(reach) +
                               " further",
                           "let 'umbrella.from' and 'umbrella.to' be one turn apart, for windows all "
                           "round, or leave room beside them, by a shorter range or a larger "
                           "'umbrella.stiffness'");
        }
        const double middle = 0.5 * (umbrella.from[k] + umbrella.to[k]);
        if (middle == 0.0) continue;
        model.cv.variables[k].middle = middle;
        std::string& formula = model.cv.variables[k].formula;
        const std::string center = toml_number(middle), off = formula + " - (" + center + ")";
        formula = center + " + atan2(sin(" + off + "), cos(" + off + "))";
    }
}

}  // namespace

UmbrellaConfig read_umbrella(Config& config, ModelConfig& model) {
    UmbrellaConfig umbrella = umbrella_section.read(config);
    if (model.molecule) {
        umbrella.molecule = molecule_sampling_section.read(config);
        config.with({"umbrella.temperatures", "umbrella.tempering", "umbrella.stride", "system.temperature"},
                    [&] { check_temperatures(umbrella, 1 / (kGasConstant * model.system.beta.value())); });
    }
    spread(config, "umbrella.windows", umbrella.windows, model.cv.count());
    spread(config, "umbrella.stiffness", umbrella.stiffness, model.cv.count());
    finish_umbrella(config, model, umbrella);
    return umbrella;
}

void finish_umbrella(Config& config, ModelConfig& model, UmbrellaConfig& umbrella) {
    model.start = umbrella.initial_state;
    const int cvs = model.cv.count();
    if (umbrella.centers.empty()) {
        spread(config, "umbrella.from", umbrella.from, cvs);
        spread(config, "umbrella.to", umbrella.to, cvs);
    }
    config.with({"cv.variables", "umbrella.from", "umbrella.to"}, [&] {
        check_range(umbrella);
        find_round(umbrella, model.cv);
    });
    config.with({"umbrella.steps", "umbrella.stride"}, [&] { check_stride(umbrella); });
    config.with({"umbrella.steps", "umbrella.stride", "umbrella.exchange"},
                [&] { check_exchange(umbrella); });
    config.with({"umbrella.windows", "umbrella.replicas"}, [&] { check_trajectories(umbrella); });
    config.with({"umbrella.windows", "umbrella.replicas", "umbrella.steps", "umbrella.stride"},
                [&] { check_samples(umbrella); });
    config.with({"umbrella.initial", "system.name", "system.variables"},
                [&] { check_initial(umbrella, model.system); });
    config.with({"cv.variables", "system.beta", "umbrella.from", "umbrella.to", "umbrella.stiffness"},
                [&] { cut_dihedrals(umbrella, model); });
}

}  // namespace microlift
