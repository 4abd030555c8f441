// Collective variables, and what their definitions rest on.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/at.h"
#include "engine/config/schema.h"
#include "sampling/bias/plumed/state.h"
#include "sampling/formula/substitute.h"

namespace microlift {

namespace {

// What has no name is no variable.
PlumedQuantity new_quantity(const PlumedSettings& settings, const std::string& kind) {
    const PlumedAction& action = settings.action();
    PlumedQuantity quantity;
    quantity.label = action.label;
    quantity.origin = action.label.empty() ? action.origin : action.label_origin;
    quantity.entry = plumed_table(action.origin);
    quantity.entry.put("kind", at_place(ConfigValue::of(kind), action.origin));
    quantity.entry.put("name", at_place(ConfigValue::of(action.label), quantity.origin));
    return quantity;
}

ConfigValue atom_list(const std::vector<index>& atoms, const ConfigOrigin& origin) {
    return at_place(ConfigValue::of(std::vector<long long>(atoms.begin(), atoms.end())), origin);
}

struct UnitName {
    const char* name;
    double value;
};

// Factors as PLUMED has them.
double unit_factor(const PlumedSettings& settings, const char* key, const std::vector<UnitName>& units) {
    if (!settings.has(key)) return 1;
    const std::string& text = settings.text(key);
    std::vector<std::string> names;
    for (const UnitName& unit : units) {
        if (text == unit.name) return unit.value;
        names.push_back(unit.name);
    }
    const std::optional<double> factor = plumed_number(text);
    if (!factor || !(*factor > 0))
        settings.wrong(key,
                       "key '" + std::string(key) + "' is '" + printable(text, 40) + "', which is no unit of PLUMED",
                       "give " + join(names, ", ") + ", or a number above 0");
    return *factor;
}

// "NO", or where the period begins and ends.
void read_period(const PlumedSettings& settings, PlumedQuantity& quantity) {
    const std::string& text = settings.text("PERIODIC");
    if (text == "NO") return;
    const std::vector<double> ends = settings.numbers("PERIODIC");
    if (ends.size() != 2 || !(ends[0] < ends[1]))
        settings.wrong("PERIODIC", "key 'PERIODIC' is '" + printable(text, 40) + "'",
                       "give NO, or where the period begins and ends, such as -pi,pi");
    quantity.periodic = true;
    quantity.from = ends[0];
    quantity.to = ends[1];
    quantity.entry.put("period", at_place(ConfigValue::of(ends[1] - ends[0]), settings.place("PERIODIC")));
}

// What stands in a formula for a variable, in PLUMED's unit of it.
std::string in_plumed_unit(const PlumedState& state, const std::string& label) {
    const double unit = state.unit_of(label);
    return unit == 1 ? "(" + label + ")" : "(" + label + "/" + toml_number(unit) + ")";
}

std::vector<std::string> formula_arguments(const PlumedState& state, const PlumedSettings& settings) {
    const std::vector<std::string> labels = state.variables(settings, "ARG");
    for (const std::string& label : labels)
        if (!is_plain_name(label))
            settings.wrong("ARG", "the label '" + printable(label, 40) + "' is no name for formulas",
                           "use letters, digits and _, a letter first");
    return labels;
}

void add_formula(PlumedState& state, const PlumedSettings& settings, const char* key, std::string formula,
                 const std::vector<std::string>& labels) {
    PlumedQuantity quantity = new_quantity(settings, "formula");
    quantity.entry.put("formula", at_place(ConfigValue::of(std::move(formula)), settings.place(key)));
    quantity.of = labels;
    read_period(settings, quantity);
    state.quantities.push_back(std::move(quantity));
}

}  // namespace

bool is_plain_name(const std::string& name) {
    return !name.empty() && !(name[0] >= '0' && name[0] <= '9') && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    });
}

void read_plumed_units(PlumedState& state, const PlumedSettings& settings) {
    if (!state.quantities.empty() || state.adaptive || !state.walls.empty())
        refuse(settings.action().origin, "'UNITS' stands behind other actions", "put it first");
    state.units.length =
        unit_factor(settings, "LENGTH", {{"nm", 1}, {"A", 0.1}, {"um", 1000}, {"Bohr", 0.052917721067}});
    state.units.energy = unit_factor(
        settings, "ENERGY",
        {{"kj/mol", 1}, {"kcal/mol", 4.184}, {"j/mol", 0.001}, {"eV", 96.48530749925792}, {"Ha", 2625.499638}});
    state.units.time =
        unit_factor(settings, "TIME", {{"ps", 1}, {"ns", 1000}, {"fs", 0.001}, {"atomic", 2.418884326509e-5}});
}

