// Closures: smoothing, the quadratures of a reduced model, and drift and diffusion from bursts.
#include "sampling/closure/bursts.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "sampling/closure/bursts_of_two.h"
#include "sampling/closure/first_passage.h"
#include "sampling/closure/slowest_rate.h"
#include "sampling/run/config/run_config.h"
#include "tests/support/devices.h"

namespace microlift {

namespace {

// b = −V′, D = 1/β of the double well, exact but for the given relative noise.
ClosureEstimate double_well(double beta, double reach, index points, double noise, unsigned seed) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    ClosureEstimate e;
    for (index i = 0; i < points; ++i) {
        const double x = -reach + 2 * reach * static_cast<double>(i) / static_cast<double>(points - 1);
        e.x.push_back(x);
        e.drift_error.push_back(noise + 1e-9);
        e.diffusion_error.push_back(noise / beta + 1e-9);
        e.drift.push_back(-4 * x * (x * x - 1) + noise * normal(random));
        e.diffusion.push_back(1 / beta * (1 + noise * normal(random)));
    }
    return e;
}

RunConfig config_of(const std::string& text) { return parse_run_config(text, "run.toml"); }

const char* const kChannel = R"toml([system]
name = "channel"
[cv]
variables = ["x"]
[integrator]
dt = 2e-3
[umbrella]
from = -1.8
to = 1.8
windows = 2
stiffness = 20
)toml";

}  // namespace

TEST_CASE("a smoothing spline keeps lines, interpolates without noise, and removes noise") {
    std::vector<double> x, line, wave, se;
    std::mt19937_64 random(3);
    std::normal_distribution<double> normal;
    for (int i = 0; i < 60; ++i) {
        x.push_back(0.1 * i + 0.02 * (i % 3));
        line.push_back(2 - 3 * x.back());
        wave.push_back(std::sin(x.back()) + 0.1 * normal(random));
        se.push_back(0.1);
    }
    const SmoothingSpline straight(x, line, se);
    CHECK(straight(-1.0) == doctest::Approx(5).epsilon(1e-9));
    CHECK(straight(2.345) == doctest::Approx(2 - 3 * 2.345).epsilon(1e-9));
    const SmoothingSpline exact(x, wave, se, 0);
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(exact(x[i]) == doctest::Approx(wave[i]));
    const SmoothingSpline smooth(x, wave, se);
    double worst = 0;
    for (double t = 0.3; t < 5.5; t += 0.05)
        worst = std::max(worst, std::fabs(smooth(t) - std::sin(t)));
    CHECK(worst < 0.12);
    CHECK(worst > 0);
}

TEST_CASE("the quadratures of a reduced model give the exact times and rates") {
    const double exact[3][3] = {{1.43586, 3.56943, 0.748682},
                                {12.6984, 26.6401, 0.0806199},
                                {90.4759, 182.418, 0.0111046}};
    for (int b = 0; b < 3; ++b) {
        const double beta = 1 + 2 * b;
        const ReducedModel model(double_well(beta, 2.6, 105, 0, 1), 0, 0);
        CHECK(model.mean_time(-1, 0) == doctest::Approx(exact[b][0]).epsilon(2e-3));
        CHECK(model.mean_time(-1, 1) == doctest::Approx(exact[b][1]).epsilon(2e-3));
        CHECK(model.mean_time(1, -1) == doctest::Approx(exact[b][1]).epsilon(2e-3));
        CHECK(model.rates(1)[0] == doctest::Approx(exact[b][2]).epsilon(2e-3));
        CHECK(model.committor(0, -1, 1) == doctest::Approx(0.5).epsilon(1e-6));
        CHECK(model.density(0.3) == doctest::Approx(model.density(-0.3)).epsilon(1e-6));
    }
}

