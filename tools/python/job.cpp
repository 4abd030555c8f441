#include "tools/python/job.h"

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include "engine/embedded.h"
#include "engine/error.h"
#include "engine/stop.h"

namespace microlift {
namespace {

namespace py = pybind11;

constexpr auto kLook = std::chrono::milliseconds(50);

struct Event {
    std::string name;
    std::string text = {}, unit = {};
    double total = 0, already = 0;
};

// Keeps what the work tells until somebody asks.
class Told : public ProgressListener {
public:
    void begun(const StageProgress& at) override {
        const std::lock_guard lock(mutex_);
        events_.push_back({"begin", at.stage, at.unit, at.total, at.first});
        done_.reset();
    }
    void moved(const StageProgress& at) override {
        const std::lock_guard lock(mutex_);
        done_ = at.done;
    }
    void ended(const StageProgress&) override {
        const std::lock_guard lock(mutex_);
        if (done_) events_.push_back({"update", "", "", *done_});
        done_.reset();
        events_.push_back({"end"});
    }
    void noted(const std::string& line) override { say("note", line); }
    void warned(const std::string& message) override { say("warn", message); }
    void told(const std::string& text) override { say("tell", text); }

    std::deque<Event> take() {
        const std::lock_guard lock(mutex_);
        std::deque<Event> taken;
        taken.swap(events_);
        if (done_) taken.push_back({"update", "", "", *done_});
        done_.reset();
        return taken;
    }

private:
    void say(const char* kind, const std::string& text) {
        const std::lock_guard lock(mutex_);
        events_.push_back({kind, text});
    }
    std::mutex mutex_;
    std::deque<Event> events_;
    std::optional<double> done_;
};

void hand_on(Told& told, const py::object& listener) {
    for (const Event& event : told.take()) {
        if (event.name == "begin")
            listener(event.name, event.text, event.total, event.unit, event.already);
        else if (event.name == "update")
            listener(event.name, event.total);
        else if (event.name == "end")
            listener(event.name);
        else
            listener(event.name, event.text);
    }
}

}  // namespace

void run_watched(const std::function<void(Progress&)>& work, const py::object& listener) {
    static std::mutex one_at_a_time;
    const std::unique_lock alone(one_at_a_time, std::try_to_lock);
    if (!alone)
        throw InputError("another run is going on in this process; wait for its end, or use another process");
    forget_stop();
    Told told;
    std::exception_ptr problem;
    std::mutex mutex;
    std::condition_variable ended;
    bool over = false;
    std::thread worker([&] {
        try {
            Progress progress(told);
            work(progress);
        } catch (...) {
            problem = std::current_exception();
        }
        const std::lock_guard lock(mutex);
        over = true;
        ended.notify_one();
    });
    std::optional<py::error_already_set> raised;
    for (bool last = false; !last;) {
        {
            const py::gil_scoped_release release;
            std::unique_lock lock(mutex);
            last = ended.wait_for(lock, kLook, [&] { return over; });
        }
        if (raised) continue;
        try {
            if (PyErr_CheckSignals() != 0) throw py::error_already_set();
            hand_on(told, listener);
        } catch (const py::error_already_set& error) {
            raised.emplace(error);
            request_stop(SIGINT);
        }
    }
    {
        const py::gil_scoped_release release;
        worker.join();
    }
    forget_stop();
    if (raised) throw py::error_already_set(*raised);
    if (problem) std::rethrow_exception(problem);
}

}  // namespace microlift
