#include "sampling/run/config/samples_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/at.h"
#include "sampling/dynamics/limits.h"

namespace microlift {

namespace {

constexpr index kPlaces1 = 32, kPlaces2 = 12;  // values along each of one or two variables

}  // namespace

using Given = SamplesConfig;
const Section<SamplesConfig> samples_section{"samples", {
    enabled(&Given::enabled, "whether samples made elsewhere stand in place of [umbrella] and [bias]"),
    optional(&Given::states, "states", "[\"run1.dcd\", \"run2.dcd\"]",
             "files of states, one a trajectory: DCD, XTC, PDB, .npy, .csv, or the samples.h5 of another run; left out, "
             "the columns of 'colvar' are the states"),
    optional(&Given::colvar, "colvar", "[\"COLVAR.1\", \"COLVAR.2\"]",
             "PLUMED's COLVAR files of these trajectories, a row a state: collective variables by name, and bias "
             "energies"),
    key_read_by<Given>([](Given& to, const ConfigValue& value) { assign(to.weights, value); }, KeyType::names,
                         "weights", "", "columns of 'colvar' whose sum is the energy of the bias at each state, by which "
                         "states are weighed").example("\"metad.rbias\""),
    optional(&Given::windows, "windows", "\"windows.csv\"",
             "a .csv file with the umbrella that each trajectory was run under: columns file (or the rows in the "
             "order of the trajectories), center and stiffness, of U = stiffness/2 (xi - center)^2; of two variables "
             "center_1, center_2, stiffness_1, stiffness_2"),
    optional(&Given::temperature, "temperature", "300.0",
             "at which the samples were made; a [system] has its own").above(0).to(1e6).unit("K"),
    optional(&Given::energy_unit, "energy_unit", "\"kcal/mol\"",
             "of bias energies and stiffnesses: kJ/mol, PLUMED's own, if left out; without a [system] also of the free "
             "energy").one_of({"kJ/mol", "kcal/mol", "eV", "kT"}),
    optional(&Given::length_unit, "length_unit", "\"angstrom\"",
             "of a molecule's coordinates in .npy and .csv files: nm if left out").one_of({"nm", "angstrom"}),
    key(&Given::discard, "discard", 0.0, "share of each trajectory that is left out at its start").from(0).below(1),
    key(&Given::colvar_first, "colvar_first", 0,
        "row of 'colvar', counted from 0, that belongs to the first state").from(0).to(1e12),
    key(&Given::colvar_stride, "colvar_stride", 1, "rows of 'colvar' from one state to the next").from(1).to(1e12),
    optional(&Given::gathered, "gathered", "\"input_samples.safetensors\"",
             "all samples in one file, instead of their own; a run writes it into its own configuration"),
    optional(&Given::checksum, "checksum", "\"ef46db3751d8e999\"",
             "XXH64 of that file; a run writes it into its own configuration, and another file is refused"),
}};

const Section<UmbrellaConfig> given_window_section{"samples", {
    optional(&UmbrellaConfig::from, "from", "-3.141592653589793",
             "where the range of the results begins; half a period below zero if left out"),
    optional(&UmbrellaConfig::to, "to", "3.141592653589793",
             "where it ends; one period from `from`: all round"),
    optional(&UmbrellaConfig::windows, "places", "[32]",
             "values along each collective variable at which the generator is judged, and new windows may lie; 32, or 12 "
             "along each of two").from(2).to(1e6),
    optional(&UmbrellaConfig::stiffness, "stiffness", "500.0",
             "of the windows of [coupling]; those of 'windows' have their own").above(0).unit("energy/xi^2"),
    key(&UmbrellaConfig::stride, "stride", 100, "steps between stored samples of [coupling]").from(1).to(kMostSteps),
}};

void add_samples_keys(Schema& schema) {
    samples_section.add_to(schema);
    given_window_section.add_to(schema);
}

namespace {

// Of variables that go round a period it may be left out.
void fill_range(Config& config, const ModelConfig& model, UmbrellaConfig& umbrella) {
    if (!umbrella.from.empty() && !umbrella.to.empty()) return;
    const char* missing = umbrella.from.empty() ? "umbrella.from" : "umbrella.to";
    std::vector<double> from, to;
    for (const CvVariable& variable : model.cv.variables) {
        const double period = variable.kind == "dihedral" ? 2 * std::numbers::pi : variable.period;
        if (!(period > 0) || umbrella.from.empty() != umbrella.to.empty())
            throw KeyError(missing, "key '" + std::string(missing) + "' is missing",
                           "give the range of the collective variables that results are wanted for");
        from.push_back(-0.5 * period);
        to.push_back(0.5 * period);
    }
    const auto set = [&](const char* key, const std::vector<double>& values) {
        config.set(key, values.size() == 1 ? ConfigValue::of(values[0]) : ConfigValue::of(values));
    };
    set("umbrella.from", from);
    set("umbrella.to", to);
    umbrella.from = from;
    umbrella.to = to;
}

// The middle one of the windows' own.
double own_stiffness(const GivenSamples& given, std::size_t k) {
    std::vector<double> all;
    for (const auto& stiffness : given.stiffness)
        if (stiffness[k] > 0) all.push_back(stiffness[k]);
    std::ranges::sort(all);
    return all.empty() ? 0 : all[all.size() / 2];
}

}  // namespace

UmbrellaConfig read_given_windows(Config& config, ModelConfig& model, const SamplesConfig& samples) {
    UmbrellaConfig umbrella = given_window_section.read(config);
    const int cvs = model.cv.count();
    umbrella.given = samples.given ? samples.given->rows() : 1;
    umbrella.replicas = 1;
    umbrella.steps = umbrella.stride;
    if (umbrella.windows.empty()) umbrella.windows.assign(at(cvs), cvs == 1 ? kPlaces1 : kPlaces2);
    else spread(config, "umbrella.windows", umbrella.windows, cvs);
    if (!umbrella.stiffness.empty()) spread(config, "umbrella.stiffness", umbrella.stiffness, cvs);
    else
        for (std::size_t k = 0; k < at(cvs); ++k)
            umbrella.stiffness.push_back(samples.given ? own_stiffness(*samples.given, k) : 0.0);
    config.with({"cv.variables", "umbrella.from", "umbrella.to"}, [&] { fill_range(config, model, umbrella); });
    if (umbrella.from.empty() || umbrella.to.empty()) {  // said already
        umbrella.from.assign(at(cvs), 0.0);
        umbrella.to.assign(at(cvs), 1.0);
        config.distrust("umbrella");
    }
    finish_umbrella(config, model, umbrella);
    return umbrella;
}

}  // namespace microlift
