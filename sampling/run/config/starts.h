// Where trajectories begin: the states that the configuration names, and whether they can begin there.
#pragma once

#include <span>

#include "sampling/bias/table.h"
#include "sampling/model/model.h"
#include "sampling/numerics/grid.h"
#include "sampling/run/config/run_config.h"

namespace microlift {

inline constexpr int kLineSteps = 10;  // of Newton, from the state zero to a window's centre

// Centres of the windows, the last collective variable fastest.
std::vector<CvValue> umbrella_centers(const UmbrellaConfig& umbrella);
// Their grid.
GridAxes umbrella_axes(const UmbrellaConfig& umbrella);
// The same of windows that are sampled: of one bias for all walkers one, in the middle.
std::vector<CvValue> window_centers(const UmbrellaConfig& umbrella);

// umbrella.initial: one state for each centre, (centre, variable); of a file's rows the one whose ξ lies
// nearest, in bins. Columns that are named stand in any order. Before "line" moves any of them.
std::vector<double> given_states(const UmbrellaConfig& umbrella, const Model& model,
                                 const Grid& grid, std::span<const CvValue> centers);

// Keeps a fault for each key whose states are not of single precision, or where force, noise or ξ and
// its gradient, in the arithmetic of the run, are not finite.
void check_starts(Checks& checks, const RunConfig& run, const Model& model);

}  // namespace microlift
