// Distances between samples against the exact formulas of Gaussians.
#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "sampling/numerics/distances.h"
#include "tests/support/devices.h"
#include "tests/support/laws.h"

namespace microlift {

namespace {

constexpr double kPi = 3.14159265358979323846;

std::vector<float> gaussian(int variables, index n, double mean, double sigma, unsigned seed) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal(mean, sigma);
    std::vector<float> x;
    for (index i = 0; i < variables * n; ++i) x.push_back(static_cast<float>(normal(random)));
    return x;
}

}  // namespace

TEST_CASE("distances: Gaussians in one variable, within four standard errors over seeds") {
    const double m = 0.7, s1 = 1.0, s2 = 1.5;
    // E|Z| of N(m, v) is sqrt(2v/pi) e^{−m²/2v} + m erf(m/sqrt(2v)).
    const auto mean_gap = [](double shift, double variance) {
        return std::sqrt(2 * variance / kPi) * std::exp(-shift * shift / (2 * variance)) +
               shift * std::erf(shift / std::sqrt(2 * variance));
    };
    const double energy =
        2 * mean_gap(m, s1 * s1 + s2 * s2) - mean_gap(0, 2 * s1 * s1) - mean_gap(0, 2 * s2 * s2);
    const double w2 = std::sqrt(m * m + (s1 - s2) * (s1 - s2));
    for (const Device& device : test_devices()) {
        Stream stream(device);
        const index n = 1000;
        constexpr int seeds = 16;
        Mean means[2];
        for (unsigned seed = 0; seed < seeds; ++seed) {
            const std::vector<float> a = gaussian(1, n, 0, s1, 2 * seed),
                                     b = gaussian(1, n, m, s2, 2 * seed + 1);
            Buffer<float> x(device, n), y(device, n);
            copy_to_device(stream, x.span(), a.data());
            copy_to_device(stream, y.span(), b.data());
            const SampleView first{x.span(), n, n}, second{y.span(), n, n};
            const double found[2] = {energy_distance(stream, 1, first, second),
                                     sliced_wasserstein(stream, 1, first, second, 1, 2, 1)};
            for (int i = 0; i < 2; ++i) {
                means[i].add(found[i]);
            }
        }
        const double exact[2] = {energy, w2};
        for (int i = 0; i < 2; ++i) {
            const double mean = means[i].value(), error = means[i].error();
            CAPTURE(i);
            // The Wasserstein distance of finite samples is a little too large: of order 1/n.
            CHECK(std::fabs(mean - exact[i]) < 4 * error + (i == 1 ? 3.0 / n : 0.0));
            CHECK(error < 0.05 * exact[i]);
        }
    }
}

TEST_CASE("distances: a shift in many variables, and the floor of equal laws") {
    Stream stream(test_devices().front());
    const Device& device = stream.device();
    const int variables = 5;
    const index n = 2000;
    const std::vector<float> a = gaussian(variables, n, 0, 1, 1);
    std::vector<float> b = a;
    for (index i = 0; i < n; ++i) b[static_cast<std::size_t>(2 * n + i)] += 3.0f;
    Buffer<float> x(device, variables * n), y(device, variables * n);
    copy_to_device(stream, x.span(), a.data());
    copy_to_device(stream, y.span(), b.data());
    const SampleView first{x.span(), n, n}, second{y.span(), n, n};
    // A shift of t along one axis: order 2 of the projections is t sqrt(E u²) = t/sqrt(5).
    const double found = sliced_wasserstein(stream, variables, first, second, 400, 2, 7);
    CHECK(found == doctest::Approx(3 / std::sqrt(5.0)).epsilon(0.1));
    CHECK(sliced_wasserstein(stream, variables, first, first, 8, 1, 7) == 0);
    // W1 of two samples of one law: 1.822 σ/sqrt(n) at n each, about 1.822/sqrt(2) sqrt(1/n + 1/n).
    const std::vector<float> c = gaussian(variables, n, 0, 1, 2);
    copy_to_device(stream, y.span(), c.data());
    const double floor = 1.822 / std::sqrt(static_cast<double>(n));
    const double w1 = sliced_wasserstein(stream, variables, first, second, 50, 1, 3);
    CHECK(w1 > 0.4 * floor);
    CHECK(w1 < 1.6 * floor);
    // Unbiased: of equal laws zero within its scale, 1/n.
    CHECK(std::fabs(energy_distance(stream, variables, first, second)) < 10.0 / n);
}

}  // namespace microlift
