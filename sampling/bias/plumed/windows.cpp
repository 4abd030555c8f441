#include "sampling/bias/plumed/windows.h"

#include <algorithm>
#include <cmath>

#include "engine/config/schema.h"

namespace microlift {

namespace {

constexpr double kOfSpacing = 1e-3;  // centres are written with few digits

const PlumedRestraint& only_restraint(const PlumedState& state) {
    const std::string file = state.actions.empty() ? std::string() : state.actions[0].origin.source;
    if (state.adaptive)
        refuse(state.adaptive->origin, "'" + state.adaptive->action + "' is an adaptive bias, and windows have none",
               "name the input by bias.plumed");
    if (!state.walls.empty())
        refuse(state.walls[0].origin, "walls beside windows are not read", "leave them out, or use bias.plumed");
    if (state.restraints.empty()) refuse({file, 1, 1}, "the input has no RESTRAINT", "give one, the window's");
    if (state.restraints.size() > 1)
        refuse(state.restraints[1].origin, "the input has a second RESTRAINT", "give one, of one or two variables");
    if (state.restraints[0].labels.size() > 2)
        refuse(state.restraints[0].origin, "the restraint is of more than two variables", "give one or two");
    return state.restraints[0];
}

std::string definition_of(const PlumedState& state, const PlumedRestraint& restraint) {
    return toml_value(plumed_cv_table(state, restraint.labels));
}

// Sorted, what is the same once.
std::vector<double> axis_of(std::vector<double> values) {
    std::ranges::sort(values);
    const double range = values.back() - values.front();
    std::vector<double> axis;
    for (const double v : values)
        if (axis.empty() || v - axis.back() > 1e-6 * range) axis.push_back(v);
    return axis;
}

struct WindowAxis {
    double from = 0, to = 0;
    long long windows = 0;
};

WindowAxis equal_windows(const PlumedQuantity& variable, std::vector<double> axis, const ConfigOrigin& place) {
    const std::string shown = "'" + printable(variable.label, 40) + "'";
    const double period = variable.to - variable.from;
    // −π and π are one.
    if (variable.periodic && axis.size() > 2 && std::fabs(axis.back() - axis.front() - period) < 1e-4 * period)
        axis.pop_back();
    if (axis.size() < 2)
        refuse(place, "there is one value of AT of " + shown + ", and windows are two at least",
               "name the inputs of all windows, umbrella.plumed = [\"plumed.0.dat\", \"plumed.1.dat\"]");
    const auto n = static_cast<double>(axis.size());
    const bool round =
        variable.periodic && std::fabs(period / n - (axis.back() - axis.front()) / (n - 1)) < kOfSpacing * period / n;
    const double spacing = round ? period / n : (axis.back() - axis.front()) / (n - 1);
    for (std::size_t i = 0; i < axis.size(); ++i) {
        const double off = axis[i] - (axis[0] + spacing * static_cast<double>(i));
        if (std::fabs(off) > kOfSpacing * spacing)
            refuse(place,
                   "the windows of " + shown + " are not equally far apart: one is at " + toml_number(axis[i]) +
                       ", and by the " + "others' spacing it would be at " + toml_number(axis[i] - off),
                   "give equally spaced ones");
    }
    return {axis.front(), round ? axis.front() + period : axis.back(), static_cast<long long>(axis.size())};
}

}  // namespace

PlumedTables plumed_windows(const std::vector<PlumedState>& states) {
    const PlumedRestraint& first = only_restraint(states[0]);
    const std::string definition = definition_of(states[0], first);
    std::vector<std::vector<double>> at;
    for (const PlumedState& state : states) {
        const PlumedRestraint& own = only_restraint(state);
        if (definition_of(state, own) != definition)
            refuse(own.origin, "the restraint is of another variable than that of " + first.origin.str(),
                   "restrain the same one");
        for (std::size_t k = 0; k < own.stiffness.size(); ++k)
            if (std::fabs(own.stiffness[k] - first.stiffness[k]) > 1e-9 * first.stiffness[k])
                refuse(own.origin, "the restraint has another KAPPA than that of " + first.origin.str(),
                       "give all windows the same");
        at.insert(at.end(), own.at.begin(), own.at.end());
    }
    const std::size_t n = first.labels.size();
    std::vector<double> from, to;
    std::vector<long long> windows;
    double all = 1;
    for (std::size_t k = 0; k < n; ++k) {
        std::vector<double> values;
        for (const std::vector<double>& centre : at) values.push_back(centre[k]);
        const WindowAxis axis =
            equal_windows(*states[0].find(first.labels[k]), axis_of(std::move(values)), first.origin);
        from.push_back(axis.from);
        to.push_back(axis.to);
        windows.push_back(axis.windows);
        all *= static_cast<double>(axis.windows);
    }
    if (n > 1 && all != static_cast<double>(at.size()))
        refuse(first.origin,
               "the " + std::to_string(at.size()) + " windows are no full grid of " + std::to_string(windows[0]) +
                   " times " + std::to_string(windows[1]),
               "give one for each pair of values");
    PlumedTables tables;
    tables.cv = plumed_cv_table(states[0], first.labels);
    tables.given = plumed_table(first.origin);
    tables.fallback = plumed_table(first.origin);
    tables.given.put("from", plumed_list(from, first.origin));
    tables.given.put("to", plumed_list(to, first.origin));
    tables.given.put("windows",
                     at_place(n == 1 ? ConfigValue::of(windows[0]) : ConfigValue::of(windows), first.origin));
    tables.given.put("stiffness", plumed_list(first.stiffness, first.origin));
    if (states[0].stride.origin.line > 0) tables.fallback.put("stride", states[0].stride);
    return tables;
}

}  // namespace microlift
