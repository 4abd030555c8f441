// Biased ensembles: the umbrella's windows, and those of later rounds of coupling.
#pragma once

#include "sampling/bias/adaptive.h"
#include "sampling/bias/umbrella.h"
#include "sampling/run/run.h"
#include "sampling/work/steered.h"

namespace microlift {

struct RoundPlan {
    index round, windows, replicas, equilibrate, segments, exchange, jump;
    index trajectories() const { return windows * replicas; }
};
RoundPlan plan_of(const Run& run, index round);

void add_windows(BiasWindows& windows, const Run& run, const std::vector<CvValue>& centers);

// The bias method of windows first_window …, each for its replicas.
std::unique_ptr<Umbrella> umbrella_of(Run& run, const BiasWindows& windows,
                                      std::size_t first_window, const RoundPlan& plan);
// The bias of [bias], which all walkers make.
std::unique_ptr<AdaptiveBias> make_shared_bias(Run& run);
// Or the one that pulls them along a path, there and back.
std::unique_ptr<Steered> make_steered_bias(Run& run);
// Where the configuration says, or from the generator: physics need not find its own way there.
void set_initial(Run& run, Ensemble& ensemble, const BiasWindows& windows, std::size_t first_window,
                 const RoundPlan& plan);
void begin_shared_bias(Run& run, Ensemble& ensemble, AdaptiveBias& bias);
// ξ (K, trajectories) on the device, and what comes behind it.
Span<const float> bias_values(Run& run, Ensemble& ensemble);
// What a method does between launches, at a step that is a multiple of its period.
void step_bias(Run& run, Ensemble& ensemble, BiasMethod& bias);

// --- molecules

// The temperature that the ensemble's velocities have, into the record; a warning where it is not that of the
// system, which a time step that is too long does first of all.
void check_temperature(Run& run, Ensemble& ensemble, Json& record);

}  // namespace microlift
