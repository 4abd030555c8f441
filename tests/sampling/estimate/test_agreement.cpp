// Errors from few blocks, data that never move, windows without a link, and data that disagree with
// themselves.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "engine/at.h"
#include "engine/error.h"
#include "sampling/estimate/agreement.h"
#include "sampling/estimate/free_energy.h"
#include "sampling/numerics/statistics.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

constexpr double kStiffness = 20, kWell = 2;  // kT = 1

// Windows on U = kWell x²/2, and independent samples of them.
struct Wells {
    BiasWindows windows;
    SampleBlock run;
    std::vector<float> xi;

    Wells(double from, double to, index n, index replicas, index samples, uint64 seed) {
        run = {0, 0, n, replicas, samples};
        std::mt19937_64 random(seed);
        std::normal_distribution<double> normal;
        windows.beta = {1, 1};
        for (index w = 0; w < n; ++w) {
            windows.center.push_back(
                {from + (to - from) * static_cast<double>(w) / static_cast<double>(n - 1), 0});
            windows.stiffness.push_back({kStiffness, 0});
        }
        xi.resize(at(run.size()));
        for (std::size_t j = 0; j < xi.size(); ++j) {
            const double center =
                windows.center[j % at(run.trajectories()) / at(replicas)][0];
            xi[j] = static_cast<float>(kStiffness * center / (kStiffness + kWell) +
                                       normal(random) / std::sqrt(kStiffness + kWell));
        }
    }
    float& value(index w, index r, index s) {
        return xi[at(s * run.trajectories() + w * run.replicas + r)];
    }
    FreeEnergyResult estimate(const std::string& method = "mbar") const {
        Stream stream(Device::cpu(1));
        Buffer<float> values(stream.device(), static_cast<index>(xi.size()));
        copy_to_device(stream, values.span(), xi.data());
        BiasedSamples samples;
        samples.xi = values.span();
        samples.row = samples.n = run.size();
        samples.blocks = {run};
        Grid grid;
        grid.from = {windows.center.front()[0], 0};
        grid.to = {windows.center.back()[0], 0};
        grid.bins = {20, 1};
        EstimateOptions options;
        options.method = method;
        return estimate_free_energy(stream, samples, windows, grid, options);
    }
};

bool mentions(const std::vector<std::string>& texts, const std::string& word) {
    for (const std::string& text : texts)
        if (text.find(word) != std::string::npos) return true;
    return false;
}

}  // namespace

TEST_CASE("Student's factor: two standard errors cover 95 % from any number of blocks") {
    CHECK(std::isnan(student_factor(3)));
    CHECK(student_factor(4) == doctest::Approx(3.307 / 2).epsilon(0.02));  // tables of t, 95.45 %
    CHECK(student_factor(8) == doctest::Approx(2.429 / 2).epsilon(0.01));
    CHECK(student_factor(16) == 1);
    CHECK(t_of_normal(normal_of_t(1.7, 5), 5) == doctest::Approx(1.7));
    CHECK(largest_deviation(1, 0.0455) == doctest::Approx(2).epsilon(1e-3));
    std::mt19937_64 random(1);
    std::normal_distribution<double> normal;
    for (const index blocks : {4, 5, 8, 15}) {
        const int draws = 20000;
        int within = 0;
        for (int i = 0; i < draws; ++i) {
            std::vector<double> d(at(blocks));
            double mean = 0;
            for (double& v : d) mean += (v = normal(random)) / static_cast<double>(blocks);
            for (double& v : d) v = (v - mean) / static_cast<double>(blocks);
            within += std::fabs(mean) < 2 * influence_error(d.data(), blocks);
        }
        CAPTURE(blocks);
        // Standard error of the share 0.0015; the factor's own approximation 0.002.
        CHECK(std::fabs(within / double(draws) - 0.9545) < 4 * 0.0015 + 0.002);
    }
}

TEST_CASE("few replicas: errors that cover, or none, with a warning") {
    // One sample a replica in time blocks is impossible: 20 samples of each.
    for (const index replicas : {1, 2, 3, 6}) {
        CAPTURE(replicas);
        int within = 0, known = 0, far = 0;
        for (uint64 seed = 1; seed <= 60; ++seed) {
            const FreeEnergyResult r = Wells(-1, 1, 9, replicas, 20, seed).estimate();
            CHECK(r.warnings.empty() == (r.error_blocks.count() >= kFewBlocks));
            const double error = r.profile.difference_error({0.7, 0}, {-0.1, 0});
            CHECK(std::isfinite(error) == (r.error_blocks.count() >= kLeastBlocks));
            if (!std::isfinite(error)) continue;
            const double z = (r.profile.value_at(0.7) - r.profile.value_at(-0.1) - 0.48) / error;
            ++known;
            within += std::fabs(z) < 2;
            far += std::fabs(z) > 5;
        }
        // 95 % of 60 within four standard errors of the share (0.028 each).
        if (known == 60) {
            CHECK(within >= 60 * (0.9545 - 4 * 0.028));
            CHECK(far <= 2);
        }
    }
}

