// A pool for short parallel sections: workers spin briefly for the next one, then sleep. A worker that is
// held up, because its core is busy otherwise, leaves its share of the tasks to the others.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "engine/stop.h"
#include "kernels/lane/lane.h"

namespace microlift {

class ThreadPool {
public:
    explicit ThreadPool(int threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    // Of the thread that runs a task: 0 for the caller of run(), 1 … threads() − 1.
    static int worker() { return worker_; }

    int threads() const { return static_cast<int>(workers_.size()) + 1; }

    // Calls task(t) for every t < tasks, in any order and on any thread; returns when all are done.
    // One call at a time; tasks must not call run() again. An exception of a task is rethrown here; a
    // signal that stops the process is one, between tasks.
    template <class Task>
    void run(index tasks, const Task& task) {
        if (workers_.empty() || tasks <= 1) {
            for (index t = 0; t < tasks; ++t) {
                check_stop();
                task(t);
            }
            return;
        }
        run_erased(tasks, [](const void* context, index t) {
            (*static_cast<const Task*>(context))(t);
        }, &task);
    }

private:
    using Call = void (*)(const void*, index);
    void run_erased(index tasks, Call call, const void* context);
    void end_workers();
    void work(int number);
    void take_tasks(uint32 epoch);

    static thread_local int worker_;
    std::vector<std::thread> workers_;
    // Of the section that runs; a worker reads them only while it holds one of its tasks.
    Call call_ = nullptr;
    const void* context_ = nullptr;
    index tasks_ = 0;
    std::exception_ptr error_;
    std::atomic<bool> failed_{false};
    // Epoch of the section in the upper half, tasks that nobody has taken in the lower one. A worker that
    // comes late finds none and goes back to waiting: nobody waits for it.
    alignas(64) std::atomic<uint64> ticket_{0};
    alignas(64) std::atomic<uint32> epoch_{0};
    alignas(64) std::atomic<int32> unfinished_{0};
    std::atomic<bool> stop_{false};
};

}  // namespace microlift
