// What a block kernel is written against, so that one source runs as CUDA and, in the tests, on
// real threads (tests/emulator/block.h).
//
// A block kernel is a struct of pointers and numbers with
//   static constexpr int kThreads;           threads of a block, a multiple of 32
//   struct Shared { … };                     the block's shared memory, uninitialised
//   template <class Block> LANE_FN void operator()(Block& block, Shared& shared) const
// and Block offers
//   thread() in [0, kThreads), block(), blocks()
//   barrier()                                all threads of the block; orders shared and global
//   memory lane() in [0, 32), warp() shuffle(x, from), shuffle_xor(x, mask), shuffle_down(x, by),
//   shuffle_up(x, by), ballot(p)
//                                            all 32 lanes of a warp; x of any trivially copyable
//                                            type of 4 or 8 bytes; past the end a lane gets its own
//                                            x
//   mma_tf32(c, a, b), mma_bf16(c, a, b)     c (16, 8) += a (16, 8 or 16) b (8 or 16, 8) by a warp;
//                                            fragments as PTX's mma.m16n8k8 and .m16n8k16 have them
#pragma once

#include "kernels/lane/lane.h"

namespace microlift {

inline constexpr int kWarp = 32;

#if defined(__CUDACC__)

// No state: every call is the one instruction. The host branches exist because LANE_FN is also a
// host function; nothing calls them.
struct CudaBlock {
#if defined(__CUDA_ARCH__)
    LANE_FN int thread() const {
        return static_cast<int>(threadIdx.x);
    }
    LANE_FN index block() const {
        return static_cast<index>(blockIdx.x);
    }
    LANE_FN index blocks() const {
        return static_cast<index>(gridDim.x);
    }
    LANE_FN void barrier() const {
        __syncthreads();
    }
    template <class T>
    LANE_FN T shuffle(T x, int from) const {
        return __shfl_sync(0xffffffffu, x, from);
    }
    template <class T>
    LANE_FN T shuffle_xor(T x, int mask) const {
        return __shfl_xor_sync(0xffffffffu, x, mask);
    }
    template <class T>
    LANE_FN T shuffle_down(T x, int by) const {
        return __shfl_down_sync(0xffffffffu, x, static_cast<unsigned>(by));
    }
    template <class T>
    LANE_FN T shuffle_up(T x, int by) const {
        return __shfl_up_sync(0xffffffffu, x, static_cast<unsigned>(by));
    }
    LANE_FN uint32 ballot(bool p) const {
        return __ballot_sync(0xffffffffu, p);
    }
    LANE_FN void mma_tf32(float (&c)[4], const uint32 (&a)[4], const uint32 (&b)[2]) const {
        asm volatile(
            "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    }
    LANE_FN void mma_bf16(float (&c)[4], const uint32 (&a)[4], const uint32 (&b)[2]) const {
        asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    }
#else
    LANE_FN int thread() const {
        return 0;
    }
    LANE_FN index block() const {
        return 0;
    }
    LANE_FN index blocks() const {
        return 1;
    }
    LANE_FN void barrier() const {}
    template <class T>
    LANE_FN T shuffle(T x, int) const {
        return x;
    }
    template <class T>
    LANE_FN T shuffle_xor(T x, int) const {
        return x;
    }
    template <class T>
    LANE_FN T shuffle_down(T x, int) const {
        return x;
    }
    template <class T>
    LANE_FN T shuffle_up(T x, int) const {
        return x;
    }
    LANE_FN uint32 ballot(bool p) const {
        return p;
    }
    LANE_FN void mma_tf32(float (&)[4], const uint32 (&)[4], const uint32 (&)[2]) const {}
    LANE_FN void mma_bf16(float (&)[4], const uint32 (&)[4], const uint32 (&)[2]) const {}
#endif
    LANE_FN int lane() const {
        return thread() % kWarp;
    }
    LANE_FN int warp() const {
        return thread() / kWarp;
    }
};

#endif

}  // namespace microlift
