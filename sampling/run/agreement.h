#pragma once

#include "sampling/run/run.h"

namespace microlift {

// Whether what a checkpoint held is what this configuration leaves at that place of a run: each product
// has checked its own types, sizes and ranges. InputError where it is not.
void check_agreement(const Run& run);
// Samples of the rounds that are complete.
index samples_of_blocks(const Run& run);

}  // namespace microlift
