#define QUALIFIERS static inline __host__ __device__
#include <curand_kernel.h>

#include "engine/error.h"
#include "engine/launch/lanes.h"
#include "kernels/random/philox.h"
#include "tests/support/curand_words.h"

namespace microlift {

namespace {

// cuRAND counts numbers, four to a block: its counter is (offset / 4, subsequence), 64 bits each.
__host__ __device__ void curand_draw(const PhiloxDraws& p, index i, uint32* words) {
    const uint64 trajectory = static_cast<uint64>(p.first + i);
    const uint64 word0 = trajectory & 0xffffffffu;
    const uint64 word1 = p.stream ^ static_cast<uint32>(trajectory >> 32) << 8;
    curandStatePhilox4_32_10_t state;
    curand_init(p.seed, p.block + static_cast<uint64>(i), 4 * (word0 | word1 << 32), &state);
    const uint4 made = curand4(&state);
    words[4 * i] = made.x, words[4 * i + 1] = made.y;
    words[4 * i + 2] = made.z, words[4 * i + 3] = made.w;
}

__global__ void words_kernel(PhiloxDraws p, uint32* ours, uint32* theirs) {
    const index i = static_cast<index>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= p.n) return;
    uint32 u[4];
    PhiloxStream<float>(p.seed, p.stream, p.first + i).draw(p.block + static_cast<uint64>(i), u);
    for (int k = 0; k < 4; ++k) ours[4 * i + k] = u[k];
    curand_draw(p, i, theirs);
}

}  // namespace

void curand_words_on_host(const PhiloxDraws& draws, uint32* words) {
    for (index i = 0; i < draws.n; ++i) curand_draw(draws, i, words);
}

void philox_words_on_cuda(Stream& stream, const PhiloxDraws& draws, Span<uint32> ours,
                          Span<uint32> theirs) {
    words_kernel<<<static_cast<unsigned>((draws.n + 127) / 128), 128, 0,
                   static_cast<cudaStream_t>(stream.cuda_stream())>>>(draws, ours.data, theirs.data);
    CUDA_CHECK(cudaGetLastError());
}

}  // namespace microlift
