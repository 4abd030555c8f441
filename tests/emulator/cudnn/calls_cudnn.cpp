// cuDNN's calls, as far as the project uses them. As with cuBLASLt, a handle and a search for an algorithm are
// refused inside a capture.
#include <cudnn.h>

#include <cstring>
#include <string>

#include "tests/emulator/cudnn/convolution.h"
#include "tests/emulator/fault.h"
#include "tests/emulator/runtime/api.h"

using namespace emulator;

namespace {

constexpr std::size_t kWorkspace = 4096;  // what the algorithm that may be taken wants

struct Handle {
    cudaStream_t stream = nullptr;
};
struct Layer {  // a convolution's descriptor
    int padding = 0;
    cudnnMathType_t math = CUDNN_DEFAULT_MATH;
};

class Refused : public std::runtime_error {
public:
    Refused(cudnnStatus_t s, const std::string& why) : std::runtime_error(why), status(s) {}
    cudnnStatus_t status;
};

void require_right(bool right, const char* what) {
    if (!right) throw Refused(CUDNN_STATUS_BAD_PARAM, what);
}
void require_supported(bool right, const char* what) {
    if (!right) throw Refused(CUDNN_STATUS_NOT_SUPPORTED, what);
}

template <class Body>
cudnnStatus_t dnn_call(const char* name, const Body& body) {
    cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
    const cudaError_t error = call(name, [&](Runtime& runtime) {
        try {
            body(runtime);
        } catch (const Refused& refusal) {
            std::fprintf(stderr, "emulated device: %s: %s\n", name, refusal.what());
            status = refusal.status;
        }
    });
    return error == cudaSuccess ? status : CUDNN_STATUS_EXECUTION_FAILED;
}

template <class T, class Opaque>
T& behind(Opaque handle) {
    require_right(handle != nullptr, "no handle");
    return *reinterpret_cast<T*>(handle);
}

std::uint64_t number(const void* p) { return reinterpret_cast<std::uint64_t>(p); }

Convolution convolution_of(cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t f, cudnnConvolutionDescriptor_t layer,
                           cudnnTensorDescriptor_t y) {
    Convolution c;
    c.x = behind<Images>(x), c.y = behind<Images>(y), c.f = behind<Filters>(f);
    c.padding = behind<Layer>(layer).padding;
    c.tf32 = behind<Layer>(layer).math != CUDNN_FMA_MATH;
    require_right(c.x.n == c.y.n && c.x.c == c.f.c && c.y.c == c.f.k, "images and filters that do not fit");
    require_right(c.y.w == c.x.w + 2 * c.padding - c.f.s + 1, "an output of another length");
    for (const Images* images : {&c.x, &c.y})
        require_supported(images->c_stride == 1 && images->w_stride == images->c &&
                              images->n_stride >= images->w * images->c,
                          "images must be packed by rows, channels first");
    return c;
}

// Three candidates, of which only the last may be taken.
template <class Result, class Algorithm>
void offer(Runtime& runtime, cudnnConvolutionDescriptor_t layer, Algorithm algorithm, int asked, int* found,
           Result* results) {
    runtime.streams.forbid_in_capture();
    require_right(asked >= 3, "fewer algorithms are asked for than there are");
    for (int i = 0; i < 3; ++i) {
        results[i] = {};
        results[i].algo = algorithm;
        results[i].status = CUDNN_STATUS_SUCCESS;
        results[i].determinism = i == 0 ? CUDNN_NON_DETERMINISTIC : CUDNN_DETERMINISTIC;
        results[i].memory = i == 1 ? std::size_t{1} << 40 : kWorkspace;
        results[i].mathType = behind<Layer>(layer).math;
    }
    *found = 3;
}

struct Call {
    const void *alpha, *beta, *workspace;
    std::size_t bytes;
};

template <class Work>
void submit(Runtime& runtime, cudnnHandle_t handle, Convolution c, const Call& how, const char* what,
            const Work& work) {
    require_right(how.bytes >= kWorkspace && how.workspace, "a workspace below what the algorithm asks for");
    std::memcpy(&c.alpha, how.alpha, sizeof c.alpha);
    std::memcpy(&c.beta, how.beta, sizeof c.beta);
    const std::uint64_t scratch = number(how.workspace);
    runtime.streams.submit(stream_of(runtime, behind<Handle>(handle).stream), {what, {}}, [c, scratch, work] {
        Memory::device().at(scratch, kWorkspace, Access::peek);
        work(c);
    });
}

}  // namespace