void read_plumed_molecule(PlumedState& state, const PlumedSettings& settings) {
    state.names.residues = read_plumed_pdb(plumed_file(settings, "STRUCTURE", state.folder));
}

void read_plumed_group(PlumedState& state, const PlumedSettings& settings) {
    if (settings.action().label.empty())
        refuse(settings.action().origin, "a GROUP has no label", "write for example g: GROUP ATOMS=1-9");
    state.names.groups.emplace_back(settings.action().label,
                                    plumed_atoms(settings, "ATOMS", state.names, state.engine.atoms));
}

// Torsions, distances and angles.
void read_plumed_geometry(PlumedState& state, const PlumedSettings& settings) {
    const std::string& name = settings.action().name;
    const bool torsion = name == "TORSION", distance = name == "DISTANCE";
    PlumedQuantity quantity = new_quantity(settings, torsion ? "dihedral" : distance ? "distance" : "angle");
    const std::vector<index> atoms = plumed_atoms(settings, "ATOMS", state.names, state.engine.atoms);
    const std::size_t needed = torsion ? 4 : distance ? 2 : 3;
    bool good = atoms.size() == needed;
    for (std::size_t i = 0; good && i < needed; ++i) good = std::ranges::count(atoms, atoms[i]) == 1;
    if (!good)
        settings.wrong("ATOMS", "'" + name + "' has other than " + std::to_string(needed) + " different atoms",
                       "give " + std::to_string(needed) + ", counted from 1");
    quantity.entry.put("atoms", atom_list(atoms, settings.place("ATOMS")));
    quantity.length = distance;
    quantity.periodic = torsion;
    if (torsion) {
        quantity.from = -std::numbers::pi;
        quantity.to = std::numbers::pi;
    }
    state.quantities.push_back(std::move(quantity));
}

void read_plumed_gyration(PlumedState& state, const PlumedSettings& settings) {
    if (settings.has("TYPE") && settings.text("TYPE") != "RADIUS")
        settings.wrong("TYPE",
                       "key 'TYPE' is '" + printable(settings.text("TYPE"), 40) + "', and the radius alone is read",
                       "leave it out, or give RADIUS");
    PlumedQuantity quantity = new_quantity(settings, "gyration");
    quantity.entry.put(
        "atoms", atom_list(plumed_atoms(settings, "ATOMS", state.names, state.engine.atoms), settings.place("ATOMS")));
    const bool by_mass = settings.has("MASS_WEIGHTED") || settings.has("MASS");
    quantity.entry.put("by_mass", at_place(ConfigValue::of(by_mass), settings.action().origin));
    quantity.length = true;
    state.quantities.push_back(std::move(quantity));
}

