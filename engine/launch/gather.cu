#include "engine/launch/gather.h"

#include <thrust/gather.h>
#include <thrust/system/cuda/execution_policy.h>
#include <thrust/system_error.h>

#include "engine/error.h"

namespace microlift {

void gather_on_cuda(Stream& stream, const float* from, Span<const index> which, float* out) {
    const auto policy = thrust::cuda::par_nosync.on(static_cast<cudaStream_t>(stream.cuda_stream()));
    try {
        thrust::gather(policy, which.data, which.data + which.size, from, out);
    } catch (const thrust::system_error& error) {
        throw_cuda_error(error.code().value(), "thrust::gather", __FILE__, __LINE__);
    }
    CUDA_CHECK(cudaGetLastError());
}

}  // namespace microlift
