// checkpoint.h5: enough to go on bit for bit.
#pragma once

#include "sampling/run/meter.h"
#include "sampling/run/run.h"

namespace microlift {

// When a stage saves what it has: every few seconds, and where a signal came, in all processes of the run at once.
class SaveClock {
public:
    // Every process asks at the same places. Once it is true the stage saves, and calls throw_if_stopped().
    bool due();

private:
    Clock::time_point saved_ = Clock::now();
};
// A signal came, and nobody else has to hear of it before this process looks after it.
bool stops_alone();

void save_checkpoint(Run& run);
// Nothing where the run was stopped before its first checkpoint.
std::optional<Store> read_checkpoint(const fs::path& dir);
void load_checkpoint(Run& run, const Store& store);
// "portable" or "fast": what the run was begun in.
std::string mathematics_of(const Store& store);

}  // namespace microlift
