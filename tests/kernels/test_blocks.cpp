// The harness itself, and the block kernels on it. Uses nothing of the library, because it is also
// built under the sanitizers.
#include <cmath>
#include <cstring>
#include <vector>

#include <doctest/doctest.h>

#include "kernels/block/reduce.cuh"
#include "tests/emulator/block.h"

namespace microlift {

namespace {

bool same_bits(double a, double b) {
    return std::memcmp(&a, &b, sizeof a) == 0;
}

std::vector<float> numbers(index n, float scale, float shift) {
    std::vector<float> x(static_cast<std::size_t>(n));
    uint64 state = 12345;
    for (float& value : x) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        value = shift + scale * (static_cast<float>(state >> 40) * 0x1p-23f - 1.0f);
    }
    return x;
}

// Every primitive once; out: (6, threads).
struct PrimitivesKernel {
    static constexpr int kThreads = 64;
    struct Shared {
        int value[kThreads];
    };
    double* out;

    template <class Block>
    LANE_FN void operator()(Block& block, Shared& shared) const {
        const int t = block.thread();
        shared.value[t] = 10 * t;
        block.barrier();
        out[t] = shared.value[(t + 1) % kThreads];
        out[64 + t] = block.shuffle_down(static_cast<float>(t), 4);
        out[128 + t] = block.shuffle_up(static_cast<double>(t), 3);
        out[192 + t] = block.shuffle_xor(t, 5);
        out[256 + t] = block.shuffle(t, 7);
        out[320 + t] = block.ballot(t % 3 == 0);
    }
};

struct DivergentBarrierKernel {
    static constexpr int kThreads = 64;
    struct Shared {};
    template <class Block>
    LANE_FN void operator()(Block& block, Shared&) const {
        if (block.thread() != 5) block.barrier();
    }
};

struct DivergentShuffleKernel {
    static constexpr int kThreads = 32;
    struct Shared {};
    float* out;
    template <class Block>
    LANE_FN void operator()(Block& block, Shared&) const {
        const float x = 1.0f;
        out[block.thread()] =
            block.thread() < 16 ? block.shuffle_xor(x, 1) : block.shuffle_down(x, 1);
    }
};

struct UnwrittenSharedKernel {
    static constexpr int kThreads = 32;
    struct Shared {
        double value;
    };
    double* out;
    template <class Block>
    LANE_FN void operator()(Block& block, Shared& shared) const {
        if (block.thread() == 0) out[block.block()] = shared.value;
    }
};

}  // namespace

TEST_CASE("harness: barrier, shuffles and ballot do what CUDA's do") {
    std::vector<double> out(384);
    run_blocks(1, PrimitivesKernel{out.data()});
    for (int t = 0; t < 64; ++t) {
        const int lane = t % 32, first = t - lane;
        const auto at = [&](int k) { return out[static_cast<std::size_t>(64 * k + t)]; };
        CHECK(at(0) == 10 * ((t + 1) % 64));
        CHECK(at(1) == (lane + 4 < 32 ? t + 4 : t));
        CHECK(at(2) == (lane >= 3 ? t - 3 : t));
        CHECK(at(3) == first + (lane ^ 5));
        CHECK(at(4) == first + 7);
        uint32 bits = 0;
        for (int j = 0; j < 32; ++j) bits |= static_cast<uint32>((first + j) % 3 == 0) << j;
        CHECK(at(5) == bits);
    }
}

TEST_CASE("harness: divergence at a barrier or a shuffle is an error, not a hang") {
    CHECK_THROWS_AS(run_blocks(1, DivergentBarrierKernel{}), HarnessError);
    std::vector<float> out(32);
    CHECK_THROWS_AS(run_blocks(1, DivergentShuffleKernel{out.data()}), HarnessError);
}

TEST_CASE("harness: shared memory starts as NaN in every block") {
    double out[2] = {0.0, 0.0};
    run_blocks(2, UnwrittenSharedKernel{out});
    CHECK(std::isnan(out[0]));
    CHECK(std::isnan(out[1]));
}

