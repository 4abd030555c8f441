// Histograms and moments counted on the device, against samples that were kept.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/error.h"
#include "sampling/estimate/free_energy.h"
#include "sampling/estimate/accumulate.h"
#include "sampling/dynamics/systems.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

constexpr index kWindows = 3, kReplicas = 37, kTrajectories = kWindows * kReplicas;
constexpr index kSegments = 21;  // not a multiple of the chunk

// V = (x² − 1)² + 5 (y − x)², three windows, ξ = (x, y).
Ensemble channel_windows(Stream& stream) {
    PathSetup setup;
    setup.dt = 1e-3;
    setup.beta = 3;
    setup.cv_weight = {{1, 0}, {0, 1}};
    const std::vector<double> k{10};
    Ensemble ensemble(stream, find_system("channel").kernel(k, setup), kTrajectories, 11, 1);
    std::vector<float> x(2 * kTrajectories), center(2 * kTrajectories),
        stiffness(2 * kTrajectories, 20.0f);
    for (std::size_t t = 0; t < x.size(); ++t) {
        const index w = static_cast<index>(t) % kTrajectories / kReplicas;
        x[t] = center[t] = static_cast<float>(w) - 1.0f;
    }
    copy_to_device(stream, ensemble.x(), x.data());
    copy_to_device(stream, ensemble.center(), center.data());
    copy_to_device(stream, ensemble.stiffness(), stiffness.data());
    return ensemble;
}

const std::vector<HistogramAxis> kAxes{{-1.2, 1.3, 10}, {-1.5, 1.5, 6}};

}  // namespace

TEST_CASE("accumulate: counts and moments are those of the samples, and no byte moves") {
    for (const Device& device : test_devices()) {
        Stream stream(device);
        Ensemble kept = channel_windows(stream);
        SampleSet samples(device, 2, 2, kSegments * kTrajectories);
        kept.advance(50);
        kept.sample(5, kSegments, samples);
        const std::vector<float> x = to_host(stream, samples.x.span());
        const std::vector<float> xi = to_host(stream, samples.xi.span());
        std::vector<uint64> expected(static_cast<std::size_t>(kWindows * 61));
        std::vector<double> mean(6), square(6);
        for (index j = 0; j < samples.n; ++j) {
            const index w = j % kTrajectories / kReplicas;
            index bin = 0;
            bool inside = true;
            for (std::size_t k = 0; k < 2; ++k) {
                const HistogramAxis& axis = kAxes[k];
                const float from = static_cast<float>(axis.from);
                const float rate = static_cast<float>(static_cast<double>(axis.bins) /
                                                      (axis.to - axis.from));
                const float value = xi[k * static_cast<std::size_t>(samples.row) +
                                       static_cast<std::size_t>(j)];
                const double at = std::floor(static_cast<double>((value - from) * rate));
                if (at < 0 || at >= static_cast<double>(axis.bins)) inside = false;
                bin = bin * axis.bins + (inside ? static_cast<index>(at) : 0);
            }
            ++expected[static_cast<std::size_t>(w * 61 + (inside ? bin : 60))];
            for (index d = 0; d < 2; ++d) {
                const double v = static_cast<double>(x[static_cast<std::size_t>(d * samples.row + j)]);
                mean[static_cast<std::size_t>(2 * w + d)] += v;
                square[static_cast<std::size_t>(2 * w + d)] += v * v;
            }
        }

        Ensemble counted = channel_windows(stream);
        SampleAccumulator sums(device, 2, kAxes, kWindows, kReplicas, 4);
        counted.advance(50);
        const TransferCounters before = transfer_counters();
        sums.sample(stream, counted, 5, 10);
        sums.sample(stream, counted, 5, kSegments - 10);
        const TransferCounters after = transfer_counters();
        CHECK(after.bytes_to_device == before.bytes_to_device);
        CHECK(after.bytes_to_host == before.bytes_to_host);
        CHECK(sums.samples() == kSegments);
        CHECK(sums.counts(stream) == expected);
        const auto moments = sums.moments(stream);
        const double all = static_cast<double>(kSegments * kReplicas);
        uint64 outside = 0;
        for (std::size_t e = 0; e < 6; ++e) {
            CHECK(moments.mean[e] == doctest::Approx(mean[e] / all).epsilon(1e-12));
            CHECK(moments.variance[e] == doctest::Approx(square[e] / all - mean[e] * mean[e] / all / all)
                                             .epsilon(1e-9));
        }
        for (std::size_t w = 0; w < kWindows; ++w) outside += expected[w * 61 + 60];
        CHECK(outside > 0);  // both branches were taken
        CHECK(outside < static_cast<uint64>(samples.n));
    }
}