TEST_CASE("a reversible model holds what its bins hold, in wells narrower than one") {
    const auto density = [](double x) {
        return std::exp(-x * x) + 200 * std::exp(-0.5 * std::pow((x - 0.93) / 0.01, 2));
    };
    constexpr double kBin = 0.1, kFine = 1e-3;
    ClosureEstimate e;
    std::vector<double> log_density;
    for (int b = 0; b < 32; ++b) {
        e.x.push_back(-1.95 + kBin * b);  // the well lies in the bin from 0.9 to 1
        double held = 0;
        for (int i = 0; i < 100; ++i)
            held += density(e.x.back() + kFine * (i - 49.5)) * kFine / kBin;
        log_density.push_back(std::log(held));
    }
    e.drift.assign(e.x.size(), 0.0);
    e.drift_error = e.diffusion_error = std::vector<double>(e.x.size(), 1e-3);
    // D is 1, and not known in the well and beyond it.
    e.diffusion.assign(e.x.size(), 1.0);
    for (std::size_t i = 29; i < e.x.size(); ++i) e.diffusion[i] = -1;
    double time = 0, right = 0;
    for (double x = 1.2; x > -1; x -= kFine) {
        right += density(x) * kFine;
        if (x < 0.5) time += right / density(x) * kFine;
    }
    const ReducedModel model(e, log_density);
    CHECK(model.mean_time(0.5, -1) == doctest::Approx(time).epsilon(0.02));
    CHECK(model.from() == doctest::Approx(-2));
    CHECK(model.to() == doctest::Approx(1.2));
}

TEST_CASE("displacements over a long lag give back drift and diffusion") {
    const ReducedModel truth(double_well(3, 1.8, 73, 0, 1), 0, 0);
    std::vector<double> x, m, v, me, ve;
    for (int i = 0; i < 49; ++i) x.push_back(-1.8 + 3.6 * i / 48);
    const double tau = 0.2;
    truth.displacement(x, tau, m, v);
    for (std::size_t i = 0; i < x.size(); ++i) {
        me.push_back(1e-4);
        ve.push_back(1e-4 * v[i]);
    }
    ReducedModel model;
    const ClosureEstimate e = invert_displacements(x, tau, m, me, v, ve, model);
    // The lag is 1.6 relaxation times of the wells: what was measured there is far off, what comes back
    // is not.
    CHECK(std::fabs(m[8] / tau - truth.drift(x[8])) > 0.3);
    CHECK(v[11] / (2 * tau) * 3 < 0.4);
    for (std::size_t i = 8; i < 41; ++i) {
        CHECK(std::fabs(e.drift[i] - truth.drift(x[i])) < 0.1);
        CHECK(std::fabs(e.diffusion[i] * 3 - 1) < 0.08);
    }
    CHECK(model.mean_time(-1, 0) == doctest::Approx(12.698).epsilon(0.02));
}

TEST_CASE("displacements by Euler-Maruyama steps, and what walls and meshes do: a linear drift") {
    ClosureEstimate e;
    for (int i = 0; i < 51; ++i) {
        e.x.push_back(-2.5 + 0.1 * i);
        e.drift.push_back(-e.x.back());
        e.diffusion.push_back(1);
        e.drift_error.push_back(1e-9);
        e.diffusion_error.push_back(1e-9);
    }
    const ReducedModel model(e, 0, 0);
    // After n steps of dt: x (1 − dt)ⁿ, and the variance 2 dt Σ (1 − dt)²ⁱ. Few steps are a chain of
    // Gaussian quadratures, exact here; many are a corrected continuous motion, right to dt² and to the
    // square of Crank and Nicolson's 48 steps: (2λ)²/12 of it, λ = 1, at the variance's own rate.
    const std::vector<double> x{-2.1, -0.4, 0.7, 1.93};
    for (const auto& [dt, steps] : {std::pair{0.05, 1}, {0.05, 16}, {0.004, 200}}) {
        const double kept = std::pow(1 - dt, steps);
        const double wide = 2 * dt * (1 - kept * kept) / (1 - (1 - dt) * (1 - dt));
        std::vector<double> mean, variance, flow_mean, flow_variance;
        model.displacement(x, dt * steps, mean, variance, steps);
        model.displacement(x, dt * steps, flow_mean, flow_variance);
        const double step = dt * steps / 48;
        const double tolerance = steps > 64 ? dt * dt + step * step / 3 : 1e-9;
        for (std::size_t i = 0; i < x.size(); ++i) {
            CHECK(std::fabs(mean[i] - x[i] * (kept - 1)) < tolerance * std::fabs(x[i]));
            CHECK(std::fabs(variance[i] - wide) < tolerance);
            CHECK(std::fabs(flow_variance[i] - wide) > 5 * tolerance);  // which is another motion
        }
    }
    // Without walls the slowest rate is 1, to the finite volumes' h²/12 of it; with walls 1.083.
    CHECK(model.rates(1)[0] > 1.08);
    CHECK(model.beyond_ends().rates(1)[0] == doctest::Approx(1).epsilon(1e-4));
    CHECK(model.beyond_ends().mean_time(-1, 0) == doctest::Approx(0.901908).epsilon(1e-4));
    const double coarse = model.coarser().rates(1)[0] - model.rates(1)[0];
    CHECK(std::fabs(coarse) < 1e-4);
    CHECK(coarse != 0);
}

