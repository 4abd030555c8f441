// cuDNN's calls for convolutions, by name from libcudnn.so.9: they are deprecated in favour of its graphs, and as
// long as they are there, a tenth of the code.
#include "nn/layers/cudnn.h"

#if !defined(MICROLIFT_HAVE_CUDNN)

namespace microlift {
std::string cudnn_version() { return ""; }
bool cudnn_built_in() { return false; }
std::unique_ptr<CudnnConvolver> CudnnConvolver::create(const Device&, Precision) { return nullptr; }
}  // namespace microlift

#else

#include <cudnn.h>
#include <dlfcn.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>

#include "engine/error.h"

namespace microlift {
namespace {

constexpr std::size_t kMostWorkspace = std::size_t{64} << 20;
constexpr int kCandidates = 8;

// The library's functions, found once.
struct Library {
    void* handle = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
    bool complete = handle != nullptr;

    template <class F>
    F find(F, const char* name) {
        void* const symbol = handle ? dlsym(handle, name) : nullptr;
        complete = complete && symbol;
        return reinterpret_cast<F>(symbol);
    }

    decltype(&cudnnGetVersion) version = find(version, "cudnnGetVersion");
    decltype(&cudnnGetErrorString) error = find(error, "cudnnGetErrorString");
    decltype(&cudnnCreate) create = find(create, "cudnnCreate");
    decltype(&cudnnSetStream) set_stream = find(set_stream, "cudnnSetStream");
    decltype(&cudnnCreateTensorDescriptor) create_tensor =
        find(create_tensor, "cudnnCreateTensorDescriptor");
    decltype(&cudnnSetTensor4dDescriptorEx) set_tensor =
        find(set_tensor, "cudnnSetTensor4dDescriptorEx");
    decltype(&cudnnDestroyTensorDescriptor) destroy_tensor =
        find(destroy_tensor, "cudnnDestroyTensorDescriptor");
    decltype(&cudnnCreateFilterDescriptor) create_filter =
        find(create_filter, "cudnnCreateFilterDescriptor");
    decltype(&cudnnSetFilter4dDescriptor) set_filter =
        find(set_filter, "cudnnSetFilter4dDescriptor");
    decltype(&cudnnDestroyFilterDescriptor) destroy_filter =
        find(destroy_filter, "cudnnDestroyFilterDescriptor");
    decltype(&cudnnCreateConvolutionDescriptor) create_convolution =
        find(create_convolution, "cudnnCreateConvolutionDescriptor");
    decltype(&cudnnSetConvolution2dDescriptor) set_convolution =
        find(set_convolution, "cudnnSetConvolution2dDescriptor");
    decltype(&cudnnSetConvolutionMathType) set_math =
        find(set_math, "cudnnSetConvolutionMathType");
    decltype(&cudnnDestroyConvolutionDescriptor) destroy_convolution =
        find(destroy_convolution, "cudnnDestroyConvolutionDescriptor");
    decltype(&cudnnGetConvolutionForwardAlgorithm_v7) choose_forward =
        find(choose_forward, "cudnnGetConvolutionForwardAlgorithm_v7");
    decltype(&cudnnGetConvolutionBackwardDataAlgorithm_v7) choose_data =
        find(choose_data, "cudnnGetConvolutionBackwardDataAlgorithm_v7");
    decltype(&cudnnGetConvolutionBackwardFilterAlgorithm_v7) choose_filter =
        find(choose_filter, "cudnnGetConvolutionBackwardFilterAlgorithm_v7");
    decltype(&cudnnConvolutionForward) forward = find(forward, "cudnnConvolutionForward");
    decltype(&cudnnConvolutionBackwardData) backward_data =
        find(backward_data, "cudnnConvolutionBackwardData");
    decltype(&cudnnConvolutionBackwardFilter) backward_filter =
        find(backward_filter, "cudnnConvolutionBackwardFilter");
};

Library& library() {
    static Library found;
    return found;
}

void check(cudnnStatus_t status, const char* call) {
    if (status != CUDNN_STATUS_SUCCESS)
        throw DeviceError(std::string("cuDNN: ") + call + " failed: " + library().error(status));
}

// One for each device, for as long as the process lives; null where cuDNN does not work.
cudnnHandle_t handle_of(const Device& device) {
    static std::mutex mutex;
    static std::map<int, cudnnHandle_t> handles;
    const std::lock_guard lock(mutex);
    const auto [slot, first] = handles.try_emplace(device.ordinal(), nullptr);
    if (first && library().complete &&
        library().create(&slot->second) != CUDNN_STATUS_SUCCESS)
        slot->second = nullptr;
    return slot->second;
}

// --- descriptors --------------------------------------------------------------------------------------

int as_int(index n) { return static_cast<int>(n); }

// (rows, sites, channels), rows `place` apart, as cuDNN's (n, c, 1, w).
struct SiteTensor {
    cudnnTensorDescriptor_t it = nullptr;
    SiteTensor(index rows, index sites, index channels, index place) {
        check(library().create_tensor(&it), "cudnnCreateTensorDescriptor");
        check(library().set_tensor(it, CUDNN_DATA_FLOAT, as_int(rows), as_int(channels), 1,
                                   as_int(sites), as_int(place), 1, as_int(sites * channels),
                                   as_int(channels)),
              "cudnnSetTensor4dDescriptorEx");
    }
    SiteTensor(const SiteTensor&) = delete;
    SiteTensor& operator=(const SiteTensor&) = delete;
    ~SiteTensor() { library().destroy_tensor(it); }
};

struct Filter {
    cudnnFilterDescriptor_t it = nullptr;
    explicit Filter(const RingConvolution& c) {
        check(library().create_filter(&it), "cudnnCreateFilterDescriptor");
        check(library().set_filter(it, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NHWC, as_int(c.out),
                                   as_int(c.in), 1, as_int(c.kernel)),
              "cudnnSetFilter4dDescriptor");
    }
    Filter(const Filter&) = delete;
    Filter& operator=(const Filter&) = delete;
    ~Filter() { library().destroy_filter(it); }
};

struct Convolution {
    cudnnConvolutionDescriptor_t it = nullptr;
    explicit Convolution(index padding) {
        check(library().create_convolution(&it), "cudnnCreateConvolutionDescriptor");
        check(library().set_convolution(it, 0, as_int(padding), 1, 1, 1, 1,
                                        CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
              "cudnnSetConvolution2dDescriptor");
    }
    Convolution(const Convolution&) = delete;
    Convolution& operator=(const Convolution&) = delete;
    ~Convolution() { library().destroy_convolution(it); }

    void math(cudnnMathType_t type) {
        check(library().set_math(it, type), "cudnnSetConvolutionMathType");
    }
};

enum class Pass { forward, data, filter };

// What one call needs. Of the data's gradient the roles are those of a convolution from dx to dy whose
// input is padded: dy is as long as a ring with both its ends.
template <class Algorithm>
struct Plan {
    SiteTensor from, to;  // in sites and channels: what is read, what is written (or dy)
    Filter filter;
    Convolution convolution;
    Algorithm algorithm{};
    std::size_t workspace = 0;

