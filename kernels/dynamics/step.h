// One step of a scheme, for wherever its trajectories are kept: in registers (path.h), or in tiles of
// many, whose force a program computes. `at` does the parts, each for all trajectories that it keeps,
// and `z` names the step's noise to it:
//   keep_directions()    of the projection by constrain(), where a bias holds ξ; else both do nothing
//   before(z)            the integrator's part before the force
//   force()              drift and bias at x; for Metropolis schemes the energy, too
//   end_step(z)          the integrator's part after it
//   keep_start()         x and the force at it
//   return_with_mean_force()   to that x, with the mean of both forces
//   decide(z)            stay here, or return to that x
#pragma once

#include "kernels/dynamics/integrators.h"

namespace microlift {

template <class Integrator, class State, class Noise>
LANE_FN void take_step(State& at, const Noise& z) {
    if constexpr (Integrator::metropolis) {
        at.keep_start();
        at.end_step(z);
        at.force();
        at.decide(z);
    } else {
        at.keep_directions();
        at.before(z);
        at.force();
        if constexpr (Integrator::averages_force) {
            at.keep_start();
            at.end_step(z);
            at.force();
            at.return_with_mean_force();
        }
        at.end_step(z);
        at.constrain();
    }
}

}  // namespace microlift
