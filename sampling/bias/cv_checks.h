// What a bias on the collective variables cannot work with.
#pragma once

#include "sampling/bias/umbrella_config.h"
#include "sampling/model/model.h"

namespace microlift {

// Numbers of kernels that are too large for single precision; too small, where 0 would mean something else.
void check_single_precision(Checks& checks, const char* key, const std::vector<double>& values,
                            bool may_vanish);

// Two collective variables that depend on one another. No model can be made of such.
void check_independent(Checks& checks, const ModelConfig& config);

// Windows whose samples cross the cut of an angle.
void check_cuts(Checks& checks, const ModelConfig& config, const UmbrellaConfig& umbrella,
                const Model& model);


// Windows all round a variable whose system is not the same a period on.
void check_seams(Checks& checks, const ModelConfig& config, const UmbrellaConfig& umbrella,
                 const Model& model);

}  // namespace microlift
