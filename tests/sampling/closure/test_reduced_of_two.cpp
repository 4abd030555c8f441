// Reduced models of two collective variables against exact answers: products of known factors, linear
// drifts, anisotropic diffusion.
#include "sampling/closure/reduced_of_two.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include "engine/error.h"
#include "sampling/closure/reduced.h"

namespace microlift {

namespace {

// Exact coefficients on a grid of values, but for normal errors of the given relative size.
EstimateOfTwo estimate_of(const CvValue& reach, index points, double noise, unsigned seed,
                          const std::function<DriftAndDiffusion(double, double)>& f) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    EstimateOfTwo e;
    const auto along = [&](std::size_t k, index i) {
        return reach[k] * (2 * static_cast<double>(i) / static_cast<double>(points - 1) - 1);
    };
    for (index i = 0; i < points; ++i)
        for (index j = 0; j < points; ++j) {
            const CvValue x{along(0, i), along(1, j)};
            DriftAndDiffusion v = f(x[0], x[1]), error{};
            for (std::size_t o = 0; o < 5; ++o) {
                const double scale = o < 2 ? 1.0 : std::sqrt(v[2] * v[4]);
                error[o] = noise * scale + 1e-9;
                v[o] += noise * scale * normal(random);
            }
            e.at.push_back(x);
            e.value.push_back(v);
            e.error.push_back(error);
        }
    return e;
}

// A double well in x at β = 3, a harmonic spring of 4 in y, and D = 1/β.
DriftAndDiffusion separable(double x, double y) {
    return {-4 * x * (x * x - 1), -4 * y, 1.0 / 3, 0, 1.0 / 3};
}

}  // namespace

TEST_CASE("two variables: what cells and walls do to a rate") {
    // V = 2 (x² − 1)² + y² at D = 1; by the well's finite volumes on a fine mesh over a wide range.
    constexpr double kRate = 0.454547;
    const auto drift = [](double x, double y) {
        return DriftAndDiffusion{-8 * x * (x * x - 1), -2 * y, 1, 0, 1};
    };
    for (const double reach : {1.6, 1.45}) {
        CAPTURE(reach);
        constexpr index kPoints = 25;
        const EstimateOfTwo e = estimate_of({reach, 1.6}, kPoints, 0, 1, drift);
        const ReducedModelOfTwo model(e);
        const double rate = model.rates(1)[0], layer = 2 * reach / static_cast<double>(kPoints - 1);
        EstimateOfTwo kept = e;
        for (std::size_t i = 0; i < e.size(); ++i)
            if (std::fabs(e.at[i][0]) > reach - 0.5 * layer) kept.error[i].fill(std::nan(""));
        const double low = -reach + layer, high = reach - layer;
        const double cells = (model.coarser().rates(1)[0] - rate) / 3;
        const double walls = model.beyond_share(0, low, high) *
                             (ReducedModelOfTwo(kept).rates(1)[0] - rate);
        CAPTURE(cells);
        CAPTURE(walls);
        // Both are of one sign. Next orders of the cells' width and of the layer's depth: a fifth.
        CHECK(rate - kRate == doctest::Approx(cells + walls).epsilon(0.2));
        CHECK(rate - kRate > 0.5 * cells);
        CHECK(cells > 1e-3);
    }
    // Where the drift leads outwards nothing is known of what lies beyond.
    const ReducedModelOfTwo hill(estimate_of({1, 1}, 8, 0, 1, [](double x, double y) {
        return DriftAndDiffusion{x, y, 1, 0, 1};
    }));
    CHECK(hill.beyond_share(0, -0.7, 0.7) == 1);
    CHECK(hill.cell_at({-2, 2}) == ReducedModelOfTwo::kSide - 1);
    CHECK(hill.cell_at(hill.centre(1234)) == 1234);
}

