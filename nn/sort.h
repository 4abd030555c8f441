// Sorting many short segments.
#pragma once

#include "engine/buffer.h"

namespace microlift {

// Sorts each of `segments` runs of `length` values; not-a-number goes to an end.
void sort_segments(Stream& stream, Span<float> values, index segments, index length);
void sort_segments_on_cuda(Stream& stream, Span<float> values, index segments, index length);

}  // namespace microlift