TEST_CASE("bursts of the channel close near the full model, averages do not") {
    for (const Device& device : test_devices()) {
        Stream stream(device);
        const RunConfig run = config_of(kChannel);
        const Model model(run);
        std::vector<CvValue> values;
        for (int i = 0; i < 41; ++i) values.push_back({-1.7 + 3.4 * i / 40, 0});
        const index replicas = 2048;
        const Buffer<float> start = constrained_starts(stream, model, run.integrator, {-1, -1},
                                                       values, replicas, 500, 7);
        // Averages over the held states: −V′ and 1/β.
        const AveragedClosure average =
            average_closure(stream, model, start.span(), 41, replicas);
        int outside = 0;
        ClosureEstimate conditional;
        for (std::size_t i = 0; i < 41; ++i) {
            const double x = values[i][0];
            outside += std::fabs(average.mean[i] + 4 * x * (x * x - 1)) > 3 * average.error[i];
            conditional.x.push_back(x);
            conditional.drift.push_back(average.mean[i]);
            conditional.drift_error.push_back(average.error[i]);
            conditional.diffusion.push_back(average.mean[41 + i]);
            conditional.diffusion_error.push_back(1e-6);
        }
        CHECK(outside <= 2);
        CHECK(ReducedModel(conditional).mean_time(-1, 0) == doctest::Approx(12.698).epsilon(0.05));

        BurstOptions options;
        options.dt = 2e-3;
        options.lags = {3, 6, 13, 27, 55, 110, 220};
        const auto before = transfer_counters();
        bool quiet = true;
        options.after = [&](double) {
            quiet &= transfer_counters().bytes_to_host == before.bytes_to_host;
        };
        const BurstMoments m =
            run_bursts(stream, model, run.integrator, values, start.span(), replicas, options);
        CHECK(quiet);
        const BurstClosure closure = burst_closure(m, 7);
        const BurstLag& lag = closure.lags[closure.chosen];
        CAPTURE(lag.tau);
        CAPTURE(closure.lags[0].model.mean_time(-1, 0));
        CAPTURE(lag.model.mean_time(-1, 0));
        CHECK(closure.plateau);
        CHECK(lag.model.mean_time(-1, 0) == doctest::Approx(19.87).epsilon(0.1));
        // k = 10: the saddle's unstable rate is 0.5495 of that of x alone.
        const Figure rate = burst_rates(m, 1)[0];
        CHECK(std::fabs(rate.value - 0.5495 * 0.0806) < 4 * rate.error);
        CHECK(closure.lags[0].rate > 1.4 * lag.rate);
    }
}

TEST_CASE("the averaged drift of a fast variable, from states held at x and from bursts") {
    const char* const text = R"toml([system]
variables = ["x", "y"]
parameters = { eps = 0.01 }
drift = ["x - y^3", "-(y - x)/eps"]
diffusion = ["0", "1/sqrt(eps)"]
[cv]
variables = ["x"]
[integrator]
scheme = "euler_maruyama"
dt = 1e-4
[umbrella]
from = -1
to = 1
windows = 2
stiffness = 1
)toml";
    const RunConfig run = config_of(text);
    const Model model(run);
    Stream stream(Device::cpu(2));
    std::vector<CvValue> values;
    const index count = 20;
    for (index i = 0; i < count; ++i)
        values.push_back({-1 + 2 * static_cast<double>(i) / static_cast<double>(count - 1), 0});
    const Buffer<float> start = constrained_starts(stream, model, run.integrator, {0, 0}, values,
                                                   2048, 1000, 3);
    const AveragedClosure average = average_closure(stream, model, start.span(), count, 2048);
    BurstOptions options;
    options.dt = 1e-4;
    options.lags = {25, 50, 100, 200, 400, 800};
    const BurstMoments m =
        run_bursts(stream, model, run.integrator, values, start.span(), 2048, options);
    const BurstClosure closure = burst_closure(m, 6);
    const ClosureEstimate& e = closure.lags[closure.chosen].corrected;
    double squares[2] = {0, 0};
    for (std::size_t i = 0; i < 20; ++i) {
        const double x = values[i][0], exact = -x * x * x - 0.5 * x;
        const double z[2] = {(average.mean[i] - exact) / average.error[i],
                             (e.drift[i] - exact) / e.drift_error[i]};
        for (int k = 0; k < 2; ++k) {
            CHECK(std::fabs(z[k]) < 4);
            squares[k] += z[k] * z[k] / 20;
        }
    }
    // The errors are the errors: χ² of 20 within its own spread.
    for (double s : squares) {
        CHECK(s < 2.2);
        CHECK(s > 0.25);
    }
}

