#include "sampling/run/stages/accuracy/accuracy.h"

#include "sampling/run/meter.h"
#include "sampling/run/stages.h"

namespace microlift {

void check_accuracy(Run& run) {
    StageMeter meter(run.record, "accuracy");
    const BiasedDrift physics(run);
    const std::vector<WindowStates> drawn = drawn_states(run, physics.operations());
    check_precision(run, physics, drawn);
    check_steps(run, physics, drawn);
    check_bins(run);
}

}  // namespace microlift
