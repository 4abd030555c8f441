// Stable ascending sort of float keys on the device, alone or with values that move along. The
// order is total: −NaN, −∞ … ∞, NaN; −0 and +0 are equal. Nothing allocates, so it may be recorded
// in a graph.
#pragma once

#include "engine/device/buffer.h"

namespace microlift {

// Bytes of scratch space for n keys (and values).
index sort_scratch(const Device& device, index n);

// keys (n), ascending in place; values (n) go where their keys go. Scratch of sort_scratch(device, n) bytes.
void sort(Stream& stream, Span<float> keys, Span<unsigned char> scratch);
void sort_pairs(Stream& stream, Span<float> keys, Span<uint32> values, Span<unsigned char> scratch);

// data (rows, columns): each row of keys by itself; row r starts at data + r · stride.
void sort_rows(Stream& stream, float* data, index rows, index columns, index stride,
               Span<unsigned char> scratch);
index sort_scratch_rows(const Device& device, index rows, index columns, index stride);

// CUDA's part, in sort.cu; keys and values (n), values may be null.
index sort_scratch_on_cuda(index n);
void sort_on_cuda(Stream& stream, float* keys, uint32* values, index n,
                  Span<unsigned char> scratch);
// All rows of (rows, columns) in one call, where they are short.
index sort_scratch_rows_on_cuda(index rows, index columns, index stride);
void sort_rows_on_cuda(Stream& stream, float* data, index rows, index columns, index stride,
                       Span<unsigned char> scratch);

}  // namespace microlift
