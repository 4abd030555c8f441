// Windows whose samples still drift: found, and false alarms as rare as promised.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "sampling/estimate/stationarity.h"
#include "sampling/numerics/statistics.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

constexpr index kReplicas = 16, kSamples = 41;
constexpr int kDim = 2;

// Two runs of five and three windows; AR(1) series, and in window `drifting` the second variable
// decays from `start` deviations.
struct Case {
    BiasedSamples samples;
    std::vector<float> x;

    Case(uint64 seed, index drifting, double start) {
        samples.blocks = {{0, 0, 5, kReplicas, kSamples},
                          {5 * kReplicas * kSamples, 5, 3, kReplicas, kSamples}};
        samples.n = 8 * kReplicas * kSamples;
        samples.row = samples.n + 3;
        x.assign(static_cast<std::size_t>(kDim * samples.row), 0.0f);
        std::mt19937_64 random(seed);
        std::normal_distribution<double> normal;
        for (const SampleBlock& run : samples.blocks)
            for (int d = 0; d < kDim; ++d)
                for (index t = 0; t < run.trajectories(); ++t) {
                    const bool drifts = d == 1 && run.first_window + t / kReplicas == drifting;
                    double v = normal(random);
                    for (index s = 0; s < run.samples; ++s) {
                        const double shift = drifts ? start * std::exp(-static_cast<double>(s) / 15) : 0;
                        x[static_cast<std::size_t>(d * samples.row + run.first +
                                                   s * run.trajectories() + t)] =
                            static_cast<float>(5 + v + shift);
                        v = 0.5 * v + std::sqrt(0.75) * normal(random);
                    }
                }
    }

    std::vector<Drifting> judged(const Device& device, double false_alarm) const {
        Stream stream(device);
        Buffer<float> on_device(device, static_cast<index>(x.size()));
        copy_to_device(stream, on_device.span(), x.data());
        return drifting_windows(stream, samples, on_device.span(), samples.row, kDim, false_alarm);
    }
};

}  // namespace

TEST_CASE("a window that forgets its start while it is sampled is named") {
    for (const Device& device : test_devices())
        for (const index window : {2, 6}) {
            const std::vector<Drifting> found = Case(3, window, 4).judged(device, 1e-3);
            REQUIRE(found.size() == 1);
            CHECK(found[0].window == window);
            CHECK(found[0].variable == 1);
            CHECK(found[0].z < -4);
        }
}

TEST_CASE("stationary windows are accused as rarely as promised") {
    constexpr int families = 300;
    constexpr double promised = 0.3;
    int accused = 0;
    for (int i = 0; i < families; ++i)
        accused += !Case(100 + static_cast<uint64>(i), -1, 0).judged(Device::cpu(1), promised).empty();
    // Of 16 independent tests 1 − (1 − 0.3/16)^16 = 0.261 give an alarm. Four standard errors.
    const double expected = families * (1 - std::pow(1 - promised / 16, 16));
    CHECK(std::fabs(accused - expected) < 4 * std::sqrt(expected * (1 - expected / families)));
}

TEST_CASE("runs too short to be judged, and variables that do not move, say nothing") {
    Case constant(1, -1, 0);
    std::fill(constant.x.begin(), constant.x.end(), 5.0f);
    CHECK(constant.judged(Device::cpu(1), 0.5).empty());
    Case few(1, 2, 50);
    few.samples.blocks = {{0, 0, 5 * kReplicas / 2, 2, kSamples}};
    CHECK(few.judged(Device::cpu(1), 0.5).empty());
}

TEST_CASE("Student's t as a normal number") {
    // Two-sided 5 % and 0.1 % points.
    CHECK(normal_of_t(2.228, 10) == doctest::Approx(1.95996).epsilon(0.01));
    CHECK(normal_of_t(-4.587, 10) == doctest::Approx(-3.29053).epsilon(0.01));
    CHECK(normal_of_t(6.869, 5) == doctest::Approx(3.29053).epsilon(0.01));
    CHECK(normal_of_t(0, 3) == 0);
}

}  // namespace microlift