TEST_CASE("two variables: a double well beside a spring has the double well's times and rates") {
    // A strip around x = 1 as the target: the exact time to x = 1 − 0.05, by quadrature.
    const double target = 0.95;
    double exact = 0;
    {
        const auto V = [](double x) { return (x * x - 1) * (x * x - 1); };
        double below = 0;
        const double h = 1e-4;
        for (double x = -2.2 + h / 2; x < target; x += h) {
            below += std::exp(-3 * V(x)) * h;
            if (x > -1) exact += 3 * std::exp(3 * V(x)) * below * h;
        }
    }
    // The second rate is the double well's own, below the spring's 4.
    ClosureEstimate well;
    for (double x = -2.2; x < 2.21; x += 0.05) {
        const DriftAndDiffusion v = separable(x, 0);
        well.x.push_back(x);
        well.drift.push_back(v[0]);
        well.diffusion.push_back(v[2]);
        well.drift_error.push_back(1e-9);
        well.diffusion_error.push_back(1e-9);
    }
    const double second = ReducedModel(well, 0, 0).rates(2)[1];
    CHECK(second < 4);
    for (const double noise : {0.0, 0.03}) {
        CAPTURE(noise);
        const EstimateOfTwo e = estimate_of({2.2, 1.7}, 33, noise, 1, separable);
        const ReducedModelOfTwo model(e);
        const double allowed = noise > 0 ? 0.03 : 0.01;
        const EllipseSet right{{1.0, 0.0}, {0.05, 1e3}}, left{{-1.0, 0.0}, {0.05, 1e3}};
        CHECK(model.at(model.mean_times(right), {-1, 0}) == doctest::Approx(exact).epsilon(allowed));
        const std::vector<double> rates = model.rates(2);
        CHECK(rates[0] == doctest::Approx(0.0806199).epsilon(allowed));
        CHECK(rates[1] == doctest::Approx(second).epsilon(allowed));
        const std::vector<double> q = model.committor(left, right), p = model.density();
        CHECK(model.at(q, {0, 0.3}) == doctest::Approx(0.5).epsilon(allowed));
        // A normal density along y, with deviation 1/sqrt(βk).
        CHECK(std::log(model.at(p, {-1, 0}) / model.at(p, {-1, 0.5})) ==
              doctest::Approx(0.5 * 12 * 0.25).epsilon(allowed));
        // The slowest function tells the wells apart.
        const std::vector<double> slow = model.slowest_function();
        CHECK(model.at(slow, {1, 0}) == doctest::Approx(-model.at(slow, {-1, 0})).epsilon(2 * allowed));
    }
    // By the density of the free energy, with the same diffusion.
    const EstimateOfTwo e = estimate_of({2.2, 1.7}, 33, 0, 1, separable);
    std::vector<double> log_p;
    for (const CvValue& x : e.at)
        log_p.push_back(-3 * ((x[0] * x[0] - 1) * (x[0] * x[0] - 1) + 2 * x[1] * x[1]));
    const ReducedModelOfTwo model(e, log_p);
    CHECK(model.rates(1)[0] == doctest::Approx(0.0806199).epsilon(0.01));
    const DriftAndDiffusion& b = model.coefficients(20 * ReducedModelOfTwo::kSide + 30);
    const CvValue x = model.centre(20 * ReducedModelOfTwo::kSide + 30);
    CHECK(b[0] == doctest::Approx(separable(x[0], x[1])[0]).epsilon(0.02));
    CHECK(b[1] == doctest::Approx(separable(x[0], x[1])[1]).epsilon(0.02));
}

TEST_CASE("two variables: a torus and a ring beside a spring have the rates and times of their factors") {
    constexpr double pi = 3.14159265358979323846;
    // Of one ring by the model of one variable; the other factor is a spring of 4, or another ring.
    const auto slope = [](double x) { return std::sin(x) + 1.6 * std::sin(2 * x); };
    const auto other_slope = [](double y) { return 0.8 * std::sin(y); };
    const auto alone = [&](const std::function<double(double)>& f) {
        ClosureEstimate e;
        e.period = 2 * pi;
        for (int i = 0; i < 96; ++i) {
            e.x.push_back(-pi + 2 * pi * i / 96);
            e.drift.push_back(f(e.x.back()));
            e.diffusion.push_back(0.5);
            e.drift_error.push_back(1e-9);
            e.diffusion_error.push_back(1e-9);
        }
        return ReducedModel(e, 0, 0);
    };
    const ReducedModel first = alone(slope), second = alone(other_slope);
    for (const double shift : {0.0, 1.3}) {
        CAPTURE(shift);
        EstimateOfTwo torus, tube;
        torus.period = {2 * pi, 2 * pi};
        tube.period = {2 * pi, 0};
        std::vector<double> log_p;
        for (int i = 0; i < 36; ++i)
            for (int j = 0; j < 36; ++j) {
                const double x = shift + 2 * pi * i / 36, y = -0.4 + 2 * pi * j / 36;
                const double z = 2.0 * (2.0 * j / 35 - 1);
                const auto put = [&](EstimateOfTwo& e, const CvValue& at, const DriftAndDiffusion& v) {
                    e.add(at, [&](int o) { return v[static_cast<std::size_t>(o)]; },
                          [](int) { return 1e-9; });
                };
                put(torus, {x, y}, {slope(x), other_slope(y), 0.5, 0, 0.5});
                put(tube, {x, z}, {slope(x), -4 * z, 0.5, 0, 0.5});
                log_p.push_back(-2 * (std::cos(x) + 0.8 * std::cos(2 * x) + 0.8 * std::cos(y)));
            }
        const ReducedModelOfTwo both(torus), reversible(torus, log_p), one(tube);
        CHECK(both.ring(0) == doctest::Approx(2 * pi));
        CHECK(both.ring(1) == doctest::Approx(2 * pi));
        CHECK(one.ring(1) == 0);
        std::vector<double> exact = first.rates(2);
        const double slowest = exact[0];
        exact.push_back(second.rates(1)[0]);
        std::sort(exact.begin(), exact.end());
        for (const ReducedModelOfTwo* m : {&both, &reversible}) {
            const std::vector<double> rates = m->rates(2);
            CHECK(rates[0] == doctest::Approx(exact[0]).epsilon(0.01));
            CHECK(rates[1] == doctest::Approx(exact[1]).epsilon(0.01));
            // A strip as the target is reached either way round; where the cells begin does not matter.
            for (const double to : {pi / 2 + 0.1, -pi / 2}) {
                const EllipseSet strip{{to, 0.0}, {0.05, 1e3}, {2 * pi, 2 * pi}};
                for (const double from : {0.4, 2.9, -2.7}) {
                    const double time = m->at(m->mean_times(strip), {from, 5.0});
                    const double near = m->at(m->mean_times(strip), {from + 2 * pi, 1.0 - 2 * pi});
                    CHECK(time == doctest::Approx(near).epsilon(1e-6));
                    // The strip's rims are nearer than its middle.
                    CHECK(time < first.mean_time(from, to) * 1.005);
                    CHECK(time > first.mean_time(from, to) * 0.92);
                }
            }
        }
        CHECK(one.rates(1)[0] == doctest::Approx(slowest).epsilon(0.01));
        const std::vector<double> p = both.density();
        CHECK(std::log(both.at(p, {pi / 2, 0.3}) / both.at(p, {pi, 0.3})) ==
              doctest::Approx(2 * (std::cos(pi) + 0.8 - std::cos(pi / 2) + 0.8)).epsilon(0.03));
    }
}

