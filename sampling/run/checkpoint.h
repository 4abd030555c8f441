// checkpoint.h5: enough to go on bit for bit.
#pragma once

#include "sampling/run/run.h"

namespace microlift {

inline constexpr double kCheckpointSeconds = 10;

void save_checkpoint(Run& run);
// Nothing where the run was stopped before its first checkpoint.
std::optional<Store> read_checkpoint(const fs::path& dir);
void load_checkpoint(Run& run, const Store& store);
// "portable" or "fast": what the run was begun in.
std::string mathematics_of(const Store& store);

}  // namespace microlift
