// Physics of the integrators, on every device: stationary laws that are known exactly, the weak
// order of the invariant measure, constraints, windows, and what happens when a trajectory blows
// up.
#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/launch/reduce.h"
#include "kernels/random/streams.h"
#include "tests/support/devices.h"
#include "tests/support/laws.h"
#include "tests/support/path_runs.h"

namespace microlift {

namespace {

EulerMaruyama euler(double dt) {
    return {static_cast<float>(dt), static_cast<float>(std::sqrt(dt))};
}
LeimkuhlerMatthews leimkuhler(double dt) {
    return {static_cast<float>(dt), static_cast<float>(std::sqrt(dt))};
}
Baoab baoab(double dt, double friction, double beta) {
    const double keep = std::exp(-friction * dt);
    return {static_cast<float>(dt / 2), static_cast<float>(dt / 2), static_cast<float>(keep),
            static_cast<float>(std::sqrt((1 - keep * keep) / beta))};
}

template <class System>
System at_temperature(System system, double beta) {
    system.sigma = static_cast<float>(std::sqrt(2 / beta));
    return system;
}

HarmonicWell harmonic(double stiffness, double beta) {
    HarmonicWell well{};
    well.stiffness = static_cast<float>(stiffness);
    return at_temperature(well, beta);
}

// An ensemble of trajectories with room for one sample of each a segment.
class Runs {
public:
    Runs(const Device& device, int dim, index trajectories, index segments, uint64 seed)
        : stream_(device),
          segments_(segments),
          x_(device, dim * trajectories),
          v_(device, dim * trajectories),
          center_(device, trajectories),
          stiffness_(device, trajectories),
          sample_x_(device, dim * trajectories * segments),
          sample_xi_(device, trajectories * segments),
          status_(device, 2),
          scratch_(device, reduce_scratch(dim, trajectories * segments)) {
        const uint64 clear[2] = {0, kStatusClear};
        copy_to_device(stream_, status_.span(), clear);
        a_.trajectories = trajectories, a_.seed = seed, a_.stream = kStreamNoise;
        a_.x = x_.data(), a_.v = v_.data(), a_.center = center_.data();
        a_.stiffness = stiffness_.data(), a_.status = status_.data();
        a_.sample_xi = sample_xi_.data(), a_.sample_row = trajectories * segments;
    }

    void start_at(const std::vector<float>& x) { copy_to_device(stream_, x_.span(), x.data()); }
    void bias(float center, float stiffness) {
        const std::size_t n = static_cast<std::size_t>(a_.trajectories);
        copy_to_device(stream_, center_.span(), std::vector<float>(n, center).data());
        copy_to_device(stream_, stiffness_.span(), std::vector<float>(n, stiffness).data());
    }

    // `skip` steps, then `segments` samples `stride` steps apart.
    template <class Launch>
    void sample(uint64 skip, uint64 stride, const Launch& launch) {
        a_.sample_x = nullptr, a_.stride = skip, a_.segments = 1;
        launch(stream_, a_);
        a_.first_step += skip;
        a_.sample_x = sample_x_.data(), a_.stride = stride, a_.segments = segments_;
        launch(stream_, a_);
        a_.first_step += stride * static_cast<uint64>(segments_);
    }
    template <class System, class Scheme>
    void sample(const System& system, const Scheme& scheme, uint64 skip, uint64 stride) {
        sample(skip, stride,
               [&](Stream& stream, const PathArgs& a) { run_path(stream, system, scheme, a); });
    }

    struct Moments {
        double mean = 0, variance = 0, samples = 0;
    };
    Moments moments(int variable) { return moments_of(sample_x_.span(), variable, a_.sample_row); }
    Moments velocity() { return moments_of(v_.span(), 0, a_.trajectories); }

    std::vector<float> samples() { return to_host(stream_, sample_x_.span()); }
    std::vector<float> coordinates() { return to_host(stream_, sample_xi_.span()); }
    std::vector<float> state() { return to_host(stream_, x_.span()); }
    std::vector<uint64> status() { return to_host(stream_, status_.span()); }
    bool all_finite() { return status()[0] == 0; }

private:
    Moments moments_of(Span<float> from, int row, index columns) {
        Buffer<double> mean(stream_.device(), 1), variance(stream_.device(), 1);
        const Rows<float> x(from.data + row * columns, 1, columns, columns);
        row_mean_variance(stream_, x, mean.span(), variance.span(), scratch_.span());
        return {to_host(stream_, mean.span())[0], to_host(stream_, variance.span())[0],
                static_cast<double>(columns)};
    }

