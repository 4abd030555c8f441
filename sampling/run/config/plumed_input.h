// bias.plumed and umbrella.plumed: what PLUMED inputs say takes their place in the configuration.
#pragma once

#include <string>

#include "engine/config/value.h"

namespace microlift {

// `file`: the configuration, in whose folder inputs lie. `dir`: of a run that goes on, whose own configuration says what
// inputs said that are gone; else empty. InputError with a line for each fault of the inputs, and for keys that both say.
void take_plumed_inputs(ConfigValue& root, const std::string& file, const std::string& dir);

}  // namespace microlift
