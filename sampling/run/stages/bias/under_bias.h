// Free energies of samples under one bias for all walkers, while they come in and at the end.
#pragma once

#include "sampling/run/run.h"

namespace microlift {

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

}  // namespace microlift