    Stream stream_;
    index segments_;
    Buffer<float> x_, v_, center_, stiffness_, sample_x_, sample_xi_;
    Buffer<uint64> status_;
    Buffer<double> scratch_;
    PathArgs a_{};
};

// Standard errors from a variance of independent normal samples.
double deviation_of_variance(const Runs::Moments& m, double exact) {
    return (m.variance - exact) / (exact * std::sqrt(2 / m.samples));
}

// Weighted straight line through (ln dt, ln |error|): the order, and its standard error.
struct Order {
    double slope = 0, error = 0;
};
Order fit_order(const std::vector<double>& dt, const std::vector<double>& bias,
                const std::vector<double>& bias_error) {
    double w = 0, wx = 0, wy = 0, wxx = 0, wxy = 0;
    for (std::size_t i = 0; i < dt.size(); ++i) {
        const double x = std::log(dt[i]), y = std::log(std::fabs(bias[i]));
        const double weight = bias[i] * bias[i] / (bias_error[i] * bias_error[i]);
        w += weight, wx += weight * x, wy += weight * y, wxx += weight * x * x;
        wxy += weight * x * y;
    }
    const double determinant = w * wxx - wx * wx;
    return {(w * wxy - wx * wy) / determinant, std::sqrt(w / determinant)};
}

// E[x²] and E[x⁴] under exp(−x²/2 − x⁴/4), by the trapezoidal rule (exact to rounding here).
void quartic_moments(double& second, double& fourth) {
    double z = 0;
    second = fourth = 0;
    for (double x = -8; x <= 8; x += 1.0 / 64) {
        const double p = std::exp(-x * x / 2 - x * x * x * x / 4);
        z += p, second += p * x * x, fourth += p * x * x * x * x;
    }
    second /= z, fourth /= z;
}

// The bias of E[x²] in the quartic well at each step size, over its standard error. A harmonic well
// run on the same random numbers, whose variance is known, takes most of the noise away (a control
// variate).
template <class MakeScheme, class HarmonicVariance>
Order measured_order(const Device& device, const std::vector<double>& dts, index segments,
                     double lag, const MakeScheme& make, const HarmonicVariance& variance) {
    constexpr index kTrajectories = 1 << 14;
    constexpr double kStiffness = 2.4;  // about the mean curvature of the quartic well
    double second, fourth;
    quartic_moments(second, fourth);
    std::vector<double> bias, bias_error;
    for (const double dt : dts) {
        const auto sampled = [&](const auto& system) {
            Runs runs(device, 1, kTrajectories, segments, 11);
            runs.sample(system, make(dt), static_cast<uint64>(std::lround(12 / dt)),
                        static_cast<uint64>(std::lround(lag / dt)));
            REQUIRE(runs.all_finite());
            return runs.samples();
        };
        const std::vector<float> x = sampled(at_temperature(QuarticWell{}, 1.0));
        const std::vector<float> y = sampled(harmonic(kStiffness, 1.0));
        const double size = static_cast<double>(x.size()), known = variance(kStiffness, dt);
        // Controls: y² and y⁴ less their known means, y being normal. Each trajectory gives one
        // number, its mean over time, so that the errors need no correlation time.
        std::vector<std::array<double, 3>> mean(kTrajectories);
        for (std::size_t i = 0; i < x.size(); ++i) {
            const double y2 = double(y[i]) * y[i],
                         weight = static_cast<double>(kTrajectories) / size;
            mean[i % kTrajectories][0] += weight * (double(x[i]) * x[i] - second);
            mean[i % kTrajectories][1] += weight * (y2 - known);
            mean[i % kTrajectories][2] += weight * (y2 * y2 - 3 * known * known);
        }
        double sum[3] = {}, product[3][3] = {};
        const double n = kTrajectories;
        for (const auto& u : mean) {
            for (std::size_t p = 0; p < 3; ++p) {
                sum[p] += u[p] / n;
                for (std::size_t q = 0; q < 3; ++q) product[p][q] += u[p] * u[q] / n;
            }
        }
        const double determinant = product[1][1] * product[2][2] - product[1][2] * product[1][2];
        const double c1 =
            (product[0][1] * product[2][2] - product[0][2] * product[1][2]) / determinant;
        const double c2 =
            (product[0][2] * product[1][1] - product[0][1] * product[1][2]) / determinant;
        bias.push_back(sum[0] - c1 * sum[1] - c2 * sum[2]);
        bias_error.push_back(
            std::sqrt((product[0][0] - c1 * product[0][1] - c2 * product[0][2]) / n));
        INFO("dt " << dt << ": bias of E[x^2] " << bias.back() << " +- " << bias_error.back());
        // A bias that drowns in noise would make the order meaningless.
        CHECK(std::fabs(bias.back()) >= 8 * bias_error.back());
    }
    return fit_order(dts, bias, bias_error);
}

}  // namespace

TEST_CASE("harmonic well: Euler-Maruyama has the variance 1 / (beta k (1 - k dt / 2))") {
    for (const Device& device : quick_devices()) {
        for (const double dt : {0.05, 0.25}) {
            CAPTURE(dt);
            const double k = 2, beta = 0.5;
            Runs runs(device, 1, 1 << 15, 40, 1);
            // Samples e^-8 apart count as independent.
            runs.sample(harmonic(k, beta), euler(dt), 200, static_cast<uint64>(4 / dt));
            const Runs::Moments m = runs.moments(0);
            const double exact = 1 / (beta * k * (1 - k * dt / 2));
            CHECK(std::fabs(deviation_of_variance(m, exact)) <= 4);
            // And the test would notice if the bias were not there.
            CHECK(deviation_of_variance(m, 1 / (beta * k)) >= 10);
            CHECK(std::fabs(m.mean) <= 4 * std::sqrt(exact / m.samples));
        }
    }
}

TEST_CASE("harmonic well: Leimkuhler-Matthews is exact") {
    for (const Device& device : quick_devices()) {
        for (const double dt : {0.05, 0.25}) {
            CAPTURE(dt);
            const double k = 2, beta = 0.5;
            Runs runs(device, 1, 1 << 15, 40, 2);
            runs.sample(harmonic(k, beta), leimkuhler(dt), 200, static_cast<uint64>(4 / dt));
            CHECK(std::fabs(deviation_of_variance(runs.moments(0), 1 / (beta * k))) <= 4);
        }
    }
}

TEST_CASE("harmonic well: BAOAB is exact in position, and 1 - k dt^2 / 4 short in velocity") {
    for (const Device& device : quick_devices()) {
        for (const double dt : {0.2, 1.0}) {
            CAPTURE(dt);
            const double k = 1, beta = 0.5, friction = 1.5;
            Runs runs(device, 1, 1 << 16, 20, 3);
            runs.sample(harmonic(k, beta), baoab(dt, friction, beta), 200,
                        static_cast<uint64>(15 / dt));
            CHECK(std::fabs(deviation_of_variance(runs.moments(0), 1 / (beta * k))) <= 4);
            const double velocity = (1 - k * dt * dt / 4) / beta;
            CHECK(std::fabs(deviation_of_variance(runs.velocity(), velocity)) <= 4);
        }
    }
}

TEST_CASE("weak order of the invariant measure: Euler-Maruyama 1") {
    if (quick_devices().empty()) return;
    const Order order = measured_order(
        quick_devices().back(), {0.01, 0.014, 0.02, 0.028}, 150, 0.5,
        [](double dt) { return euler(dt); },
        [](double k, double dt) { return 1 / (k * (1 - k * dt / 2)); });
    INFO("order " << order.slope << " +- " << order.error);
    CHECK(std::fabs(order.slope - 1) <= 4 * order.error);
    CHECK(order.error <= 0.1);
}

TEST_CASE("weak order of the invariant measure: Leimkuhler-Matthews 2") {
    if (quick_devices().empty()) return;
    const Order order = measured_order(
        quick_devices().back(), {0.075, 0.095, 0.12, 0.15}, 1000, 0.6,
        [](double dt) { return leimkuhler(dt); }, [](double k, double) { return 1 / k; });
    INFO("order " << order.slope << " +- " << order.error);
    CHECK(std::fabs(order.slope - 2) <= 4 * order.error);
    CHECK(order.error <= 0.2);
}

TEST_CASE("weak order of the invariant measure: Heun 2") {
    if (quick_devices().empty()) return;
    const Order order = measured_order(
        quick_devices().back(), {0.02, 0.028, 0.04, 0.055}, 300, 0.6,
        [](double dt) { return Heun{euler(dt)}; }, [](double k, double dt) {
            const double h = k * dt;
            return (1 - h / 2) / (1 - h / 2 + h * h / 4) / k;
        });
    INFO("order " << order.slope << " +- " << order.error);
    CHECK(std::fabs(order.slope - 2) <= 4 * order.error);
    CHECK(order.error <= 0.2);
}

TEST_CASE("weak order of the invariant measure: BAOAB 2") {
    if (quick_devices().empty()) return;
    const Order order = measured_order(
        quick_devices().back(), {0.2, 0.25, 0.32, 0.4}, 900, 1.5,
        [](double dt) { return baoab(dt, 1.0, 1.0); }, [](double k, double) { return 1 / k; });
    INFO("order " << order.slope << " +- " << order.error);
    CHECK(std::fabs(order.slope - 2) <= 4 * order.error);
    CHECK(order.error <= 0.2);
}

TEST_CASE("fast_slow: x2 ~ N(1, 0.05) with relaxation time 10; x1 drifts and spreads") {
    for (const Device& device : quick_devices()) {
        const double dt = 0.1;
        const FastSlow system{1e-3f, 1e-3f, 0.1f, 0.1f};
        const index n = 1 << 14, segments = 64;
        Runs runs(device, 2, n, segments, 4);
        std::vector<float> start(2 * n, 0.0f);
        for (index i = 0; i < n; ++i) start[static_cast<std::size_t>(n + i)] = 1.0f;
        runs.start_at(start);
        const uint64 skip = 800, stride = 100;  // one relaxation time apart
        runs.sample(system, euler(dt), skip, stride);
        CHECK(runs.all_finite());
        const std::vector<float> x = runs.samples();
        const auto at = [&](int d, index s, index i) {
            return static_cast<double>(x[static_cast<std::size_t>((d * segments + s) * n + i)]);
        };
        // Means over time of each trajectory: independent, so that their scatter is the error.
        const double exact_variance = 0.05 / (1 - 0.1 * dt / 2);
        const double exact_decay = std::pow(1 - 0.1 * dt, static_cast<double>(stride));
        CHECK(exact_decay == doctest::Approx(std::exp(-1.0)).epsilon(0.01));
        Mean found[3];
        for (index i = 0; i < n; ++i) {
            double mean[3] = {};
            for (index s = 0; s < segments; ++s) {
                const double u = at(1, s, i) - 1;
                mean[0] += u / segments;
                mean[1] += u * u / segments;
                if (s > 0) mean[2] += u * (at(1, s - 1, i) - 1) / (segments - 1);
            }
            for (int k = 0; k < 3; ++k) found[k].add(mean[k]);
        }
        const double exact[3] = {0, exact_variance, exact_variance * exact_decay};
        for (int k = 0; k < 3; ++k) {
            CAPTURE(k);
            CHECK(std::fabs(found[k].deviation(exact[k])) <= 4);
            if (k > 0) CHECK(found[k].error() <= 0.005 * exact[k]);
        }
        // x1 at the end: N(a1 t, a2² t).
        const double time = dt * static_cast<double>(skip + stride * segments);
        double mean = 0, variance = 0;
        for (index i = 0; i < n; ++i) mean += at(0, segments - 1, i) / n;
        for (index i = 0; i < n; ++i) variance += std::pow(at(0, segments - 1, i) - mean, 2) / n;
        CHECK(std::fabs(mean - 1e-3 * time) <= 4 * std::sqrt(1e-6 * time / n));
        CHECK(std::fabs(variance / (1e-6 * time) - 1) <= 4 * std::sqrt(2.0 / n));
    }
}

TEST_CASE("harmonic window: mean kappa c / K and variance 1 / (beta K), K = k + kappa") {
    for (const Device& device : quick_devices()) {
        const double k = 2, beta = 0.5, center = 1.5, kappa = 6;
        Runs runs(device, 1, 1 << 15, 40, 5);
        runs.bias(static_cast<float>(center), static_cast<float>(kappa));
        runs.sample(harmonic(k, beta), leimkuhler(0.05), 200, 20);  // e^-8 apart
        const Runs::Moments m = runs.moments(0);
        const double exact = 1 / (beta * (k + kappa));
        CHECK(std::fabs(m.mean - kappa * center / (k + kappa)) <= 4 * std::sqrt(exact / m.samples));
        CHECK(std::fabs(deviation_of_variance(m, exact)) <= 4);
    }
}

TEST_CASE("level set: the constrained channel samples y | x = s ~ N(s, 1 / (beta k))") {
    for (const Device& device : quick_devices()) {
        for (const double s : {-1.0, 0.4}) {
            CAPTURE(s);
            const double k = 20, beta = 3;
            Channel system{};
            system.k = static_cast<float>(k);
            system = at_temperature(system, beta);
            Runs runs(device, 2, 1 << 15, 40, 6);
            runs.bias(static_cast<float>(s), 0.0f);
            runs.sample(500, 80, [&](Stream& stream, const PathArgs& a) {
                run_constrained(stream, system, leimkuhler(0.005), a);  // e^-8 apart
            });
            double worst = 0;
            for (const float xi : runs.coordinates())
                worst = std::max(worst, std::fabs(xi - static_cast<double>(static_cast<float>(s))));
            CHECK(worst <= 1e-5);
            const Runs::Moments m = runs.moments(1);
            const double exact = 1 / (beta * k);
            CHECK(std::fabs(m.mean - s) <= 4 * std::sqrt(exact / m.samples));
            CHECK(std::fabs(deviation_of_variance(m, exact)) <= 4);
        }
    }
}

TEST_CASE("blow-up: the status names how many samples, the first step and its trajectory") {
    for (const Device& device : test_devices()) {
        DoubleWell system{};
        system.height = 1.0f;
        system = at_temperature(system, 1.0);
        const index n = 100, segments = 4;
        Runs calm(device, 1, n, segments, 7);
        calm.sample(system, euler(0.01), 5, 10);
        CHECK(calm.status() == std::vector<uint64>{0, kStatusClear});
        // One trajectory starts so far out that a step of 0.01 overshoots more every time.
        Runs one(device, 1, n, segments, 7);
        std::vector<float> start(n, 1.0f);
        start[37] = 1e3f;
        one.start_at(start);
        one.sample(system, euler(0.01), 2, 10);
        CHECK(one.status()[0] == static_cast<uint64>(segments));  // x = 1e3, 4e7, 2e21, then ∞
        CHECK(one.status()[1] == (12ull << 32 | 37));
        const std::vector<float> state = one.state();
        for (std::size_t i = 0; i < state.size(); ++i) CHECK(std::isfinite(state[i]) == (i != 37));
        // A step too large for the system: all go, and the first is named.
        Runs all(device, 1, n, segments, 7);
        all.start_at(std::vector<float>(n, 1.0f));
        all.sample(system, euler(2.0), 50, 10);
        CHECK(all.status()[0] == static_cast<uint64>(n * (segments + 1)));
        CHECK(all.status()[1] == (50ull << 32 | 0));
    }
}

namespace {

// Samples of 999 trajectories, with umbrellas, the last one's end included.
template <class Launch>
std::vector<float> samples_of(const Device& device, int dim, const Launch& launch) {
    Runs runs(device, dim, 999, 5, 8);
    runs.start_at(std::vector<float>(static_cast<std::size_t>(dim) * 999, -0.5f));
    runs.bias(-0.3f, 10.0f);
    runs.sample(20, 7, launch);
    CHECK(runs.all_finite());
    return runs.samples();
}

template <class Launch>
void check_bits(const char* name, int dim, const Launch& launch) {
    CAPTURE(name);
    const std::vector<float> one = samples_of(Device::cpu(1), dim, launch);
    CHECK(one.back() != -0.5f);
    std::vector<Device> others{Device::cpu(3)};
    for (const Device& device : test_devices()) others.push_back(device);
    for (const Device& device : others) {
        CAPTURE(device.description());
        const std::vector<float> other = samples_of(device, dim, launch);
        CHECK(std::memcmp(other.data(), one.data(), one.size() * sizeof(float)) == 0);
    }
}

template <class System, class Scheme>
void check_bits(const char* name, const System& system, const Scheme& scheme) {
    check_bits(name, System::dim, [&](Stream& stream, const PathArgs& a) {
        run_path(stream, system, scheme, a);
    });
}

}  // namespace

// What the laws above show of one device, they show of all.
TEST_CASE("trajectories: the same bits on every device and with any number of threads") {
    check_bits("Müller–Brown", at_temperature(MullerBrown{}, 1.0 / 15), leimkuhler(1e-4));
    const HarmonicWell well = harmonic(2, 0.5);
    const QuarticWell quartic = at_temperature(QuarticWell{}, 1.0);
    check_bits("harmonic, Euler-Maruyama", well, euler(0.05));
    check_bits("harmonic, Leimkuhler-Matthews", well, leimkuhler(0.05));
    check_bits("harmonic, Heun", well, Heun{euler(0.05)});
    check_bits("harmonic, BAOAB", well, baoab(0.2, 1.5, 0.5));
    check_bits("quartic, Euler-Maruyama", quartic, euler(0.02));
    check_bits("quartic, Leimkuhler-Matthews", quartic, leimkuhler(0.1));
    check_bits("quartic, Heun", quartic, Heun{euler(0.04)});
    check_bits("quartic, BAOAB", quartic, baoab(0.2, 1.0, 1.0));
    check_bits("fast_slow", FastSlow{1e-3f, 1e-3f, 0.1f, 0.1f}, euler(0.1));
    Channel channel{};
    channel.k = 20;
    channel = at_temperature(channel, 3);
    check_bits("channel, held", 2, [&](Stream& stream, const PathArgs& a) {
        run_constrained(stream, channel, leimkuhler(0.005), a);
    });
}

}  // namespace microlift
