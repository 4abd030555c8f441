#include "sampling/molecule/hydrogens.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>

#include "engine/at.h"
#include "engine/error.h"
#include "sampling/molecule/elements.h"

namespace microlift {

namespace {

std::array<index, 2> sorted_pair(const std::array<index, 2>& atoms) {
    return {std::min(atoms[0], atoms[1]), std::max(atoms[0], atoms[1])};
}

}  // namespace

void make_hydrogen_bonds_rigid(Molecule& molecule) {
    std::set<std::array<index, 2>> chemical, rigid;
    for (const auto& atoms : molecule.bonded) chemical.insert(sorted_pair(atoms));
    for (const RigidBond& bond : molecule.rigid_bonds) rigid.insert(sorted_pair(bond.atoms));
    std::vector<Bond> flexible;
    for (const Bond& bond : molecule.bonds) {
        const std::array<index, 2> atoms = sorted_pair(bond.atoms);
        if (!chemical.count(atoms) ||
            (!is_hydrogen(molecule, atoms[0]) && !is_hydrogen(molecule, atoms[1]))) {
            flexible.push_back(bond);
            continue;
        }
        if (!(bond.length > 0))
            throw InputError("constraints = \"h_bonds\": the bond of " + atom_label(molecule, atoms[0]) +
                             " and " + atom_label(molecule, atoms[1]) +
                             " has no length to be held; use constraints = \"none\"");
        if (rigid.insert(atoms).second) molecule.rigid_bonds.push_back({bond.atoms, bond.length});
    }
    std::vector<int> held(molecule.atoms.size());
    for (const RigidBond& bond : molecule.rigid_bonds)
        for (const index atom : bond.atoms)
            if (++held[at(atom)] > 1 && is_hydrogen(molecule, atom))
                throw InputError("constraints = \"h_bonds\": two rigid bonds hold the hydrogen " +
                                 atom_label(molecule, atom) +
                                 " (rigid water is not supported); remove the water, or use "
                                 "constraints = \"none\"");
    molecule.bonds = std::move(flexible);
}

void repartition_hydrogen_mass(Molecule& molecule, double mass) {
    if (!(mass > 0) || !std::isfinite(mass))
        throw InputError("hydrogen_mass must be positive, in u; 3 is usual");
    for (const auto& [first, second] : molecule.bonded) {
        const bool swap = is_hydrogen(molecule, first);
        if (swap == is_hydrogen(molecule, second)) continue;
        Atom& hydrogen = molecule.atoms[at(swap ? first : second)];
        Atom& heavy = molecule.atoms[at(swap ? second : first)];
        heavy.mass -= mass - hydrogen.mass;
        hydrogen.mass = mass;
        if (!(heavy.mass > 0)) {
            std::ostringstream text;
            text.imbue(std::locale::classic());
            text << "hydrogen_mass = " << mass << " leaves no mass to "
                 << atom_label(molecule, swap ? second : first) << "; give a smaller one, 3 is usual";
            throw InputError(text.str());
        }
    }
}

}  // namespace microlift
