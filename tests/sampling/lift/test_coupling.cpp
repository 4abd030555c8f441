// The coupling loop's decisions, and jumps to lifted states.
#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "sampling/lift/coupling.h"
#include "tests/support/devices.h"

namespace microlift {

namespace {

// A window at `center` of U = 1/2 x² (β = 1) under stiffness 10: ξ ~ N(10 c/11, 1/11); y | ξ is
// N(ξ + shift, 1/4). Samples of a replica are independent.
WindowData harmonic_window(double center, double shift, index samples, index replicas,
                           unsigned seed) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    WindowData data;
    data.center = {center, 0};
    data.stiffness = {10, 0};
    data.samples = samples;
    data.replicas = replicas;
    data.variables = 1;
    for (index i = 0; i < samples * replicas; ++i) {
        const double xi = 10 * center / 11 + normal(random) / std::sqrt(11.0);
        data.xi.push_back(static_cast<float>(xi));
        data.x.push_back(static_cast<float>(xi + shift + 0.5 * normal(random)));
    }
    return data;
}

}  // namespace

TEST_CASE("coupling: windows of one distribution agree, of two they do not") {
    const std::array<double, kMaxCvs> beta{1, 1};
    int above_three = 0;
    for (unsigned s = 0; s < 20; ++s) {
        const WindowData a = harmonic_window(0, 0, 200, 16, 2 * s),
                         b = harmonic_window(0.2, 0, 200, 16, 2 * s + 1);
        const double z = window_disagreement(a, b, beta);
        CHECK(z > 0);
        CHECK(z < 5);
        above_three += z > 3;
        // y is shifted by 0.1: about 0.1 / (0.58 sqrt(2/3200)) = 7 standard errors, less reweighting.
        CHECK(window_disagreement(a, harmonic_window(0.2, 0.15, 200, 16, 100 + s), beta) > 5);
    }
    CHECK(above_three <= 2);
    // Too far apart to compare, and too few replicas to know an error.
    CHECK(window_disagreement(harmonic_window(0, 0, 200, 16, 1),
                              harmonic_window(2, 5, 200, 16, 2), beta) == 0);
    CHECK(window_disagreement(harmonic_window(0, 0, 200, 2, 1),
                              harmonic_window(0, 5, 200, 2, 2), beta) == 0);
}

TEST_CASE("coupling: places are the worst ones, apart from one another, missing states first") {
    std::vector<CouplingPlace> places(21);
    for (std::size_t i = 0; i < places.size(); ++i) {
        places[i].at = {0.05 * static_cast<double>(i), 0};
        places[i].free_energy_error = 0.1 * static_cast<double>(i);
    }
    places[3].disagreement = 1.5;  // less than the errors at the end, but first
    const auto chosen = choose_places(places, 3, {0.1, 0}, 1.0);
    CHECK(chosen == std::vector<std::size_t>{3, 18, 20});
    CHECK(places[3].reason() == std::string("reweighted lifted states disagree"));
    CHECK(places[20].reason() == std::string("free-energy error"));
    // More than fit at that distance: they move closer, and never stand twice.
    CHECK(choose_places(places, 15, {0.1, 0}, 1.0).size() == 15);
    const auto all = choose_places(places, 50, {0.1, 0}, 1.0);
    CHECK(all.size() == 21);
    for (std::size_t i = 0; i < all.size(); ++i) CHECK(all[i] == i);
}

TEST_CASE("coupling: removed windows leave the others' samples as they were") {
    for (const Device& device : test_devices()) {
        Stream stream(device);
        // Two runs: 3 windows × 2 replicas × 4 samples, 2 windows × 3 replicas × 2 samples.
        SampleSet set(device, 2, 1, 40);
        set.blocks = {{0, 0, 3, 2, 4}, {24, 3, 2, 3, 2}};
        set.n = 36;
        BiasWindows windows;
        for (int w = 0; w < 5; ++w) {
            windows.center.push_back({static_cast<double>(w), 0});
            windows.stiffness.push_back({1, 0});
        }
        const auto window_of = [](const SampleSet& samples, index j) {
            for (const SampleBlock& b : samples.blocks)
                if (j >= b.first && j < b.first + b.size())
                    return b.first_window + (j - b.first) % b.trajectories() / b.replicas;
            return index{-1};
        };
        std::vector<float> x(80, -1.0f), xi(40, -1.0f);
        for (index j = 0; j < 36; ++j) {
            x[static_cast<std::size_t>(j)] = static_cast<float>(j);
            x[static_cast<std::size_t>(40 + j)] = static_cast<float>(1000 + j);
            xi[static_cast<std::size_t>(j)] = static_cast<float>(window_of(set, j));
        }
        copy_to_device(stream, set.x.span(), x.data());
        copy_to_device(stream, set.xi.span(), xi.data());

        const WindowData middle =
            window_data(stream, set, windows, 1, set.x.span(), set.row, 2);
        CHECK(middle.samples == 4);
        CHECK(middle.x == std::vector<float>{2, 3, 8, 9, 14, 15, 20, 21,
                                             1002, 1003, 1008, 1009, 1014, 1015, 1020, 1021});

        remove_windows(stream, set, windows, {false, true, false, true, false});
        CHECK(set.n == 22);
        CHECK(windows.size() == 3);
        CHECK(windows.center[1][0] == 2);
        CHECK(windows.center[2][0] == 4);
        const std::vector<float> left = to_host(stream, Span<const float>(set.xi.span()));
        const std::vector<float> state = to_host(stream, Span<const float>(set.x.span()));
        for (index j = 0; j < set.n; ++j) {
            const auto w = static_cast<std::size_t>(window_of(set, j));
            CHECK(left[static_cast<std::size_t>(j)] == static_cast<float>(windows.center[w][0]));
            CHECK(state[static_cast<std::size_t>(40 + j)] ==
                  state[static_cast<std::size_t>(j)] + 1000);
        }
        remove_windows(stream, set, windows, {true, true, false});
        CHECK(set.blocks.size() == 1);
        CHECK(set.blocks[0].windows == 1);
        CHECK(set.n == 6);
        CHECK(to_host(stream, Span<const float>(set.x.span().subspan(0, 6))) ==
              std::vector<float>{27, 28, 29, 33, 34, 35});
    }
}

}  // namespace microlift
