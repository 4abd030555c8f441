#include "tests/emulator/runtime/streams.h"

#include <algorithm>
#include <chrono>

namespace emulator {

namespace {

std::string name_of(const Stream& stream) {
    return stream.number == 0 ? "the legacy stream" : "stream " + std::to_string(stream.number);
}

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Stream& Streams::create(bool blocking) {
    streams_.push_back(std::make_unique<Stream>());
    Stream& stream = *streams_.back();
    stream.number = static_cast<int>(streams_.size());
    stream.blocking = blocking;
    return stream;
}

// Work that it was given goes on.
void Streams::destroy(Stream& stream) {
    if (&stream == &legacy_) throw Refusal(Status::invalid_handle, "the legacy stream is not destroyed");
    if (stream.capture) stream.capture->broken = true;
    if (stream.blocking && stream.tail && !stream.tail->done) orphans_.push_back(stream.tail);
    stream.alive = false;
    stream.tail = nullptr;
    stream.capture = nullptr;
}

Stream& Streams::checked(Stream* stream) {
    if (!stream || stream == &legacy_) return legacy_;
    for (const auto& known : streams_)
        if (known.get() == stream) {
            if (known->alive) return *stream;
            throw Refusal(Status::invalid_handle, name_of(*stream) + " has been destroyed");
        }
    throw Refusal(Status::invalid_handle, "no stream has this handle");
}

// The legacy stream and the blocking ones wait for each other; the others for none but themselves.
std::vector<WorkPtr> Streams::before(Stream& stream) {
    std::vector<WorkPtr> list{stream.tail};
    if (&stream == &legacy_) {
        for (const auto& other : streams_)
            if (other->blocking && other->tail) list.push_back(other->tail);
        std::erase_if(orphans_, [](const WorkPtr& work) { return work->done; });
        list.insert(list.end(), orphans_.begin(), orphans_.end());
    } else if (stream.blocking) {
        list.push_back(legacy_.tail);
    }
    return list;
}

WorkPtr Streams::tail_of(Stream& stream) {
    if (&stream != &legacy_) return stream.tail;
    return legacy_.tail = scheduler_.add({}, nullptr, before(legacy_), &legacy_, true);
}

void Streams::submit(Stream& stream, const Task& task, const std::function<void()>& run) {
    check_recording(stream);
    if (stream.capture) {
        std::vector<GraphNode>& nodes = stream.capture->graph.nodes;
        nodes.push_back({task, run, stream.leaves});
        stream.leaves = {nodes.size() - 1};
        return;
    }
    if (&stream == &legacy_) check_legacy();
    stream.tail = scheduler_.add({task.what + " on " + name_of(stream), task.uses}, run, before(stream),
                                 &stream, &stream == &legacy_);
}

void Streams::synchronize(Stream& stream) {
    if (stream.capture) {
        stream.capture->broken = true;
        throw Refusal(Status::capture_unsupported, name_of(stream) + " is being captured");
    }
    forbid_in_capture();
    if (&stream == &legacy_) check_legacy();
    finish(stream);
}

bool Streams::idle(Stream& stream) {
    if (stream.capture) {
        stream.capture->broken = true;
        throw Refusal(Status::capture_unsupported, name_of(stream) + " is being captured");
    }
    forbid_in_capture();
    for (const WorkPtr& work : before(stream))
        if (work && !work->done && (work == stream.tail || &stream == &legacy_)) {
            scheduler_.step();
            return false;
        }
    return true;
}

void Streams::synchronize_device() {
    const auto active = captures();
    for (const auto& capture : active) capture->broken = true;
    if (!active.empty())
        throw Refusal(Status::capture_unsupported, "waiting for a device with a stream in capture");
    scheduler_.finish_all();
}

void Streams::record(Event& event, Stream& stream) {
    check_recording(stream);
    event.recorded = true;
    event.capture = stream.capture;
    event.nodes = stream.leaves;
    event.work = nullptr;
    if (stream.capture) return;
    if (&stream == &legacy_) check_legacy();
    const auto seconds = event.seconds = std::make_shared<double>(0);
    stream.tail = event.work =
        scheduler_.add({"an event on " + name_of(stream), {}}, [seconds] { *seconds = now(); }, before(stream),
                       &stream, &stream == &legacy_);
}

void Streams::wait(Stream& stream, const Event& event) {
    check_recording(stream);
    if (!event.recorded) return;
    if (event.capture && event.capture->ended)
        throw Refusal(Status::captured_event, "the event was recorded in a capture that has ended");
    if (event.capture && !stream.capture) {
        if (&stream == &legacy_) {
            event.capture->broken = true;
            throw Refusal(Status::capture_implicit, "the legacy stream cannot be captured");
        }
        stream.capture = event.capture;
        stream.leaves = event.nodes;
    } else if (event.capture != stream.capture) {
        stream.capture->broken = true;
        if (event.capture) event.capture->broken = true;
        throw event.capture ? Refusal(Status::capture_merge, name_of(stream) + " is in another capture")
                            : Refusal(Status::capture_isolation,
                                      "the event was recorded outside the capture of " + name_of(stream));
    } else if (stream.capture) {
        for (const std::size_t node : event.nodes)
            if (std::ranges::find(stream.leaves, node) == stream.leaves.end())
                stream.leaves.push_back(node);
    } else {
        std::vector<WorkPtr> list = before(stream);
        list.push_back(event.work);
        stream.tail = scheduler_.add({}, nullptr, list, &stream, &stream == &legacy_);
    }
}

void Streams::synchronize(Event& event) {
    if (event.capture && !event.capture->ended) {
        event.capture->broken = true;
        throw Refusal(Status::captured_event, "waiting for it");
    }
    forbid_in_capture();
    scheduler_.finish(event.work);
}

bool Streams::happened(Event& event) {
    if (event.capture && !event.capture->ended) {
        event.capture->broken = true;
        throw Refusal(Status::captured_event, "asking for it");
    }
    forbid_in_capture();
    if (!event.work || event.work->done) return true;
    scheduler_.step();
    return false;
}

}  // namespace emulator