extern "C" {

std::size_t cudnnGetVersion() { return CUDNN_VERSION; }

const char* cudnnGetErrorString(cudnnStatus_t status) {
    switch (status) {
        case CUDNN_STATUS_SUCCESS: return "CUDNN_STATUS_SUCCESS";
        case CUDNN_STATUS_BAD_PARAM: return "CUDNN_STATUS_BAD_PARAM";
        case CUDNN_STATUS_NOT_SUPPORTED: return "CUDNN_STATUS_NOT_SUPPORTED";
        case CUDNN_STATUS_EXECUTION_FAILED: return "CUDNN_STATUS_EXECUTION_FAILED";
        default: return "CUDNN_STATUS of another kind";
    }
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
    return dnn_call("cudnnCreate", [&](Runtime& runtime) {
        runtime.streams.forbid_in_capture();
        *handle = reinterpret_cast<cudnnHandle_t>(new Handle);
    });
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
    return dnn_call("cudnnSetStream", [&](Runtime&) { behind<Handle>(handle).stream = stream; });
}

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* made) {
    *made = reinterpret_cast<cudnnTensorDescriptor_t>(new Images);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetTensor4dDescriptorEx(cudnnTensorDescriptor_t tensor, cudnnDataType_t type, int n, int c, int h,
                                           int w, int n_stride, int c_stride, int, int w_stride) {
    return dnn_call("cudnnSetTensor4dDescriptorEx", [&](Runtime&) {
        require_supported(type == CUDNN_DATA_FLOAT && h == 1, "images of fp32 and one line alone are emulated");
        require_right(n > 0 && c > 0 && w > 0, "an empty image");
        behind<Images>(tensor) = {n, c, w, n_stride, c_stride, w_stride};
    });
}

cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t tensor) {
    delete reinterpret_cast<Images*>(tensor);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t* made) {
    *made = reinterpret_cast<cudnnFilterDescriptor_t>(new Filters);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t filter, cudnnDataType_t type,
                                         cudnnTensorFormat_t format, int k, int c, int h, int w) {
    return dnn_call("cudnnSetFilter4dDescriptor", [&](Runtime&) {
        require_supported(type == CUDNN_DATA_FLOAT && format == CUDNN_TENSOR_NHWC && h == 1,
                          "filters of fp32 with the channels first alone are emulated");
        behind<Filters>(filter) = {k, c, w};
    });
}

cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t filter) {
    delete reinterpret_cast<Filters*>(filter);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t* made) {
    *made = reinterpret_cast<cudnnConvolutionDescriptor_t>(new Layer);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t layer, int pad_h, int pad_w, int u, int v,
                                              int dilation_h, int dilation_w, cudnnConvolutionMode_t mode,
                                              cudnnDataType_t type) {
    return dnn_call("cudnnSetConvolution2dDescriptor", [&](Runtime&) {
        require_supported(pad_h == 0 && u == 1 && v == 1 && dilation_h == 1 && dilation_w == 1 &&
                              mode == CUDNN_CROSS_CORRELATION && type == CUDNN_DATA_FLOAT,
                          "plain convolutions alone are emulated");
        behind<Layer>(layer).padding = pad_w;
    });
}

cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t layer, cudnnMathType_t math) {
    return dnn_call("cudnnSetConvolutionMathType", [&](Runtime&) {
        require_supported(math == CUDNN_DEFAULT_MATH || math == CUDNN_FMA_MATH, "this mathematics is not emulated");
        behind<Layer>(layer).math = math;
    });
}

cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t layer) {
    delete reinterpret_cast<Layer*>(layer);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t, cudnnTensorDescriptor_t x,
                                                     cudnnFilterDescriptor_t f, cudnnConvolutionDescriptor_t layer,
                                                     cudnnTensorDescriptor_t y, int asked, int* found,
                                                     cudnnConvolutionFwdAlgoPerf_t* results) {
    return dnn_call("cudnnGetConvolutionForwardAlgorithm_v7", [&](Runtime& runtime) {
        convolution_of(x, f, layer, y);
        offer(runtime, layer, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, asked, found, results);
    });
}

cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnnHandle_t, cudnnFilterDescriptor_t f,
                                                          cudnnTensorDescriptor_t y,
                                                          cudnnConvolutionDescriptor_t layer,
                                                          cudnnTensorDescriptor_t x, int asked, int* found,
                                                          cudnnConvolutionBwdDataAlgoPerf_t* results) {
    return dnn_call("cudnnGetConvolutionBackwardDataAlgorithm_v7", [&](Runtime& runtime) {
        convolution_of(x, f, layer, y);
        offer(runtime, layer, CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, asked, found, results);
    });
}

cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnnHandle_t, cudnnTensorDescriptor_t x,
                                                            cudnnTensorDescriptor_t y,
                                                            cudnnConvolutionDescriptor_t layer,
                                                            cudnnFilterDescriptor_t f, int asked, int* found,
                                                            cudnnConvolutionBwdFilterAlgoPerf_t* results) {
    return dnn_call("cudnnGetConvolutionBackwardFilterAlgorithm_v7", [&](Runtime& runtime) {
        convolution_of(x, f, layer, y);
        offer(runtime, layer, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, asked, found, results);
    });
}

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void* alpha, cudnnTensorDescriptor_t xd,
                                      const void* x, cudnnFilterDescriptor_t fd, const void* f,
                                      cudnnConvolutionDescriptor_t layer, cudnnConvolutionFwdAlgo_t,
                                      void* workspace, std::size_t bytes, const void* beta,
                                      cudnnTensorDescriptor_t yd, void* y) {
    return dnn_call("cudnnConvolutionForward", [&](Runtime& runtime) {
        Convolution c = convolution_of(xd, fd, layer, yd);
        c.x_address = number(x), c.f_address = number(f), c.y_address = number(y);
        submit(runtime, handle, c, {alpha, beta, workspace, bytes}, "convolution", convolve);
    });
}

cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void* alpha, cudnnFilterDescriptor_t fd,
                                           const void* f, cudnnTensorDescriptor_t yd, const void* y,
                                           cudnnConvolutionDescriptor_t layer, cudnnConvolutionBwdDataAlgo_t,
                                           void* workspace, std::size_t bytes, const void* beta,
                                           cudnnTensorDescriptor_t xd, void* x) {
    return dnn_call("cudnnConvolutionBackwardData", [&](Runtime& runtime) {
        Convolution c = convolution_of(xd, fd, layer, yd);
        c.x_address = number(x), c.f_address = number(f), c.y_address = number(y);
        submit(runtime, handle, c, {alpha, beta, workspace, bytes}, "convolution, data's gradient",
               convolve_back_data);
    });
}

cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void* alpha, cudnnTensorDescriptor_t xd,
                                             const void* x, cudnnTensorDescriptor_t yd, const void* y,
                                             cudnnConvolutionDescriptor_t layer, cudnnConvolutionBwdFilterAlgo_t,
                                             void* workspace, std::size_t bytes, const void* beta,
                                             cudnnFilterDescriptor_t fd, void* f) {
    return dnn_call("cudnnConvolutionBackwardFilter", [&](Runtime& runtime) {
        Convolution c = convolution_of(xd, fd, layer, yd);
        c.x_address = number(x), c.f_address = number(f), c.y_address = number(y);
        submit(runtime, handle, c, {alpha, beta, workspace, bytes}, "convolution, filter's gradient",
               convolve_back_filter);
    });
}

}  // extern "C"
