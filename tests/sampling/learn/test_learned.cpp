// Learned coordinates as collective variables: landmarks, gradients, lifting back, local noise.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "engine/at.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "sampling/formula/columns.h"
#include "sampling/formula/system.h"
#include "sampling/learn/harmonics.h"
#include "sampling/learn/landmarks.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

double uniform(index i, index draw) {
    const PhiloxStream<float> rng(21, kStreamTest, i);
    uint32 u[4];
    rng.draw(static_cast<uint64>(draw), u);
    return (static_cast<double>(u[0]) + 0.5) / 4294967296.0;
}

// A smooth function of points in the plane, and its fit.
double function(double x, double y) {
    return std::tanh(2 * x) + 0.5 * y * x;
}

LearnedCoordinates fitted(index n, int landmarks) {
    std::vector<double> points(at(2 * n)), f(at(2 * n));
    for (index i = 0; i < n; ++i) {
        points[at(i)] = 3 * uniform(i, 0) - 1.5;
        points[at(n + i)] = 2 * uniform(i, 1) - 1;
        f[at(i)] = function(points[at(i)], points[at(n + i)]);
        f[at(n + i)] = std::cos(2 * points[at(n + i)]);
    }
    LearnedCoordinates learned;
    learned.variables = {"x", "y"};
    fit_landmarks(points, n, f, landmarks, learned);
    return learned;
}

FormulaSystem system_with(const LearnedCoordinates& learned, int k) {
    FormulaSystemText text;
    text.variables = {"x", "y"};
    text.potential = "x^2 + y^2";
    text.beta = 2;
    text.cv = {"phi"};
    text.cv_builders = {[&](Expressions& graph) {
        return learned.build(graph, {text.variables, text.parameters}, k);
    }};
    return make_formula_system(text);
}

TEST_CASE("landmarks reproduce a function between the samples") {
    const LearnedCoordinates learned = fitted(2000, 100);
    CHECK(learned.landmark_count() == 100);
    CHECK(learned.fit_error[0] < 0.02);
    CHECK(learned.fit_error[1] < 0.02);
    const FormulaSystem system = system_with(learned, 1);
    double missed = 0, size = 0;
    for (index i = 0; i < 500; ++i) {
        const double x[] = {2.8 * uniform(i, 2) - 1.4, 1.8 * uniform(i, 3) - 0.9};
        const double d = system.graph.evaluate(system.cv_nodes[0], x) - function(x[0], x[1]);
        missed += d * d;
        size += function(x[0], x[1]) * function(x[0], x[1]);
    }
    CHECK(std::sqrt(missed / size) < 0.02);
    CHECK_THROWS_AS(system_with(learned, 3), FormulaError);
}

