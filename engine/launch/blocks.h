// Launches a block kernel (kernels/block/block.h) on CUDA, or the function that does its work on the CPU.
#pragma once

#include "engine/error.h"
#include "engine/device/stream.h"
#include "engine/device/thread_pool.h"
#include "kernels/block/block.h"

namespace microlift {

// Defined in the CUDA pass of the file that launches the kernel.
template <class Kernel>
void launch_blocks_on_cuda(Stream& stream, index blocks, const Kernel& kernel);

#if defined(__CUDACC__)

// Blocks that a multiprocessor is to hold at least, or 0, the compiler's choice: where that leaves a thread too
// few registers, the kernel states kBlocksPerProcessor.
template <class Kernel>
constexpr int blocks_per_processor() {
    if constexpr (requires { Kernel::kBlocksPerProcessor; })
        return Kernel::kBlocksPerProcessor;
    else
        return 0;
}

template <class Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, blocks_per_processor<Kernel>()) block_kernel(
    const __grid_constant__ Kernel kernel) {
    __shared__ typename Kernel::Shared shared;
    CudaBlock block;
    kernel(block, shared);
}

template <class Kernel>
void launch_blocks_on_cuda(Stream& stream, index blocks, const Kernel& kernel) {
    block_kernel<Kernel><<<static_cast<unsigned>(blocks), Kernel::kThreads, 0,
                           static_cast<cudaStream_t>(stream.cuda_stream())>>>(kernel);
    CUDA_CHECK(cudaGetLastError());
}

// In this pass the launcher exists only to instantiate the kernel; see engine/launch/lanes.h.
HOST_PASS_BEGIN
template <class Kernel, class CpuBlock>
void for_each_block(Stream& stream, index blocks, const Kernel& kernel, const CpuBlock&,
                    index = 1) {
    launch_blocks_on_cuda(stream, blocks, kernel);
}
HOST_PASS_END

#else

// cpu_block(kernel, b) does on the CPU what block b does; `grain` blocks at least go to a thread.
template <class Kernel, class CpuBlock>
void for_each_block(Stream& stream, index blocks, const Kernel& kernel, const CpuBlock& cpu_block,
                    index grain = 1) {
    if (blocks <= 0) return;
    count_launch<Kernel>(blocks);
    if (stream.device().is_cpu()) {
        ThreadPool& pool = stream.device().pool();
        stream.submit([&pool, blocks, kernel, cpu_block, grain] {
            pool.run((blocks + grain - 1) / grain, [&](index t) {
                const index to = (t + 1) * grain < blocks ? (t + 1) * grain : blocks;
                for (index b = t * grain; b < to; ++b) cpu_block(kernel, b);
            });
        });
    } else if constexpr (kHaveCuda) {
        launch_blocks_on_cuda(stream, blocks, kernel);
    }
}

#endif

}  // namespace microlift