TEST_CASE("what the martingales take out has mean 0, and errors become smaller by it") {
    const RunConfig run = config_of(R"toml([system]
name = "double_well"
beta = 3.0
[cv]
variables = ["x"]
[integrator]
dt = 1e-3
[umbrella]
from = -1.5
to = 1.5
windows = 2
stiffness = 20
)toml");
    const Model model(run);
    for (const Device& device : test_devices()) {
        Stream stream(device);
        std::vector<CvValue> values;
        for (int i = 0; i < 16; ++i) values.push_back({-1.5 + 0.2 * i, 0});
        const Buffer<float> start = repeated_values(stream, 1, values, 1024);
        BurstOptions options;
        options.dt = 1e-3;
        options.lags = {8, 32};
        const BurstMoments with =
            run_bursts(stream, model, run.integrator, values, start.span(), 1024, options);
        options.controlled = 0;
        const BurstMoments without =
            run_bursts(stream, model, run.integrator, values, start.span(), 1024, options);
        double squares = 0;
        for (std::size_t l = 0; l < 2; ++l)
            for (std::size_t v = 0; v < values.size(); ++v) {
                const BurstPoint &p = with.point(l, v), &q = without.point(l, v);
                const double z = p.martingale[0] / p.martingale_error[0];
                squares += z * z / 32;
                CHECK(std::fabs(z) < 4.5);
                CHECK(p.mean_error[0] < 0.3 * q.mean_error[0]);
                CHECK(p.covariance_error[0] < 0.8 * q.covariance_error[0]);
                CHECK(std::fabs(p.mean[0] - q.mean[0]) < 4.5 * q.mean_error[0]);
                CHECK(std::fabs(p.covariance[0] - q.covariance[0]) < 4.5 * q.covariance_error[0]);
            }
        CHECK(squares < 2);
        CHECK(squares > 0.4);
    }
}

TEST_CASE("two variables: drift and diffusion come back from lags as long as the relaxation") {
    const RunConfig run = config_of(R"toml([system]
variables = ["x", "y"]
drift = ["-2*x + y", "-0.5*x - 3*y"]
diffusion = ["1", "0.7"]
[cv]
variables = ["x", "y"]
[integrator]
scheme = "euler_maruyama"
dt = 1e-3
[umbrella]
from = [-1, -1]
to = [1, 1]
windows = [2, 2]
stiffness = [1, 1]
)toml");
    const Model model(run);
    Stream stream(Device::cpu(2));
    std::vector<CvValue> values;
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j)
            if (i + j > 0) values.push_back({-1 + 2.0 * i / 3, -1 + 2.0 * j / 3});  // one is missing
    const Buffer<float> start = repeated_values(stream, 2, values, 2048);
    BurstOptions options;
    options.dt = 1e-3;
    options.lags = {50, 100, 200, 400};
    const BurstMoments m =
        run_bursts(stream, model, run.integrator, values, start.span(), 2048, options);
    const TwoClosure closure = burst_closure_of_two(m);
    CHECK(closure.plateau);
    for (const TwoLag& lag : closure.lags) {
        double squares = 0;
        CAPTURE(lag.tau);
        for (std::size_t v = 0; v < values.size(); ++v) {
            const double x = values[v][0], y = values[v][1];
            const double exact[5] = {-2 * x + y, -0.5 * x - 3 * y, 0.5, 0, 0.245};
            for (std::size_t o = 0; o < 5; ++o) {
                const double z = (lag.value[v][o] - exact[o]) / lag.error[v][o];
                CHECK(std::fabs(z) < 5);
                squares += z * z / static_cast<double>(5 * values.size());
            }
        }
        CHECK(squares < 2);
    }
    // Uncorrected, the longest lag is far off.
    CHECK(std::fabs(closure.lags[3].apparent[14][4] - 0.245) > 0.08);
}

