// What a bias on the collective variables cannot work with.
#pragma once

#include "sampling/model/model.h"
#include "sampling/run/run_config.h"

namespace microlift {

// Numbers of kernels that single precision cannot hold.
void check_single_precision(Checks& checks, const RunConfig& run);

// Windows whose samples cross the cut of an angle, and collective variables that depend on one another.
void check_cvs(Checks& checks, const RunConfig& run, const Model& model);

}  // namespace microlift
