// The queue of a CUDA device: one non-blocking stream for all that this process does there. Every Stream of the
// device hands its work to it, and memory is allocated, cleared and freed in it: so memory is ready before its
// first use and goes after its last, as on the CPU.
#pragma once

#include "engine/device/device.h"

namespace microlift {

// A cudaStream_t; made at the first call. A process works with one CUDA device: DeviceError for another one.
void* cuda_queue(const Device& device);

}  // namespace microlift
