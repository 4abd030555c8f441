#include "engine/launch/gather.h"

#include <thrust/gather.h>
#include <thrust/system/cuda/execution_policy.h>

#include "engine/error.h"

namespace microlift {

void gather_on_cuda(Stream& stream, const float* from, Span<const index> which, float* out) {
    const auto policy = thrust::cuda::par_nosync.on(static_cast<cudaStream_t>(stream.cuda_stream()));
    thrust::gather(policy, which.data, which.data + which.size, from, out);
    CUDA_CHECK(cudaGetLastError());
}

}  // namespace microlift