namespace {

struct RationalSwitch {
    double range = 0, zero = 0;
    index n = 6, m = 0;  // m of 0: twice n
};

void check_powers(const PlumedSettings& settings, const char* key, RationalSwitch& rational) {
    if (rational.m == 0) rational.m = 2 * rational.n;
    if (!(rational.range > 0)) settings.wrong(key, "R_0 is not above 0", "give a distance");
    if (rational.zero != 0) settings.wrong(key, "D_0 is other than 0", "leave it out: the switch begins at distance 0");
    if (rational.n < 1 || rational.n > 100 || rational.m != 2 * rational.n)
        settings.wrong(key,
                       "the powers are NN=" + std::to_string(rational.n) + " and MM=" + std::to_string(rational.m) +
                           ", and the second has to be twice the first",
                       "give MM=" + std::to_string(2 * std::clamp<index>(rational.n, 1, 100)) + ", or leave MM out");
}

RationalSwitch read_switch(const PlumedSettings& settings) {
    constexpr double kMost = 1e6;
    RationalSwitch rational;
    const auto whole = [&](const std::string& text, double x) {
        if (x != static_cast<double>(static_cast<int>(x)))
            settings.wrong("SWITCH", "'" + printable(text, 40) + "' is no whole number", "give a whole power");
        return static_cast<index>(x);
    };
    std::vector<std::string> words = plumed_parts(settings.text("SWITCH"));
    if (words.empty() || words[0] != "RATIONAL")
        settings.wrong("SWITCH",
                       "the switch is '" + printable(settings.text("SWITCH"), 60) + "', and RATIONAL alone is read",
                       "write SWITCH={RATIONAL R_0=0.3}");
    for (std::size_t i = 1; i < words.size(); ++i) {
        const std::size_t equals = words[i].find('=');
        const std::string key = words[i].substr(0, equals);
        if (key == "NOSTRETCH" && equals == std::string::npos) continue;
        const bool known = equals != std::string::npos && (key == "R_0" || key == "D_0" || key == "NN" || key == "MM");
        // What is no number is as wrong as one that is too large.
        const double x = known ? plumed_number(words[i].substr(equals + 1)).value_or(2 * kMost) : 2 * kMost;
        if (std::fabs(x) > kMost)
            settings.wrong("SWITCH", "'" + printable(words[i], 40) + "' in SWITCH is not read",
                           "give R_0, NN and MM as numbers");
        if (key == "R_0") rational.range = x;
        if (key == "D_0") rational.zero = x;
        if (key == "NN") rational.n = whole(words[i], x);
        if (key == "MM") rational.m = whole(words[i], x);
    }
    check_powers(settings, "SWITCH", rational);
    return rational;
}

RationalSwitch switch_of(const PlumedSettings& settings) {
    if (settings.has("SWITCH")) {
        for (const char* key : {"R_0", "NN", "MM", "D_0"})
            if (settings.has(key))
                settings.wrong(key, "both SWITCH and " + std::string(key) + " are given", "leave one of them out");
        return read_switch(settings);
    }
    RationalSwitch rational;
    rational.range = settings.number("R_0");
    rational.zero = settings.number_or("D_0", 0);
    if (settings.has("NN")) rational.n = settings.whole("NN");
    if (settings.has("MM")) rational.m = settings.whole("MM");
    check_powers(settings, "R_0", rational);
    return rational;
}

// Σ 1/(1 + (r/range)ⁿ).
std::string coordination_sum(const std::vector<index>& one, const std::vector<index>& other,
                             const RationalSwitch& rational, double unit) {
    const auto place = [](index atom) {
        const std::string n = std::to_string(atom);
        return "x" + n + ", y" + n + ", z" + n;
    };
    std::string sum;
    const bool within = other.empty();
    for (std::size_t i = 0; i < one.size(); ++i)
        for (std::size_t j = within ? i + 1 : 0; j < (within ? one : other).size(); ++j)
            sum += (sum.empty() ? "" : " + ") + std::string("1/(1 + (distance(") + place(one[i]) + ", " +
                   place(within ? one[j] : other[j]) + ")/" + toml_number(rational.range * unit) + ")^" +
                   std::to_string(rational.n) + ")";
    return sum;
}

}  // namespace

void read_plumed_coordination(PlumedState& state, const PlumedSettings& settings) {
    constexpr std::size_t kMostPairs = 400;
    const RationalSwitch rational = switch_of(settings);
    const std::vector<index> one = plumed_atoms(settings, "GROUPA", state.names, state.engine.atoms);
    std::vector<index> other;
    if (settings.has("GROUPB")) other = plumed_atoms(settings, "GROUPB", state.names, state.engine.atoms);
    if (rational.n == 6) {
        PlumedQuantity quantity = new_quantity(settings, "coordination");
        quantity.entry.put("atoms", atom_list(one, settings.place("GROUPA")));
        if (!other.empty()) quantity.entry.put("others", atom_list(other, settings.place("GROUPB")));
        quantity.entry.put("range",
                           at_place(ConfigValue::of(rational.range * state.units.length), settings.action().origin));
        state.quantities.push_back(std::move(quantity));
        return;
    }
    for (const index atom : one)
        if (std::ranges::count(other, atom) > 0 || std::ranges::count(one, atom) > 1)
            settings.wrong("GROUPA", "atom " + std::to_string(atom + 1) + " is in both groups, or twice in one",
                           "name each once");
    if (one.size() * (other.empty() ? one.size() : other.size()) > kMostPairs)
        settings.wrong("GROUPA",
                       "with powers other than 6 and 12 there are more pairs of atoms than a formula can have",
                       "name fewer atoms, or leave NN and MM out");
    PlumedQuantity quantity = new_quantity(settings, "formula");
    quantity.entry.put("formula", at_place(ConfigValue::of(coordination_sum(one, other, rational, state.units.length)),
                                           settings.place("GROUPA")));
    state.quantities.push_back(std::move(quantity));
}

