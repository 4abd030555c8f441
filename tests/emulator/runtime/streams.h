// Streams, events, capture and graphs: what must come before what, and what a capture forbids (CUDA programming
// guide, "Streams", "Prohibited and unhandled operations"). Knows nothing of what work does. Not thread-safe:
// the runtime holds a lock.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/emulator/runtime/status.h"
#include "tests/emulator/runtime/work.h"

namespace emulator {

enum class CaptureMode { global, local, relaxed };  // CUDA's numbers

struct GraphNode {
    Task task;
    std::function<void()> run;
    std::vector<std::size_t> before;
};

struct Graph {
    std::vector<GraphNode> nodes;
};

struct Stream;

struct Capture {
    CaptureMode mode = CaptureMode::global;
    std::thread::id thread;
    const Stream* origin = nullptr;
    bool broken = false, ended = false;
    Graph graph;
};

struct Stream {
    int number = 0;  // 0: the legacy stream
    bool blocking = true, alive = true;
    WorkPtr tail;
    std::shared_ptr<Capture> capture;
    std::vector<std::size_t> leaves;  // of the capture: what the next node of this stream comes after
};

struct Event {
    bool timed = true, recorded = false;
    WorkPtr work;
    std::shared_ptr<double> seconds = std::make_shared<double>(0);  // when it happened
    std::shared_ptr<Capture> capture;
    std::vector<std::size_t> nodes;
};

struct Executable {
    Graph graph;
    WorkPtr last;  // of the launch before: one at a time
};

class Streams {
public:
    explicit Streams(std::uint64_t seed) : scheduler_(seed) {}

    Scheduler& scheduler() { return scheduler_; }
    Stream& legacy() { return legacy_; }
    Stream& create(bool blocking);
    void destroy(Stream& stream);
    // Refuses what is no living stream.
    Stream& checked(Stream* stream);

    // Work of a stream: kept until its turn comes, or recorded where the stream is captured.
    void submit(Stream& stream, const Task& task, const std::function<void()>& run);
    void synchronize(Stream& stream);
    void synchronize_device();
    bool idle(Stream& stream);
    // All that the stream has been given is done; of the runtime's own, with no rule of capture.
    void finish(Stream& stream) { scheduler_.finish(tail_of(stream)); }

    void record(Event& event, Stream& stream);
    void wait(Stream& stream, const Event& event);
    void synchronize(Event& event);
    bool happened(Event& event);

    void begin_capture(Stream& stream, CaptureMode mode);
    Graph end_capture(Stream& stream);
    static CaptureMode exchange_mode(CaptureMode mode);
    // Refuses a call that is not ordered by a stream (allocation, synchronous copies, queries) where a capture
    // forbids it to this thread, and breaks that capture.
    void forbid_in_capture();

    void launch(const std::shared_ptr<Executable>& executable, Stream& stream);

private:
    std::vector<WorkPtr> before(Stream& stream);
    WorkPtr tail_of(Stream& stream);
    void check_legacy();
    void check_recording(Stream& stream);
    std::vector<std::shared_ptr<Capture>> captures() const;

    Scheduler scheduler_;
    Stream legacy_;
    std::vector<std::unique_ptr<Stream>> streams_;  // dead ones too: their handles are not given out again
    std::vector<WorkPtr> orphans_;                  // of blocking streams that are no more
};

}  // namespace emulator
