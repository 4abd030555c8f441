// Implicit solvents in OpenMM's XML.
#pragma once

#include "sampling/molecule/files/xml_file.h"
#include "sampling/molecule/molecule.h"

namespace microlift {

// GBSAOBCForce: OBC2 with ACE's surface term.
Solvent read_openmm_obc(const XmlFile& xml, pugi::xml_node force, const Molecule& molecule);

// CustomGBForce, if its expressions are those that OpenMM writes for HCT, OBC1, OBC2, GBn or GBn2.
Solvent read_openmm_custom_gb(const XmlFile& xml, pugi::xml_node force, const Molecule& molecule);

}  // namespace microlift
