// Block kernels that add up samples, on the harness: the CUDA kernels' own source against what the CPU does, bit
// for bit. What the sums themselves are worth is tested where they are used.
#include <cmath>
#include <cstring>
#include <vector>

#include <doctest/doctest.h>

#include "engine/launch/reduce.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "nn/generators/gan_bodies.h"
#include "nn/layers/whitening_bodies.h"
#include "nn/train/judge.h"
#include "nn/train/loss.h"
#include "sampling/closure/burst_block.h"
#include "sampling/estimate/conditional_kernels.h"
#include "sampling/estimate/mixture_pass.h"
#include "sampling/estimate/window_kernels.h"
#include "tests/emulator/block.h"

namespace microlift {

namespace {

std::size_t u(index i) { return static_cast<std::size_t>(i); }

std::vector<float> normals(index n, uint32 seed) {
    std::vector<float> x;
    for (index i = 0; i < n; ++i) {
        float z[4];
        normal_block<Portable>(PhiloxStream<float>(seed, kStreamTest, i), 0, z);
        x.push_back(z[0]);
    }
    return x;
}

template <class T>
index different(const std::vector<T>& a, const std::vector<T>& b) {
    REQUIRE(a.size() == b.size());
    index count = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        count += std::memcmp(&a[i], &b[i], sizeof(T)) != 0;
    return count;
}

template <class T>
Span<T> span(std::vector<T>& v) {
    return {v.data(), static_cast<index>(v.size())};
}

std::vector<double> added(Stream& stream, const Tables& t) {
    std::vector<double> out(u(t.batches * t.columns)), scratch(u(table_scratch(t)));
    sum_tables(stream, t, span(out), span(scratch));
    return out;
}

// Windows × replicas trajectories of so many samples, each window about a centre of its own.
struct Sampled {
    SampleBlock run;
    std::vector<float> xi;
    BiasedSamples samples;

