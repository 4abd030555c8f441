// Molecules from AMBER prmtop (parm7) files, as OpenMM's AmberPrmtopFile reads them.
#pragma once

#include "sampling/molecule/files/text_file.h"
#include "sampling/molecule/molecule.h"
#include "sampling/molecule/solvent_parameters.h"

namespace microlift {

// All bonds flexible, masses as in the file. InputError for what is damaged, and by its name for what is
// not supported: periodic boxes, polarisable and CHARMM force fields, extra points, 10–12 and 12–6–4 terms.
Molecule read_amber_topology(const TextFile& file, const SolventOptions& solvent);

}  // namespace microlift
