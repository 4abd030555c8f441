// Free energies from biased samples: MBAR, WHAM and umbrella integration behind one interface, with
// errors from independent blocks of trajectories. Conditional averages: sampling/estimate/conditional.h.
#pragma once

#include "sampling/bias/windows.h"
#include "sampling/estimate/result.h"

namespace microlift {

// Throws InputError (shapes, 2-D umbrella integration) and NumericError (a sample that is not
// finite, named). Does not throw on missing overlap or non-convergence: see the fields.
FreeEnergyResult estimate_free_energy(Stream& stream, const BiasedSamples& samples,
                                      const BiasWindows& windows, const Grid& grid,
                                      const EstimateOptions& options);

}  // namespace microlift
