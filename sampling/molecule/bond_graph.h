// The bonds of a molecule, atom by atom.
#pragma once

#include <vector>

#include "engine/at.h"
#include "sampling/molecule/molecule.h"

namespace microlift {

class BondGraph {
public:
    explicit BondGraph(const Molecule& molecule);

    const std::vector<index>& of(index atom) const { return of_[at(atom)]; }
    // The atoms on the side of `to` when the bond between the two is cut; none where it lies in a ring.
    std::vector<index> side(index from, index to) const;

private:
    std::vector<std::vector<index>> of_;
};

}  // namespace microlift
