// Trajectories are single precision: windows far from zero may be finer than its numbers.
#pragma once

#include "sampling/model/model.h"
#include "sampling/run/run_config.h"

namespace microlift {

// From `value` to the next number of single precision.
double float_spacing(double value);

// Standard deviation of what noise does to a variable in a step; 0 where it depends on the state.
double step_noise(const Model& model, const IntegratorConfig& integrator, int variable);

// KeyError where windows, or steps within them, are not resolved.
void check_spacing(const RunConfig& run, const Model& model);

}  // namespace microlift
