// Populations that are drawn anew by their weights, and what swarms say: on every device, with the bits of the CPU.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/device/stream.h"
#include "kernels/lane/math.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "sampling/work/population.h"
#include "sampling/work/string_path.h"
#include "sampling/work/swarms.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

std::vector<float> numbers(index n, uint64 seed, float scale) {
    std::vector<float> values;
    for (index i = 0; i < n; ++i) {
        float four[4];
        normal_block<Portable>(PhiloxStream<float>(seed, kStreamTest, i), 0, four);
        values.push_back(scale * four[0]);
    }
    return values;
}

template <class T>
Buffer<T> on(Stream& stream, const std::vector<T>& values) {
    Buffer<T> buffer(stream.device(), static_cast<index>(values.size()));
    copy_to_device(stream, buffer.span(), values.data());
    return buffer;
}

struct Drawn {
    std::vector<float> x;
    std::vector<double> log_z;
    std::vector<long long> family;
};

// x is normal with deviation 1/√β₀; energies x²/2.
Drawn draw(const Device& device, index walkers, double beta, bool merged) {
    Stream stream(device);
    std::vector<float> x = numbers(walkers, 11, 1), energy;
    for (const float v : x) energy.push_back(0.5f * v * v);
    Buffer<float> states = on(stream, x), energies = on(stream, energy);
    Population population(stream, walkers, 5);
    population.choose(beta - 1, Span<const float>(energies.span()), 1);
    population.draw(states.span(), 1);
    const std::vector<double> log_z = population.log_z();
    if (merged) {
        population.merge(2);
        population.draw(states.span(), 1, 2);
    }
    return {to_host(stream, Span<const float>(states.span())), log_z, population.family()};
}

}  // namespace

TEST_CASE("population: walkers are drawn as their weights ask, side by side, with the bits of the CPU") {
    const index n = 640;
    for (const bool merged : {false, true}) {
        const Drawn one = draw(Device::cpu(1), n, 2, merged);
        for (const Device& device : test_devices()) {
            const Drawn other = draw(device, n, 2, merged);
            CHECK(one.x == other.x);
            CHECK(one.log_z == other.log_z);
            CHECK(one.family == other.family);
        }
        CHECK(std::is_sorted(one.family.begin(), one.family.end()));
    }
    // Each walker has as many offspring as its weight asks for, rounded up or down.
    const Drawn drawn = draw(Device::cpu(1), n, 2, false);
    const std::vector<float> x = numbers(n, 11, 1);
    const index islands = population_islands(n), each = n / islands;
    CHECK(islands == 32);
    for (index g = 0; g < islands; ++g) {
        double sum = 0;
        for (index i = g * each; i < (g + 1) * each; ++i) sum += std::exp(-0.5 * std::pow(x[static_cast<std::size_t>(i)], 2));
        CHECK(drawn.log_z[static_cast<std::size_t>(g)] == doctest::Approx(std::log(sum / static_cast<double>(each))).epsilon(1e-6));
        for (index i = g * each; i < (g + 1) * each; ++i) {
            const double wanted = static_cast<double>(each) * std::exp(-0.5 * std::pow(x[static_cast<std::size_t>(i)], 2)) / sum;
            const auto found = static_cast<double>(std::count(drawn.family.begin(), drawn.family.end(), i));
            CHECK(std::fabs(found - wanted) < 1 + 1e-6);
        }
    }
}

TEST_CASE("population: ratios of partition functions are right within their errors, and variances those of the weights") {
    for (const Device& device : quick_devices()) {
        const Drawn drawn = draw(device, 32000, 3, true);
        const LogRatio z = log_ratio(drawn.log_z);
        CHECK(std::fabs(z.value + 0.5 * std::log(3.0)) < 4 * z.error);
        CHECK(z.error < 0.01);
        double square = 0;
        for (const float v : drawn.x) square += static_cast<double>(v) * static_cast<double>(v) / 32000;
        CHECK(square == doctest::Approx(4.0 / 3).epsilon(0.05));  // drawn with factor 2
    }
    CHECK(population_islands(1021) == 0);
    CHECK(population_islands(96) == 12);
    CHECK(population_islands(28) == 0);
}

