// Ensembles of a model under no bias, and held at values of the collective variables.
#pragma once

#include <memory>

#include "sampling/model/model.h"

namespace microlift {

// n free trajectories with steps of `dt`, from whatever x() is filled with: Euler-Maruyama, whose increments are
// independent; a molecule moves by its own scheme and begins with velocities of its temperature.
std::unique_ptr<Ensemble> free_ensemble(Stream& stream, const Model& model,
                                        const IntegratorConfig& integrator, double dt, index n,
                                        uint64 seed);

// n trajectories from x (dim, n), each held at its column of s (K, n): on the level set itself; a molecule,
// whose bonds may be rigid, by umbrellas that hold an angle to a degree and a distance to 2 pm, with
// velocities drawn anew and a thermostat that forgets them within ten steps or so.
std::unique_ptr<Ensemble> held_ensemble(Stream& stream, const Model& model,
                                        const IntegratorConfig& integrator, Span<const float> s,
                                        Span<const float> x, index n, uint64 seed, index first = 0);

}  // namespace microlift