TEST_CASE("two variables: rates of linear drifts, turning ones and with correlated noise") {
    // Rates are the eigenvalues of A in b = −A ξ, whatever D.
    struct Linear {
        double a[4], d[3], rates[2];
    };
    for (const Linear& l : {Linear{{1, -2, 2, 1.5}, {0.5, 0, 0.5}, {1.25, 1.25}},
                            Linear{{1, 0, 0, 3}, {1.0, 0.45, 0.25}, {1, 2}},
                            Linear{{1.5, 0.5, 0.5, 1.5}, {0.3, -0.2, 0.6}, {1, 2}}}) {
        CAPTURE(l.d[1]);
        // Stationary covariance S of A S + S Aᵀ = 2 D sets the range: five deviations.
        const double a = l.a[0], b = l.a[1], c = l.a[2], d = l.a[3];
        // Unknown s11, s12, s22.
        const double m[3][4] = {{2 * a, 2 * b, 0, 2 * l.d[0]},
                                {c, a + d, b, 2 * l.d[1]},
                                {0, 2 * c, 2 * d, 2 * l.d[2]}};
        const double det = m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) -
                           m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]);
        const auto minor = [&](int column) {
            double n[3][3];
            for (int i = 0; i < 3; ++i)
                for (int j = 0; j < 3; ++j) n[i][j] = j == column ? m[i][3] : m[i][j];
            return n[0][0] * (n[1][1] * n[2][2] - n[1][2] * n[2][1]) -
                   n[0][1] * (n[1][0] * n[2][2] - n[1][2] * n[2][0]) +
                   n[0][2] * (n[1][0] * n[2][1] - n[1][1] * n[2][0]);
        };
        const double s11 = minor(0) / det, s12 = minor(1) / det, s22 = minor(2) / det;
        const ReducedModelOfTwo model(
            estimate_of({5 * std::sqrt(s11), 5 * std::sqrt(s22)}, 17, 0, 1, [&](double x, double y) {
                return DriftAndDiffusion{-a * x - b * y, -c * x - d * y, l.d[0], l.d[1], l.d[2]};
            }));
        const std::vector<double> rates = model.rates(2);
        for (std::size_t k = 0; k < 2; ++k)
            CHECK(rates[k] == doctest::Approx(l.rates[k]).epsilon(0.01));
        // And the stationary covariance is S.
        const std::vector<double> p = model.density();
        double sum = 0, xx = 0, xy = 0, yy = 0;
        for (std::size_t i = 0; i < p.size(); ++i) {
            const CvValue x = model.centre(static_cast<index>(i));
            sum += p[i];
            xx += p[i] * x[0] * x[0];
            xy += p[i] * x[0] * x[1];
            yy += p[i] * x[1] * x[1];
        }
        CHECK(xx / sum == doctest::Approx(s11).epsilon(0.02));
        CHECK(yy / sum == doctest::Approx(s22).epsilon(0.02));
        CHECK(std::fabs(xy / sum - s12) < 0.02 * std::sqrt(s11 * s22));
    }
}

