#pragma once

#include <string>

#include "sampling/run/run.h"

namespace microlift {

// What a run that is complete found, in a few lines: figures of its record.
std::string summary(const Run& run);

}  // namespace microlift
