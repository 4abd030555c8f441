// Where trajectories of a molecule begin, and whether they can.
#pragma once

#include "sampling/model/model.h"
#include "sampling/run/config/run_config.h"

namespace microlift {

// KeyError where no state is given, where two atoms lie at one place, where forces are beyond single precision,
// or where the coordinates are so far out that single precision rounds bonds away.
void check_molecule_starts(const RunConfig& run, const Model& model);

}  // namespace microlift
