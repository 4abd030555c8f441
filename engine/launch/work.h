// How much work goes into one launch, and how many rows through a network at once: what suits the device.
// No result depends on it.
#pragma once

#include "engine/device/device.h"

namespace microlift {

// Steps of `trajectories` in one launch, where a step costs `cost` of a cheap one: a fraction of a second of
// a CPU, tens of milliseconds of a GPU; of so many trajectories that this is less than 32 steps, up to some seconds.
// At least 1, less than 2³¹.
uint64 launch_steps(const Device& device, index trajectories, double cost = 1.0);

// Rows of an array of `bytes` a row that are worked on at once: `on_cpu` there; on CUDA enough for all its
// processors, but no more than a sixteenth of its memory.
index rows_at_once(const Device& device, index on_cpu, index bytes);

// Floats of an array that is filled and used up piece by piece: `on_cpu` there, where a piece should stay in
// the cache; a 64th of a GPU's memory.
index floats_at_once(const Device& device, index on_cpu);

}  // namespace microlift
