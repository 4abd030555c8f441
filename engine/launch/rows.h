// Lanes that need more numbers of their own than registers hold: a body with
//   template <class L, class Rows> LANE_FN void operator()(L, index i, int lanes, const Rows& rows) const
// gets `rows` numbers a lane (kernels/lane/rows.h), undefined at its start. On the CPU they are packs of the
// thread, which stay in its cache; on CUDA they stand in device memory, those of a warp's threads side by side.
#pragma once

#include "engine/launch/lanes.h"
#include "kernels/lane/rows.h"

namespace microlift {

// Memory for all lanes that run at once.
template <class T>
class RowMemory {
public:
    RowMemory() = default;
    RowMemory(const Device& device, index rows, index most_lanes)
        : rows_(rows), most_(most_lanes), lanes_(lanes_of(device, rows, most_lanes)),
          numbers_(device, rows_ * lanes_) {}

    index rows() const { return rows_; }
    index lanes() const { return lanes_; }
    // Whether a launch of so many lanes there runs them all at once, or as many as ever run so.
    bool serves(const Device& device, index lanes) const {
        if (device.is_cpu()) return rows_ > 0 && lanes_ >= lanes_of(device, rows_, lanes);
        return rows_ > 0 && (most_ >= lanes || most_ >= kThreads);
    }
    T* data() { return numbers_.data(); }

private:
    static constexpr index kPack = 64 / sizeof(T);   // of the widest registers
    static constexpr index kThreads = 1 << 17;       // more than any device has at work

    // On CUDA no more than an eighth of the device's memory, but a few warps at least.
    static index lanes_of(const Device& device, index rows, index most) {
        if (device.is_cpu()) return kPack * device.pool().threads();
        const index fit = static_cast<index>(device.memory_bytes()) / 8 /
                          (rows * static_cast<index>(sizeof(T)));
        const index lanes = fit < kThreads ? (fit > 128 ? fit : 128) : kThreads;
        constexpr index warp = WarpRows<T>::kLanes;
        return ((most < lanes ? most : lanes) + warp - 1) / warp * warp;
    }
    index rows_ = 0, most_ = 0, lanes_ = 0;
    Buffer<T> numbers_;
};

// Defined in the CUDA pass of the file that launches the body.
template <class Body, class T>
void launch_rows_on_cuda(Stream& stream, index n, const Body& body, RowMemory<T>& memory);

#if defined(__CUDACC__)

// Four blocks a processor leave 128 registers a thread; by itself the compiler takes 96, and spills. Double
// precision takes twice as many.
inline constexpr int kRowThreadsPerBlock = 128;
template <class T>
inline constexpr int kRowBlocksPerProcessor = sizeof(T) == 8 ? 2 : 4;

template <class Body, class T>
__global__ void __launch_bounds__(kRowThreadsPerBlock, kRowBlocksPerProcessor<T>)
    row_kernel(index n, const __grid_constant__ Body body, T* data, index rows, index lanes) {
    const index thread = static_cast<index>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (thread >= lanes) return;
    constexpr index warp = WarpRows<T>::kLanes;
    T* const own = data + thread / warp * (rows * warp) + thread % warp;
    for (index i = thread; i < n; i += lanes) body(T{}, i, 1, WarpRows<T>{own}.from(0));
}

template <class Body, class T>
void launch_rows_on_cuda(Stream& stream, index n, const Body& body, RowMemory<T>& memory) {
    const index threads = n < memory.lanes() ? n : memory.lanes();
    const auto blocks =
        static_cast<unsigned>((threads + kRowThreadsPerBlock - 1) / kRowThreadsPerBlock);
    row_kernel<Body, T><<<blocks, kRowThreadsPerBlock, 0,
                          static_cast<cudaStream_t>(stream.cuda_stream())>>>(
        n, body, memory.data(), memory.rows(), memory.lanes());
    CUDA_CHECK(cudaGetLastError());
}

HOST_PASS_BEGIN
template <class T, class Body>
void for_each_lane_in_rows(Stream& stream, index n, RowMemory<T>& memory, const Body& body) {
    launch_rows_on_cuda<Body, T>(stream, n, body, memory);
}
template <class T, class Body>
void for_each_lane_in_rows_on_cuda(Stream& stream, index n, RowMemory<T>& memory, const Body& body) {
    launch_rows_on_cuda<Body, T>(stream, n, body, memory);
}
HOST_PASS_END

#else

// Not inlined: a time loop is large, and its own.
template <class L, class Body>
[[gnu::noinline]] void run_in_rows(const Body& body, index i, index n, L* rows) {
    body(L{}, i, lanes_before<L>(n, i), PackedRows<L>{rows});
}

template <class T, class Body>
void for_each_lane_in_rows(Stream& stream, index n, RowMemory<T>& memory, const Body& body) {
    if (n <= 0) return;
    if (stream.device().is_cpu()) {
        count_launch<Body>(n, steps_of(body));
        constexpr int width = kNativeWidth * 4 / static_cast<int>(sizeof(T));
        using L = Pack<T, width>;
        ThreadPool& pool = stream.device().pool();
        stream.submit([&pool, n, body, data = memory.data(), rows = memory.rows()] {
            split_over_threads(pool, n, grain_of<Body>(), width, [&](index from, index to) {
                L* own = reinterpret_cast<L*>(data + rows * width * ThreadPool::worker());
                for (index i = from; i < to; i += width) run_in_rows(body, i, n, own);
            });
        });
    } else {
        for_each_lane_in_rows_on_cuda(stream, n, memory, body);
    }
}

// For bodies that exist on CUDA alone (the fast mathematics).
template <class T, class Body>
void for_each_lane_in_rows_on_cuda(Stream& stream, index n, RowMemory<T>& memory, const Body& body) {
    if (n <= 0) return;
    count_launch<Body>(n, steps_of(body));
    if constexpr (kHaveCuda)
        launch_rows_on_cuda<Body, T>(stream, n, body, memory);
}

#endif

}  // namespace microlift
