// [cv]: collective variables, and quantities that their formulas may name.
#pragma once

#include "engine/config/checks.h"
#include "sampling/formula/formula.h"
#include "sampling/model/model_config.h"

namespace microlift {

void add_cv_keys(Schema& schema);
// Of the system that `model` has. Keeps what is wrong.
CvConfig read_cv(Config& config, const ModelConfig& model);

// The error of a formula as one of its key. FormulaError says "system.drift[0]" or "cv[0]".
KeyError of_formula(const FormulaError& error);

}  // namespace microlift
