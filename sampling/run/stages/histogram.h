// Sampling that keeps counts and sums instead of samples.
#pragma once

#include "sampling/run/biased_runs.h"

namespace microlift {

void start_histogram(Run& run, const RoundPlan& plan);
void write_histogram(Run& run);

}  // namespace microlift
