// Harmonic restraints to positions in OpenMM's XML.
#pragma once

#include "sampling/molecule/files/xml_file.h"
#include "sampling/molecule/molecule.h"

namespace microlift {

// Appends those of a CustomExternalForce whose energy is k·|r − r₀|² or half of it, as
// "k*((x-x0)^2+(y-y0)^2+(z-z0)^2)"; InputError for every other energy.
void read_openmm_restraints(const XmlFile& xml, pugi::xml_node force, Molecule& molecule,
                            std::vector<std::string>& notes);

}  // namespace microlift
