// Which atoms each atom of a molecule is placed by: a walk through the tree of its bonds.
#pragma once

#include <array>
#include <vector>

#include "sampling/molecule/molecule.h"

namespace microlift {

struct ZMatrixEntry {
    index atom = -1;
    index bond = -1, angle = -1, torsion = -1;  // atoms; −1: none
    double rigid_length = 0;                    // nm; 0: the bond is not rigid
    // Of the dihedral angle (torsion, angle, bond, atom): whether it is that along a bond. The others are those
    // of atoms beside one that has it: what is left of a dihedral angle when the bond turns, so that the turn
    // of a bond is one coordinate and chirality is the sign of another.
    bool along_bond = false;
};

struct ZMatrix {
    std::vector<ZMatrixEntry> entries;  // in the order of placing
    index atoms() const { return static_cast<index>(entries.size()); }
    // Of the entry whose torsion is this dihedral angle, read from either end; −1: there is none.
    index entry_of(const std::array<index, 4>& dihedral) const;
};

// `dihedrals` become torsions of entries wherever the tree allows it. InputError for a molecule in several parts
// or of fewer than three atoms.
ZMatrix make_z_matrix(const Molecule& molecule, const std::vector<std::array<index, 4>>& dihedrals = {});

}  // namespace microlift
