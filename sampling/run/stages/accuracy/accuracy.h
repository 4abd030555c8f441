// Checks of a run on its own stored states: are its steps short enough, and single precision enough?
#pragma once

#include "sampling/run/stages/accuracy/states.h"

namespace microlift {

// Do the samples obey the law that they should, whatever the scheme? Under a drift b with noise σ,
// E[b²] = ½σ² E[−∂b] for every variable where there is a potential, and E[L b²] = 0 with the generator L
// always. A step that is too long breaks them, at walls first, by about half of dt times the steepness of
// b. Where the excess is beyond chance and such a step explains it, the run warns.
void check_steps(Run& run, const BiasedDrift& physics, const std::vector<WindowStates>& drawn);

// The drift that trajectories took in single precision beside the one in double precision, at the states
// where they took it.
void check_precision(Run& run, const BiasedDrift& physics, const std::vector<WindowStates>& drawn);

// Whether the free energy changes so much within a bin that its centre does not stand for it.
void check_bins(Run& run);

}  // namespace microlift
