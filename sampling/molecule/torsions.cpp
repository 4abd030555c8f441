#include "sampling/molecule/torsions.h"

#include <algorithm>
#include <optional>

#include "engine/at.h"
#include "sampling/molecule/bond_graph.h"

namespace microlift {

namespace {

constexpr double kHeavy = 3.5;  // u: where a file tells no element, hydrogens may be made heavier

class Bonds : public BondGraph {
public:
    explicit Bonds(const Molecule& molecule) : BondGraph(molecule), molecule_(molecule) {}

    bool heavy(index atom) const {
        const Atom& a = molecule_.atoms[at(atom)];
        return a.element > 0 ? a.element > 1 : a.mass > kHeavy;
    }
    // The heavy atom at `end` of the bond to `middle` that has most behind it.
    std::optional<index> outer(index end, index middle) const {
        std::optional<index> best;
        std::size_t most = 0;
        for (const index other : of(end)) {
            if (other == middle || !heavy(other)) continue;
            const std::size_t size = std::max<std::size_t>(1, side(end, other).size());
            if (best && (size < most || (size == most && other > *best))) continue;
            best = other;
            most = size;
        }
        return best;
    }

private:
    const Molecule& molecule_;
};

std::string name_of(const Molecule& molecule, const std::array<index, 4>& atoms) {
    std::string name, residue;
    for (const index atom : atoms) {
        const Atom& a = molecule.atoms[at(atom)];
        const std::string here = a.residue + std::to_string(a.residue_number);
        if (!name.empty()) name += "-";
        if (here != residue) name += here + ":";
        name += a.name.empty() ? std::to_string(atom) : a.name;
        residue = here;
    }
    return name;
}

}  // namespace

std::vector<NamedTorsion> rotatable_torsions(const Molecule& molecule) {
    const Bonds bonds(molecule);
    std::vector<NamedTorsion> found;
    for (index b = 0; b < molecule.size(); ++b)
        for (const index c : bonds.of(b)) {
            if (c < b || !bonds.heavy(b) || !bonds.heavy(c) || bonds.side(b, c).empty()) continue;
            const std::optional<index> a = bonds.outer(b, c), d = bonds.outer(c, b);
            if (!a || !d) continue;
            const std::array<index, 4> atoms{*a, b, c, *d};
            found.push_back({atoms, name_of(molecule, atoms)});
        }
    return found;
}

}  // namespace microlift
