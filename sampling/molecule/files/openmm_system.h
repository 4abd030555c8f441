// Molecules from OpenMM's System, serialised as XML.
#pragma once

#include <string>
#include <vector>

#include "sampling/molecule/files/text_file.h"
#include "sampling/molecule/molecule.h"

namespace microlift {

// Atoms have neither names nor, but for their masses, elements. What is left out (a remover of the centre's
// motion) is told in `notes`; every other force that is not known is refused by its name.
Molecule read_openmm_system(const TextFile& file, std::vector<std::string>& notes);

}  // namespace microlift
