// Trajectories are single precision: windows far from zero may be finer than its numbers.
#pragma once

#include "sampling/model/model.h"
#include "sampling/run/config/run_config.h"

namespace microlift {

// From `value` to the next number of single precision.
double float_spacing(double value);

// KeyError where windows, or steps within them, are not resolved.
void check_spacing(const RunConfig& run, const Model& model);

}  // namespace microlift
