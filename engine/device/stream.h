// A stream runs work in order; a graph is a recorded piece of it that can be replayed cheaply.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "engine/device/device.h"
#include "engine/stop.h"

namespace microlift {

class Stream;

// Work recorded once (no allocation, no copy to or from the host inside) and replayed any number of
// times. What changes between replays lives in device memory.
class Graph {
public:
    Graph() = default;
    Graph(Graph&&) noexcept;
    Graph& operator=(Graph&&) noexcept;
    ~Graph();
    // Runs the recorded work once more, behind what the stream has been given.
    void replay(Stream& stream) const;
    // Kernels and copies in one replay.
    index nodes() const { return nodes_; }

private:
    friend class Stream;
    std::vector<std::function<void()>> calls_;  // CPU
    void* executable_ = nullptr;                // cudaGraphExec_t
    index nodes_ = 0;
};

// The work of one thread on a device, in the order in which it is given.
class Stream {
public:
    // On CUDA a stream of its own; on the CPU work is done when it is given.
    explicit Stream(const Device& device);
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    // Where it runs.
    const Device& device() const { return device_; }
    // Waits until all that was given is done. Throws DeviceError where it failed.
    void synchronize();
    // A cudaStream_t; null on the CPU.
    void* cuda_stream() const { return cuda_stream_; }

    // Runs a host call now, or keeps it for the graph that is being recorded. CPU only.
    template <class Call>
    void submit(const Call& call) {
        if (recording_) {
            recording_->calls_.emplace_back(call);
            return;
        }
        check_stop();
        call();
    }

    // What work() launches and copies, kept instead of run; work() may neither allocate nor copy to or from the host.
    template <class Work>
    Graph record(const Work& work) {
        begin_recording();
        try {
            work();
        } catch (...) {
            abandon_recording();
            throw;
        }
        return end_recording();
    }

private:
    void begin_recording();
    Graph end_recording();
    void abandon_recording();

    Device device_;
    void* cuda_stream_ = nullptr;
    std::unique_ptr<Graph> recording_;
};

}  // namespace microlift
