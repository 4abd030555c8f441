// Where biased trajectories of a molecule begin.
#pragma once

#include "sampling/run/run.h"

namespace microlift {

// Brings every trajectory, from whatever state it has, to its window: the centre moves there from the
// state's own ξ the shorter way round, in short runs at the temperature umbrella.heat, which then go on there
// for as long. `stream` makes the noise another one.
void steer_molecules(Run& run, Ensemble& ensemble, index replicas, uint64 stream);

}  // namespace microlift
