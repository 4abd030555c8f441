// An input while it is read: units, labels, biases so far.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "sampling/bias/plumed/atoms.h"
#include "sampling/bias/plumed/read.h"

namespace microlift {

struct PlumedUnits {
    double length = 1, energy = 1, time = 1;  // nm, kJ/mol, ps
};

struct PlumedQuantity {
    enum class Kind { variable, bias, broken };
    Kind kind = Kind::variable;
    std::string label;
    ConfigOrigin origin;
    ConfigValue entry;    // of [cv]; a bias has none
    bool length = false;  // its unit is that of lengths
    bool periodic = false;
    double from = 0, to = 0;      // of the period
    std::vector<std::string> of;  // labels that its formula names
};

struct PlumedWall {
    std::string label;  // of the variable
    ConfigOrigin origin;
    std::optional<double> lower, upper;
    double stiffness = 0;
};

struct PlumedRestraint {
    ConfigOrigin origin;
    std::vector<std::string> labels;
    std::vector<std::vector<double>> at;  // (replica, variable)
    std::vector<double> stiffness;
};

// The one adaptive bias.
struct PlumedAdaptive {
    std::string action, label;
    ConfigOrigin origin;
    std::vector<std::string> labels;
    ConfigValue given, fallback;  // tables
    std::vector<double> sigma_min;
    ConfigOrigin sigma_min_place;
};

struct PlumedState {
    std::filesystem::path folder;
    PlumedEngine engine;
    PlumedUnits units;
    PlumedNames names;
    std::vector<PlumedAction> actions;
    std::vector<PlumedQuantity> quantities;
    std::optional<PlumedAdaptive> adaptive;
    std::vector<PlumedWall> walls;
    std::vector<PlumedRestraint> restraints;
    ConfigValue stride;  // of the first PRINT; stands nowhere if there is none
    bool prints = false;
    std::vector<std::string> printed;  // words of ARG of the first PRINT
    ConfigOrigin printed_place;

    const PlumedQuantity* find(std::string_view label) const;
    // The variable of a label that an action names; InputError for one that is unknown, or a bias.
    const PlumedQuantity& variable(const PlumedSettings& settings, std::string_view key,
                                   const std::string& label) const;
    std::vector<std::string> variables(const PlumedSettings& settings, std::string_view key) const;
    // What a value in the unit of a variable is here.
    double unit_of(const std::string& label) const;
};

// Of a variable whose definition failed, which its own message tells.
struct PlumedSilence {};

using PlumedReader = void (*)(PlumedState& state, const PlumedSettings& settings);

// variables.cpp
void read_plumed_units(PlumedState& state, const PlumedSettings& settings);
void read_plumed_molecule(PlumedState& state, const PlumedSettings& settings);
void read_plumed_group(PlumedState& state, const PlumedSettings& settings);
void read_plumed_geometry(PlumedState& state, const PlumedSettings& settings);
void read_plumed_gyration(PlumedState& state, const PlumedSettings& settings);
void read_plumed_coordination(PlumedState& state, const PlumedSettings& settings);
void read_plumed_rmsd(PlumedState& state, const PlumedSettings& settings);
void read_plumed_custom(PlumedState& state, const PlumedSettings& settings);
void read_plumed_combine(PlumedState& state, const PlumedSettings& settings);
// biases.cpp
void read_plumed_metad(PlumedState& state, const PlumedSettings& settings);
void read_plumed_opes(PlumedState& state, const PlumedSettings& settings);
void read_plumed_drr(PlumedState& state, const PlumedSettings& settings);
void read_plumed_moving(PlumedState& state, const PlumedSettings& settings);
void read_plumed_print(PlumedState& state, const PlumedSettings& settings);
void read_plumed_restart(PlumedState& state, const PlumedSettings& settings);
void read_plumed_nothing(PlumedState& state, const PlumedSettings& settings);

// Values of variables by label in the engine's units, these to a power.
std::vector<double> plumed_in_units(const PlumedState& state, const std::vector<std::string>& labels,
                                    std::vector<double> values, double power = 1);
// restraints.cpp
void read_plumed_restraint(PlumedState& state, const PlumedSettings& settings);
void read_plumed_walls(PlumedState& state, const PlumedSettings& settings);

// tables.cpp: of [bias].
PlumedTables plumed_tables(const PlumedState& state, const std::string& name);
// read.cpp
PlumedState read_plumed_state(const std::string& text, const std::string& name, const std::filesystem::path& folder,
                              const PlumedEngine& engine);
// [cv] of variables by label, with what their formulas name, and others.
ConfigValue plumed_cv_table(const PlumedState& state, const std::vector<std::string>& labels,
                            const std::vector<std::string>& others = {});

// Whether formulas may name it.
bool is_plain_name(const std::string& name);

// A value that stands at a place, and a table of them.
ConfigValue at_place(ConfigValue value, const ConfigOrigin& origin);
ConfigValue plumed_table(const ConfigOrigin& origin);
// Of numbers, one alone without an array.
ConfigValue plumed_list(const std::vector<double>& values, const ConfigOrigin& origin);

}  // namespace microlift