    Plan(const RingConvolution& c, Pass pass)
        : from(c.rows, pass == Pass::data ? c.sites : c.sites + c.kernel - 1, c.in, c.place),
          to(c.rows, pass == Pass::data ? c.sites + c.kernel - 1 : c.sites, c.out, c.place),
          filter(c), convolution(pass == Pass::data ? c.kernel - 1 : 0) {}
};

class Convolver final : public CudnnConvolver {
public:
    Convolver(const Device& device, cudnnHandle_t handle, Precision precision)
        : device_(device), handle_(handle),
          math_(precision == Precision::tf32 ? CUDNN_DEFAULT_MATH : CUDNN_FMA_MATH) {}

    bool plan(const RingConvolution& shape, bool backward) override {
        limit_ = kMostWorkspace;
        std::size_t most = static_cast<std::size_t>(workspace_.size());
        const auto made = [&](const auto* plan) {
            if (plan) most = std::max(most, plan->workspace);
            return plan != nullptr;
        };
        bool all = made(forward_plan(shape));
        if (backward) all = made(data_plan(shape)) && made(filter_plan(shape)) && all;
        if (static_cast<index>(most) > workspace_.size())
            workspace_ = Buffer<unsigned char>(device_, static_cast<index>(most));
        limit_ = static_cast<std::size_t>(workspace_.size());
        return all;
    }

    void add_forward(Stream& stream, const RingConvolution& shape, const float* x, const float* w,
                     float* y) override {
        auto& p = found(forward_plan(shape));
        const float one = 1.0f;
        start(stream, shape);
        check(library().forward(handle_, &one, p.from.it, x, p.filter.it, w, p.convolution.it,
                                p.algorithm, workspace_.data(), p.workspace, &one, p.to.it, y),
              "cudnnConvolutionForward");
    }

    void backward_data(Stream& stream, const RingConvolution& shape, const float* w,
                       const float* dy, bool add, float* dx) override {
        auto& p = found(data_plan(shape));
        const float one = 1.0f, beta = add ? 1.0f : 0.0f;
        start(stream, shape);
        check(library().backward_data(handle_, &one, p.filter.it, w, p.to.it, dy, p.convolution.it,
                                      p.algorithm, workspace_.data(), p.workspace, &beta,
                                      p.from.it, dx),
              "cudnnConvolutionBackwardData");
    }