TEST_CASE("two variables: time out of a disc, and missing values are walls") {
    // Free diffusion between circles: u = (R² ln(r/a) − (r² − a²)/2)/2D with a reflecting circle at R.
    const double a = 0.3, R = 1.5, D = 0.7;
    EstimateOfTwo e = estimate_of({1.6, 1.6}, 81, 0, 1, [&](double, double) {
        return DriftAndDiffusion{0, 0, D, 0, D};
    });
    EstimateOfTwo round;
    for (std::size_t v = 0; v < e.at.size(); ++v)
        if (std::hypot(e.at[v][0], e.at[v][1]) < R) {
            round.at.push_back(e.at[v]);
            round.value.push_back(e.value[v]);
            round.error.push_back(e.error[v]);
        }
    const ReducedModelOfTwo model(round);
    const std::vector<double> time = model.mean_times({{0, 0}, {a, a}});
    for (const double r : {0.5, 0.9, 1.3})
        CHECK(model.at(time, {r * std::cos(0.4), r * std::sin(0.4)}) ==
              doctest::Approx((R * R * std::log(r / a) - 0.5 * (r * r - a * a)) / (2 * D))
                  .epsilon(0.03));
    CHECK(std::isnan(model.at(time, {1.55, 1.55})));
    CHECK_THROWS_AS(ReducedModelOfTwo(estimate_of({1, 1}, 2, 0, 1, separable)), NumericError);
}

TEST_CASE("two variables: a diffusion that noise hides stays positive and is not made larger") {
    // Errors of a third to two thirds of D, so that one estimate in five is not positive definite.
    const DriftAndDiffusion truth{0, 0, 0.3, -0.1, 0.2};
    constexpr double kError = 0.12;
    constexpr int kSeeds = 24;
    double mean[5] = {}, square[5] = {}, squared_z = 0;
    int indefinite = 0;
    for (unsigned seed = 1; seed <= kSeeds; ++seed) {
        EstimateOfTwo e = estimate_of({1, 1}, 15, 0, seed, [&](double x, double y) {
            return DriftAndDiffusion{-x, -y, truth[2], truth[3], truth[4]};
        });
        std::mt19937_64 random(seed);
        std::normal_distribution<double> normal;
        for (std::size_t v = 0; v < e.size(); ++v) {
            for (std::size_t o = 2; o < 5; ++o) {
                e.error[v][o] = kError;
                e.value[v][o] += kError * normal(random);
            }
            const DriftAndDiffusion& d = e.value[v];
            indefinite += !(d[2] > 0 && d[2] * d[4] > d[3] * d[3]);
        }
        // One that single precision, or an exact answer, would take for perfectly correlated.
        e.value[112] = {0, 0, 0.09, -0.0998, 0.1112};
        const ReducedModelOfTwo model(e);
        const auto average = [](const ReducedModelOfTwo& m, std::size_t o) {
            double sum = 0;
            bool positive = true;
            for (index c = 0; c < ReducedModelOfTwo::kSide * ReducedModelOfTwo::kSide; ++c) {
                const DriftAndDiffusion& v = m.coefficients(c);
                positive = positive && v[2] > 0 && v[2] * v[4] > v[3] * v[3];
                sum += v[o];
            }
            CHECK(positive);
            return sum / (ReducedModelOfTwo::kSide * ReducedModelOfTwo::kSide);
        };
        double spread = 0;
        constexpr uint64 kReplicates = 8;
        for (uint64 r = 0; r < kReplicates; ++r) {
            const ReducedModelOfTwo other = model.with(perturbed(e, seed, r));
            if (seed == 1) CHECK(std::isfinite(other.rates(1)[0]));
            spread += std::pow(average(other, 2) - average(model, 2), 2) / (kReplicates - 2);
        }
        for (std::size_t o = 2; o < 5; ++o) {
            const double d = average(model, o) - truth[o];
            mean[o] += d / kSeeds;
            square[o] += d * d / (kSeeds - 1);
            if (o == 2) squared_z += d * d / spread / kSeeds;
        }
    }
    CHECK(indefinite > 0.1 * kSeeds * 225);
    for (std::size_t o = 2; o < 5; ++o) {
        CAPTURE(o);
        CHECK(std::fabs(mean[o]) < 3.5 * std::sqrt(square[o] / kSeeds));
    }
    CHECK(squared_z > 0.4);  // of 24 of them; their mean has a deviation of 0.4 or less
    CHECK(squared_z < 2);
    // No diffusion at all, exactly known, is no noise: it is left out as before.
    EstimateOfTwo e = estimate_of({1, 1}, 15, 0, 1, separable);
    const double rate = ReducedModelOfTwo(e).rates(1)[0];
    e.value[112][2] = 0;
    CHECK(ReducedModelOfTwo(e).rates(1)[0] == doctest::Approx(rate).epsilon(1e-3));
}

}  // namespace microlift