TEST_CASE("two variables: many values tell together that the diffusion falls with the lag") {
    // A diffusion known to a fifth at each of 400 values, with noise that the lags share, as bursts do that
    // go on: by 15 per cent a doubling it is less, or it stays.
    for (const double fall : {0.15, 0.0}) {
        CAPTURE(fall);
        BurstMoments m;
        m.cvs = 2;
        m.dt = 1e-3;
        m.replicas = 128;
        m.lags = {10, 20, 40};
        std::mt19937_64 random(7);
        std::normal_distribution<double> normal;
        std::vector<std::array<double, 3>> z;
        for (int i = 0; i < 20; ++i)
            for (int j = 0; j < 20; ++j) {
                m.values.push_back({0.3 * i, 0.3 * j});
                z.push_back({normal(random), normal(random), normal(random)});
            }
        for (std::size_t l = 0; l < m.lags.size(); ++l)
            for (std::size_t v = 0; v < m.values.size(); ++v) {
                BurstPoint p;
                const double tau = m.tau(l), size = 0.2 * std::pow(1 - fall, static_cast<double>(l));
                for (std::size_t o = 0; o < 3; ++o) {
                    p.covariance[o] = 2 * tau * ((o == 1 ? 0.0 : size) + 0.04 * z[v][o]);
                    p.covariance_error[o] = 2 * tau * 0.04;
                }
                m.points.push_back(p);
            }
        const TwoClosure closure = burst_closure_of_two(m);
        CHECK(closure.plateau == (fall == 0));
        for (std::size_t l = 1; l < m.lags.size(); ++l)
            CHECK(std::fabs(closure.lags[l].change - fall / (1 - fall)) < 0.05);
        CHECK(closure.chosen == (fall == 0 ? 0 : 2));
    }
}

TEST_CASE("the slowest rate from free trajectories") {
    const RunConfig run = config_of(R"toml([system]
name = "double_well"
beta = 1.0
[cv]
variables = ["x"]
[integrator]
dt = 2e-3
[umbrella]
from = -2
to = 2
windows = 2
stiffness = 20
)toml");
    const Model model(run);
    Stream stream(Device::cpu(2));
    std::vector<CvValue> values;
    for (int i = 0; i < 41; ++i) values.push_back({-2 + 0.1 * i, 0});
    const Buffer<float> start = repeated_values(stream, 1, values, 64);
    SlowestRateOptions options;
    options.dt = 2e-3;
    options.lag = 50;
    options.work = 4e7;
    const ReducedModel closure(double_well(1, 2.2, 89, 0, 1), 0, 0);
    const SlowestRate r = slowest_rate(stream, model, run.integrator, values, start.span(), 64,
                                       slow_motion(closure), options);
    CAPTURE(r.rate.value);
    CHECK(std::fabs(r.rate.value - 0.748682) < 4 * r.rate.error);
    CHECK(r.rate.error < 0.05 * r.rate.value);
    CHECK(r.rate.error > 0);
}

TEST_CASE("bursts from stored samples start on their values, and a gap is named") {
    const RunConfig run = config_of(kChannel);
    const Model model(run);
    Stream stream(Device::cpu(2));
    SampleSet samples(stream.device(), 2, 1, 1000);
    std::vector<float> x(2000);
    for (std::size_t j = 0; j < 1000; ++j) {
        x[j] = static_cast<float>(-1 + 0.001 * static_cast<double>(j));
        x[1000 + j] = static_cast<float>(j);
    }
    copy_to_device(stream, samples.x.span(), x.data());
    copy_to_device(stream, samples.xi.span(), x.data());
    samples.n = 1000;
    const Buffer<float> start =
        physics_starts(stream, model, samples, {{-0.8, 0}, {-0.4, 0}}, {0.05, 1}, 16);
    const std::vector<float> host = to_host(stream, Span<const float>(start.span()));
    for (std::size_t j = 0; j < 32; ++j) {
        CHECK(host[j] == doctest::Approx(j < 16 ? -0.8 : -0.4));
        CHECK(std::fabs(static_cast<double>(host[32 + j]) - (j < 16 ? 200 : 600)) < 50);
    }
    CHECK_THROWS_AS(physics_starts(stream, model, samples, {{0.5, 0}}, {0.05, 1}, 16), InputError);
}

}  // namespace microlift
