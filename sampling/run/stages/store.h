// The stored samples as a file, for the stage that finds their weights.
#pragma once

#include "sampling/run/run.h"

namespace microlift {

// samples.h5; without weights it has none. From here on a checkpoint counts on the file.
void write_samples(Run& run, const Buffer<float>* log_weights);

}  // namespace microlift
