// Harmonic torsions, CHARMM's impropers, in OpenMM's XML.
#pragma once

#include "sampling/molecule/files/xml_file.h"
#include "sampling/molecule/molecule.h"

namespace microlift {

// Appends those of a CustomTorsionForce whose energy is k·(φ − φ₀)² or half of it, φ − φ₀ taken to the nearest turn
// as OpenMM's readers of CHARMM, GROMACS and AMBER files write it; InputError for every other energy.
void read_openmm_impropers(const XmlFile& xml, pugi::xml_node force, Molecule& molecule);

}  // namespace microlift
