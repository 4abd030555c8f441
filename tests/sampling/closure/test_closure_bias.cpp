// What errors of one-variable closures count besides noise: meshes, walls, curves and lags, against exact
// answers; and how they add up.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <random>

#include "sampling/closure/lag_bias.h"
#include "sampling/run/stages/close/close.h"

namespace microlift {

namespace {

using Function = std::function<double(double)>;
constexpr double kPi = 3.14159265358979323846;

// D = 1 and the given drift at evenly spaced values, known to all digits.
ClosureEstimate exact_estimate(const Function& drift, double from, double to, index points) {
    ClosureEstimate e;
    for (index i = 0; i < points; ++i) {
        e.x.push_back(from + (to - from) * static_cast<double>(i) / static_cast<double>(points - 1));
        e.drift.push_back(drift(e.x.back()));
        e.drift_error.push_back(1e-9);
        e.diffusion.push_back(1);
        e.diffusion_error.push_back(1e-9);
    }
    return e;
}

// ∫ f by the midpoint rule on so many cells, which is off by the square of their width.
double integral(const Function& f, double from, double to, int cells = 200000) {
    const double h = (to - from) / cells;
    double sum = 0;
    for (int i = 0; i < cells; ++i) sum += f(from + h * (i + 0.5)) * h;
    return sum;
}

double exact_time(const Function& v, double low, double start, double target) {
    constexpr int kCells = 100000;
    const double h = (target - start) / kCells;
    double mass = integral([&](double x) { return std::exp(-v(x)); }, low, start), time = 0;
    for (int i = 0; i < kCells; ++i) {
        const double x = start + h * (i + 0.5), w = std::exp(-v(x)) * h;
        time += (mass + 0.5 * w) * std::exp(v(x)) * h;
        mass += w;
    }
    return time;
}

}  // namespace

TEST_CASE("the curve of fifth degree tells what a natural spline misses") {
    std::vector<double> x, y;
    for (int i = 0; i < 16; ++i) {
        x.push_back(-1.8 + 0.24 * i);
        y.push_back(8 * x.back() - 8 * std::pow(x.back(), 3) + std::sin(2 * x.back()));
    }
    const SmoothingSpline spline(x, y, std::vector<double>(16, 0.0), 0);
    const SmoothingSpline finer = spline.of_fifth_degree();
    for (double at = -1.75; at < 1.8; at += 0.1) {
        const double right = 8 * at - 8 * std::pow(at, 3) + std::sin(2 * at);
        // The sixth derivative of the sine, 64, times 0.24⁶/720 and the greatest product of the six
        // distances, 17: 3e-4. Where a curvature of 86 ends, cubic pieces of an eighth of the distance miss
        // 86 · 0.03²/8 = 0.01, a factor of 3.7 less with every knot: 7e-4 at the first place.
        CHECK(std::fabs(finer(at) - right) < 1e-3);
        CHECK(finer(at) - spline(at) == doctest::Approx(right - spline(at)).epsilon(0.1).scale(5e-3));
    }
    CHECK(std::fabs(spline(1.7) - finer(1.7)) > 0.1);  // the ends, which curve
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(finer(x[i]) == doctest::Approx(y[i]));
    // A line of three points stays one.
    const SmoothingSpline line({0, 1, 3}, {1, 2, 4}, {0, 0, 0}, 0);
    CHECK(line.of_fifth_degree()(2.3) == doctest::Approx(3.3));
    const SmoothingSpline same = SmoothingSpline::interpolating(x, y);
    for (double at = -2; at < 2; at += 0.07) CHECK(same(at) == doctest::Approx(spline(at)));
}

TEST_CASE("meshes of a reduced model are right to the fourth order: a linear drift") {
    const ReducedModel model(exact_estimate([](double x) { return -x; }, -7, 7, 57), 0, 0);
    // Of order h⁴, h = 14/1600 and 14/800: below 1e-6 of the value; of second order it was 1e-5.
    CHECK(model.rates(2)[0] == doctest::Approx(1).epsilon(1e-7));
    CHECK(model.rates(2)[1] == doctest::Approx(2).epsilon(1e-7));
    const Function v = [](double x) { return 0.5 * x * x; };
    CHECK(model.mean_time(-1, 0.7) == doctest::Approx(exact_time(v, -7, -1, 0.7)).epsilon(1e-7));
    CHECK(model.mean_time(0.7, -1) == doctest::Approx(exact_time(v, -7, -0.7, 1)).epsilon(1e-7));
    const Function scale = [](double x) { return std::exp(0.5 * x * x); };
    for (const double x : {-0.83, 0.1, 0.977})
        CHECK(model.committor(x, -1, 1.3) ==
              doctest::Approx(integral(scale, -1, x) / integral(scale, -1, 1.3)).epsilon(1e-8));
    // Half the mesh is off by 16 times as much: what is left is seen.
    CHECK(std::fabs(model.coarser().rates(1)[0] - model.rates(1)[0]) < 1e-6);
    CHECK(model.coarser().mean_time(-1, 0.7) == doctest::Approx(model.mean_time(-1, 0.7)).epsilon(1e-6));
}

TEST_CASE("walls and curves together: the bias of a model through few values") {
    struct Well {
        Function v, drift;
        double reach;
        index points;
    };
    const Well wells[] = {
        {[](double x) { return 2 * std::pow(x * x - 1, 2); },
         [](double x) { return -8 * x * (x * x - 1); }, 1.8, 16},
        {[](double x) { return 3 * std::pow(x * x - 1, 2) + 0.5 * x; },
         [](double x) { return -12 * x * (x * x - 1) - 0.5; }, 1.7, 16},
        {[](double x) { return std::pow(x, 4); }, [](double x) { return -4 * std::pow(x, 3); }, 1.6,
         16},
        {[](double x) { return 0.5 * x * x + 1.5 * std::cos(3 * x); },
         [](double x) { return -x + 4.5 * std::sin(3 * x); }, 3, 40}};
    for (const Well& well : wells) {
        CAPTURE(well.reach);
        ClosureSource source;
        source.estimate = exact_estimate(well.drift, -well.reach, well.reach, well.points);
        source.model = ReducedModel(source.estimate, 0, 0);
        source.variants.push_back({source.model.beyond_ends()});
        source.variants.push_back({source.model.with_finer_curves(), 1.0, true});
        const auto times = source.figures([](const ReducedModel& m) {
            return std::array{m.mean_time(-1, 0), m.mean_time(-1, 1)};
        });
        for (std::size_t i = 0; i < 2; ++i) {
            const double right = exact_time(well.v, -9, -1, i == 0 ? 0 : 1);
            // Beyond the walls the drift is no line: a quarter of the error may be missing.
            CHECK(std::fabs(times[i].value - right) == doctest::Approx(times[i].error).epsilon(0.25));
            CHECK(times[i].error < 0.05 * right);
        }
    }
}

TEST_CASE("biases of one sign add up, of both signs in quadrature") {
    const auto constant = [](double drift) {
        return ReducedModel(exact_estimate([drift](double) { return drift; }, 0, 1, 8), 0, 0);
    };
    const auto value = [](const ReducedModel& m) { return std::array{m.drift(0.5)}; };
    ClosureSource source;
    source.model = constant(1);
    source.variants.push_back({constant(1.3)});
    source.variants.push_back({constant(2.0), 0.1});
    CHECK(source.figures(value)[0].error == doctest::Approx(0.4));
    source.variants.push_back({constant(1.3), -1.0});  // what is off the other way
    CHECK(source.figures(value)[0].error == doctest::Approx(0.5));
    // Noise of 0.2: of a noisy variant what exceeds that counts.
    source.variants = {{constant(1.5), 1.0, true}};
    for (index r = 0; r < ClosureSource::kReplicates; ++r)
        source.replicates.push_back(constant(r % 2 ? 1.2 : 0.8));
    const double square = 0.04 * ClosureSource::kReplicates / (ClosureSource::kReplicates - 2);
    CHECK(source.figures(value)[0].error ==
          doctest::Approx(std::sqrt(square + 0.25 - kNoiseOfDifference * square)));
    CHECK(source.figures(value)[0].value == doctest::Approx(1));
}

TEST_CASE("an error that counts a difference covers, whatever the bias is") {
    // A value with noise of 1 and a bias; the other one is right. The mean of z², by the midpoint
    // rule.
    for (double bias = 0; bias < 12; bias += 0.25) {
        CAPTURE(bias);
        double mean = 0;
        for (double noise = -8 + 5e-4; noise < 8; noise += 1e-3) {
            const double off = bias + noise, error = with_difference(1, off, 0);
            mean += 1e-3 * std::exp(-0.5 * noise * noise) / std::sqrt(2 * kPi) *
                    std::pow(off / error, 2);
        }
        CHECK(mean > 0.7);
        CHECK(mean < 1.4);
    }
}

TEST_CASE("differences of lags count where all together exceed noise") {
    std::mt19937_64 random(5);
    std::normal_distribution<double> normal;
    constexpr int kSets = 400, kValues = 16;
    int alarms = 0, seen = 0;
    for (int s = 0; s < kSets; ++s) {
        std::vector<double> noise, moved, error;
        for (int i = 0; i < kValues; ++i) {
            error.push_back(0.01 * (1 + i));
            noise.push_back(error.back() * normal(random));
            moved.push_back(noise.back() + 2 * error.back());
        }
        const auto any = [](const std::vector<double>& v) {
            return std::any_of(v.begin(), v.end(), [](double d) { return d != 0; });
        };
        alarms += any(beyond_noise(noise, error));
        seen += any(beyond_noise(moved, error));
    }
    // One in twenty, give or take three standard deviations of so many sets.
    CHECK(alarms < kSets * 0.05 + 3 * std::sqrt(kSets * 0.05 * 0.95));
    CHECK(alarms > 0);
    CHECK(seen == kSets);
    const auto one = beyond_noise({5.0, -13.0, 0.1, 1.0}, {3.0, 5.0, 1.0, 0.0});
    CHECK(one[0] == doctest::Approx(4));
    CHECK(one[1] == doctest::Approx(-12));
    CHECK(one[2] == 0);  // within its error
    CHECK(one[3] == 1);  // known exactly
}

TEST_CASE("a lag is compared by the displacements its model gives over another lag") {
    // Displacements over one and two steps, of −8x³ + 8x and of the same moved by 0.5 at two steps.
    constexpr double kStep = 2e-3;
    const Function drift = [](double x) { return -8 * x * (x * x - 1); };
    const ReducedModel truth(exact_estimate(drift, -2.4, 2.4, 161), 0, 0);
    const auto lag_of = [&](index steps, double error, double moved) {
        BurstLag lag;
        lag.steps = steps;
        lag.tau = kStep * static_cast<double>(steps);
        lag.corrected = exact_estimate(drift, -1.8, 1.8, 16);
        lag.model = ReducedModel(lag.corrected, 0, 0);
        lag.apparent = lag.corrected;
        std::vector<double> mean, variance;
        truth.displacement(lag.apparent.x, lag.tau, mean, variance, steps);
        for (std::size_t i = 0; i < mean.size(); ++i) {
            lag.apparent.drift[i] = mean[i] / lag.tau + moved;
            lag.apparent.diffusion[i] = variance[i] / (2 * lag.tau);
            lag.apparent.drift_error[i] = lag.apparent.diffusion_error[i] = error;
        }
        return lag;
    };
    const BurstLag one = lag_of(1, 1e-6, 0), two = lag_of(2, 0.01, 0), moved = lag_of(2, 0.01, 0.5);
    for (const double b : lag_bias(one, two).drift) CHECK(b == 0);
    for (const double b : lag_bias(one, two).diffusion) CHECK(b == 0);
    const BurstBias seen = lag_bias(one, moved);
    // The same displacement at every value; at the two ends the longer bursts leave the model.
    for (std::size_t i = 1; i + 1 < 16; ++i) CHECK(seen.drift[i] == doctest::Approx(0.5).epsilon(0.01));
    CHECK(seen.drift[0] == 0);
    CHECK(seen.drift[15] == 0);
    const ClosureEstimate other = shifted(one.corrected, seen);
    CHECK(other.drift[5] == doctest::Approx(one.corrected.drift[5] + 0.5).epsilon(0.01));
    // One step starts at the values: curves do not matter. After eight they do, at the ends most.
    for (const double b : curve_bias(one).drift) CHECK(b == 0);
    BurstLag longer = lag_of(8, 1e-4, 0);
    std::vector<double> mean, variance, error(16, 1e-6);
    truth.displacement(longer.apparent.x, longer.tau, mean, variance, 8);
    longer.corrected = invert_displacements(longer.apparent.x, longer.tau, mean, error, variance, error,
                                            longer.model, nullptr, 0, 0, 0, 8);
    const BurstBias curves = curve_bias(longer);
    for (std::size_t i = 0; i < 16; ++i) {
        const double off = drift(longer.apparent.x[i]) - longer.corrected.drift[i];
        // Bursts from the outermost values leave the model, where a line goes on for the cubic: less than
        // half of it is missed.
        CHECK(std::fabs(off - curves.drift[i]) < 0.5 * std::fabs(off) + 1e-3);
        MESSAGE(off << " " << curves.drift[i]);
    }
}

}  // namespace microlift
