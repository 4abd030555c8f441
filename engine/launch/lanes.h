// One call to launch a kernel body over lanes: a CUDA grid, or CPU threads × SIMD packs.
//
// A body is a named struct that holds pointers and numbers and has
//   template <class L> LANE_FN void operator()(L, index i) const     for_each_lane; i = first lane
//   LANE_FN void operator()(index i) const                           for_each_index
// The CPU split never changes what a lane computes. A body may state kGrain, the fewest lanes worth
// handing to a thread (default 4096: a few operations each), and kPartialPacks: it knows how many lanes
// there are, and takes the last ones in a pack that is not full instead of one by one.
#pragma once

#include "engine/device/buffer.h"
#include "engine/error.h"
#include "engine/device/stream.h"
#include "engine/device/thread_pool.h"
#include "kernels/lane/lane.h"
#if !defined(__CUDACC__)
#include "kernels/lane/simd.h"
#endif

namespace microlift {

// Defined in the CUDA pass of the file that launches the body.
template <class Body, class T>
void launch_on_cuda(Stream& stream, index n, const Body& body);
template <class Body>
void launch_index_on_cuda(Stream& stream, index n, const Body& body);

// kGrain of a body, or what stands for it.
template <class Body>
constexpr index grain_of() {
    if constexpr (requires { Body::kGrain; })
        return Body::kGrain;
    else
        return 4096;
}

#if defined(__CUDACC__)

inline constexpr int kThreadsPerBlock = 256;

template <class Body, class T>
__global__ void __launch_bounds__(kThreadsPerBlock) lane_kernel(
    index n, const __grid_constant__ Body body) {
    const index i = static_cast<index>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < n) body(T{}, i);
}

template <class Body>
__global__ void __launch_bounds__(kThreadsPerBlock) index_kernel(
    index n, const __grid_constant__ Body body) {
    const index i = static_cast<index>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < n) body(i);
}

// A thread for each element. No loop over the grid is needed: its 2³¹ − 1 blocks take more elements than
// the memory of a device holds.
inline unsigned cuda_blocks(index n) {
    return static_cast<unsigned>((n + kThreadsPerBlock - 1) / kThreadsPerBlock);
}

template <class Body, class T>
void launch_on_cuda(Stream& stream, index n, const Body& body) {
    lane_kernel<Body, T><<<cuda_blocks(n), kThreadsPerBlock, 0,
                           static_cast<cudaStream_t>(stream.cuda_stream())>>>(n, body);
    CUDA_CHECK(cudaGetLastError());
}

template <class Body>
void launch_index_on_cuda(Stream& stream, index n, const Body& body) {
    index_kernel<Body><<<cuda_blocks(n), kThreadsPerBlock, 0,
                         static_cast<cudaStream_t>(stream.cuda_stream())>>>(n, body);
    CUDA_CHECK(cudaGetLastError());
}

HOST_PASS_BEGIN
// Here to instantiate the kernels, in a namespace of this pass, as the C++ pass has functions of the same
// names; host templates of other headers that launch bodies are wrapped for the same reason.
template <class T = float, class Body>
void for_each_lane(Stream& stream, index n, const Body& body) {
    launch_on_cuda<Body, T>(stream, n, body);
}
template <class Body>
void for_each_lane_on_cuda(Stream& stream, index n, const Body& body) {
    launch_on_cuda<Body, float>(stream, n, body);
}
template <class Body>
void for_each_index(Stream& stream, index n, const Body& body) {
    launch_index_on_cuda<Body>(stream, n, body);
}
HOST_PASS_END

#else

// For the counters: how many steps a lane takes, of a body that says so.
template <class Body>
uint64 steps_of(const Body& body) {
    if constexpr (requires { body.steps(); })
        return body.steps();
    else
        return 0;
}

// Splits [0, n) into pieces of whole packs and runs `piece(from, to)` on the pool.
template <class Piece>
void split_over_threads(ThreadPool& pool, index n, index grain, index multiple,
                        const Piece& piece) {
    const index most = pool.threads() * 16;
    index size = (n + most - 1) / most;
    size = size < grain ? grain : size;
    size = (size + multiple - 1) / multiple * multiple;
    pool.run((n + size - 1) / size, [&](index t) {
        const index from = t * size, to = from + size < n ? from + size : n;
        piece(from, to);
    });
}

// Lanes [from, to) by one thread: packs of W, then one by one.
template <class T, int W, class Body>
void run_lanes(index from, index to, const Body& body) {
    index i = from;
    if constexpr (requires { Body::kPartialPacks; }) {
        for (; i < to; i += W) body(Pack<T, W>{}, i);
    } else {
        for (; i + W <= to; i += W) body(Pack<T, W>{}, i);
        for (; i < to; ++i) body(T{}, i);
    }
}

template <class T = float, class Body>
void for_each_lane(Stream& stream, index n, const Body& body) {
    if (n <= 0) return;
    count_launch<Body>(n, steps_of(body));
    if (stream.device().is_cpu()) {
        constexpr int width = kNativeWidth * 4 / static_cast<int>(sizeof(T));
        ThreadPool& pool = stream.device().pool();
        stream.submit([&pool, n, body] {
            split_over_threads(pool, n, grain_of<Body>(), width, [&](index from, index to) {
                run_lanes<T, width>(from, to, body);
            });
        });
    } else if constexpr (kHaveCuda) {
        launch_on_cuda<Body, T>(stream, n, body);
    }
}

// For bodies that exist on CUDA alone (the fast mathematics).
template <class Body>
void for_each_lane_on_cuda(Stream& stream, index n, const Body& body) {
    if (n <= 0) return;
    count_launch<Body>(n, steps_of(body));
    if constexpr (kHaveCuda) launch_on_cuda<Body, float>(stream, n, body);
}

// body(i) for each i < n, one by one (the head of this file).
template <class Body>
void for_each_index(Stream& stream, index n, const Body& body) {
    if (n <= 0) return;
    count_launch<Body>(n, steps_of(body));
    if (stream.device().is_cpu()) {
        ThreadPool& pool = stream.device().pool();
        stream.submit([&pool, n, body] {
            split_over_threads(pool, n, grain_of<Body>(), 1, [&](index from, index to) {
                for (index i = from; i < to; ++i) body(i);
            });
        });
    } else if constexpr (kHaveCuda) {
        launch_index_on_cuda<Body>(stream, n, body);
    }
}

#endif

}  // namespace microlift