void read_plumed_rmsd(PlumedState& state, const PlumedSettings& settings) {
    if (!settings.has("TYPE") || settings.text("TYPE") != "OPTIMAL")
        settings.wrong("TYPE", "the RMSD is without the best rotation, PLUMED's SIMPLE", "give TYPE=OPTIMAL");
    const std::vector<PlumedAtom> reference = read_plumed_pdb(plumed_file(settings, "REFERENCE", state.folder));
    std::vector<index> atoms;
    std::vector<double> places;
    for (const PlumedAtom& atom : reference) {
        if (atom.align != reference[0].align || atom.displace != reference[0].displace || !(atom.align > 0) ||
            !(atom.displace > 0))
            settings.wrong("REFERENCE", "atoms of the reference have different weights (occupancy and B-factor)",
                           "give all of them the same, above 0; leave atoms of weight 0 out");
        if (atom.number > state.engine.atoms)
            settings.wrong("REFERENCE",
                           "the reference has atom " + std::to_string(atom.number) + ", and the molecule has " +
                               std::to_string(state.engine.atoms),
                           "let numbers of its atoms be those of the molecule, from 1");
        atoms.push_back(atom.number - 1);
        places.insert(places.end(), atom.place, atom.place + 3);
    }
    PlumedQuantity quantity = new_quantity(settings, "rmsd");
    quantity.entry.put("atoms", atom_list(atoms, settings.place("REFERENCE")));
    quantity.entry.put("reference", at_place(ConfigValue::of(places), settings.place("REFERENCE")));
    quantity.length = true;
    state.quantities.push_back(std::move(quantity));
}

// CUSTOM and MATHEVAL: variables are x, y, z unless VAR names them.
void read_plumed_custom(PlumedState& state, const PlumedSettings& settings) {
    const std::vector<std::string> labels = formula_arguments(state, settings);
    std::vector<std::string> names{"x", "y", "z"};
    if (settings.has("VAR")) names = settings.parts("VAR");
    if (settings.has("VAR") ? names.size() != labels.size() : names.size() < labels.size())
        settings.wrong(settings.has("VAR") ? "VAR" : "ARG",
                       "there are " + std::to_string(labels.size()) + " arguments and " + std::to_string(names.size()) +
                           " names for them",
                       "give VAR, a name for each of ARG");
    std::string unknown;
    std::string formula = with_names(settings.text("FUNC"), [&](std::string_view name, bool called) -> std::string {
        if (called || name == "pi") return {};
        for (std::size_t k = 0; k < labels.size(); ++k)
            if (names[k] == name) return in_plumed_unit(state, labels[k]);
        unknown = name;
        return {};
    });
    if (!unknown.empty())
        settings.wrong("FUNC", "the formula names '" + printable(unknown, 40) + "'",
                       "its variables are " + join({names.begin(), names.begin() + std::ssize(labels)}, ", ") +
                           ", constants pi alone");
    add_formula(state, settings, "FUNC", std::move(formula), labels);
}

// Σ c (x − a)^p.
void read_plumed_combine(PlumedState& state, const PlumedSettings& settings) {
    const std::vector<std::string> labels = formula_arguments(state, settings);
    const std::vector<double> factors = settings.numbers("COEFFICIENTS", labels.size(), 1.0),
                              zeros = settings.numbers("PARAMETERS", labels.size(), 0.0),
                              powers = settings.numbers("POWERS", labels.size(), 1.0);
    std::string formula;
    for (std::size_t k = 0; k < labels.size(); ++k) {
        std::string term = in_plumed_unit(state, labels[k]);
        if (zeros[k] != 0) term = "(" + term + " - (" + toml_number(zeros[k]) + "))";
        if (powers[k] != 1) term += "^(" + toml_number(powers[k]) + ")";
        formula += (k ? " + " : "") + ("(" + toml_number(factors[k]) + ")*") + term;
    }
    add_formula(state, settings, "ARG", std::move(formula), labels);
}

}  // namespace microlift
