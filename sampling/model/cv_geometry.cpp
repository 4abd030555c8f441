#include "sampling/model/cv_geometry.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "engine/config/section.h"
#include "sampling/formula/formula.h"
#include "sampling/molecule/files/read_molecule.h"

namespace microlift {

namespace {

constexpr std::size_t kMostOfGroup = 64;  // atoms: their pairs are a formula

std::string coordinates_of(const SystemConfig& system, index atom) {
    std::string text;
    for (std::size_t d = 0; d < 3; ++d)
        text += (d ? ", " : "") + system.variables[3 * static_cast<std::size_t>(atom) + d];
    return text;
}

// Σ over pairs of 1/(1 + (r/range)⁶), which is the ratio of the two differences.
std::string coordination_formula(const SystemConfig& system, const CvVariable& variable) {
    std::string sum;
    const bool within = variable.others.empty();
    for (std::size_t i = 0; i < variable.atoms.size(); ++i)
        for (std::size_t j = within ? i + 1 : 0; j < (within ? variable.atoms : variable.others).size(); ++j)
            sum += (sum.empty() ? "" : " + ") + std::string("1/(1 + (distance(") +
                   coordinates_of(system, variable.atoms[i]) + ", " +
                   coordinates_of(system, within ? variable.atoms[j] : variable.others[j]) + ")/" +
                   toml_number(variable.range) + ")^6)";
    return sum;
}

// √(Σ w |x − c|²), c = Σ w x, the weights' sum 1.
std::string gyration_formula(const SystemConfig& system, const CvVariable& variable, const Molecule& molecule) {
    double all = 0;
    const auto weight = [&](index atom) {
        return variable.by_mass ? molecule.atoms[static_cast<std::size_t>(atom)].mass : 1.0;
    };
    for (const index atom : variable.atoms) all += weight(atom);
    std::string sum;
    for (std::size_t i = 0; i < variable.atoms.size(); ++i)  // Σ over pairs of w w' r², the same sum
        for (std::size_t j = i + 1; j < variable.atoms.size(); ++j)
            sum += (sum.empty() ? "" : " + ") +
                   toml_number(weight(variable.atoms[i]) * weight(variable.atoms[j]) / (all * all)) +
                   "*distance(" + coordinates_of(system, variable.atoms[i]) + ", " +
                   coordinates_of(system, variable.atoms[j]) + ")^2";
    return "sqrt(" + sum + ")";
}

// Of the coordinates of all atoms, those of the variable's.
std::vector<double> places_of(const std::vector<double>& all, const std::vector<index>& atoms) {
    std::vector<double> places;
    for (const index atom : atoms)
        for (std::size_t d = 0; d < 3; ++d) places.push_back(all[3 * static_cast<std::size_t>(atom) + d]);
    return places;
}

// rmsd(x, y, z, weight, and those of the reference, of each atom).
std::string deviation_formula(const ModelConfig& model, CvVariable& variable) {
    const LoadedMolecule& loaded = *model.molecule;
    const std::size_t numbers = 3 * variable.atoms.size();
    if (variable.reference.empty()) {
        if (loaded.position.empty())
            throw KeyError("cv.variables", "key 'cv.variables[].reference' is missing, and there are no "
                                           "'system.coordinates'",
                           "give what the rmsd is measured from, for example reference = \"folded.pdb\"");
        variable.reference = places_of(loaded.position, variable.atoms);
    }
    if (variable.reference.size() != numbers)
        throw KeyError("cv.variables",
                       "key 'cv.variables[].reference' has " + std::to_string(variable.reference.size()) +
                           " numbers, for " + std::to_string(variable.atoms.size()) + " atoms",
                       "give x, y and z of each of the atoms, or a file of the molecule's coordinates");
    std::string text;
    for (std::size_t n = 0; n < variable.atoms.size(); ++n) {
        const index atom = variable.atoms[n];
        const double weight =
            variable.by_mass ? loaded.molecule.atoms[static_cast<std::size_t>(atom)].mass : 1.0;
        text += (n ? ", " : "") + coordinates_of(model.system, atom) + ", " + toml_number(weight);
        for (std::size_t d = 0; d < 3; ++d) text += ", " + toml_number(variable.reference[3 * n + d]);
    }
    return "rmsd(" + text + ")";
}

const char* shown_kind(const std::string& kind) {
    return kind == "gyration" ? "radius of gyration" : kind == "rmsd" ? "deviation (rmsd)" : "coordination number";
}

}  // namespace

std::size_t atoms_of(const std::string& kind) {
    return kind == "distance" ? 2 : kind == "angle" ? 3 : kind == "dihedral" ? 4 : 0;
}

bool of_group(const std::string& kind) {
    return kind == "coordination" || kind == "gyration" || kind == "rmsd";
}

// The formula of a distance, an angle, a dihedral angle about the middle bond.
void name_geometry(const SystemConfig& system, CvVariable& variable) {
    const char* path = "cv.variables";
    const std::string& kind = variable.kind;
    if (!system.is_formula()) {
        throw KeyError(path,
                       "kind = \"" + kind + "\" does not go with the built-in system '" + system.name +
                           "'",
                       "describe the system by formulas whose variables are x, y, z of each atom");
    }
    const std::size_t count = system.variables.size() / 3, needed = atoms_of(kind);
    const std::vector<index>& atoms = variable.atoms;
    bool good = atoms.size() == needed;
    std::string names, number;
    for (std::size_t i = 0; good && i < needed; ++i) {
        const index atom = atoms[i];
        good = atom >= 0 && atom < static_cast<index>(count) &&
               std::count(atoms.begin(), atoms.end(), atom) == 1;
        if (!good) break;
        number += "_" + std::to_string(atom);
        for (std::size_t d = 0; d < 3; ++d)
            names += (names.empty() ? "" : ", ") +
                     system.variables[3 * static_cast<std::size_t>(atom) + d];
    }
    if (!good) {
        const char* how_many = needed == 2 ? "two" : needed == 3 ? "three" : "four";
        const char* example = needed == 2 ? "[4, 6]" : needed == 3 ? "[4, 6, 8]" : "[4, 6, 8, 14]";
        throw KeyError(path,
                       "key 'cv.variables[].atoms' must name " + std::string(how_many) +
                           " different atoms of " + std::to_string(count),
                       "count them from 0, atom i being the variables 3i, 3i + 1 and 3i + 2, for "
                       "example atoms = " + std::string(example));
    }
    variable.formula = kind + "(" + names + ")";
    if (variable.name.empty()) variable.name = kind + number;
    if (variable.unit.empty() && needed > 2) variable.unit = "rad";
}

void name_group(const ModelConfig& model, CvVariable& variable) {
    const char* path = "cv.variables";
    if (!model.molecule)
        throw KeyError(path, "kind = \"" + variable.kind + "\" is of molecules",
                       "write it as a formula, or describe a molecule (system.kind)");
    const Molecule& molecule = model.molecule->molecule;
    std::vector<index> atoms = variable.atoms;
    atoms.insert(atoms.end(), variable.others.begin(), variable.others.end());
    std::ranges::sort(atoms);
    const bool wrong = variable.atoms.size() + variable.others.size() < 2 || variable.atoms.empty() ||
                       atoms.front() < 0 || atoms.back() >= molecule.size() ||
                       std::ranges::adjacent_find(atoms) != atoms.end();
    if (wrong)
        throw KeyError(path,
                       "a " + std::string(shown_kind(variable.kind)) + " needs two different atoms of " +
                           std::to_string(molecule.size()) + " at least, each once",
                       "count them from 0, for example atoms = [4, 8, 14]");
    if (atoms.size() > kMostOfGroup)
        throw KeyError(path, "a group of " + std::to_string(atoms.size()) + " atoms",
                       "give at most " + std::to_string(kMostOfGroup));
    variable.formula = variable.kind == "gyration" ? gyration_formula(model.system, variable, molecule)
                       : variable.kind == "rmsd"   ? deviation_formula(model, variable)
                                                   : coordination_formula(model.system, variable);
    if (variable.name.empty()) variable.name = variable.kind;
    if (variable.unit.empty() && variable.kind != "coordination") variable.unit = "nm";
}

namespace {

// Of f at a state: the sum of its derivatives, and of their torques, beside what they would be without
// cancelling.
bool feels_place(const std::vector<double>& gradient, const std::vector<double>& x) {
    constexpr double kRounding = 1e-7;
    double force[3] = {}, torque[3] = {}, forces = 0, torques = 0;
    for (std::size_t n = 0; n + 2 < x.size(); n += 3) {
        const double* g = &gradient[n];
        const double* r = &x[n];
        const double own[3] = {r[1] * g[2] - r[2] * g[1], r[2] * g[0] - r[0] * g[2],
                               r[0] * g[1] - r[1] * g[0]};
        for (std::size_t d = 0; d < 3; ++d) {
            force[d] += g[d];
            torque[d] += own[d];
            forces += std::fabs(g[d]);
            torques += std::fabs(own[d]);
        }
    }
    const auto left = [](const double (&v)[3]) { return std::fabs(v[0]) + std::fabs(v[1]) + std::fabs(v[2]); };
    return left(force) > kRounding * forces || left(torque) > kRounding * torques;
}

}  // namespace

void check_invariant(const ModelConfig& model, const CvVariable& variable) {
    constexpr int kStates = 3;
    if (!model.molecule || !model.molecule->molecule.restraints.empty()) return;
    Expressions graph;
    NodeId f = -1;
    try {
        f = parse_formula(graph, variable.formula, {model.system.variables, {}});
    } catch (const FormulaError&) {
        return;  // of which others speak
    }
    const std::size_t dim = model.system.variables.size();
    const std::vector<NodeId> slopes = graph.gradient(f, static_cast<int>(dim));
    std::mt19937_64 random(4);
    for (int s = 0; s < kStates; ++s) {
        std::vector<double> x = model.molecule->position, gradient;
        x.resize(dim, 0.0);
        for (double& v : x) v += 0.02 * (static_cast<double>(random() >> 11) * 0x1p-52 - 1.0);
        for (const NodeId slope : slopes) gradient.push_back(graph.evaluate(slope, x));
        if (!feels_place(gradient, x)) continue;
        throw KeyError("cv.variables",
                       "the formula '" + printable(variable.formula, 80) +
                           "' changes as the molecule moves or turns as a whole, which says nothing of its "
                           "shape",
                       "write it in distance(...), angle(...), dihedral(...), or in names of 'cv.where'");
    }
}

}  // namespace microlift