    Sampled(index windows, index replicas, index length, int cvs = 1) {
        run = {0, 0, windows, replicas, length};
        const index n = run.size();
        xi = normals(cvs * n, 7);
        for (index j = 0; j < cvs * n; ++j)
            xi[u(j)] = 0.3f * xi[u(j)] +
                       static_cast<float>(j % n % run.trajectories() / replicas) - 1.0f;
        samples.xi = Span<const float>(xi.data(), cvs * n);
        samples.row = samples.n = n;
        samples.n_cvs = cvs;
        samples.blocks = {run};
    }
};

}  // namespace

TEST_CASE("sums of tables: the CPU has the bits of the CUDA kernel's source, and adds where asked to") {
    Stream stream(Device::cpu(2));
    const index batches = 2, rows = 150, columns = 131, stride = 140;
    std::vector<double> x;
    for (const float v : normals(batches * rows * stride, 3)) x.push_back(static_cast<double>(v));
    const Tables tables{x.data(), batches, rows, columns, stride};
    const std::vector<double> out = added(stream, tables);
    const index chunks = 3, tiles = 2;
    std::vector<double> level(u(batches * chunks * columns)), expected(u(batches * columns), 1.0);
    run_blocks(batches * chunks * tiles,
               ColumnSumKernel{x.data(), rows, columns, stride, chunks, tiles, level.data(), false});
    run_blocks(batches * tiles, ColumnSumKernel{level.data(), chunks, columns, columns, 1, tiles,
                                                expected.data(), true});
    std::vector<double> more(expected.size(), 1.0), scratch(u(table_scratch(tables)));
    sum_tables(stream, tables, span(more), span(scratch), true);
    CHECK(different(more, expected) == 0);
    for (index i = 0; i < batches * columns; ++i) {
        double sum = 0;
        for (index r = 0; r < rows; ++r)
            sum += x[u((i / columns * rows + r) * stride + i % columns)];
        CHECK(out[u(i)] == doctest::Approx(sum).epsilon(1e-12));
    }
    CHECK_THROWS_AS(sum_tables(stream, tables, span(more), {}), std::logic_error);
}

TEST_CASE("the pass over a mixture: the CPU has the bits of the CUDA kernel's source") {
    Stream stream(Device::cpu(2));
    const Sampled data(3, 10, 9);  // 270: a chunk, and one that is not full
    const index windows = 11, padded = 16, n = data.samples.n;
    std::vector<double> center(u(padded), 0.0), half(u(padded), 0.0), a(u(padded), -1e300);
    for (index w = 0; w < windows; ++w) {
        center[u(w)] = -2.0 + 0.4 * static_cast<double>(w);
        half[u(w)] = 8.0 + static_cast<double>(w % 3);
        a[u(w)] = std::log(20.0 + static_cast<double>(w));
    }
    MixtureTables t;
    t.padded = static_cast<int32>(padded);
    t.log_population = a.data();
    t.center = center.data();
    t.half_stiffness = half.data();
    t.lists.from[0] = -3;
    t.lists.inverse_width[0] = 0.5;
    t.lists.cells[0] = 3;
    const std::vector<int32> start{0, 1, 3, 4}, groups{0, 0, 1, 1};
    t.list_start = start.data();
    t.list_groups = groups.data();
    std::vector<double> scratch(u(mixture_scratch(n, padded))), sums(u(padded + 1));
    std::vector<float> weight(u(n)), expected_weight(u(n));
    mixture_pass(stream, data.samples, t, span(scratch), span(sums), weight.data());

    const index size = mixture_chunk(n, padded), chunks = (n + size - 1) / size;
    REQUIRE(chunks == 2);
    std::vector<double> other(u(chunks * (2 * padded + 1)), NAN);
    run_blocks(1, MixtureKernel{data.xi.data(), n, n, size, chunks, t, other.data(),
                                expected_weight.data()});
    CHECK(different(weight, expected_weight) == 0);
    CHECK(different(sums, added(stream, {other.data(), 1, chunks, padded + 1, 2 * padded + 1})) == 0);
    double all = 0;
    for (index w = 0; w < windows; ++w) all += sums[u(w)];
    CHECK(all == doctest::Approx(static_cast<double>(n)).epsilon(1e-13));
}

TEST_CASE("windows: the CPU has the bits of the CUDA kernels' source") {
    Stream stream(Device::cpu(2));
    const Sampled data(2, 70, 70);  // two tiles, two pieces of moments; two pieces of products
    const SampleBlock& run = data.run;
    const std::vector<double> centers{-1.0, 0.0};
    const auto blocks = ErrorBlocks{5, 2, ""};
    const BlockDivision division = block_division(run, blocks);
    std::vector<double> sums(u(run.windows * blocks.count() * 3), 0.0);
    window_moments(stream, data.samples, run, division, blocks.count(),
                   Span<const double>(centers.data(), 2), span(sums));
    const index pieces = 1, tiles = 2, n = run.trajectories();
    std::vector<double> parts(u(2 * pieces * 2 * n), NAN);
    run_blocks(2 * pieces * tiles,
               MomentsKernel{data.xi.data(), data.samples.row, static_cast<int32>(n), 70, 70, 2, 2, 1, 1,
                             centers.data(), parts.data()});
    for (index w = 0; w < run.windows; ++w)
        for (index g = 0; g < blocks.count(); ++g) {
            const index group = g / 2, segment = g % 2;
            double first = 0, second = 0, count = 0, expected = 0;
            for (index r = group * 14; r < (group + 1) * 14; ++r) {
                first += parts[u(segment * 2 * n + w * 70 + r)];
                second += parts[u(segment * 2 * n + n + w * 70 + r)];
                for (index s = segment * 35; s < (segment + 1) * 35; ++s, ++count)
                    expected += static_cast<double>(data.xi[u(s * n + w * 70 + r)]) - centers[u(w)];
            }
            const double* found = &sums[u((w * blocks.count() + g) * 3)];
            CHECK(found[0] == count);
            CHECK(found[1] == first);
            CHECK(found[2] == second);
            CHECK(first == doctest::Approx(expected).epsilon(1e-12));
        }

    std::vector<WindowCorrelation> state(2);
    std::vector<double> out(2);
    window_inefficiency(stream, data.samples.xi, run, span(out));
    std::vector<double> series;
    for (index w = 0; w < 2; ++w) {
        series.clear();
        for (index s = 0; s < 70; ++s)
            for (index r = 0; r < 70; ++r)
                series.push_back(static_cast<double>(data.xi[u(s * n + w * 70 + r)]));
        CHECK(out[u(w)] == doctest::Approx(statistical_inefficiency(series.data(), 70, 70)).epsilon(1e-10));
        state[u(w)].mean = static_cast<double>(w) - 1;
        state[u(w)].sum.done = false;
    }
    for (const int32 lag : {0, 3}) {
        std::vector<double> products(4, NAN);
        run_blocks(4, LagKernel<true>{data.xi.data(), n, 70, 70, lag, 2, state.data(),
                                      products.data()});
        for (index w = 0; w < 2; ++w) {
            double expected = 0;
            for (index s = 0; s + lag < 70; ++s)
                for (index r = 0; r < 70; ++r)
                    expected += (static_cast<double>(data.xi[u(s * n + w * 70 + r)]) - state[u(w)].mean) *
                                (static_cast<double>(data.xi[u((s + lag) * n + w * 70 + r)]) -
                                 state[u(w)].mean);
            CHECK(products[u(2 * w)] + products[u(2 * w + 1)] == doctest::Approx(expected).epsilon(1e-11));
        }
    }
}

TEST_CASE("conditional sums: the CPU has the bits of the CUDA kernel's source") {
    Stream stream(Device::cpu(2));
    for (const int cvs : {1, 2}) {
        CAPTURE(cvs);
        const Sampled data(3, 20, 60, cvs);
        const SampleBlock& run = data.run;
        const index n = data.samples.n, variables = 2, merge = 2;
        const std::vector<float> y = normals(variables * n, 5);
        const ErrorBlocks blocks{5, 1, ""};  // of which the last one merges with none
        ConditionalBins bins;
        bins.dims = cvs;
        for (int k = 0; k < cvs; ++k) {
            bins.from[k] = -2;
            bins.inverse_width[k] = 3;
            bins.bins[k] = 12;  // two tiles of 12 × 12
        }
        const index all = cvs == 1 ? 12 : 144, width = cvs == 1 ? 9 : 14, merged = 3;
        std::vector<double> sums(u(merged * all * width), 0.0);
        conditional_sums(stream, data.samples, run, blocks, merge, Span<const float>(y.data(), variables * n),
                         n, variables, bins, span(sums));
        const index chunks = conditional_chunks(run.size(), merged, all, width);
        const index tiles = (all + ConditionalKernel::kThreads - 1) / ConditionalKernel::kThreads;
        REQUIRE(chunks == (cvs == 1 ? 12 : 1));
        std::vector<double> tables(u(merged * chunks * all * width), NAN);
        run_blocks(merged * chunks * tiles,
                   ConditionalKernel{data.xi.data(), y.data(), n, n, variables, run.windows,
                                     run.replicas, run.samples, 5, 1, merge, chunks, tiles, bins,
                                     tables.data()});
        CHECK(different(sums, added(stream, {tables.data(), merged, chunks, all * width,
                                             all * width})) == 0);
        double count = 0, expected = 0;
        for (index i = 0; i < merged * all; ++i) count += sums[u(i * width)];
        for (index j = 0; j < n; ++j) {
            bool inside = true;
            for (int k = 0; k < cvs; ++k)
                inside = inside && data.xi[u(k * n + j)] >= -2 && data.xi[u(k * n + j)] < 2;
            expected += inside;
        }
        CHECK(count == expected);
    }
}

TEST_CASE("whitening: the CPU has the bits of the CUDA kernels' source") {
    const index n = 900;
    const std::vector<float> states = normals(2 * n, 11), conditions = normals(n, 12);
    const std::vector<float> center{0.1f, -0.1f}, scale{1.1f, 0.9f};
    WhiteningView view;
    view.states = 2;
    view.conditions = view.axes = 1;
    view.knots[0] = 9;
    view.low[0] = -2;
    view.inverse_step[0] = 2;
    std::vector<float> mean(18, 0.25f);
    view.mean = mean.data();
    const index chunks = 2;
    const MeasuredData data{view, states.data(), conditions.data(), n, n, n, chunks};
    const auto compare = [&](const auto& sums) {
        using Kernel = MeasureKernel<std::remove_cvref_t<decltype(sums)>>;
        std::vector<double> gpu(u(chunks * 9 * sums.entry()), NAN), cpu(gpu);
        run_blocks(chunks, Kernel{sums, 1, gpu.data()});
        for (index c = 0; c < chunks; ++c) MeasureOnCpu{}(Kernel{sums, 1, cpu.data()}, c);
        CHECK(different(gpu, cpu) == 0);
        return cpu;
    };
    compare(FitSums{data, center.data(), scale.data()});
    const std::vector<double> residuals = compare(ResidualSums{data, scale.data()});
    double weight = 0;  // hats: one in all for each sample
    for (std::size_t i = 0; i < residuals.size(); i += 3) weight += residuals[i];
    CHECK(weight == doctest::Approx(static_cast<double>(n)).epsilon(1e-5));  // float weights
}

TEST_CASE("bursts: the CPU has the bits of the CUDA kernel's source") {
    Stream stream(Device::cpu(2));
    for (const int cvs : {1, 2}) {
        CAPTURE(cvs);
        const index values = 5, replicas = 80, blocks = 4, n = values * replicas;
        const int R = burst_outputs(cvs);
        const std::vector<float> begin = normals(cvs * n, 21), end = normals(cvs * n, 22),
                                 drift = normals(R * n, 23);
        const index width = burst_width(cvs), groups = values * blocks;
        std::vector<double> sums(u(groups * width)), transition(u(groups * values));
        BurstSums s{cvs, values, replicas, blocks, begin.data(), end.data(), drift.data(), {0, 3},
                    -1.0f, 2.0f, sums.data(), cvs == 1 ? transition.data() : nullptr};
        add_burst_sums(stream, s);
        BurstSumsKernel kernel{s, 2, nullptr};  // 20 replicas: a part, and one that is not full
        std::vector<double> tables(u(groups * 2 * kernel.entries()), NAN);
        kernel.tables = tables.data();
        const index entries = kernel.entries();
        run_blocks((groups * 2 * entries + BurstSumsKernel::kThreads - 1) / BurstSumsKernel::kThreads,
                   kernel);
        CHECK(different(sums, added(stream, {tables.data(), groups, 2, width, entries})) == 0);
        if (cvs == 1)
            CHECK(different(transition, added(stream, {tables.data() + width, groups, 2, values,
                                                       entries})) == 0);
        double total = 0, product = 0;
        for (index j = 0; j < 20; ++j) {
            const double v = static_cast<double>(end[u(j)] - begin[u(j)]);
            total += v;
            product += v * v;
        }
        CHECK(sums[0] == 20);
        CHECK(sums[1] == doctest::Approx(total).epsilon(1e-12));
        CHECK(sums[u(1 + 2 * R)] == doctest::Approx(product).epsilon(1e-12));
    }
}

TEST_CASE("records of training: the CPU has the bits of the CUDA kernels' source") {
    const index batch = 1300;
    const std::vector<float> x = normals(5 * batch, 31);
    const auto at = [&](index k) { return x.data() + k * batch; };
    std::vector<float> histories[2];
    for (const bool on_cpu : {false, true}) {
        TrainClock clock{};
        clock.iteration = 4;
        clock.bad_iteration = ~uint64{0};
        Schedule schedule{};
        schedule.stride = 2;
        std::vector<float>& history = histories[on_cpu];
        history.assign(3 * kHistoryColumns, -1.0f);
        const RecordKernel<GanRecord> gan{
            {schedule, &clock, at(0), at(1), at(2), at(3), at(4), batch, 2 * batch,
             history.data()}};
        const auto run = [&](const auto& kernel) {
            if (on_cpu)
                RecordOnCpu{}(kernel, 0);
            else
                run_blocks(1, kernel);
        };
        run(gan);
        CHECK(clock.iteration == 5);
        const std::vector<float> before = history;
        run(gan);  // an odd one writes nothing
        CHECK(clock.iteration == 6);
        CHECK(different(history, before) == 0);
        std::vector<float> losses(4 * kLossColumns, 0.0f);
        run(RecordKernel<LossRecord>{{schedule, &clock, at(0), batch, losses.data()}});
        history.insert(history.end(), losses.begin(), losses.end());

        const index segments = 3, samples = 400;
        std::vector<float> distance(u(segments), -1.0f);
        const std::vector<float> inverse{1.0f, 2.0f, 0.5f};
        const DistanceKernel judge{at(0), at(1), inverse.data(), samples, distance.data()};
        if (on_cpu)
            for (index s = 0; s < segments; ++s) DistanceOnCpu{}(judge, s);
        else
            run_blocks(segments, judge);
        history.insert(history.end(), distance.begin(), distance.end());
    }
    CHECK(different(histories[0], histories[1]) == 0);
    double gap = 0, loss = 0;
    for (index i = 0; i < batch; ++i) {
        gap += static_cast<double>(at(1)[i]) - static_cast<double>(at(0)[i]);
        loss += static_cast<double>(at(0)[i]);
    }
    const float* row = &histories[1][2 * kHistoryColumns];
    CHECK(row[0] == 4.0f);
    CHECK(row[1] == doctest::Approx(gap / static_cast<double>(batch)).epsilon(1e-5));
    CHECK(histories[1][3 * kHistoryColumns + 3 * kLossColumns + 1] == doctest::Approx(loss).epsilon(1e-5));
}

}  // namespace microlift
