#include "engine/device/thread_pool.h"

#include <string>
#include <system_error>

#include "engine/error.h"

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
    try {
        for (int t = 1; t < threads; ++t) workers_.emplace_back([this, t] { work(t); });
    } catch (const std::system_error& error) {
        const std::string started = std::to_string(workers_.size() + 1);
        end_workers();
        throw DeviceError("--threads: only " + started + " of " + std::to_string(threads) +
                          " threads could be started (" + error.code().message() +
                          "); give fewer with --threads, or raise the limit on processes");
    }
}

ThreadPool::~ThreadPool() { end_workers(); }

void ThreadPool::end_workers() {
    stop_ = true;
    epoch_.fetch_add(1);
    epoch_.notify_all();
    for (auto& worker : workers_) worker.join();
}

void ThreadPool::take_tasks(uint32 epoch) {
    constexpr uint64 kLeft = 0xffffffffull;
    uint64 ticket = ticket_.load(std::memory_order_acquire);
    while (ticket >> 32 == epoch && (ticket & kLeft) != 0) {
        if (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel,
                                           std::memory_order_acquire))
            continue;
        try {
            if (!failed_.load(std::memory_order_relaxed)) {
                check_stop();
                call_(context_, tasks_ - static_cast<index>(ticket & kLeft));
            }
        } catch (...) {
            if (!failed_.exchange(true)) error_ = std::current_exception();
        }
        if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
        ticket = ticket_.load(std::memory_order_acquire);
    }
}

void ThreadPool::work(int number) {
    worker_ = number;
    uint32 seen = 0;
    for (;;) {
        for (int spin = 0; spin < kSpins && epoch_.load(std::memory_order_acquire) == seen; ++spin)
            pause_briefly();
        epoch_.wait(seen, std::memory_order_acquire);
        seen = epoch_.load(std::memory_order_acquire);
        if (stop_) return;
        take_tasks(seen);
    }
}

void ThreadPool::run_erased(index tasks, Call call, const void* context) {
    call_ = call;
    context_ = context;
    tasks_ = tasks;
    failed_ = false;
    unfinished_.store(static_cast<int32>(tasks), std::memory_order_relaxed);
    const uint32 epoch = epoch_.load(std::memory_order_relaxed) + 1;
    ticket_.store(static_cast<uint64>(epoch) << 32 | static_cast<uint64>(tasks),
                  std::memory_order_release);
    epoch_.store(epoch, std::memory_order_release);
    epoch_.notify_all();
    take_tasks(epoch);
    for (int spin = 0; spin < kSpins; ++spin) {
        if (unfinished_.load(std::memory_order_acquire) == 0) break;
        pause_briefly();
    }
    for (int32 left; (left = unfinished_.load(std::memory_order_acquire)) != 0;)
        unfinished_.wait(left);
    if (failed_) std::rethrow_exception(error_);
}

}  // namespace microlift
