// bias.plumed and umbrella.plumed: what PLUMED inputs say takes their place in the configuration.
#pragma once

#include <string>

#include "engine/config/value.h"

namespace microlift {

// `file`: the configuration, in whose folder inputs lie. InputError with a line for each fault of the inputs, and for
// keys that both say.
void take_plumed_inputs(ConfigValue& root, const std::string& file);

}  // namespace microlift
