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

// What a loop over the blocks of one trajectory draws from: the contestants that tools/checks/sass_report.py counts.
struct OurWords {
    PhiloxStream<float> stream;
    uint64 block;
    __device__ OurWords(const PhiloxDraws& p, index i)
        : stream(p.seed, p.stream, p.first + i), block(p.block) {}
    __device__ void next(uint32 (&u)[4]) { stream.draw(block++, u); }
};

// Its counter advances by trajectories, the low words, so a block's words are made of subsequences.
struct CurandWords {
    curandStatePhilox4_32_10_t state;
    __device__ CurandWords(const PhiloxDraws& p, index i) {
        curand_init(p.seed, p.block, 4 * (static_cast<uint64>(p.first + i) | static_cast<uint64>(p.stream) << 32),
                    &state);
    }
    __device__ void next(uint32 (&u)[4]) {
        const uint4 made = curand4(&state);
        u[0] = made.x, u[1] = made.y, u[2] = made.z, u[3] = made.w;
    }
};

struct OurNormals {
    PhiloxStream<float> stream;
    uint64 block;
    __device__ OurNormals(const PhiloxDraws& p, index i)
        : stream(p.seed, p.stream, p.first + i), block(p.block) {}
    __device__ void next(uint32 (&u)[4]) {
        float z[4];
        normal_block<Fast>(stream, block++, z);
        for (int k = 0; k < 4; ++k) u[k] = __float_as_uint(z[k]);
    }
};

struct CurandNormals : CurandWords {
    using CurandWords::CurandWords;
    __device__ void next(uint32 (&u)[4]) {
        const float4 z = curand_normal4(&state);
        u[0] = __float_as_uint(z.x), u[1] = __float_as_uint(z.y);
        u[2] = __float_as_uint(z.z), u[3] = __float_as_uint(z.w);
    }
};

// out[i]: the exclusive or of all words of `blocks` draws.
template <class Source>
__global__ void draw_kernel(PhiloxDraws p, index blocks, uint32* out) {
    const index i = static_cast<index>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= p.n) return;
    Source source(p, i);
    uint32 all = 0;
#pragma unroll 1
    for (index b = 0; b < blocks; ++b) {
        uint32 u[4];
        source.next(u);
        all ^= u[0] ^ u[1] ^ u[2] ^ u[3];
    }
    out[i] = all;
}

template <class Source>
void draw(Stream& stream, const PhiloxDraws& p, index blocks, uint32* out) {
    draw_kernel<Source><<<static_cast<unsigned>((p.n + 127) / 128), 128, 0,
                          static_cast<cudaStream_t>(stream.cuda_stream())>>>(p, blocks, out);
    CUDA_CHECK(cudaGetLastError());
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

void draw_on_cuda(Stream& stream, Draw what, const PhiloxDraws& draws, index blocks, Span<uint32> out) {
    switch (what) {
        case Draw::our_words: return draw<OurWords>(stream, draws, blocks, out.data);
        case Draw::curand_words: return draw<CurandWords>(stream, draws, blocks, out.data);
        case Draw::our_normals: return draw<OurNormals>(stream, draws, blocks, out.data);
        case Draw::curand_normals: return draw<CurandNormals>(stream, draws, blocks, out.data);
    }
}

}  // namespace microlift
