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

// --- the free energy under one bias for all walkers, while samples come in and at the end

// What [estimate] asks for.
EstimateOptions estimate_options(const Run& run);
// The walkers' density under the frozen bias, which is then taken off, in bins and of every sample. Windows are the
// rounds of coupling that the samples are of: none has a bias of its own.
FreeEnergyResult estimate_under_bias(Run& run, const BiasedSamples& biased, const BiasWindows& windows);

// The free energy of the first `samples` of each of the walkers that made the bias.
FreeEnergyProfile first_profile(Run& run, index walkers, index samples);

// Root mean square of standard errors over the bins that have one; that of the lowest is 0.
struct TypicalError {
    double rms = 0;
    index bins = 0;
};
TypicalError typical_error(const FreeEnergyProfile& profile);

// Whether the free energy is looked at after so many samples of each walker: the first time after a sixteenth of all,
// then whenever there is a quarter more.
bool is_look(index samples, index all);

// --- molecules

// The temperature that the ensemble's velocities have, into the record; a warning where it is not that of the
// system, which a time step that is too long does first of all.
void check_temperature(Run& run, Ensemble& ensemble, Json& record);

}  // namespace microlift
