#pragma once

#include "sampling/run/run.h"

namespace microlift {

// What a run that is complete found, in a few lines on stdout: figures of its record.
void print_summary(const Run& run);

}  // namespace microlift
