// The stored samples as files.
#pragma once

#include "sampling/run/run.h"

namespace microlift {

// samples.h5; without weights it has none. From here on a checkpoint counts on the file.
void write_samples(Run& run, const Buffer<float>* log_weights);

// What output.thin leaves of a block: every thin-th sample of each trajectory, from the first on.
inline index thinned_samples(const SampleBlock& block, index thin) { return (block.samples + thin - 1) / thin; }
// Where output.thin asks for it, once no stage needs all samples: the file that takes the place of samples.h5 ...
void write_thinned(Run& run);
// ... when the checkpoint says that the run is complete.
void take_thinned(const fs::path& dir);

// Before a checkpoint is written: samples that no file holds yet, as further files of run.samples.
void write_segments(Run& run);
// After it, and before anything is sampled: those that no checkpoint counts on.
void remove_segments(Run& run);

}  // namespace microlift
