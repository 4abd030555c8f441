// [cv]: collective variables, and quantities that their formulas may name.
#pragma once

#include "sampling/model/model_config.h"

namespace microlift {

void add_cv_keys(Schema& schema);
// Of the system that `model` has. Keeps what is wrong.
CvConfig read_cv(Config& config, const ModelConfig& model);

}  // namespace microlift