TEST_CASE("block reduction: sums, extremes and counts of ragged chunks") {
    for (const index n : {1ll, 31ll, 257ll, 4096ll, 4099ll}) {
        CAPTURE(n);
        std::vector<float> x = numbers(n, 3.0f, 1.0f);
        const index chunks = (n + kReduceChunk - 1) / kReduceChunk;
        std::vector<double> out(static_cast<std::size_t>(chunks));
        double sum = 0.0, least = x[0], most = x[0], total = 0.0, magnitude = 0.0;
        for (const float v : x) {
            sum += v;
            magnitude += std::fabs(v);
            least = std::fmin(least, v);
            most = std::fmax(most, v);
        }
        run_blocks(chunks, ReduceKernel<SumOp, float>{{}, x.data(), n, n, chunks, out.data()});
        for (const double v : out) total += v;
        // Any order of additions errs by less than n roundings of the sum of magnitudes.
        CHECK(std::fabs(total - sum) <= static_cast<double>(n) * 0x1p-52 * magnitude);
        run_blocks(chunks, ReduceKernel<MinOp, float>{{}, x.data(), n, n, chunks, out.data()});
        double found = out[0];
        for (const double v : out) found = std::fmin(found, v);
        CHECK(found == least);
        run_blocks(chunks, ReduceKernel<MaxOp, float>{{}, x.data(), n, n, chunks, out.data()});
        found = out[0];
        for (const double v : out) found = std::fmax(found, v);
        CHECK(found == most);
        x[0] = std::nanf("");
        x[static_cast<std::size_t>(n - 1)] = -HUGE_VALF;
        run_blocks(chunks,
                   ReduceKernel<NonFiniteOp, float>{{}, x.data(), n, n, chunks, out.data()});
        total = 0.0;
        for (const double v : out) total += v;
        CHECK(total == (n == 1 ? 1.0 : 2.0));
    }
}

TEST_CASE("block reduction: every block reads its own row and chunk") {
    // Row r holds r + 1 in each place: its chunk sums are known exactly.
    const index rows = 3, columns = kReduceChunk + 5, stride = columns + 7, chunks = 2;
    std::vector<float> x(static_cast<std::size_t>(rows * stride), -1000.0f);
    for (index r = 0; r < rows; ++r)
        for (index i = 0; i < columns; ++i)
            x[static_cast<std::size_t>(r * stride + i)] = static_cast<float>(r + 1);
    std::vector<double> out(static_cast<std::size_t>(rows * chunks));
    run_blocks(rows * chunks,
               ReduceKernel<SumOp, float>{{}, x.data(), columns, stride, chunks, out.data()});
    for (index r = 0; r < rows; ++r) {
        CHECK(out[static_cast<std::size_t>(2 * r)] == static_cast<double>((r + 1) * kReduceChunk));
        CHECK(out[static_cast<std::size_t>(2 * r + 1)] == static_cast<double>((r + 1) * 5));
    }
}

TEST_CASE("block scan: prefix sums of whole numbers are exact") {
    const index n = kReduceChunk + 1234, chunks = 2;
    std::vector<float> x(static_cast<std::size_t>(n));
    for (index i = 0; i < n; ++i) x[static_cast<std::size_t>(i)] = static_cast<float>(i % 7 - 2);
    std::vector<double> out(static_cast<std::size_t>(n)), total(2);
    run_blocks(chunks, ScanKernel<float>{x.data(), n, out.data(), total.data()});
    std::vector<double> prefix = total;
    prefix[1] += prefix[0];
    run_blocks(chunks, ScanOffsetKernel{out.data(), n, prefix.data()});
    double sum = 0.0;
    index wrong = 0;
    for (index i = 0; i < n; ++i) {
        sum += x[static_cast<std::size_t>(i)];
        wrong += !same_bits(out[static_cast<std::size_t>(i)], sum);
    }
    CHECK(wrong == 0);
    CHECK(prefix[1] == sum);
}

}  // namespace microlift
