// Checks of a run on its own stored states: are its steps short enough, and single precision enough?
#pragma once

#include "sampling/run/stages/accuracy/states.h"

namespace microlift {

// Do the samples obey the law that they should? In equilibrium under a drift b and noise σ every variable
// has E[(x − E x) b] = −½ E[σσᵀ], whatever the scheme; a step that is too long adds about
// dt E[b²] / E[σσᵀ] of that, at walls first. Where the excess is beyond chance and such a step explains
// it, the run warns.
void check_steps(Run& run, const BiasedDrift& physics, const std::vector<WindowStates>& drawn);

// The drift that trajectories took in single precision beside the one in double precision, at the states
// where they took it.
void check_precision(Run& run, const BiasedDrift& physics, const std::vector<WindowStates>& drawn);

// Whether the free energy changes so much within a bin that its centre does not stand for it.
void check_bins(Run& run);

}  // namespace microlift
