// The energy of a molecule in plain double arithmetic, written term by term from its definition: what
// the kernels are compared with.
#pragma once

#include <array>
#include <vector>

#include "kernels/molecule/force_view.h"
#include "sampling/molecule/molecule.h"

namespace microlift {

// x: 3 numbers an atom.
std::array<double, kForceTerms> reference_energy(const Molecule& molecule,
                                                 const std::vector<double>& x);

// −∇E by central differences of fourth order.
std::vector<double> reference_force(const Molecule& molecule, const std::vector<double>& x);

// The angle between, in [0, π], and the dihedral angle in (−π, π].
double reference_angle(const std::vector<double>& x, const std::array<index, 3>& atoms);
double reference_dihedral(const std::vector<double>& x, const std::array<index, 4>& atoms);

}  // namespace microlift
