#pragma once

#include <string>

#include "sampling/run/run.h"

namespace microlift {

// What a run that is complete found, in a few lines: figures of its record.
std::string summary(const Run& run);

// Minima of the free energy and the ways between them, with errors; empty where there is none on a grid.
std::string free_energy_in_words(const Run& run);

}  // namespace microlift