TEST_CASE("a learned coordinate's gradient and closure against finite differences") {
    const LearnedCoordinates learned = fitted(2000, 100);
    for (const int k : {1, 2}) {
        const FormulaSystem system = system_with(learned, k);
        CHECK(!system.cvs[0].linear);
        const auto value = [&](double x, double y) {
            const double p[] = {x, y};
            return system.graph.evaluate(system.cv_nodes[0], p);
        };
        constexpr index n = 97;
        std::vector<float> x(at(2 * n));
        for (index i = 0; i < n; ++i) {
            x[at(i)] = static_cast<float>(3 * uniform(i, 4) - 1.5);
            x[at(n + i)] = static_cast<float>(2 * uniform(i, 5) - 1);
        }
        for (const Device& device : {Device::cpu(2)}) {
            Stream stream(device);
            Buffer<float> states(device, 2 * n), out(device, 3 * n), closure(device, 2 * n);
            copy_to_device(stream, states.span(), x.data());
            ColumnProgram(device, system.cv).run(stream, states.span(), n, n, out.span(), n);
            ColumnProgram(device, system.closure)
                .run(stream, states.span(), n, n, closure.span(), n);
            const std::vector<float> v = to_host(stream, Span<const float>(out.span()));
            const std::vector<float> c = to_host(stream, Span<const float>(closure.span()));
            for (index i = 0; i < n; ++i) {
                const double a = static_cast<double>(x[at(i)]),
                             b = static_cast<double>(x[at(n + i)]);
                constexpr double h = 1e-4;
                const double gx = (value(a + h, b) - value(a - h, b)) / (2 * h);
                const double gy = (value(a, b + h) - value(a, b - h)) / (2 * h);
                CHECK(std::abs(static_cast<double>(v[at(i)]) - value(a, b)) < 1e-4);
                CHECK(std::abs(static_cast<double>(v[at(n + i)]) - gx) < 1e-4 * (1 + std::abs(gx)));
                CHECK(std::abs(static_cast<double>(v[at(2 * n + i)]) - gy) <
                      1e-4 * (1 + std::abs(gy)));
                // −∇V·∇ξ + β⁻¹ Δξ and β⁻¹ |∇ξ|².
                const double laplacian = (value(a + h, b) + value(a - h, b) + value(a, b + h) +
                                          value(a, b - h) - 4 * value(a, b)) /
                                         (h * h);
                const double drift = -2 * a * gx - 2 * b * gy + laplacian / 2;
                CHECK(std::abs(static_cast<double>(c[at(i)]) - drift) <
                      2e-3 * (1 + std::abs(drift)));
                const double diffusion = (gx * gx + gy * gy) / 2;
                CHECK(std::abs(static_cast<double>(c[at(n + i)]) - diffusion) <
                      1e-3 * (1 + diffusion));
            }
        }
    }
}

TEST_CASE("geometric harmonics lift an embedding back to its curve") {
    // A spiral in space, embedded by its arc's angle.
    constexpr index n = 1500;
    std::vector<double> t(at(n)), f(at(3 * n));
    for (index i = 0; i < n; ++i) {
        t[at(i)] = 4 * uniform(i, 6);
        f[at(i)] = std::cos(t[at(i)]);
        f[at(n + i)] = std::sin(t[at(i)]);
        f[at(2 * n + i)] = 0.2 * t[at(i)];
    }
    const GeometricHarmonics lift(t, 1, n, f, 3, 1e-10);
    double worst = 0;
    for (int i = 0; i <= 100; ++i) {
        const double at_t = 0.1 + 3.8 * i / 100;
        double x[3];
        lift(&at_t, x);
        worst = std::max({worst, std::abs(x[0] - std::cos(at_t)), std::abs(x[1] - std::sin(at_t)),
                          std::abs(x[2] - 0.2 * at_t)});
    }
    CHECK(worst < 0.01);
}

TEST_CASE("the inverse of a local covariance, also of lower rank") {
    constexpr int R = 4000;
    std::vector<double> ends(3 * R);
    for (int r = 0; r < R; ++r) {
        const double u = std::sqrt(-2 * std::log(uniform(r, 7)));
        const double a = 0.3 * u * std::cos(6.283185307179586 * uniform(r, 8));
        const double b = 0.1 * u * std::sin(6.283185307179586 * uniform(r, 8));
        ends[at(r)] = 1 + a + b;
        ends[at(R + r)] = 2 + a - b;
        ends[at(2 * R + r)] = 3;  // no noise at all
    }
    const std::vector<double> m = inverse_covariance(ends, 3, R, 2, 1.0);
    // In the coordinates (p + q)/2, (p − q)/2 the variances are 0.09 and 0.01.
    const double along = m[0] + 2 * m[1] + m[3], across = m[0] - 2 * m[1] + m[3];
    // Standard error of a variance from R samples: sqrt(2/R) = 2.2 %; five of them.
    CHECK(along == doctest::Approx(1 / 0.09).epsilon(0.11));
    CHECK(across == doctest::Approx(1 / 0.01).epsilon(0.11));
    CHECK(std::abs(m[2]) + std::abs(m[4]) + std::abs(m[5]) < 1e-6);
}

}  // namespace
}  // namespace microlift