TEST_CASE("swarms: offsets are those to the nearest image, alone and added up") {
    for (const Device& device : test_devices()) {
        Stream stream(device);
        const std::vector<float> a{3.0f, -3.0f, 0.5f, 1, 2, 3}, b{-3.0f, 3.0f, 0.25f, 0, 0, 4};
        const std::vector<double> zero(6, 0.0);
        Buffer<float> xi = on(stream, a), from = on(stream, b);
        Buffer<double> to = on(stream, zero);
        CvPeriods periods;
        periods.period[0] = 6.5f;
        for (int turn = 1; turn <= 2; ++turn) {
            swarm_offsets(stream, 2, periods, Span<const float>(xi.span()), Span<const float>(from.span()), to.span(),
                          turn == 2);
            const std::vector<double> found = to_host(stream, Span<const double>(to.span()));
            const double expected[6] = {-0.5, 0.5, 0.25, 1, 2, -1};
            for (std::size_t i = 0; i < 6; ++i) CHECK(found[i] == turn * expected[i]);
        }
    }
}

TEST_CASE("strings: points in equal distances, and free energies that gradients add up to") {
    const CvValue stiffness{1, 4};
    const StringPoints corner{{0, 0}, {2, 0}, {2, 1}};  // two parts of the same length
    CHECK(string_length(corner, stiffness) == doctest::Approx(4));
    const StringPoints five = reparametrised(corner, 5, stiffness);
    CHECK(five[1][0] == doctest::Approx(1));
    CHECK(five[3][1] == doctest::Approx(0.5));
    CHECK(five.back() == corner.back());
    CHECK(string_change(five, five, stiffness) == 0);
    // F = x² + y along it; each gradient is off by the same error.
    StringPoints points = reparametrised({{-1, 0}, {1, 1}}, 101, {1, 1});
    std::vector<CvValue> gradient, error(101, CvValue{0.1, 0});
    for (const CvValue& p : points) gradient.push_back({2 * p[0], 1});
    const StringProfile profile = integrate_along(points, gradient, error);
    const auto low = static_cast<std::size_t>(std::ranges::min_element(profile.free_energy) - profile.free_energy.begin());
    for (std::size_t i = 0; i < points.size(); ++i)
        CHECK(profile.free_energy[i] == doctest::Approx(points[i][0] * points[i][0] + points[i][1] - points[low][0] * points[low][0] -
                                                        points[low][1]).scale(1).epsilon(1e-3));
    CHECK(profile.error[low] == 0);
    // Of n steps of h = 0.02 with weights of 1, but for the ends: 0.1 · h √n.
    const double n = 100 - static_cast<double>(low);
    CHECK(profile.error.back() == doctest::Approx(0.1 * 0.02 * std::sqrt(n)).epsilon(0.02));
    // A half circle of few points: F = x y, whose gradient goes round.
    StringPoints arc;
    std::vector<CvValue> around;
    for (int i = 0; i <= 16; ++i) {
        const double angle = 3.14159265358979 * i / 16;
        arc.push_back({std::cos(angle), std::sin(angle)});
        around.push_back({std::sin(angle), std::cos(angle)});
    }
    const StringProfile round = integrate_along(arc, around, std::vector<CvValue>(17, CvValue{}));
    double least = 0;
    for (const CvValue& p : arc) least = std::min(least, p[0] * p[1]);
    for (std::size_t i = 0; i < arc.size(); ++i) {
        const double off = std::fabs(round.free_energy[i] - (arc[i][0] * arc[i][1] - least));
        CHECK(off < 2e-3);
        CHECK(off < 3 * round.error[i] + 1e-4);
    }
    // Points of a circle that lie unevenly stay on it.
    StringPoints uneven;
    for (int i = 0; i <= 12; ++i) {
        const double angle = 3.14159265358979 * std::pow(i / 12.0, 1.2);
        uneven.push_back({std::cos(angle), std::sin(angle)});
    }
    const StringPoints even = respaced(uneven, {1, 1});
    CHECK(even.front() == uneven.front());
    CHECK(even.back() == uneven.back());
    for (std::size_t i = 1; i < even.size(); ++i) {
        CHECK(std::hypot(even[i][0], even[i][1]) == doctest::Approx(1).epsilon(2e-3));
        const double apart = std::hypot(even[i][0] - even[i - 1][0], even[i][1] - even[i - 1][1]);
        CHECK(apart == doctest::Approx(2 * std::sin(3.14159265358979 / 24)).epsilon(5e-3));
    }
    const StringPoints bent{{0, 0}, {1, 1}, {2, 0}};
    CHECK(smoothed(bent, 0.5)[1][1] == doctest::Approx(0.5));
}

}  // namespace microlift
