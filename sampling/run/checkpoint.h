// checkpoint.h5: enough to go on bit for bit.
#pragma once

#include "sampling/run/run.h"

namespace microlift {

inline constexpr double kCheckpointSeconds = 10;

void save_checkpoint(Run& run);
// Nothing where the run was stopped before its first checkpoint.
void load_checkpoint(Run& run);
void load_checkpoint(Run& run, const Store& store);

}  // namespace microlift
