// Statistics of correlated series, jackknife, the small dense solver, interpolation on the grid.
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include "sampling/estimate/free_energy.h"
#include "sampling/numerics/statistics.h"

namespace microlift {
namespace {

// x_{t+1} = φ x_t + sqrt(1 − φ²) z, stationary with unit variance; replicas side by side.
std::vector<double> ar1(double phi, index samples, index replicas, uint64 seed) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    std::vector<double> x(static_cast<std::size_t>(samples * replicas));
    for (index r = 0; r < replicas; ++r) {
        double v = normal(random);
        for (index s = 0; s < samples; ++s) {
            x[static_cast<std::size_t>(s * replicas + r)] = v;
            v = phi * v + std::sqrt(1.0 - phi * phi) * normal(random);
        }
    }
    return x;
}

}  // namespace

TEST_CASE("statistical inefficiency of AR(1) is (1+phi)/(1-phi)") {
    for (const double phi : {-0.4, 0.0, 0.5, 0.9}) {
        const double exact = (1.0 + phi) / (1.0 - phi);
        for (const index replicas : {1, 16}) {
            // The spread over independent series gives the standard error of their mean.
            const int repeats = 20;
            double sum = 0.0, squares = 0.0;
            for (int i = 0; i < repeats; ++i) {
                const index samples = replicas == 1 ? 20000 : 2000;
                const std::vector<double> x =
                    ar1(phi, samples, replicas, static_cast<uint64>(100 * replicas + i));
                const double g = statistical_inefficiency(x.data(), samples, replicas);
                sum += g;
                squares += g * g;
            }
            const double mean = sum / repeats;
            const double spread = std::sqrt((squares / repeats - mean * mean) / (repeats - 1));
            CAPTURE(phi);
            CAPTURE(replicas);
            CAPTURE(mean);
            CAPTURE(spread);
            // The initial positive sequence keeps some noise and the series are finite: a few
            // percent.
            CHECK(std::fabs(mean - exact) < 4.0 * spread + 0.03 * exact);
            CHECK(spread < 0.1 * exact);
        }
    }
}

TEST_CASE("slow series: the geometric lags agree with the exact time") {
    const double phi = 0.995, exact = (1.0 + phi) / (1.0 - phi);
    const index samples = 20000, replicas = 32;
    const std::vector<double> x = ar1(phi, samples, replicas, 3);
    CHECK(statistical_inefficiency(x.data(), samples, replicas) ==
          doctest::Approx(exact).epsilon(0.1));
}

TEST_CASE("constant and very short series") {
    CHECK(statistical_inefficiency(std::vector<double>(50, 2.5)) == 1.0);
    CHECK(statistical_inefficiency(std::vector<double>{1.0}) == 1.0);
}

TEST_CASE("the jackknife of a mean is s/sqrt(n)") {
    const std::vector<double> x = ar1(0.0, 40, 1, 11);
    double sum = 0.0, squares = 0.0;
    for (const double v : x) sum += v;
    for (const double v : x) squares += (v - sum / 40) * (v - sum / 40);
    std::vector<double> leave_out;
    for (const double v : x) leave_out.push_back((sum - v) / 39.0);
    jackknife_influence(leave_out.data(), 40);
    CHECK(influence_error(leave_out.data(), 40) ==
          doctest::Approx(std::sqrt(squares / 39.0 / 40.0)).epsilon(1e-12));
    CHECK(std::isnan(influence_error(leave_out.data(), 1)));
}

TEST_CASE("Cholesky solves and refuses") {
    const index n = 37;
    std::mt19937_64 random(5);
    std::normal_distribution<double> normal;
    std::vector<double> m(n * n), a(n * n, 0.0), x(n * 2), b(n * 2, 0.0);
    for (double& v : m) v = normal(random);
    for (double& v : x) v = normal(random);
    for (index i = 0; i < n; ++i)
        for (index j = 0; j < n; ++j) {
            for (index k = 0; k < n; ++k)
                a[static_cast<std::size_t>(i * n + j)] +=
                    m[static_cast<std::size_t>(i * n + k)] * m[static_cast<std::size_t>(j * n + k)];
            a[static_cast<std::size_t>(i * n + j)] += i == j ? 1.0 : 0.0;
        }
    for (index i = 0; i < n; ++i)
        for (index j = 0; j < n; ++j)
            for (index c = 0; c < 2; ++c)
                b[static_cast<std::size_t>(i * 2 + c)] +=
                    a[static_cast<std::size_t>(i * n + j)] * x[static_cast<std::size_t>(j * 2 + c)];
    REQUIRE(cholesky_factor(a, n));
    cholesky_solve(a, n, b.data(), 2);
    for (std::size_t i = 0; i < b.size(); ++i) CHECK(b[i] == doctest::Approx(x[i]).epsilon(1e-9));
    std::vector<double> indefinite{1.0, 2.0, 2.0, 1.0};
    CHECK_FALSE(cholesky_factor(indefinite, 2));
}

TEST_CASE("interpolation on the grid is exact for cubics") {
    Grid line;
    line.from = {-1.0, 0.0};
    line.to = {2.0, 0.0};
    line.bins = {17, 1};
    const auto cubic = [](double x) { return 1.0 + x - 2.0 * x * x + 0.7 * x * x * x; };
    for (double x = -1.0; x <= 2.0; x += 0.05) {
        double value = 0.0;
        for (const GridWeight& w : interpolation_weights(line, {x, 0.0}))
            value += w.weight * cubic(line.centre(0, w.bin));
        CHECK(value == doctest::Approx(cubic(x)).epsilon(1e-9));
    }
    Grid plane;
    plane.dims = 2;
    plane.from = {-1.0, 0.0};
    plane.to = {2.0, 4.0};
    plane.bins = {9, 13};
    double value = 0.0;
    for (const GridWeight& w : interpolation_weights(plane, {0.3, 1.9}))
        value += w.weight * cubic(plane.centre(0, w.bin)) * cubic(plane.centre(1, w.bin));
    CHECK(value == doctest::Approx(cubic(0.3) * cubic(1.9)).epsilon(1e-9));
}

}  // namespace microlift
