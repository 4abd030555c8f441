// Columns of arrays in device memory that processes share out: each works on those of its Share, as an array of
// its own.
#pragma once

#include "engine/comm/communicator.h"
#include "engine/device/buffer.h"

namespace microlift {

// own (rows, share.count) = columns of all (rows, n).
void take_columns(Stream& stream, const void* all, index rows, index n, Share share, void* own,
                  index words);

// all[(r / inner) · row + (r % inner) · n + i] = what the process that has column i holds of row r of its own
// (rows, count): in every process. A value has `words` words of 4 bytes. `parts` is made as large as that takes.
void collect_columns(Stream& stream, const void* own, index rows, index inner, index n, void* all, index row,
                    index words, Buffer<float>& parts);

// Of values of 4 bytes, one after the other, each process has a part: so many, in its order. In every process, all.
void collect_parts(Stream& stream, void* values, const std::vector<index>& words);

template <class T>
void take_columns(Stream& stream, const Buffer<T>& all, index n, Share share, Buffer<T>& own) {
    take_columns(stream, all.data(), all.size() / n, n, share, own.data(), sizeof(T) / 4);
}

template <class T>
void collect_columns(Stream& stream, const Buffer<T>& own, index n, Buffer<T>& all, Buffer<float>& parts) {
    const index rows = all.size() / n;
    collect_columns(stream, own.data(), rows, 1, n, all.data(), n, sizeof(T) / 4, parts);
}

}  // namespace microlift
