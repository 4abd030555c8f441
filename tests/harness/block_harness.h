// Runs a block kernel (kernels/block.h) without a GPU: blocks one after another, the threads of a
// block as real threads, so that address, undefined-behaviour and thread sanitizers see the
// kernel's own source.
//
// Beyond what a GPU promises it checks that every thread of a block reaches the same barriers and
// every lane of a warp the same shuffles; a kernel that diverges there throws HarnessError instead
// of hanging.
#pragma once

#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "kernels/block.h"

namespace microlift {

class HarnessError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// A barrier whose members say what they wait for. Once members disagree, or one leaves while others
// wait, every wait throws.
class HarnessBarrier {
public:
    void reset(int members) { members_ = members; }

    void wait(int purpose) {
        std::unique_lock<std::mutex> lock(mutex_);
        if (broken_.empty() && left_ > 0)
            broken_ = "a thread returned before a barrier of its block";
        if (broken_.empty() && waiting_ > 0 && purpose != purpose_)
            broken_ = "the lanes of a warp called different exchanges";
        if (!broken_.empty()) fail();
        purpose_ = purpose;
        if (++waiting_ == members_) {
            waiting_ = 0;
            ++round_;
            changed_.notify_all();
            return;
        }
        const long long round = round_;
        changed_.wait(lock, [&] { return round_ != round || !broken_.empty(); });
        if (round_ == round) fail();
    }
    // A member that will not come again.
    void leave() {
        const std::lock_guard<std::mutex> lock(mutex_);
        ++left_;
        if (waiting_ > 0 && broken_.empty())
            broken_ = "a thread returned before a barrier of its block";
        if (!broken_.empty()) changed_.notify_all();
    }

private:
    [[noreturn]] void fail() {
        changed_.notify_all();
        throw HarnessError(broken_);
    }
    std::mutex mutex_;
    std::condition_variable changed_;
    int members_ = 0, waiting_ = 0, left_ = 0, purpose_ = 0;
    long long round_ = 0;
    std::string broken_;
};

struct HarnessWarp {
    HarnessBarrier barrier;
    uint64 slot[kWarp];
};

struct HarnessState {
    HarnessBarrier block_barrier;
    std::vector<std::unique_ptr<HarnessWarp>> warps;
};

class HarnessBlock {
public:
    HarnessBlock(HarnessState& state, int thread, index block, index blocks)
        : state_(state), thread_(thread), block_(block), blocks_(blocks) {}

    int thread() const { return thread_; }
    index block() const { return block_; }
    index blocks() const { return blocks_; }
    int lane() const { return thread_ % kWarp; }
    int warp() const { return thread_ / kWarp; }

    void barrier() { state_.block_barrier.wait(0); }

    template <class T>
    T shuffle(T x, int from) {
        return exchange(x, from & (kWarp - 1), kShuffle);
    }
    template <class T>
    T shuffle_xor(T x, int mask) {
        return exchange(x, lane() ^ mask, kShuffleXor);
    }
    template <class T>
    T shuffle_down(T x, int by) {
        return exchange(x, lane() + by < kWarp ? lane() + by : lane(), kShuffleDown);
    }
    template <class T>
    T shuffle_up(T x, int by) {
        return exchange(x, lane() - by >= 0 ? lane() - by : lane(), kShuffleUp);
    }
    uint32 ballot(bool p) {
        HarnessWarp& w = my_warp();
        w.slot[lane()] = p;
        w.barrier.wait(kBallot);
        uint32 bits = 0;
        for (int j = 0; j < kWarp; ++j) bits |= static_cast<uint32>(w.slot[j] != 0) << j;
        w.barrier.wait(kBallot);
        return bits;
    }

private:
    enum Exchange { kShuffle = 1, kShuffleXor, kShuffleDown, kShuffleUp, kBallot };

    HarnessWarp& my_warp() { return *state_.warps[static_cast<std::size_t>(warp())]; }

    template <class T>
    T exchange(T x, int from, Exchange kind) {
        static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
        HarnessWarp& w = my_warp();
        // The size goes into the purpose: lanes must exchange the same type.
        const int purpose = kind * 16 + static_cast<int>(sizeof(T));
        std::memcpy(&w.slot[lane()], &x, sizeof x);
        w.barrier.wait(purpose);
        T got;
        std::memcpy(&got, &w.slot[from], sizeof got);
        w.barrier.wait(purpose);
        return got;
    }

    HarnessState& state_;
    int thread_;
    index block_, blocks_;
};

template <class Kernel>
void run_blocks(index blocks, const Kernel& kernel) {
    using Shared = typename Kernel::Shared;
    static_assert(Kernel::kThreads % kWarp == 0 && std::is_trivially_copyable_v<Shared>);
    for (index b = 0; b < blocks; ++b) {
        HarnessState state;
        state.block_barrier.reset(Kernel::kThreads);
        for (int w = 0; w < Kernel::kThreads / kWarp; ++w) {
            state.warps.push_back(std::make_unique<HarnessWarp>());
            state.warps.back()->barrier.reset(kWarp);
        }
        // On the heap, so that a sanitizer sees accesses past its end; filled with a pattern (NaN
        // as float and as double), so that a kernel that reads before it writes shows.
        const auto shared = std::make_unique<Shared>();
        std::memset(static_cast<void*>(shared.get()), 0xff, sizeof(Shared));
        std::mutex mutex;
        std::exception_ptr error;
        std::vector<std::thread> threads;
        for (int t = 0; t < Kernel::kThreads; ++t) {
            threads.emplace_back([&, t] {
                try {
                    HarnessBlock block(state, t, b, blocks);
                    kernel(block, *shared);
                } catch (...) {
                    const std::lock_guard<std::mutex> lock(mutex);
                    if (!error) error = std::current_exception();
                }
                state.block_barrier.leave();
                state.warps[static_cast<std::size_t>(t / kWarp)]->barrier.leave();
            });
        }
        for (auto& thread : threads) thread.join();
        if (error) std::rethrow_exception(error);
    }
}

}  // namespace microlift
