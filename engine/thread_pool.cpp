#include "engine/thread_pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace microlift {

namespace {

// About 20 µs of spinning: longer than the gap between the kernels of a training step.
constexpr int kSpins = 2000;

void pause_briefly() {
#if defined(__x86_64__)
    _mm_pause();
#endif
}

}  // namespace

thread_local int ThreadPool::worker_ = 0;

ThreadPool::ThreadPool(int threads) {
    for (int t = 1; t < threads; ++t) workers_.emplace_back([this, t] { work(t); });
}

ThreadPool::~ThreadPool() {
    stop_ = true;
    epoch_.fetch_add(1);
    epoch_.notify_all();
    for (auto& worker : workers_) worker.join();
}

void ThreadPool::take_tasks() {
    try {
        for (index t; (t = next_.fetch_add(1, std::memory_order_relaxed)) < tasks_;)
            call_(context_, t);
    } catch (...) {
        next_.store(tasks_);
        if (!failed_.exchange(true)) error_ = std::current_exception();
    }
}

void ThreadPool::work(int number) {
    worker_ = number;
    uint32 seen = 0;
    for (;;) {
        for (int spin = 0; spin < kSpins && epoch_.load(std::memory_order_acquire) == seen; ++spin)
            pause_briefly();
        epoch_.wait(seen, std::memory_order_acquire);
        ++seen;  // every section is joined by every worker, so epochs are never skipped
        if (stop_) return;
        take_tasks();
        if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
    }
}

void ThreadPool::run_erased(index tasks, Call call, const void* context) {
    call_ = call;
    context_ = context;
    tasks_ = tasks;
    failed_ = false;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    epoch_.fetch_add(1, std::memory_order_release);
    epoch_.notify_all();
    take_tasks();
    for (int spin = 0; spin < kSpins; ++spin) {
        if (busy_.load(std::memory_order_acquire) == 0) break;
        pause_briefly();
    }
    for (int left; (left = busy_.load(std::memory_order_acquire)) != 0;) busy_.wait(left);
    if (failed_) std::rethrow_exception(error_);
}

}  // namespace microlift
