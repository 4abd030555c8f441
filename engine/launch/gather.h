// Chosen columns of an array by variable: out (variables, which.size) = from (variables, row)[:, which].
// May be recorded in a graph. On CUDA by Thrust, a launch for each variable.
#pragma once

#include "engine/device/buffer.h"

namespace microlift {

// from (variables, row), which (n) with values in [0, row), out (variables, n), all on the stream's device.
void gather_columns(Stream& stream, const float* from, index row, index variables,
                    Span<const index> which, float* out);

// CUDA's part, in gather.cu.
void gather_on_cuda(Stream& stream, const float* from, Span<const index> which, float* out);

}  // namespace microlift
