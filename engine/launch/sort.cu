// Sorting by Thrust: its radix sort, since the keys are floats in their natural order.
#include "engine/launch/sort.h"

#include <cub/device/device_radix_sort.cuh>
#include <thrust/sort.h>
#include <thrust/system/cuda/execution_policy.h>

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
    if (values)
        thrust::stable_sort_by_key(policy, keys, keys + n, values, ascending);
    else
        thrust::stable_sort(policy, keys, keys + n, ascending);
    CUDA_CHECK(cudaGetLastError());
}

}  // namespace microlift
