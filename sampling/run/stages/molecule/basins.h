// Do the trajectories of a window meet in the same basins of a molecule's torsions?
#pragma once

#include "sampling/run/run.h"

namespace microlift {

// Warns of torsions that have basins which some trajectories never leave and the others never enter: what such
// a basin weighs was decided by the starts. Heat may leave a peptide bond turned, for one.
void check_basins(Run& run);

}  // namespace microlift
