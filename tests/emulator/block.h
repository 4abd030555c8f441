// Runs a block kernel (kernels/block/block.h) without a GPU: blocks one after another, the threads of a
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

#include "kernels/block/block.h"

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
    uint32 left[kWarp][4], right[kWarp][2];  // fragments of a matrix product
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

    // Sums in double precision, rounded once: the hardware's order and rounding are its own.
    void mma_tf32(float (&c)[4], const uint32 (&a)[4], const uint32 (&b)[2]) {
        multiply<8>(c, a, b, kMmaTf32, [](uint32 word, int) {
            return __builtin_bit_cast(float, word & 0xffffe000u);
        });
    }
    void mma_bf16(float (&c)[4], const uint32 (&a)[4], const uint32 (&b)[2]) {
        multiply<16>(c, a, b, kMmaBf16, [](uint32 word, int k) {
            return __builtin_bit_cast(float, k % 2 == 0 ? word << 16 : word & 0xffff0000u);
        });
    }

private:
    enum Exchange {
        kShuffle = 1,
        kShuffleXor,
        kShuffleDown,
        kShuffleUp,
        kBallot,
        kMmaTf32,
        kMmaBf16
    };

    // PTX ISA, "matrix fragments for mma.m16n8k8 / .m16n8k16": a word holds kDepth/8 numbers along k; a
    // lane holds rows lane/4 and lane/4 + 8 of A and column lane/4 of B, at k-words lane%4 and
    // lane%4 + 4.
    template <int kDepth, class Number>
    void multiply(float (&c)[4], const uint32 (&a)[4], const uint32 (&b)[2], Exchange kind,
                  const Number& number) {
        HarnessWarp& w = my_warp();
        std::memcpy(w.left[lane()], a, sizeof a);
        std::memcpy(w.right[lane()], b, sizeof b);
        w.barrier.wait(kind * 16);
        for (int i = 0; i < 4; ++i) {
            const int row = lane() / 4, column = lane() % 4 * 2 + i % 2;
            double sum = static_cast<double>(c[i]);
            for (int k = 0; k < kDepth; ++k) {
                const int word = k / (kDepth / 8), upper = word / 4;
                const uint32 left = w.left[row * 4 + word % 4][i / 2 + 2 * upper];
                const uint32 right = w.right[column * 4 + word % 4][upper];
                sum += static_cast<double>(number(left, k)) * static_cast<double>(number(right, k));
            }
            c[i] = static_cast<float>(sum);
        }
        w.barrier.wait(kind * 16);
    }

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
