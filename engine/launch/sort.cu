// Sorting by Thrust: its radix sort, since the keys are floats in their natural order.
#include "engine/launch/sort.h"

#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_segmented_radix_sort.cuh>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/transform_iterator.h>
#include <thrust/sort.h>
#include <thrust/system/cuda/execution_policy.h>
#include <thrust/system_error.h>

#include <new>

#include "engine/error.h"

namespace microlift {

namespace {

constexpr index kAlign = 256;
constexpr index padded(index bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

// Hands the caller's scratch to Thrust, which would allocate otherwise.
struct ScratchAllocator {
    using value_type = char;
    Span<unsigned char> scratch;
    index used = 0;

    char* allocate(std::ptrdiff_t bytes) {
        if (used + bytes > scratch.size) throw std::bad_alloc();
        char* const at = reinterpret_cast<char*>(scratch.data) + used;
        used += padded(bytes);
        return at;
    }
    void deallocate(char*, std::size_t) {}
};

}  // namespace

// What Thrust asks for: copies of keys and values, and the space of CUB's sort, which it calls.
index sort_scratch_on_cuda(index n) {
    std::size_t bytes = 0;
    cub::DoubleBuffer<float> keys(nullptr, nullptr);
    cub::DoubleBuffer<uint32> values(nullptr, nullptr);
    CUDA_CHECK(cub::DeviceRadixSort::SortPairs(nullptr, bytes, keys, values, n));
    return 2 * padded(n * 4) + padded(static_cast<index>(bytes));
}

void sort_on_cuda(Stream& stream, float* keys, uint32* values, index n,
                  Span<unsigned char> scratch) {
    ScratchAllocator allocator{scratch};
    const auto policy =
        thrust::cuda::par_nosync(allocator).on(static_cast<cudaStream_t>(stream.cuda_stream()));
    const thrust::less<float> ascending;
    try {
        if (values)
            thrust::stable_sort_by_key(policy, keys, keys + n, values, ascending);
        else
            thrust::stable_sort(policy, keys, keys + n, ascending);
    } catch (const thrust::system_error& error) {
        throw_cuda_error(error.code().value(), "thrust::stable_sort", __FILE__, __LINE__);
    }
    CUDA_CHECK(cudaGetLastError());
}

// --- rows ----------------------------------------------------------------------------------------

namespace {

// Longer rows fill the device one by one; in a segmented sort each has one block.
constexpr index kLongRow = 1 << 16;
constexpr index kMostKeys = 2147483647;  // of one segmented sort

// Where row r begins, or ends.
struct RowPlace {
    index stride, offset;
    __host__ __device__ index operator()(index r) const { return r * stride + offset; }
};
using RowPlaces = thrust::transform_iterator<RowPlace, thrust::counting_iterator<index>>;

// Without work space it says how much it needs.
cudaError_t sort_segments(void* work, std::size_t& bytes, const float* from, float* to, index rows,
                          index columns, index stride, cudaStream_t stream) {
    const thrust::counting_iterator<index> first(0);
    return cub::DeviceSegmentedRadixSort::SortKeys(
        work, bytes, from, to, static_cast<int>(rows * stride), static_cast<int>(rows),
        RowPlaces(first, RowPlace{stride, 0}), RowPlaces(first, RowPlace{stride, columns}), 0, 32,
        stream);
}

// A copy of the rows comes first in the scratch space.
index copied_bytes(index rows, index stride) { return padded(rows * stride * 4); }

}  // namespace

index sort_scratch_rows_on_cuda(index rows, index columns, index stride) {
    if (columns >= kLongRow || rows * stride > kMostKeys) return sort_scratch_on_cuda(columns);
    std::size_t bytes = 0;
    CUDA_CHECK(sort_segments(nullptr, bytes, nullptr, nullptr, rows, columns, stride, nullptr));
    return copied_bytes(rows, stride) + padded(static_cast<index>(bytes));
}

void sort_rows_on_cuda(Stream& stream, float* data, index rows, index columns, index stride,
                       Span<unsigned char> scratch) {
    if (columns >= kLongRow || rows * stride > kMostKeys) {
        for (index r = 0; r < rows; ++r)
            sort_on_cuda(stream, data + r * stride, nullptr, columns, scratch);
        return;
    }
    auto* spare = reinterpret_cast<float*>(scratch.data);
    const index copied = copied_bytes(rows, stride);
    std::size_t bytes = static_cast<std::size_t>(scratch.size - copied);
    const index keys = (rows - 1) * stride + columns;
    copy<float>(stream, {spare, keys}, {data, keys});
    CUDA_CHECK(sort_segments(scratch.data + copied, bytes, spare, data, rows, columns, stride,
                             static_cast<cudaStream_t>(stream.cuda_stream())));
}

}  // namespace microlift
