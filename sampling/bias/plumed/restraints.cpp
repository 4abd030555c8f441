// Restraints and walls.
#include "sampling/bias/plumed/state.h"

namespace microlift {

namespace {

// AT, which may be given for each replica.
std::vector<std::vector<double>> centres_of(const PlumedState& state, const PlumedSettings& settings,
                                            const PlumedRestraint& restraint, const PlumedWord* at) {
    const std::size_t n = restraint.labels.size();
    std::vector<std::string> replicas;
    const std::string value = at ? at->text.substr(3) : "";
    const bool many = value.starts_with(kPlumedReplicas);
    if (many) replicas = plumed_parts(value.substr(std::string(kPlumedReplicas).size()));
    std::vector<std::vector<double>> all;
    if (!many) {
        all.push_back(plumed_in_units(state, restraint.labels, settings.numbers("AT", n)));
        return all;
    }
    for (const std::string& replica : replicas) {
        std::vector<double> own;
        for (const std::string& part : plumed_parts(replica)) {
            const std::optional<double> x = plumed_number(part);
            if (!x)
                settings.wrong("AT", "'" + printable(part, 40) + "' of '@replicas:' is no finite number",
                               "give a number for each");
            own.push_back(*x);
        }
        if (own.size() != n)
            settings.wrong("AT", "'" + printable(replica, 40) + "' of '@replicas:' has not a value for each of ARG",
                           "give for example @replicas:{1,2},{3,4} for two variables");
        all.push_back(plumed_in_units(state, restraint.labels, own));
    }
    if (all.empty()) settings.wrong("AT", "'@replicas:' has no values", "give one for each simulation");
    return all;
}

}  // namespace

void read_plumed_restraint(PlumedState& state, const PlumedSettings& settings) {
    PlumedRestraint restraint;
    restraint.origin = settings.action().origin;
    restraint.labels = state.variables(settings, "ARG");
    const std::size_t n = restraint.labels.size();
    for (const double slope : settings.numbers("SLOPE", n, 0.0))
        if (slope != 0) settings.wrong("SLOPE", "linear restraints are not read", "leave SLOPE out");
    const PlumedWord* at = nullptr;
    for (const PlumedWord& word : settings.action().words)
        if (word.text.starts_with("AT=")) at = &word;
    restraint.at = centres_of(state, settings, restraint, at);
    restraint.stiffness = plumed_in_units(state, restraint.labels, settings.numbers("KAPPA", n), -2);
    for (double& k : restraint.stiffness) {
        k *= state.units.energy;
        if (!(k > 0)) settings.wrong("KAPPA", "a stiffness is not above 0", "give one that is");
    }
    state.restraints.push_back(std::move(restraint));
}

// κ ((ξ − a ± o)/ε)²: PLUMED's walls have no half.
void read_plumed_walls(PlumedState& state, const PlumedSettings& settings) {
    const bool upper = settings.action().name == "UPPER_WALLS";
    const std::vector<std::string> labels = state.variables(settings, "ARG");
    const std::size_t n = labels.size();
    const std::vector<double> at = plumed_in_units(state, labels, settings.numbers("AT", n)),
                              offset = plumed_in_units(state, labels, settings.numbers("OFFSET", n, 0.0)),
                              kappa = settings.numbers("KAPPA", n), power = settings.numbers("EXP", n, 2.0),
                              scale = plumed_in_units(state, labels, settings.numbers("EPS", n, 1.0));
    for (std::size_t k = 0; k < n; ++k) {
        if (power[k] != 2) settings.wrong("EXP", "a wall's power is other than 2", "leave EXP out");
        if (!(kappa[k] > 0)) settings.wrong("KAPPA", "a stiffness is not above 0", "give one that is");
        if (!(scale[k] > 0)) settings.wrong("EPS", "a scale is not above 0", "leave EPS out");
        PlumedWall wall;
        wall.label = labels[k];
        wall.origin = settings.action().origin;
        (upper ? wall.upper : wall.lower) = upper ? at[k] - offset[k] : at[k] + offset[k];
        wall.stiffness = 2 * kappa[k] * state.units.energy / (scale[k] * scale[k]);
        state.walls.push_back(std::move(wall));
    }
}

}  // namespace microlift
