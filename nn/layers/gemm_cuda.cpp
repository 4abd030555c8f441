// Matrix products on CUDA by cuBLASLt. Plans are made once for each shape and kept; one handle and one
// workspace, since a device's queue does one product at a time.
//
// The library's matrices are by columns. The rows of C = op(A) B are the columns of Cᵀ = Bᵀ op(A)ᵀ, so that B
// comes first, as it lies, and the bias is one number for each row of Cᵀ, which the library adds itself.
#include "nn/layers/gemm.h"

#if defined(MICROLIFT_HAVE_CUDA)

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <tuple>

#include "engine/device/buffer.h"
#include "engine/error.h"

namespace microlift {
namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

// Everything that a plan depends on. Pointer alignment counts: the heuristic assumes it.
using Shape = std::tuple<index, index, index, index, index, index, bool, bool, bool, int, int>;

struct Plan {
    cublasLtMatmulDesc_t operation = nullptr;
    cublasLtMatrixLayout_t first = nullptr, second = nullptr, result = nullptr;
    cublasLtMatmulAlgo_t algorithm{};
};

struct Context {
    cublasLtHandle_t handle = nullptr;
    void* workspace = nullptr;
    std::map<Shape, Plan> plans;
};

// What the library does for the first time may allocate and load code, which a capture of this thread allows
// only in relaxed mode; it ends on every way out.
class RelaxedCapture {
public:
    RelaxedCapture() { CUDA_CHECK(cudaThreadExchangeStreamCaptureMode(&mode_)); }
    ~RelaxedCapture() { cudaThreadExchangeStreamCaptureMode(&mode_); }
    RelaxedCapture(const RelaxedCapture&) = delete;
    RelaxedCapture& operator=(const RelaxedCapture&) = delete;

private:
    cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

// Bytes of alignment that a pointer has, up to 16.
int alignment_of(const void* p) {
    const auto bits = reinterpret_cast<std::uintptr_t>(p);
    return bits % 16 == 0 ? 16 : bits % 8 == 0 ? 8 : 4;
}

// Kept as long as the process, which works with one device.
Context& the_context() {
    static Context context;
    if (!context.handle) CUDA_CHECK(cublasLtCreate(&context.handle));
    if (!context.workspace) CUDA_CHECK(cudaMalloc(&context.workspace, kWorkspaceBytes));
    return context;
}

cublasLtMatrixLayout_t by_columns(index rows, index columns, index ld) {
    cublasLtMatrixLayout_t layout = nullptr;
    CUDA_CHECK(cublasLtMatrixLayoutCreate(&layout, CUDA_R_32F, static_cast<uint64>(rows),
                                          static_cast<uint64>(columns), ld));
    return layout;
}

template <class Value>
void set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute, const Value& value) {
    CUDA_CHECK(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value));
}

Plan make_plan(Context& context, const Gemm<float>& g, Precision precision, int alignment) {
    Plan plan;
    const cublasComputeType_t compute = precision == Precision::tf32   ? CUBLAS_COMPUTE_32F_FAST_TF32
                                        : precision == Precision::bf16 ? CUBLAS_COMPUTE_32F_FAST_16BF
                                                                       : CUBLAS_COMPUTE_32F;
    CUDA_CHECK(cublasLtMatmulDescCreate(&plan.operation, compute, CUDA_R_32F));
    if (g.transposed) set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_T);
    if (g.bias) {
        set(plan.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
        set(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, g.bias);
    }
    plan.first = by_columns(g.n, g.k, g.ldb);
    plan.second = g.transposed ? by_columns(g.m, g.k, g.lda) : by_columns(g.k, g.m, g.lda);
    plan.result = by_columns(g.n, g.m, g.ldc);

    cublasLtMatmulPreference_t preference = nullptr;
    CUDA_CHECK(cublasLtMatmulPreferenceCreate(&preference));
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
        CUDA_CHECK(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value));
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
    const auto bytes = static_cast<uint32>(alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, bytes);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, bytes);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, bytes);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, bytes);
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(context.handle, plan.operation, plan.first, plan.second,
                                       plan.result, plan.result, preference, 1, &result, &found);
    cublasLtMatmulPreferenceDestroy(preference);
    if (status != CUBLAS_STATUS_SUCCESS)
        throw_cuda_error(status, "cublasLtMatmulAlgoGetHeuristic", __FILE__, __LINE__);
    if (found == 0) throw DeviceError("cuBLASLt: no algorithm for this matrix product");
    plan.algorithm = result.algo;
    return plan;
}

void run_plan(Stream& stream, const Context& context, const Plan& plan, const Gemm<float>& g) {
    if (g.bias) set(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, g.bias);
    const float one = 1.0f, beta = g.accumulate ? 1.0f : 0.0f;
    CUDA_CHECK(cublasLtMatmul(context.handle, plan.operation, &one, g.b, plan.first, g.a, plan.second,
                              &beta, g.c, plan.result, g.c, plan.result, &plan.algorithm,
                              context.workspace, kWorkspaceBytes,
                              static_cast<cudaStream_t>(stream.cuda_stream())));
}

}  // namespace

void gemm_on_cuda(Stream& stream, const Gemm<float>& g, Precision precision) {
    if (g.m == 0 || g.n == 0) return;
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    const int alignment = std::min({alignment_of(g.a), alignment_of(g.b), alignment_of(g.c)});
    const Shape shape{g.m, g.n, g.k, g.lda, g.ldb, g.ldc, g.transposed, g.accumulate,
                      g.bias != nullptr, static_cast<int>(precision), alignment};
    const RelaxedCapture relaxed;
    Context& context = the_context();
    auto found = context.plans.find(shape);
    if (found == context.plans.end())
        found = context.plans.emplace(shape, make_plan(context, g, precision, alignment)).first;
    run_plan(stream, context, found->second, g);
}

}  // namespace microlift

#endif
