// Dynamics that holds the collective variables where they are.
#pragma once

#include <memory>

#include "sampling/model/model.h"

namespace microlift {

// n trajectories from x (dim, n), each held at its column of s (K, n): on the level set itself; a molecule,
// whose bonds may be rigid, by umbrellas that hold an angle to a degree and a distance to 2 pm, with
// velocities drawn anew and a thermostat that forgets them within ten steps or so.
std::unique_ptr<Ensemble> held_ensemble(Stream& stream, const Model& model,
                                        const IntegratorConfig& integrator, Span<const float> s,
                                        Span<const float> x, index n, uint64 seed, index first = 0);

}  // namespace microlift
