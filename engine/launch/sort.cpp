#include "engine/launch/sort.h"

#include <cstring>
#include <stdexcept>
#include <utility>

#include "engine/device/thread_pool.h"

namespace microlift {

namespace {

struct RadixSort {};  // the name of its launches

constexpr int kDigitBits = 11, kDigits = 1 << kDigitBits, kPasses = 3;

// Unsigned integers in the order of the floats.
uint32 ordered(float key) {
    uint32 u = as_uint(key);
    if (u == 0x80000000u) u = 0;
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}

// Radix sort by the least significant digit first: stable.
void radix_sort(float* keys, uint32* values, index n, float* spare_keys, uint32* spare_values) {
    if (n <= 0) return;
    index count[kPasses][kDigits] = {};
    for (index i = 0; i < n; ++i) {
        const uint32 u = ordered(keys[i]);
        for (int p = 0; p < kPasses; ++p) ++count[p][(u >> (p * kDigitBits)) & (kDigits - 1)];
    }
    float *from = keys, *to = spare_keys;
    uint32 *from_values = values, *to_values = spare_values;
    for (int p = 0; p < kPasses; ++p) {
        index at = 0;
        for (index& c : count[p]) at += std::exchange(c, at);
        for (index i = 0; i < n; ++i) {
            const index place = count[p][(ordered(from[i]) >> (p * kDigitBits)) & (kDigits - 1)]++;
            to[place] = from[i];
            if (values) to_values[place] = from_values[i];
        }
        std::swap(from, to);
        std::swap(from_values, to_values);
    }
    std::memcpy(keys, from, static_cast<std::size_t>(n) * sizeof(float));
    if (values) std::memcpy(values, from_values, static_cast<std::size_t>(n) * sizeof(uint32));
}

constexpr index padded(index n) {
    return (n + 63) / 64 * 64;
}

void sort_any(Stream& stream, float* keys, uint32* values, index n, Span<unsigned char> scratch) {
    if (n <= 1) return;
    if (scratch.size < sort_scratch(stream.device(), n))
        throw std::logic_error("sort: scratch is too small");
    if (stream.device().is_cpu()) {
        count_launch<RadixSort>(n);
        auto* spare_keys = reinterpret_cast<float*>(scratch.data);
        auto* spare_values = reinterpret_cast<uint32*>(spare_keys + padded(n));
        stream.submit([=] { radix_sort(keys, values, n, spare_keys, spare_values); });
    } else if constexpr (kHaveCuda) {
        count_launch<RadixSort>(n);
        sort_on_cuda(stream, keys, values, n, scratch);
    }
}

}  // namespace

index sort_scratch(const Device& device, index n) {
    if constexpr (kHaveCuda) {
        if (!device.is_cpu()) return sort_scratch_on_cuda(n);
    }
    (void)device;
    return padded(n) * 8;
}

void sort(Stream& stream, Span<float> keys, Span<unsigned char> scratch) {
    sort_any(stream, keys.data, nullptr, keys.size, scratch);
}

void sort_pairs(Stream& stream, Span<float> keys, Span<uint32> values,
                Span<unsigned char> scratch) {
    if (values.size != keys.size) throw std::logic_error("sort: as many values as keys are needed");
    sort_any(stream, keys.data, values.data, keys.size, scratch);
}

index sort_scratch_rows(const Device& device, index rows, index columns, index stride) {
    if constexpr (kHaveCuda) {
        if (!device.is_cpu()) return sort_scratch_rows_on_cuda(rows, columns, stride);
    }
    (void)stride;
    const index lanes = rows < device.threads() ? rows : device.threads();
    return lanes * padded(columns) * 4;
}

void sort_rows(Stream& stream, float* data, index rows, index columns, index stride,
               Span<unsigned char> scratch) {
    if (rows <= 0 || columns <= 1) return;
    if constexpr (kHaveCuda) {
        if (!stream.device().is_cpu()) {
            if (scratch.size < sort_scratch_rows(stream.device(), rows, columns, stride))
                throw std::logic_error("sort: scratch is too small");
            count_launch<RadixSort>(rows * columns);
            return sort_rows_on_cuda(stream, data, rows, columns, stride, scratch);
        }
    }
    // One piece of rows for each part of the scratch space, however many threads there are.
    const index parts = scratch.size / (padded(columns) * 4);
    if (parts < 1) throw std::logic_error("sort: scratch is too small");
    count_launch<RadixSort>(rows * columns);
    ThreadPool& pool = stream.device().pool();
    auto* spare = reinterpret_cast<float*>(scratch.data);
    stream.submit([=, &pool] {
        pool.run(parts < rows ? parts : rows, [&](index part) {
            for (index r = part; r < rows; r += parts)
                radix_sort(data + r * stride, nullptr, columns, spare + part * padded(columns),
                           nullptr);
        });
    });
}

}  // namespace microlift