    void backward_filter(Stream& stream, const RingConvolution& shape, const float* x,
                         const float* dy, float* dw) override {
        auto& p = found(filter_plan(shape));
        const float one = 1.0f, zero = 0.0f;
        start(stream, shape);
        check(library().backward_filter(handle_, &one, p.from.it, x, p.to.it, dy, p.convolution.it,
                                        p.algorithm, workspace_.data(), p.workspace, &zero,
                                        p.filter.it, dw),
              "cudnnConvolutionBackwardFilter");
    }

private:
    template <class Algorithm>
    using Plans = std::map<RingConvolution, std::unique_ptr<Plan<Algorithm>>>;

    template <class P>
    static P& found(P* plan) {
        if (!plan) throw DeviceError("cuDNN: no algorithm for a convolution that was not planned");
        return *plan;
    }

    void start(Stream& stream, const RingConvolution& shape) {
        count_launch<RingConvolution>(shape.rows * shape.sites);
        check(library().set_stream(handle_, static_cast<cudaStream_t>(stream.cuda_stream())),
              "cudnnSetStream");
    }

    // The first candidate that works, repeats its bits, and finds space; null without one.
    template <class Algorithm, class Result, class Choose>
    Plan<Algorithm>* plan_of(Plans<Algorithm>& plans, const RingConvolution& shape, Pass pass,
                             const Choose& choose) {
        if (const auto old = plans.find(shape); old != plans.end()) return old->second.get();
        auto plan = std::make_unique<Plan<Algorithm>>(shape, pass);
        plan->convolution.math(math_);
        Result results[kCandidates];
        int count = 0;
        if (choose(*plan, kCandidates, &count, results) != CUDNN_STATUS_SUCCESS) count = 0;
        Result* const end = results + count;
        Result* const best = std::find_if(results, end, [&](const Result& r) {
            return r.status == CUDNN_STATUS_SUCCESS && r.determinism == CUDNN_DETERMINISTIC &&
                   r.memory <= limit_ && (math_ != CUDNN_FMA_MATH || r.mathType == math_);
        });
        if (best == end) return nullptr;
        plan->convolution.math(best->mathType);
        plan->algorithm = best->algo;
        plan->workspace = best->memory;
        return plans.emplace(shape, std::move(plan)).first->second.get();
    }

    Plan<cudnnConvolutionFwdAlgo_t>* forward_plan(const RingConvolution& shape) {
        return plan_of<cudnnConvolutionFwdAlgo_t, cudnnConvolutionFwdAlgoPerf_t>(
            forward_, shape, Pass::forward, [&](auto& p, int most, int* count, auto* results) {
                return library().choose_forward(handle_, p.from.it, p.filter.it, p.convolution.it,
                                                p.to.it, most, count, results);
            });
    }
    Plan<cudnnConvolutionBwdDataAlgo_t>* data_plan(const RingConvolution& shape) {
        return plan_of<cudnnConvolutionBwdDataAlgo_t, cudnnConvolutionBwdDataAlgoPerf_t>(
            data_, shape, Pass::data, [&](auto& p, int most, int* count, auto* results) {
                return library().choose_data(handle_, p.filter.it, p.to.it, p.convolution.it,
                                             p.from.it, most, count, results);
            });
    }
    Plan<cudnnConvolutionBwdFilterAlgo_t>* filter_plan(const RingConvolution& shape) {
        return plan_of<cudnnConvolutionBwdFilterAlgo_t, cudnnConvolutionBwdFilterAlgoPerf_t>(
            filter_, shape, Pass::filter, [&](auto& p, int most, int* count, auto* results) {
                return library().choose_filter(handle_, p.from.it, p.to.it, p.convolution.it,
                                               p.filter.it, most, count, results);
            });
    }

    Device device_;
    cudnnHandle_t handle_;
    cudnnMathType_t math_;
    std::size_t limit_ = kMostWorkspace;
    Buffer<unsigned char> workspace_;
    Plans<cudnnConvolutionFwdAlgo_t> forward_;
    Plans<cudnnConvolutionBwdDataAlgo_t> data_;
    Plans<cudnnConvolutionBwdFilterAlgo_t> filter_;
};

}  // namespace

bool cudnn_built_in() { return true; }

std::string cudnn_version() {
    if (!library().complete) return "";
    const std::size_t v = library().version();  // 91900
    return std::to_string(v / 10000) + "." + std::to_string(v / 100 % 100) + "." +
           std::to_string(v % 100);
}

std::unique_ptr<CudnnConvolver> CudnnConvolver::create(const Device& device, Precision precision) {
    if (device.portable()) return nullptr;
    const cudnnHandle_t handle = handle_of(device);
    if (!handle) return nullptr;
    return std::make_unique<Convolver>(device, handle, precision);
}

}  // namespace microlift

#endif