TEST_CASE("data that never move are an error") {
    Wells wells(-1, 1, 5, 8, 50, 1);
    for (index r = 0; r < 8; ++r)
        for (index s = 0; s < 50; ++s) wells.value(2, r, s) = wells.value(2, r, 0);
    std::string said;
    try {
        (void)wells.estimate();
    } catch (const NumericError& error) {
        said = error.what();
    }
    CHECK(said.find("never move") != std::string::npos);
    CHECK(said.find("window 2 (centre 0)") != std::string::npos);
    // One trajectory of it moves: a warning.
    for (index s = 0; s < 50; ++s) wells.value(2, 3, s) = 0.01f * static_cast<float>(s % 7);
    CHECK(mentions(wells.estimate().warnings, "never changes in 7 trajectories"));
}

TEST_CASE("what no samples connect has an infinite error, in one warning") {
    for (const char* method : {"mbar", "wham", "umbrella_integration"}) {
        CAPTURE(method);
        // 2.2 apart, deviation 0.21: ten deviations between neighbours.
        const FreeEnergyResult r = Wells(-11, 11, 11, 16, 100, 2).estimate(method);
        CHECK(r.missing_overlaps.size() == 10);
        CHECK(r.warnings.size() == 1);
        CHECK(mentions(r.warnings, "10 pairs"));
        int cut = 0, finite = 0;
        for (std::size_t b = 0; b < r.profile.std_error.size(); ++b) {
            cut += std::isinf(r.profile.std_error[b]);
            finite += std::isfinite(r.profile.std_error[b]);
        }
        CHECK(cut >= 9);
        CHECK(finite >= 1);
        CHECK(finite <= 3);
        for (index w = 1; w < 11; ++w) CHECK(std::isinf(r.window_f_error[at(w)]));
    }
}

TEST_CASE("right data raise no doubts") {
    int doubts = 0;
    for (uint64 seed = 1; seed <= 200; ++seed)
        for (const char* method : {"mbar", "wham"})
            doubts += !Wells(-1, 1, 9, 16, 100, seed).estimate(method).doubts.empty();
    CHECK(doubts <= 4);  // 1 % of 400; two tests of 0.1 % each are expected to give less than one
}

TEST_CASE("data that disagree with themselves are named") {
    SUBCASE("a window that sits elsewhere than its neighbours say") {
        Wells wells(-1, 1, 9, 16, 100, 3);
        for (index r = 0; r < 16; ++r)
            for (index s = 0; s < 100; ++s) wells.value(4, r, s) += 0.15f;
        CHECK(mentions(wells.estimate().doubts, "contradict"));
    }
    SUBCASE("halves that differ") {
        Wells wells(-1, 1, 9, 16, 100, 4);
        for (index w = 4; w < 9; ++w)
            for (index r = 0; r < 16; ++r)
                for (index s = 50; s < 100; ++s) wells.value(w, r, s) += 0.15f;
        CHECK(mentions(wells.estimate().doubts, "halves"));
    }
}

TEST_CASE("a profile beside the exact one: chance gives nothing, a bias gives its place") {
    std::mt19937_64 random(5);
    std::normal_distribution<double> normal;
    const index bins = 50, blocks = 16;
    const std::vector<double> samples(at(bins), 1000.0);
    int alarms = 0;
    for (int i = 0; i < 400; ++i) {
        std::vector<double> influence(at(bins * blocks)), difference(at(bins), 0.0);
        for (index g = 0; g < blocks; ++g)
            for (index b = 0; b < bins; ++b)
                difference[at(b)] += influence[at(g * bins + b)] = 0.02 * normal(random);
        alarms += disagreement(difference, influence, blocks, samples, 1, 0).bin >= 0;
        difference[7] += 1;
        CHECK(disagreement(difference, influence, blocks, samples, 1, 0).bin == 7);
        CHECK(disagreement(difference, influence, blocks, samples, 1, 1.5).bin == -1);
    }
    CHECK(alarms <= 4);  // 0.1 % of 400 expected
}

}  // namespace microlift
