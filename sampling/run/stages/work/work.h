// What the stages of work share.
#pragma once

#include "sampling/run/run.h"
#include "sampling/work/pulled_path.h"

namespace microlift {

// work.csv, steered.csv, free_energy.csv and figures of metrics.json, of walkers that were pulled there and back and
// ended at ξ = `last` (K, walkers).
void write_work(Run& run, const PulledPath& path, const std::vector<float>& last);

}  // namespace microlift
