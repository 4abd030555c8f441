// Biased trajectories of a molecule: where they begin, and whether they have the temperature asked for.
#pragma once

#include "sampling/run/run.h"

namespace microlift {

// Brings every trajectory, from whatever state it has, to its window: the centre moves there from the
// state's own ξ the shorter way round, in short runs at the temperature umbrella.heat, which then go on there
// for as long. `stream` makes the noise another one.
void steer_molecules(Run& run, Ensemble& ensemble, index replicas, uint64 stream);

// The temperature that the ensemble's velocities have, into the record; a warning where it is not that of the
// system, which a time step that is too long does first of all.
void check_temperature(Run& run, Ensemble& ensemble, Json& record);

}  // namespace microlift