TEST_CASE("accumulate: the number of threads changes no bit") {
    std::vector<uint64> counts;
    std::vector<double> means;
    for (const int threads : {1, 3}) {
        Stream stream(Device::cpu(threads));
        Ensemble ensemble = channel_windows(stream);
        SampleAccumulator sums(stream.device(), 2, kAxes, kWindows, kReplicas, 5);
        sums.sample(stream, ensemble, 3, 12);
        const auto now = sums.counts(stream);
        const auto moments = sums.moments(stream);
        if (counts.empty()) {
            counts = now;
            means = moments.mean;
        }
        CHECK(now == counts);
        CHECK(moments.mean == means);
    }
}

TEST_CASE("accumulate: free energies from counts are those from samples") {
    for (const Device& device : test_devices()) {
        Stream stream(device);
        BiasWindows windows;
        for (index w = 0; w < kWindows; ++w) {
            const double at = static_cast<double>(w) - 1.0;
            windows.center.push_back({at, at});
            windows.stiffness.push_back({20.0, 20.0});
        }
        windows.beta = {3.0, 3.0};
        Grid grid;
        grid.dims = 2;
        grid.from = {-1.2, -1.2};
        grid.to = {1.2, 1.2};
        grid.bins = {12, 10};
        constexpr index kMany = 400;
        EstimateOptions options;
        options.method = "wham";
        options.kt = 1.0 / 3.0;

        Ensemble kept = channel_windows(stream);
        SampleSet samples(device, 2, 2, kMany * kTrajectories);
        kept.advance(500);
        kept.sample(20, kMany, samples);
        samples.blocks = {{0, 0, kWindows, kReplicas, kMany}};
        const FreeEnergyResult expected =
            estimate_free_energy(stream, samples.biased(), windows, grid, options);

        Ensemble counted = channel_windows(stream);
        SampleAccumulator sums(device, 2, kAxes, kWindows, kReplicas, 7);
        const std::vector<double> range = expected_range(windows, 2);
        sums.count_cells(device, cell_layout(range.data(), windows, grid), expected.error_blocks);
        counted.advance(500);
        const TransferCounters before = transfer_counters();
        sums.sample(stream, counted, 20, kMany / 2);
        const TransferCounters after = transfer_counters();
        CHECK(after.bytes_to_device == before.bytes_to_device);
        CHECK(after.bytes_to_host == before.bytes_to_host);
        // Saved and loaded, it goes on as if nothing had happened.
        SampleAccumulator resumed(device, 2, kAxes, kWindows, kReplicas, 7);
        resumed.count_cells(device, cell_layout(range.data(), windows, grid), expected.error_blocks);
        resumed.load(stream, sums.samples(), sums.save_counts(stream), sums.save_sums(stream));
        CHECK_THROWS_AS(resumed.load(stream, 1, std::vector<long long>(3), sums.save_sums(stream)),
                        InputError);
        resumed.sample(stream, counted, 20, kMany / 2);
        const FreeEnergyResult found =
            estimate_free_energy(resumed.histogram(stream), windows, grid, options);

        // The same cells, the same counts: what differs is where margins end.
        REQUIRE(expected.error_blocks.time_segments == 1);
        for (std::size_t w = 0; w < kWindows; ++w) {
            CHECK(found.window_f[w] == doctest::Approx(expected.window_f[w]).epsilon(1e-6));
            if (std::isinf(expected.window_f_error[w]))  // no samples connect it
                CHECK(found.window_f_error[w] == expected.window_f_error[w]);
            else
                CHECK(found.window_f_error[w] ==
                      doctest::Approx(expected.window_f_error[w]).epsilon(1e-6));
            // Two estimates of the inefficiency: from correlations, and from 37 trajectories' means
            // with a relative error of sqrt(2/36) = 0.24.
            CHECK(found.inefficiency[w] / expected.inefficiency[w] > 0.4);
            CHECK(found.inefficiency[w] / expected.inefficiency[w] < 2.2);
        }
        index compared = 0;
        for (std::size_t b = 0; b < static_cast<std::size_t>(grid.size()); ++b) {
            const double f = expected.profile.free_energy[b];
            CHECK(std::isnan(f) == std::isnan(found.profile.free_energy[b]));
            if (std::isnan(f)) continue;
            ++compared;
            CHECK(found.profile.free_energy[b] == doctest::Approx(f).epsilon(1e-6));
            // The windows share no samples: errors are infinite but in the minimum's.
            CHECK(std::isinf(found.profile.std_error[b]) ==
                  std::isinf(expected.profile.std_error[b]));
            if (std::isfinite(expected.profile.std_error[b]))
                CHECK(found.profile.std_error[b] ==
                      doctest::Approx(expected.profile.std_error[b]).epsilon(1e-5));
            for (std::size_t g = 0; g < static_cast<std::size_t>(found.profile.blocks); ++g) {
                const std::size_t i = g * static_cast<std::size_t>(grid.size()) + b;
                CHECK(found.profile.influence[i] ==
                      doctest::Approx(expected.profile.influence[i]).scale(1).epsilon(1e-5));
            }
        }
        CHECK(compared > 30);
        options.method = "mbar";
        CHECK_THROWS_AS(estimate_free_energy(resumed.histogram(stream), windows, grid, options),
                        InputError);
    }
}

}  // namespace microlift
