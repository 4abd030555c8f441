// The torsions by which a molecule changes its shape.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "sampling/molecule/molecule.h"

namespace microlift {

struct NamedTorsion {
    std::array<index, 4> atoms;
    std::string name;  // "ACE1:C-ALA2:N-CA-C"
};

// One about each bond between two heavy atoms that is in no ring and has a further heavy atom at either end;
// of several there the one with most atoms behind it, then the first.
std::vector<NamedTorsion> rotatable_torsions(const Molecule& molecule);

}  // namespace microlift
