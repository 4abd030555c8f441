#include "engine/launch/sort.h"

#include <cub/device/device_radix_sort.cuh>

#include "engine/error.h"

namespace microlift {

namespace {

constexpr index kAlign = 256;
index padded(index bytes) {
    return (bytes + kAlign - 1) / kAlign * kAlign;
}

}  // namespace

// Copies of keys and values, then CUB's own space.
index sort_scratch_on_cuda(index n) {
    std::size_t bytes = 0;
    CUDA_CHECK(cub::DeviceRadixSort::SortPairs(
        nullptr, bytes, static_cast<const float*>(nullptr), static_cast<float*>(nullptr),
        static_cast<const uint32*>(nullptr), static_cast<uint32*>(nullptr), n));
    return 2 * padded(n * 4) + padded(static_cast<index>(bytes));
}

void sort_on_cuda(Stream& stream, float* keys, uint32* values, index n,
                  Span<unsigned char> scratch) {
    auto* spare_keys = reinterpret_cast<float*>(scratch.data);
    auto* spare_values = reinterpret_cast<uint32*>(scratch.data + padded(n * 4));
    void* work = scratch.data + 2 * padded(n * 4);
    std::size_t bytes = static_cast<std::size_t>(scratch.size - 2 * padded(n * 4));
    const auto cuda_stream = static_cast<cudaStream_t>(stream.cuda_stream());
    copy<float>(stream, {spare_keys, n}, {keys, n});
    if (values) {
        copy<uint32>(stream, {spare_values, n}, {values, n});
        CUDA_CHECK(cub::DeviceRadixSort::SortPairs(work, bytes, spare_keys, keys, spare_values,
                                                   values, n, 0, 32, cuda_stream));
    } else {
        CUDA_CHECK(
            cub::DeviceRadixSort::SortKeys(work, bytes, spare_keys, keys, n, 0, 32, cuda_stream));
    }
}

}  // namespace microlift
