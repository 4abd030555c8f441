// Calls: streams, events, capture, graphs.
#include <vector>

#include "tests/emulator/runtime/api.h"

using namespace emulator;

namespace {

Event& event_of(cudaEvent_t event) {
    require(event != nullptr, "no event");
    return *reinterpret_cast<Event*>(event);
}

CaptureMode mode_of(cudaStreamCaptureMode mode) { return static_cast<CaptureMode>(mode); }

std::shared_ptr<Executable>& executable_of(cudaGraphExec_t graph) {
    require(graph != nullptr, "no graph");
    return *reinterpret_cast<std::shared_ptr<Executable>*>(graph);
}

Graph& graph_of(cudaGraph_t graph) {
    require(graph != nullptr, "no graph");
    return *reinterpret_cast<Graph*>(graph);
}

}  // namespace

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
    return call("cudaStreamCreateWithFlags", [&](Runtime& runtime) {
        require((flags & ~1u) == 0, "no such flags");
        *stream = reinterpret_cast<cudaStream_t>(&runtime.streams.create(flags == cudaStreamDefault));
    });
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
    return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
    return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    return call("cudaStreamDestroy",
                [&](Runtime& runtime) { runtime.streams.destroy(stream_of(runtime, stream)); });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    return call("cudaStreamSynchronize",
                [&](Runtime& runtime) { runtime.streams.synchronize(stream_of(runtime, stream)); });
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
    return call("cudaStreamQuery", [&](Runtime& runtime) {
        if (!runtime.streams.idle(stream_of(runtime, stream))) throw Refusal(Status::not_ready, "");
    });
}

cudaError_t cudaDeviceSynchronize() {
    return call("cudaDeviceSynchronize", [](Runtime& runtime) { runtime.streams.synchronize_device(); });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    return call("cudaStreamWaitEvent", [&](Runtime& runtime) {
        runtime.streams.wait(stream_of(runtime, stream), event_of(event));
    });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
    return call("cudaLaunchHostFunc", [&](Runtime& runtime) {
        runtime.streams.submit(stream_of(runtime, stream), {"a function of the host", {}},
                               [function, data] { function(data); });
    });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
    return call("cudaEventCreateWithFlags", [&](Runtime&) {
        auto made = std::make_unique<Event>();
        made->timed = (flags & cudaEventDisableTiming) == 0;
        *event = reinterpret_cast<cudaEvent_t>(made.release());
    });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    return call("cudaEventDestroy", [&](Runtime&) { delete &event_of(event); });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    return call("cudaEventRecord", [&](Runtime& runtime) {
        runtime.streams.record(event_of(event), stream_of(runtime, stream));
    });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    return call("cudaEventSynchronize", [&](Runtime& runtime) { runtime.streams.synchronize(event_of(event)); });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    return call("cudaEventQuery", [&](Runtime& runtime) {
        if (!runtime.streams.happened(event_of(event))) throw Refusal(Status::not_ready, "");
    });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
    return call("cudaEventElapsedTime", [&](Runtime&) {
        const Event &a = event_of(from), &b = event_of(to);
        if (!a.recorded || !b.recorded || !a.timed || !b.timed)
            throw Refusal(Status::invalid_handle, "both events must be recorded, and keep the time");
        if (!a.work || !b.work || !a.work->done || !b.work->done) throw Refusal(Status::not_ready, "");
        *milliseconds = static_cast<float>(1000 * (*b.seconds - *a.seconds));
    });
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
    return call("cudaThreadExchangeStreamCaptureMode", [&](Runtime&) {
        *mode = static_cast<cudaStreamCaptureMode>(Streams::exchange_mode(mode_of(*mode)));
    });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
    return call("cudaStreamBeginCapture", [&](Runtime& runtime) {
        runtime.streams.begin_capture(stream_of(runtime, stream), mode_of(mode));
    });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    *graph = nullptr;
    return call("cudaStreamEndCapture", [&](Runtime& runtime) {
        auto made = std::make_unique<Graph>(runtime.streams.end_capture(stream_of(runtime, stream)));
        *graph = reinterpret_cast<cudaGraph_t>(made.release());
    });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
    return call("cudaStreamIsCapturing", [&](Runtime& runtime) {
        const auto& capture = stream_of(runtime, stream).capture;
        *status = !capture           ? cudaStreamCaptureStatusNone
                  : capture->broken ? cudaStreamCaptureStatusInvalidated
                                    : cudaStreamCaptureStatusActive;
    });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
    return call("cudaGraphGetNodes", [&](Runtime&) {
        if (nodes) throw Refusal(Status::not_supported, "nodes are counted alone");
        *count = graph_of(graph).nodes.size();
    });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long flags) {
    return call("cudaGraphInstantiate", [&](Runtime&) {
        if (flags) throw Refusal(Status::not_supported, "flags of graphs are not emulated");
        auto made = std::make_shared<Executable>();
        made->graph = graph_of(graph);
        *executable = reinterpret_cast<cudaGraphExec_t>(new std::shared_ptr<Executable>(std::move(made)));
    });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    return call("cudaGraphLaunch", [&](Runtime& runtime) {
        runtime.streams.launch(executable_of(executable), stream_of(runtime, stream));
    });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    return call("cudaGraphDestroy", [&](Runtime&) { delete &graph_of(graph); });
}

// Launches that are not done go on.
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    return call("cudaGraphExecDestroy", [&](Runtime&) { delete &executable_of(executable); });
}

}  // extern "C"
