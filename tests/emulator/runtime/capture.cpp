// Capture and graphs.
#include <algorithm>
#include <utility>

#include "tests/emulator/runtime/streams.h"

namespace emulator {

namespace {

thread_local CaptureMode thread_mode = CaptureMode::global;

}  // namespace

CaptureMode Streams::exchange_mode(CaptureMode mode) { return std::exchange(thread_mode, mode); }

std::vector<std::shared_ptr<Capture>> Streams::captures() const {
    std::vector<std::shared_ptr<Capture>> found;
    for (const auto& stream : streams_)
        if (stream->capture && std::ranges::find(found, stream->capture) == found.end())
            found.push_back(stream->capture);
    return found;
}

void Streams::forbid_in_capture() {
    if (thread_mode == CaptureMode::relaxed) return;
    bool forbidden = false;
    for (const auto& capture : captures()) {
        const bool mine = capture->thread == std::this_thread::get_id();
        if ((mine && capture->mode != CaptureMode::relaxed) ||
            (thread_mode == CaptureMode::global && capture->mode == CaptureMode::global))
            forbidden = capture->broken = true;
    }
    if (forbidden) throw Refusal(Status::capture_unsupported, "a stream is being captured, and not in relaxed mode");
}

// It would wait for all blocking streams, captured ones among them.
void Streams::check_legacy() {
    bool refused = false;
    for (const auto& stream : streams_)
        if (stream->blocking && stream->capture) refused = stream->capture->broken = true;
    if (refused) throw Refusal(Status::capture_implicit, "a blocking stream is being captured");
}

void Streams::check_recording(Stream& stream) {
    if (stream.capture && stream.capture->broken)
        throw Refusal(Status::capture_invalidated, "an earlier call broke this capture");
}

void Streams::begin_capture(Stream& stream, CaptureMode mode) {
    if (&stream == &legacy_)
        throw Refusal(Status::capture_unsupported, "the legacy stream cannot be captured");
    if (stream.capture) throw Refusal(Status::illegal_state, "the stream is being captured already");
    stream.capture = std::make_shared<Capture>();
    stream.capture->mode = mode;
    stream.capture->thread = std::this_thread::get_id();
    stream.capture->origin = &stream;
    stream.leaves.clear();
}

Graph Streams::end_capture(Stream& stream) {
    const std::shared_ptr<Capture> capture = stream.capture;
    if (!capture) throw Refusal(Status::illegal_state, "the stream is not being captured");
    if (capture->origin != &stream) {
        capture->broken = true;
        throw Refusal(Status::capture_unmatched, "it began in another stream");
    }
    if (capture->mode != CaptureMode::relaxed && capture->thread != std::this_thread::get_id()) {
        capture->broken = true;
        throw Refusal(Status::capture_wrong_thread, "it began in another thread");
    }
    // Work that nothing later comes after is joined only where it is this stream's last.
    std::vector<bool> followed(capture->graph.nodes.size());
    for (const GraphNode& node : capture->graph.nodes)
        for (const std::size_t other : node.before) followed[other] = true;
    for (const std::size_t leaf : stream.leaves) followed[leaf] = true;
    capture->ended = true;
    for (const auto& other : streams_)
        if (other->capture == capture) {
            other->capture = nullptr;
            other->leaves.clear();
        }
    if (capture->broken)
        throw Refusal(Status::capture_invalidated, "an earlier call broke this capture");
    if (std::ranges::find(followed, false) != followed.end())
        throw Refusal(Status::capture_unjoined, "a stream that was forked was not joined again");
    return std::move(capture->graph);
}

// Each node is work of its own, so that other streams come between; a meeting point ends the launch.
void Streams::launch(const std::shared_ptr<Executable>& executable, Stream& stream) {
    check_recording(stream);
    const std::vector<GraphNode>& nodes = executable->graph.nodes;
    if (stream.capture) {
        std::vector<GraphNode>& into = stream.capture->graph.nodes;
        const std::size_t first = into.size();
        for (const GraphNode& node : nodes) {
            into.push_back(node);
            for (std::size_t& other : into.back().before) other += first;
            if (node.before.empty()) into.back().before = stream.leaves;
        }
        into.push_back({{"the end of a graph", {}}, nullptr, stream.leaves});
        for (std::size_t n = first; n + 1 < into.size(); ++n) into.back().before.push_back(n);
        stream.leaves = {into.size() - 1};
        return;
    }
    const bool late = &stream == &legacy_;
    if (late) check_legacy();
    std::vector<WorkPtr> start = before(stream), made;
    start.push_back(executable->last);
    for (const GraphNode& node : nodes) {
        std::vector<WorkPtr> list;
        for (const std::size_t other : node.before) list.push_back(made[other]);
        const std::string what = node.task.what + " of a graph on stream " + std::to_string(stream.number);
        // Nodes side by side have no order, so each counts as a stream of its own.
        made.push_back(scheduler_.add({what, node.task.uses}, node.run, node.before.empty() ? start : list,
                                      &node, late));
    }
    made.insert(made.end(), start.begin(), start.end());
    stream.tail = executable->last = scheduler_.add({}, nullptr, made, &stream, late);
}

}  // namespace emulator
