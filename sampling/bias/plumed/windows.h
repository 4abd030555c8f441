// Restraints of several inputs as the windows of [umbrella].
#pragma once

#include <vector>

#include "sampling/bias/plumed/state.h"

namespace microlift {

// InputError where they are no grid of equal parabolas.
PlumedTables plumed_windows(const std::vector<PlumedState>& states);

}  // namespace microlift
