#include "sampling/run/stages/accuracy/accuracy.h"

#include "sampling/run/meter.h"
#include "sampling/run/stages.h"

namespace microlift {

namespace {

void check_states(Run& run, Span<const float> x, index row, const std::vector<SampleBlock>& blocks) {
    StageMeter meter(run.record, "accuracy");
    const BiasedDrift physics(run);
    const std::vector<WindowStates> drawn = drawn_states(run, x, row, blocks, physics.operations());
    check_precision(run, physics, drawn);
    check_steps(run, physics, drawn);
}

}  // namespace

void check_accuracy(Run& run) {
    check_states(run, Span<const float>(run.samples.x.span()), run.samples.row, run.samples.blocks);
    check_bins(run);
}

void check_last_states(Run& run, Ensemble& ensemble, const SampleBlock& block) {
    check_states(run, Span<const float>(ensemble.x()), ensemble.size(), {block});
}

}  // namespace microlift
