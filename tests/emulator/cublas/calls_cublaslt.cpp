// cuBLASLt's calls, as far as the project uses them. Stricter than the library in one thing: a handle, a search
// for an algorithm and the first product of a kind may load code, and are refused inside a capture.
#include <cublasLt.h>

#include <cstring>
#include <memory>
#include <set>
#include <string>

#include "tests/emulator/cublas/product.h"
#include "tests/emulator/fault.h"
#include "tests/emulator/runtime/api.h"

using namespace emulator;

namespace {

// Behind the opaque handles.
struct Operation {
    cublasComputeType_t compute;
    cudaDataType_t scale;
    std::int32_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
    std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    const void* bias = nullptr;
};

struct Layout {
    cudaDataType type;
    std::uint64_t rows, columns;
    std::int64_t ld;
    std::int32_t order = CUBLASLT_ORDER_COL;
};

struct Preference {
    std::uint64_t workspace = 0;
    std::uint32_t alignment[4] = {256, 256, 256, 256};  // of A, B, C, D
};

// Within a cublasLtMatmulAlgo_t.
struct Algorithm {
    std::uint64_t magic;
    std::uint64_t workspace;
    std::uint32_t alignment[4];
};
constexpr std::uint64_t kMagic = 0x656d756c61746564;
static_assert(sizeof(Algorithm) <= sizeof(cublasLtMatmulAlgo_t));

class NotTaken : public std::runtime_error {
public:
    NotTaken(cublasStatus_t s, const std::string& why) : std::runtime_error(why), status(s) {}
    cublasStatus_t status;
};

void require_valid(bool right, const char* what) {
    if (!right) throw NotTaken(CUBLAS_STATUS_INVALID_VALUE, what);
}
void require_supported(bool right, const char* what) {
    if (!right) throw NotTaken(CUBLAS_STATUS_NOT_SUPPORTED, what);
}

template <class Body>
cublasStatus_t lt_call(const char* name, const Body& body) {
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
    const cudaError_t error = call(name, [&](Runtime& runtime) {
        try {
            body(runtime);
        } catch (const NotTaken& refusal) {
            std::fprintf(stderr, "emulated device: %s: %s\n", name, refusal.what());
            status = refusal.status;
        }
    });
    return error == cudaSuccess ? status : CUBLAS_STATUS_EXECUTION_FAILED;
}

template <class T, class Handle>
T& behind(Handle handle) {
    require_valid(handle != nullptr, "no handle");
    return *reinterpret_cast<T*>(handle);
}

template <class T>
void take(T& to, const void* from, std::size_t bytes) {
    require_valid(from && bytes == sizeof(T), "an attribute of another size");
    std::memcpy(&to, from, sizeof(T));
}

Matrix matrix_of(const Layout& layout, const void* data) {
    require_supported(layout.type == CUDA_R_32F, "only matrices of fp32 are emulated");
    require_supported(layout.order == CUBLASLT_ORDER_COL || layout.order == CUBLASLT_ORDER_ROW,
                      "only orders by columns and rows are emulated");
    const bool by_rows = layout.order == CUBLASLT_ORDER_ROW;
    const Matrix m{reinterpret_cast<std::uint64_t>(data), static_cast<std::int64_t>(layout.rows),
                   static_cast<std::int64_t>(layout.columns), layout.ld, by_rows};
    require_valid(m.ld >= (by_rows ? m.columns : m.rows), "a leading dimension below the line's length");
    return m;
}

Product product_of(const Operation& operation, const Layout* const (&layouts)[4], const void* const (&data)[4]) {
    Product p;
    Matrix* const into[] = {&p.a, &p.b, &p.c, &p.d};
    for (int i = 0; i < 4; ++i) *into[i] = matrix_of(*layouts[i], data[i]);
    p.transpose_a = operation.transpose_a != CUBLAS_OP_N;
    p.transpose_b = operation.transpose_b != CUBLAS_OP_N;
    const auto rows = [](const Matrix& m, bool t) { return t ? m.columns : m.rows; };
    require_valid(rows(p.a, p.transpose_a) == p.d.rows && rows(p.a, !p.transpose_a) == rows(p.b, p.transpose_b) &&
                      rows(p.b, !p.transpose_b) == p.d.columns && p.c.rows == p.d.rows &&
                      p.c.columns == p.d.columns,
                  "sizes of A, B, C and D that do not fit");
    require_supported(p.c.by_rows == p.d.by_rows, "C and D in different orders");
    require_supported(p.a.by_rows == p.d.by_rows && p.b.by_rows == p.d.by_rows, "orders are not mixed");
    require_supported(operation.scale == CUDA_R_32F, "the scale's type must be fp32");
    if (operation.compute == CUBLAS_COMPUTE_32F_FAST_TF32)
        p.factors = Factors::tf32;
    else if (operation.compute == CUBLAS_COMPUTE_32F_FAST_16BF)
        p.factors = Factors::bf16;
    else
        require_supported(operation.compute == CUBLAS_COMPUTE_32F, "this type of computing is not emulated");
    require_supported(operation.epilogue == CUBLASLT_EPILOGUE_DEFAULT || operation.epilogue == CUBLASLT_EPILOGUE_BIAS,
                      "of epilogues, bias alone is emulated");
    if (operation.epilogue == CUBLASLT_EPILOGUE_BIAS) {
        require_supported(!p.d.by_rows, "a bias needs the order by columns");
        require_valid(operation.bias, "a bias without a pointer");
        p.bias = reinterpret_cast<std::uint64_t>(operation.bias);
    }
    return p;
}

}  // namespace

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
    return lt_call("cublasLtCreate", [&](Runtime& runtime) {
        runtime.streams.forbid_in_capture();
        *handle = reinterpret_cast<cublasLtHandle_t>(new std::set<std::string>);  // kinds of products done
    });
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    return lt_call("cublasLtDestroy", [&](Runtime& runtime) {
        runtime.streams.forbid_in_capture();
        delete &behind<std::set<std::string>>(handle);
    });
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* description, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
    *description = reinterpret_cast<cublasLtMatmulDesc_t>(new Operation{compute, scale});
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
    delete reinterpret_cast<Operation*>(description);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                                              cublasLtMatmulDescAttributes_t attribute, const void* value,
                                              std::size_t bytes) {
    return lt_call("cublasLtMatmulDescSetAttribute", [&](Runtime&) {
        auto& operation = behind<Operation>(description);
        switch (attribute) {
            case CUBLASLT_MATMUL_DESC_TRANSA: return take(operation.transpose_a, value, bytes);
            case CUBLASLT_MATMUL_DESC_TRANSB: return take(operation.transpose_b, value, bytes);
            case CUBLASLT_MATMUL_DESC_EPILOGUE: return take(operation.epilogue, value, bytes);
            case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return take(operation.bias, value, bytes);
            default: require_supported(false, "this attribute of products is not emulated");
        }
    });
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, std::uint64_t rows,
                                          std::uint64_t columns, std::int64_t ld) {
    *layout = reinterpret_cast<cublasLtMatrixLayout_t>(new Layout{type, rows, columns, ld});
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    delete reinterpret_cast<Layout*>(layout);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                std::size_t bytes) {
    return lt_call("cublasLtMatrixLayoutSetAttribute", [&](Runtime&) {
        auto& made = behind<Layout>(layout);
        require_supported(attribute == CUBLASLT_MATRIX_LAYOUT_ORDER, "of layouts, the order alone is emulated");
        take(made.order, value, bytes);
    });
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
    *preference = reinterpret_cast<cublasLtMatmulPreference_t>(new Preference);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    delete reinterpret_cast<Preference*>(preference);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, std::size_t bytes) {
    return lt_call("cublasLtMatmulPreferenceSetAttribute", [&](Runtime&) {
        auto& made = behind<Preference>(preference);
        if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) return take(made.workspace, value, bytes);
        const int matrix = attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
        require_supported(matrix >= 0 && matrix < 4, "this preference is not emulated");
        take(made.alignment[matrix], value, bytes);
    });
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t description,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int asked,
                                              cublasLtMatmulHeuristicResult_t* results, int* found) {
    *found = 0;
    return lt_call("cublasLtMatmulAlgoGetHeuristic", [&](Runtime& runtime) {
        runtime.streams.forbid_in_capture();
        behind<std::set<std::string>>(handle);
        require_valid(asked > 0, "no algorithm is asked for");
        Operation operation = behind<Operation>(description);
        if (!operation.bias) operation.bias = &operation;  // the pointer may come later
        product_of(operation, {&behind<Layout>(a), &behind<Layout>(b), &behind<Layout>(c), &behind<Layout>(d)},
                   {nullptr, nullptr, nullptr, nullptr});
        const auto& wanted = behind<Preference>(preference);
        Algorithm algorithm{kMagic, wanted.workspace, {}};
        std::memcpy(algorithm.alignment, wanted.alignment, sizeof algorithm.alignment);
        results[0] = {};
        std::memcpy(&results[0].algo, &algorithm, sizeof algorithm);
        results[0].workspaceSize = wanted.workspace;
        results[0].wavesCount = 1;
        *found = 1;
    });
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t description, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algo, void* workspace, std::size_t workspace_bytes,
                              cudaStream_t stream) {
    return lt_call("cublasLtMatmul", [&](Runtime& runtime) {
        auto& done = behind<std::set<std::string>>(handle);
        const void* const data[] = {a, b, c, d};
        Product product = product_of(behind<Operation>(description),
                                     {&behind<Layout>(a_layout), &behind<Layout>(b_layout),
                                      &behind<Layout>(c_layout), &behind<Layout>(d_layout)},
                                     data);
        Algorithm algorithm{};
        if (algo) std::memcpy(&algorithm, algo, sizeof algorithm);
        require_valid(algorithm.magic == kMagic, "give an algorithm of cublasLtMatmulAlgoGetHeuristic");
        require_valid(algorithm.workspace <= workspace_bytes, "a workspace below what the algorithm asks for");
        for (int i = 0; i < 4; ++i)
            require_valid(reinterpret_cast<std::uint64_t>(data[i]) % algorithm.alignment[i] == 0,
                          "a matrix less aligned than the algorithm was promised");
        require_valid(reinterpret_cast<std::uint64_t>(workspace) % 16 == 0, "a workspace that is not aligned to 16");
        std::memcpy(&product.alpha, alpha, sizeof product.alpha);
        std::memcpy(&product.beta, beta, sizeof product.beta);
        require_valid(product.c.address == product.d.address || product.beta == 0 ||
                          product.c.ld == product.d.ld,
                      "C and D of different lines");
        const std::string what = "product of " + std::to_string(product.d.rows) + " x " +
                                 std::to_string(product.d.columns) + " with depth " +
                                 std::to_string(product.transpose_a ? product.a.rows : product.a.columns);
        if (done.insert(what).second) runtime.streams.forbid_in_capture();
        const auto scratch = reinterpret_cast<std::uint64_t>(workspace);
        runtime.streams.submit(stream_of(runtime, stream), {what, {}}, [product, scratch, workspace_bytes] {
            if (workspace_bytes) Memory::device().at(scratch, workspace_bytes, Access::peek);
            multiply(product);
        });
    });
}

const char* cublasLtGetStatusName(cublasStatus_t status) {
    switch (status) {
        case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
        case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
        case CUBLAS_STATUS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
        case CUBLAS_STATUS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
        default: return "CUBLAS_STATUS of another kind";
    }
}

const char* cublasLtGetStatusString(cublasStatus_t status) { return cublasLtGetStatusName(status); }

}  // extern "C"
