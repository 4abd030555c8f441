// engine/launch/reduce.h and engine/launch/sort.h on every device; the CPU's reductions against the CUDA kernels'
// own source on the harness, bit for bit.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include <doctest/doctest.h>

#include "engine/launch/gather.h"
#include "engine/launch/reduce.h"
#include "engine/launch/sort.h"
#include "kernels/block/reduce.cuh"
#include "tests/support/devices.h"
#include "tests/emulator/block.h"

namespace microlift {

namespace {

std::vector<float> noise(index n, uint64 seed) {
    std::vector<float> x(static_cast<std::size_t>(n));
    uint64 state = seed;
    for (float& value : x) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        value = static_cast<float>(state >> 40) * 0x1p-20f - 7.0f;
    }
    return x;
}

bool same(const std::vector<double>& a, const std::vector<double>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

struct Reduced {
    std::vector<double> sum, least, most, bad, mean, variance, lse;
};

template <class T>
Reduced reduce_all(const Device& device, const std::vector<T>& host, index rows, index columns,
                   index stride) {
    Stream stream(device);
    Buffer<T> data(device, static_cast<index>(host.size()));
    copy_to_device(stream, data.span(), host.data());
    Buffer<double> a(device, rows), b(device, rows), scratch(device, reduce_scratch(rows, columns));
    const Rows<T> x(data.data(), rows, columns, stride);
    Reduced r;
    const auto get = [&](Buffer<double>& from) { return to_host(stream, from.span()); };
    row_sum(stream, x, a.span(), scratch.span()), r.sum = get(a);
    row_min(stream, x, a.span(), scratch.span()), r.least = get(a);
    row_max(stream, x, a.span(), scratch.span()), r.most = get(a);
    row_non_finite(stream, x, a.span(), scratch.span()), r.bad = get(a);
    row_mean_variance(stream, x, a.span(), b.span(), scratch.span());
    r.mean = get(a), r.variance = get(b);
    row_log_sum_exp(stream, x, a.span(), b.span(), scratch.span()), r.lse = get(a);
    return r;
}

std::vector<double> scan(const Device& device, const std::vector<double>& host) {
    Stream stream(device);
    const index n = static_cast<index>(host.size());
    Buffer<double> x(device, n), scratch(device, reduce_scratch(1, n) + 8);
    copy_to_device(stream, x.span(), host.data());
    prefix_sum(stream, x.span(), x.span(), scratch.span());
    return to_host(stream, x.span());
}

std::vector<double> scan(const Device& device, const std::vector<float>& host) {
    Stream stream(device);
    const index n = static_cast<index>(host.size());
    Buffer<float> x(device, n);
    Buffer<double> out(device, n), scratch(device, reduce_scratch(1, n) + 8);
    copy_to_device(stream, x.span(), host.data());
    prefix_sum(stream, x.span(), out.span(), scratch.span());
    return to_host(stream, out.span());
}

// What CUDA does, on the harness.
template <class Op>
double harness_reduce(const Op& op, std::vector<float> x) {
    index n = static_cast<index>(x.size()), chunks = (n + kReduceChunk - 1) / kReduceChunk;
    std::vector<double> level(static_cast<std::size_t>(chunks)), next(1);
    run_blocks(chunks, ReduceKernel<Op, float>{op, x.data(), n, n, chunks, level.data()});
    if (chunks == 1) return level[0];
    run_blocks(
        1, ReduceKernel<CombineOp<Op>, double>{{op}, level.data(), chunks, chunks, 1, next.data()});
    return next[0];
}

}  // namespace

TEST_CASE("reductions agree with plain loops") {
    for (const Device& device : test_devices()) {
        CAPTURE(device.description());
        for (const index columns : {1ll, 100ll, 4096ll, 4097ll, 70001ll}) {
            CAPTURE(columns);
            const index rows = 3, stride = columns + 9;
            const std::vector<float> x = noise(rows * stride, 7);
            const Reduced r = reduce_all(device, x, rows, columns, stride);
            for (index row = 0; row < rows; ++row) {
                const auto k = static_cast<std::size_t>(row);
                const float* p = x.data() + row * stride;
                long double sum = 0, squares = 0, exps = 0;
                for (index i = 0; i < columns; ++i) sum += p[i];
                const long double mean = sum / static_cast<long double>(columns);
                for (index i = 0; i < columns; ++i) {
                    squares += (p[i] - mean) * (p[i] - mean);
                    exps += expl(p[i]);
                }
                // The tree has at most 16 + 8 additions in a chain for each level.
                const double tolerance = 64 * 0x1p-53;
                const double n = static_cast<double>(columns);
                CHECK(std::fabs(r.sum[k] - static_cast<double>(sum)) <= tolerance * 10 * n);
                CHECK(r.least[k] == *std::min_element(p, p + columns));
                CHECK(r.most[k] == *std::max_element(p, p + columns));
                CHECK(r.bad[k] == 0.0);
                CHECK(std::fabs(r.mean[k] - static_cast<double>(mean)) <= tolerance * 10);
                CHECK(r.variance[k] ==
                      doctest::Approx(static_cast<double>(squares) / n).epsilon(1e-13));
                CHECK(r.lse[k] == doctest::Approx(static_cast<double>(logl(exps))).epsilon(1e-14));
            }
        }
    }
}

TEST_CASE("reductions: infinite, NaN and empty rows") {
    const double inf = std::numeric_limits<double>::infinity(), nan = std::nan("");
    for (const Device& device : test_devices()) {
        const std::vector<double> x{nan,  -inf, 1.0,  2.0,   // NaN present
                                    -inf, -inf, -inf, -inf,  // nothing
                                    inf,  0.0,  0.0,  1.0,   // +∞
                                    1e4,  1e4,  -1e4, 1e4};  // e^x overflows
        const Reduced r = reduce_all(device, x, 4, 4, 4);
        CHECK(r.bad == std::vector<double>{2, 4, 1, 0});
        CHECK(r.least == std::vector<double>{-inf, -inf, 0, -1e4});
        CHECK(r.most == std::vector<double>{2, -inf, inf, 1e4});
        CHECK(std::isnan(r.lse[0]));
        CHECK(r.lse[1] == -inf);
        CHECK(r.lse[2] == inf);
        CHECK(r.lse[3] == doctest::Approx(1e4 + std::log(3.0)).epsilon(1e-15));
        const Reduced none = reduce_all(device, x, 1, 0, 4);
        CHECK(none.sum[0] == 0.0);
        CHECK(none.least[0] == inf);
        CHECK(none.most[0] == -inf);
        CHECK(none.lse[0] == -inf);
    }
}

TEST_CASE("reductions: the same bits with any number of threads and on every device") {
    const index rows = 2, columns = 300007;
    const std::vector<float> x = noise(rows * columns, 99);
    const Reduced one = reduce_all(Device::cpu(1), x, rows, columns, columns);
    std::vector<Device> others{Device::cpu(2), Device::cpu(5)};
    for (const Device& device : test_devices()) others.push_back(device);
    std::vector<double> wide(x.begin(), x.end());
    const std::vector<double> prefix = scan(Device::cpu(1), wide);
    for (const Device& device : others) {
        CAPTURE(device.description());
        const Reduced r = reduce_all(device, x, rows, columns, columns);
        CHECK(same(r.sum, one.sum));
        CHECK(same(r.least, one.least));
        CHECK(same(r.most, one.most));
        CHECK(same(r.mean, one.mean));
        CHECK(same(r.variance, one.variance));
        CHECK(same(r.lse, one.lse));
        CHECK(same(scan(device, wide), prefix));
    }
}

TEST_CASE("reductions: the CPU has the bits of the CUDA kernels' source") {
    for (const index n : {5ll, 300ll, 4096ll, 13001ll}) {
        CAPTURE(n);
        const std::vector<float> x = noise(n, 31);
        const Reduced r = reduce_all(Device::cpu(2), x, 1, n, n);
        CHECK(harness_reduce(SumOp{}, x) == r.sum[0]);
        CHECK(harness_reduce(MinOp{}, x) == r.least[0]);
        CHECK(harness_reduce(MaxOp{}, x) == r.most[0]);
        const double mean = harness_reduce(SumOp{}, x) / static_cast<double>(n);
        CHECK(mean == r.mean[0]);
        CHECK(harness_reduce(SquaresAboutMeanOp{&mean}, x) / static_cast<double>(n) ==
              r.variance[0]);
        const double most = r.most[0];
        CHECK(most + log<Portable>(harness_reduce(ExpBelowMaxOp{&most}, x)) == r.lse[0]);

        const std::vector<double> wide(x.begin(), x.end());
        const std::vector<double> prefix = scan(Device::cpu(2), wide);
        const index chunks = (n + kReduceChunk - 1) / kReduceChunk;
        std::vector<double> out(x.size()), total(static_cast<std::size_t>(chunks)), sums(total),
            top(1);
        run_blocks(chunks, ScanKernel<double>{wide.data(), n, out.data(), total.data()});
        if (chunks > 1) {
            run_blocks(1, ScanKernel<double>{total.data(), chunks, sums.data(), top.data()});
            run_blocks(chunks, ScanOffsetKernel{out.data(), n, sums.data()});
        }
        CHECK(same(out, prefix));
    }
}

TEST_CASE("prefix sums agree with a plain loop") {
    for (const Device& device : test_devices()) {
        for (const index n : {1ll, 17ll, 4096ll, 4097ll, 200000ll}) {
            CAPTURE(n);
            const std::vector<float> x = noise(n, 3);
            const std::vector<double> wide(x.begin(), x.end());
            const std::vector<double> prefix = scan(device, wide);
            CHECK(scan(device, x) == prefix);  // of the same numbers in single precision
            long double sum = 0.0, magnitude = 0.0;
            double worst = 0.0;
            for (std::size_t i = 0; i < x.size(); ++i) {
                sum += x[i];
                magnitude += fabsl(x[i]);
                worst = std::max(worst, static_cast<double>(fabsl(prefix[i] - sum) / magnitude));
            }
            CHECK(worst <= 64 * 0x1p-53);
        }
    }
}

TEST_CASE("reductions may be recorded, and too little scratch is refused") {
    for (const Device& device : test_devices()) {
        Stream stream(device);
        const index n = 10000;
        Buffer<float> x(device, n);
        Buffer<double> out(device, 1), scratch(device, reduce_scratch(1, n));
        const Span<double> none;
        CHECK_THROWS_AS(row_sum(stream, x.span(), out.span(), none), std::logic_error);
        const Graph graph =
            stream.record([&] { row_sum(stream, x.span(), out.span(), scratch.span()); });
        for (const float value : {1.0f, 2.0f}) {
            const std::vector<float> host(static_cast<std::size_t>(n), value);
            copy_to_device(stream, x.span(), host.data());
            graph.replay(stream);
            CHECK(to_host(stream, out.span())[0] == n * static_cast<double>(value));
        }
    }
}

TEST_CASE("gather: chosen columns, in any order and again, on every device, recorded too") {
    const index row = 1000, variables = 3;
    const std::vector<float> x = noise(variables * row, 9);
    for (const index n : {1ll, 257ll, 9001ll}) {
        std::vector<index> which;
        for (index i = 0; i < n; ++i) which.push_back(i * 7919 % 997);
        for (const Device& device : test_devices()) {
            CAPTURE(device.description());
            Stream stream(device);
            Buffer<float> from(device, variables * row), out(device, variables * n);
            Buffer<index> chosen(device, n);
            copy_to_device(stream, from.span(), x.data());
            copy_to_device(stream, chosen.span(), which.data());
            const Graph graph = stream.record(
                [&] { gather_columns(stream, from.data(), row, variables, chosen.span(), out.data()); });
            graph.replay(stream);
            const std::vector<float> made = to_host(stream, out.span());
            index wrong = 0;
            for (index d = 0; d < variables; ++d)
                for (index i = 0; i < n; ++i)
                    wrong += made[static_cast<std::size_t>(d * n + i)] !=
                             x[static_cast<std::size_t>(d * row + which[static_cast<std::size_t>(i)])];
            CHECK(wrong == 0);
        }
    }
}

TEST_CASE("sort: order, stability, special values, rows") {
    for (const Device& device : test_devices()) {
        CAPTURE(device.description());
        Stream stream(device);
        for (const index n : {1ll, 2ll, 1000ll, 70000ll}) {
            CAPTURE(n);
            std::vector<float> x = noise(n, 5);
            for (float& v : x) v = std::round(v * 16.0f);  // many equal keys
            if (n > 10) {
                x[3] = HUGE_VALF, x[4] = -HUGE_VALF, x[5] = -0.0f, x[6] = 0.0f;
                x[7] = std::nanf("");
            }
            Buffer<float> keys(device, n);
            Buffer<uint32> values(device, n);
            Buffer<unsigned char> scratch(device, sort_scratch(device, n));
            std::vector<uint32> order(static_cast<std::size_t>(n));
            std::iota(order.begin(), order.end(), 0u);
            copy_to_device(stream, keys.span(), x.data());
            copy_to_device(stream, values.span(), order.data());
            sort_pairs(stream, keys.span(), values.span(), scratch.span());
            std::stable_sort(order.begin(), order.end(), [&](uint32 a, uint32 b) {
                return std::isnan(x[b]) ? !std::isnan(x[a]) : x[a] < x[b];
            });
            CHECK(to_host(stream, values.span()) == order);
            const std::vector<float> sorted = to_host(stream, keys.span());
            index wrong = 0;
            for (std::size_t i = 0; i < x.size(); ++i)
                wrong += as_uint(sorted[i]) != as_uint(x[order[i]]);
            CHECK(wrong == 0);
            copy_to_device(stream, keys.span(), x.data());
            sort(stream, keys.span(), scratch.span());
            const std::vector<float> alone = to_host(stream, keys.span());
            CHECK(std::memcmp(alone.data(), sorted.data(), sorted.size() * sizeof(float)) == 0);
        }
        // A tile of a block, some, and many that a block takes in turns.
        for (const auto& [rows, columns] : {std::pair<index, index>{7, 500}, {3, 9001}, {2, 63001}}) {
            CAPTURE(columns);
            const index stride = columns + 12;
            std::vector<float> x = noise(rows * stride, 77), expected = x;
            Buffer<float> data(device, rows * stride);
            Buffer<unsigned char> scratch(device, sort_scratch_rows(device, rows, columns, stride));
            copy_to_device(stream, data.span(), x.data());
            sort_rows(stream, data.data(), rows, columns, stride, scratch.span());
            for (index r = 0; r < rows; ++r)
                std::sort(expected.begin() + r * stride, expected.begin() + r * stride + columns);
            CHECK(to_host(stream, data.span()) == expected);
            CHECK_THROWS_AS(sort(stream, data.span(), {}), std::logic_error);
        }
    }
}

}  // namespace microlift
