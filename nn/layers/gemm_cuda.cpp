// Matrix products on CUDA by cuBLASLt. Plans are made once for each shape and kept; one workspace and
// one handle for each device.
#include "nn/layers/gemm.h"

#if defined(MICROLIFT_HAVE_CUDA)

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>

#include "engine/device/buffer.h"
#include "engine/error.h"

namespace microlift {
namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

void check(cublasStatus_t status, const char* call) {
    if (status != CUBLAS_STATUS_SUCCESS)
        throw DeviceError(std::string("cuBLASLt: ") + call + " failed: " +
                          cublasLtGetStatusString(status));
}

// Everything that a plan depends on. Pointer alignment counts: the heuristic assumes it.
using Shape = std::tuple<index, index, index, index, index, index, bool, bool, bool, int, int>;

struct Plan {
    cublasLtMatmulDesc_t operation = nullptr;
    cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;
    cublasLtMatmulAlgo_t algorithm{};
};

struct Context {
    cublasLtHandle_t handle = nullptr;
    void* workspace = nullptr;
    std::map<Shape, Plan> plans;
};

// Bytes of alignment that a pointer has, up to 16.
int alignment_of(const void* p) {
    const auto bits = reinterpret_cast<std::uintptr_t>(p);
    return bits % 16 == 0 ? 16 : bits % 8 == 0 ? 8 : 4;
}

// One context for each (device, stream): a workspace must not be shared by streams.
Context& context_of(Stream& stream) {
    static std::mutex mutex;
    static std::map<std::pair<int, void*>, std::unique_ptr<Context>> contexts;
    const std::lock_guard lock(mutex);
    auto& slot = contexts[{stream.device().ordinal(), stream.cuda_stream()}];
    if (!slot) {
        slot = std::make_unique<Context>();
        // Not allowed while a graph is being captured, so allocate in a relaxed section.
        cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
        CUDA_CHECK(cudaThreadExchangeStreamCaptureMode(&mode));
        check(cublasLtCreate(&slot->handle), "cublasLtCreate");
        CUDA_CHECK(cudaMalloc(&slot->workspace, kWorkspaceBytes));
        CUDA_CHECK(cudaThreadExchangeStreamCaptureMode(&mode));
    }
    return *slot;
}

cublasLtMatrixLayout_t row_major(index rows, index columns, index ld) {
    cublasLtMatrixLayout_t layout = nullptr;
    check(cublasLtMatrixLayoutCreate(&layout, CUDA_R_32F, static_cast<uint64>(rows),
                                     static_cast<uint64>(columns), ld),
          "cublasLtMatrixLayoutCreate");
    const cublasLtOrder_t order = CUBLASLT_ORDER_ROW;
    check(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_ORDER, &order,
                                           sizeof order),
          "cublasLtMatrixLayoutSetAttribute");
    return layout;
}

Plan make_plan(Context& context, const Gemm<float>& g, Precision precision, int alignment) {
    Plan plan;
    const cublasComputeType_t compute = precision == Precision::tf32   ? CUBLAS_COMPUTE_32F_FAST_TF32
                                        : precision == Precision::bf16 ? CUBLAS_COMPUTE_32F_FAST_16BF
                                                                       : CUBLAS_COMPUTE_32F;
    check(cublasLtMatmulDescCreate(&plan.operation, compute, CUDA_R_32F),
          "cublasLtMatmulDescCreate");
    const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
        check(cublasLtMatmulDescSetAttribute(plan.operation, attribute, &value, sizeof value),
              "cublasLtMatmulDescSetAttribute");
    };
    if (g.transposed) set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    plan.a = g.transposed ? row_major(g.k, g.m, g.lda) : row_major(g.m, g.k, g.lda);
    plan.b = row_major(g.k, g.n, g.ldb);
    plan.c = row_major(g.m, g.n, g.ldc);

    cublasLtMatmulPreference_t preference = nullptr;
    check(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
        check(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value),
              "cublasLtMatmulPreferenceSetAttribute");
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
        cublasLtMatmulAlgoGetHeuristic(context.handle, plan.operation, plan.a, plan.b, plan.c,
                                       plan.c, preference, 1, &result, &found);
    cublasLtMatmulPreferenceDestroy(preference);
    check(status, "cublasLtMatmulAlgoGetHeuristic");
    if (found == 0) throw DeviceError("cuBLASLt: no algorithm for this matrix product");
    plan.algorithm = result.algo;
    return plan;
}

}  // namespace

// In layer_kernels.cu.
void spread_bias_on_cuda(Stream& stream, const float* bias, float* c, index ld, index rows,
                         index n);

void gemm_on_cuda(Stream& stream, const Gemm<float>& g, Precision precision) {
    if (g.m == 0 || g.n == 0) return;
    Context& context = context_of(stream);
    const int alignment =
        std::min(alignment_of(g.a), std::min(alignment_of(g.b), alignment_of(g.c)));
    const Shape shape{g.m, g.n, g.k, g.lda, g.ldb, g.ldc, g.transposed, g.accumulate,
                      g.bias != nullptr, static_cast<int>(precision), alignment};
    auto found = context.plans.find(shape);
    if (found == context.plans.end())
        found = context.plans.emplace(shape, make_plan(context, g, precision, alignment)).first;
    const Plan& plan = found->second;
    // A bias is written to every row first and accumulated on: cuBLASLt's own bias epilogue runs along
    // columns, and row-major order does not offer it.
    if (g.bias) spread_bias_on_cuda(stream, g.bias, g.c, g.ldc, g.m, g.n);
    const float one = 1.0f, beta = g.accumulate || g.bias ? 1.0f : 0.0f;
    check(cublasLtMatmul(context.handle, plan.operation, &one, g.a, plan.a, g.b, plan.b, &beta, g.c,
                         plan.c, g.c, plan.c, &plan.algorithm, context.workspace, kWorkspaceBytes,
                         static_cast<cudaStream_t>(stream.cuda_stream())),
          "cublasLtMatmul");
}

}  // namespace microlift

#endif
