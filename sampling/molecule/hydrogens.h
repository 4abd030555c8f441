// What is done about hydrogens before a molecule moves: their bonds made rigid, mass lent to them.
#pragma once

#include "sampling/molecule/molecule.h"

namespace microlift {

// Every bond with a hydrogen becomes rigid at its length (OpenMM's HBonds). InputError where two rigid
// bonds would hold one hydrogen, as in water with a bond between its hydrogens.
void make_hydrogen_bonds_rigid(Molecule& molecule);

// Hydrogens get this mass, u, and their heavy neighbours lose what they gain (OpenMM's hydrogenMass).
// InputError where a neighbour has not enough.
void repartition_hydrogen_mass(Molecule& molecule, double mass);

}  // namespace microlift
