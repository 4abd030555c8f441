// Columns of arrays in device memory that processes share out: each works on those of its Share, as an array of
// its own.
#pragma once

#include "engine/comm/communicator.h"
#include "engine/device/buffer.h"

namespace microlift {

// own (rows, share.count) = columns of all (rows, n).
void take_columns(Stream& stream, const void* all, index rows, index n, Share share, void* own,
                  index words);

// What every process has of rows (rows, n), put together. A value has `words` words of 4 bytes.
class Collection {
public:
    // Where this process writes its own (rows, count).
    float* own(Stream& stream, index rows, index n, index words);
    // In every process, all of them.
    void gather(Stream& stream);
    // Then all[(r / inner) · row + (r % inner) · n + i] = value i of row from + r, for `rows` of them.
    void place(Stream& stream, index from, index rows, index inner, void* all, index row) const;

private:
    Buffer<float> parts_;  // of process after process; as large as the largest collection
    index rows_ = 0, n_ = 0, words_ = 1;
};

// Of values of 4 bytes, one after the other, each process has a part: so many, in its order. In every process, all.
void collect_parts(Stream& stream, void* values, const std::vector<index>& words);

template <class T>
void take_columns(Stream& stream, const Buffer<T>& all, index n, Share share, Buffer<T>& own) {
    take_columns(stream, all.data(), all.size() / n, n, share, own.data(), sizeof(T) / 4);
}

// all (rows, n) from what every process has of it.
template <class T>
void collect_columns(Stream& stream, const Buffer<T>& own, index n, Buffer<T>& all, Collection& collection) {
    const index rows = all.size() / n;
    if (rows == 0) return;
    float* const place = collection.own(stream, rows, n, sizeof(T) / 4);
    copy_bytes_on_device(stream, place, own.data(), sizeof(T) * static_cast<std::size_t>(own.size()));
    collection.gather(stream);
    collection.place(stream, 0, rows, 1, all.data(), n);
}

}  // namespace microlift
