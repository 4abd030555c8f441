#include "sampling/learn/features.h"

#include <algorithm>
#include <span>

#include "engine/at.h"
#include "engine/config/checks.h"
#include "sampling/molecule/bond_graph.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/molecule/torsions.h"

namespace microlift {

namespace {

constexpr index kMostDistances = 64;
constexpr int kHydrogen = 1;

// A pair that fewer bonds are between tells nothing.
constexpr int kNear = 3;
// Whether so many bonds or fewer are between two atoms.
bool bound(const BondGraph& graph, index a, index b, int bonds) {
    if (a == b) return true;
    if (bonds == 0) return false;
    return std::ranges::any_of(graph.of(a),
                               [&](index next) { return bound(graph, next, b, bonds - 1); });
}

}  // namespace

LearnFeatures::LearnFeatures(const Model& model, const LearnConfig& config) : model_(model) {
    if (!model.molecule()) {
        if (model.observed()) formulas_ = model.text().observe;
        names_ = model.target_names();
        return;
    }
    if (config.bursts) throw InputError("--bursts: distances in units of local noise are of overdamped dynamics, "
                                        "which a molecule's is not; leave it out");
    const Molecule& molecule = model.molecule()->molecule;
    if (config.features == "distances")
        take_distances(molecule);
    else
        take_torsions(molecule);
    Expressions graph;
    std::vector<NodeId> nodes;
    for (int d = 0; d < model.dim(); ++d) graph.variable(d);
    for (const std::string& formula : formulas_)
        nodes.push_back(parse_formula(graph, formula, {model.variables(), {}}));
    program_ = std::make_unique<ColumnProgram>(Device::cpu(1), lower(graph, nodes, model.dim()));
}

int LearnFeatures::count() const {
    return model_.molecule() ? static_cast<int>(formulas_.size()) : model_.target_dim();
}

std::string LearnFeatures::places(std::span<const index> atoms) const {
    std::string text;
    for (const index atom : atoms)
        for (index d = 0; d < 3; ++d) text += (text.empty() ? "" : ", ") + model_.variables()[at(3 * atom + d)];
    return text;
}

void LearnFeatures::take_torsions(const Molecule& molecule) {
    for (const NamedTorsion& torsion : rotatable_torsions(molecule))
        for (const char* function : {"cos", "sin"}) {
            formulas_.push_back(std::string(function) + "(dihedral(" + places(torsion.atoms) + "))");
            names_.push_back(std::string(function) + "(" + torsion.name + ")");
        }
    if (formulas_.empty())
        throw KeyError("learn.features", "the molecule turns about no bond, and so has no torsions to learn from",
                       "set features = \"distances\"");
}

// Of heavy atoms that more than two bonds are between; of too many an even choice.
void LearnFeatures::take_distances(const Molecule& molecule) {
    const BondGraph bonds(molecule);
    std::vector<std::array<index, 2>> pairs;
    const auto heavy = [&](index atom) { return molecule.atoms[at(atom)].element != kHydrogen; };
    for (index a = 0; a < molecule.size(); ++a)
        for (index b = a + 1; b < molecule.size(); ++b)
            if (heavy(a) && heavy(b) && !bound(bonds, a, b, kNear - 1)) pairs.push_back({a, b});
    const index all = std::ssize(pairs), taken = std::min(all, kMostDistances);
    for (index i = 0; i < taken; ++i) {
        const std::array<index, 2>& pair = pairs[at(i * all / taken)];
        formulas_.push_back("distance(" + places(pair) + ")");
        names_.push_back("distance(" + std::to_string(pair[0]) + ", " + std::to_string(pair[1]) + ")");
    }
    if (formulas_.empty())
        throw KeyError("learn.features", "the molecule has no two heavy atoms that more than two bonds are between",
                       "learn from torsions, or leave [learn] out");
}

void LearnFeatures::evaluate(Stream& stream, Span<const float> x, index row, index n, Span<float> y,
                             index y_row) const {
    if (program_)
        program_->run(stream, x, row, n, y, y_row);
    else
        model_.observe(stream, x, row, n, y, y_row);
}

}  // namespace microlift
