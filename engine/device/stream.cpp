#include "engine/device/stream.h"

#include "engine/device/queue.h"
#include "engine/error.h"
#include "engine/stop.h"

#if defined(MICROLIFT_HAVE_CUDA)
#include <cuda_runtime_api.h>
#endif

namespace microlift {

Graph::Graph(Graph&& other) noexcept { *this = std::move(other); }

Graph& Graph::operator=(Graph&& other) noexcept {
    std::swap(calls_, other.calls_);
    std::swap(executable_, other.executable_);
    std::swap(nodes_, other.nodes_);
    return *this;
}

Graph::~Graph() {
#if defined(MICROLIFT_HAVE_CUDA)
    if (executable_) cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(executable_));
#endif
}

void Graph::replay(Stream& stream) const {
    for (const auto& call : calls_) {
        check_stop();
        call();
    }
#if defined(MICROLIFT_HAVE_CUDA)
    if (executable_)
        CUDA_CHECK(cudaGraphLaunch(static_cast<cudaGraphExec_t>(executable_),
                                   static_cast<cudaStream_t>(stream.cuda_stream())));
#else
    (void)stream;
#endif
}

Stream::Stream(const Device& device) : device_(device) {
#if defined(MICROLIFT_HAVE_CUDA)
    if (!device_.is_cpu()) cuda_stream_ = cuda_queue(device_);
#endif
}

Stream::~Stream() = default;

void Stream::synchronize() {
    count_wait();
#if defined(MICROLIFT_HAVE_CUDA)
    if (cuda_stream_) CUDA_CHECK(cudaStreamSynchronize(static_cast<cudaStream_t>(cuda_stream_)));
#endif
}

void Stream::begin_recording() {
    recording_ = std::make_unique<Graph>();
#if defined(MICROLIFT_HAVE_CUDA)
    if (cuda_stream_)
        CUDA_CHECK(cudaStreamBeginCapture(static_cast<cudaStream_t>(cuda_stream_),
                                          cudaStreamCaptureModeThreadLocal));
#endif
}

Graph Stream::end_recording() {
    Graph graph = std::move(*recording_);
    recording_.reset();
    graph.nodes_ = static_cast<index>(graph.calls_.size());
#if defined(MICROLIFT_HAVE_CUDA)
    if (cuda_stream_) {
        cudaGraph_t captured = nullptr;
        CUDA_CHECK(cudaStreamEndCapture(static_cast<cudaStream_t>(cuda_stream_), &captured));
        std::size_t nodes = 0;
        CUDA_CHECK(cudaGraphGetNodes(captured, nullptr, &nodes));
        cudaGraphExec_t executable = nullptr;
        CUDA_CHECK(cudaGraphInstantiate(&executable, captured, 0));
        CUDA_CHECK(cudaGraphDestroy(captured));
        graph.executable_ = executable;
        graph.nodes_ = static_cast<index>(nodes);
    }
#endif
    return graph;
}

void Stream::abandon_recording() {
    recording_.reset();
#if defined(MICROLIFT_HAVE_CUDA)
    if (cuda_stream_) {
        cudaGraph_t captured = nullptr;
        cudaStreamEndCapture(static_cast<cudaStream_t>(cuda_stream_), &captured);
        if (captured) cudaGraphDestroy(captured);
        cudaGetLastError();
    }
#endif
}

}  // namespace microlift
