// Free energies and conditional averages against exact answers, and the honesty of their errors.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "engine/at.h"
#include "engine/error.h"
#include "sampling/estimate/conditional.h"
#include "sampling/estimate/estimators.h"
#include "sampling/estimate/free_energy.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

Grid line_grid(double from, double to, index bins) {
    Grid g;
    g.from = {from, 0.0};
    g.to = {to, 0.0};
    g.bins = {bins, 1};
    return g;
}

// Samples on the host, in the layout of one run.
struct HostSamples {
    SampleBlock run;
    int n_cvs = 1;
    std::vector<float> xi, y;  // y: one observable

    HostSamples(index windows, index replicas, index samples, int cvs = 1) : n_cvs(cvs) {
        run = {0, 0, windows, replicas, samples};
        xi.resize(at(run.size() * cvs));
        y.resize(at(run.size()));
    }
    index column(index w, index r, index s) const {
        return s * run.trajectories() + w * run.replicas + r;
    }
};

struct OnDevice {
    OnDevice(const Device& device, const HostSamples& host)
        : stream(device),
          xi(device, static_cast<index>(host.xi.size())),
          y(device, static_cast<index>(host.y.size())) {
        copy_to_device(stream, xi.span(), host.xi.data());
        copy_to_device(stream, y.span(), host.y.data());
        samples.xi = xi.span();
        samples.row = samples.n = host.run.size();
        samples.n_cvs = host.n_cvs;
        samples.blocks = {host.run};
    }
    Stream stream;
    Buffer<float> xi, y;
    BiasedSamples samples;
};

// U = k0 x²/2 and windows κ(x−c)²/2: exact Gaussians N(κc/K, 1/(βK)), as AR(1) series.
struct Harmonic {
    double k0 = 2.0, kappa = 20.0, beta = 1.5;
    BiasWindows windows;
    explicit Harmonic(const std::vector<double>& centers) {
        windows.beta = {beta, 1.0};
        for (const double c : centers) {
            windows.center.push_back({c, 0.0});
            windows.stiffness.push_back({kappa, 0.0});
        }
    }
    double f(index w) const {  // of window w, kT, relative to window 0
        const auto e = [&](index i) {
            const double c = windows.center[at(i)][0];
            return beta * 0.5 * k0 * kappa / (k0 + kappa) * c * c;
        };
        return e(w) - e(0);
    }
    HostSamples sample(index replicas, index samples, double phi, uint64 seed) const {
        HostSamples host(windows.size(), replicas, samples);
        std::mt19937_64 random(seed);
        std::normal_distribution<double> normal;
        const double sd = 1.0 / std::sqrt(beta * (k0 + kappa));
        for (index w = 0; w < windows.size(); ++w) {
            const double mean = kappa * windows.center[at(w)][0] / (k0 + kappa);
            for (index r = 0; r < replicas; ++r) {
                double z = normal(random);
                for (index s = 0; s < samples; ++s) {
                    const index j = host.column(w, r, s);
                    const double x = mean + sd * z;
                    host.xi[at(j)] = static_cast<float>(x);
                    host.y[at(j)] = static_cast<float>(std::sin(3.0 * x) + 0.3 * normal(random));
                    z = phi * z + std::sqrt(1.0 - phi * phi) * normal(random);
                }
            }
        }
        return host;
    }
};

std::vector<double> spaced(double from, double to, int n) {
    std::vector<double> c;
    for (int i = 0; i < n; ++i) c.push_back(from + (to - from) * i / (n - 1));
    return c;
}

EstimateOptions options_for(const std::string& method, double kt) {
    EstimateOptions o;
    o.method = method;
    o.kt = kt;
    return o;
}

// Mean of z² with z = (value − exact)/error over independent seeds: 1 within sampling error.
struct Coverage {
    double sum = 0.0, squares = 0.0;
    int n = 0;
    void add(double value, double exact, double error) {
        const double z = (value - exact) / error;
        sum += z;
        squares += z * z;
        ++n;
    }
    // z² has variance 2 and mean 1 (a little above for finitely many blocks: Student's t).
    void check(index blocks) const {
        const double expected = static_cast<double>(blocks - 1) / static_cast<double>(blocks - 3);
        CAPTURE(squares / n);
        CAPTURE(sum / n);
        CHECK(std::fabs(squares / n - expected) < 3.5 * std::sqrt(2.0 / n) * expected);
        CHECK(std::fabs(sum / n) < 3.5 * std::sqrt(expected / n));
    }
};

}  // namespace

TEST_CASE("harmonic windows: every method finds the exact free energies") {
    const Harmonic system(spaced(-1.5, 1.5, 13));
    const HostSamples host = system.sample(32, 400, 0.5, 1);
    const Grid grid = line_grid(-1.2, 1.2, 48);
    for (const Device& device : test_devices())
        for (const std::string method : {"mbar", "wham",
                                              "umbrella_integration"}) {
            OnDevice on(device, host);
            const FreeEnergyResult r =
                estimate_free_energy(on.stream, on.samples, system.windows, grid,
                                     options_for(method, 1.0 / system.beta));
            CAPTURE(method);
            CHECK(r.converged);
            CHECK(r.warnings.empty());
            CHECK(r.error_blocks.count() == 32);
            if (method == "mbar") CHECK(r.residual < 1e-9);
            for (index w = 1; w < system.windows.size(); ++w) {
                const double z = (r.window_f[at(w)] - system.f(w)) / r.window_f_error[at(w)];
                CAPTURE(w);
                CHECK(std::fabs(z) < 4.0);
            }
            CHECK(r.window_f_error[6] < 0.1);
            // AR(1) with φ = ½ has g = 3.
            for (const double g : r.inefficiency) CHECK(g == doctest::Approx(3.0).epsilon(0.15));
            double worst = 0.0;
            for (const double x : {-1.1, -0.63, 0.4, 0.87}) {
                const double z =
                    (r.profile.value_at(x) - r.profile.value_at(0.0) - 0.5 * system.k0 * x * x) /
                    r.profile.difference_error({x, 0.0}, {0.0, 0.0});
                worst = std::max(worst, std::fabs(z));
            }
            CHECK(worst < 4.0);
            CHECK(r.profile.std_error[at(r.profile.minimum_bin)] == 0.0);
            CHECK(r.profile.free_energy[at(r.profile.minimum_bin)] == 0.0);
            // Unbiased average of x² from the weights: ∫ x² e^{−βU} over the sampled range.
            const std::vector<float> log_weight = to_host(on.stream, r.log_weight.span());
            double top = -1e300, sum = 0.0, moment = 0.0;
            for (const float l : log_weight) top = std::max(top, static_cast<double>(l));
            for (std::size_t j = 0; j < log_weight.size(); ++j) {
                const double e = std::exp(static_cast<double>(log_weight[j]) - top);
                sum += e;
                moment += e * static_cast<double>(host.xi[j]) * static_cast<double>(host.xi[j]);
            }
            // Spans ±2.4 standard deviations and more; the tails beyond are sampled too.
            CHECK(moment / sum == doctest::Approx(1.0 / (system.beta * system.k0)).epsilon(0.06));
        }
}

TEST_CASE("unit Gaussians: the asymptotic variance is that of the BAR table") {
    const double shifts[] = {0.5, 1.0, 2.0, 3.0};
    const double table[] = {0.25055, 1.02547, 4.89681, 16.2796};
    for (const Device& device : test_devices())
        for (int i = 0; i < 4; ++i) {
            const double d = shifts[i];
            BiasWindows windows;
            windows.center = {{0.0, 0.0}, {d, 0.0}};
            windows.stiffness = {{1.0, 0.0}, {1.0, 0.0}};
            HostSamples host(2, 100, 1000);
            std::mt19937_64 random(static_cast<uint64>(40 + i));
            std::normal_distribution<double> normal;
            for (index w = 0; w < 2; ++w)
                for (index r = 0; r < 100; ++r)
                    for (index s = 0; s < 1000; ++s)
                        host.xi[at(host.column(w, r, s))] =
                            static_cast<float>(normal(random) + (w ? d : 0.0));
            OnDevice on(device, host);
            const FreeEnergyResult r = estimate_free_energy(
                on.stream, on.samples, windows, line_grid(-2.0, d + 2.0, 40), EstimateOptions{});
            const double n = static_cast<double>(host.run.size());
            // N var = 1/q̄ − 4 with q = P0 P1; its own sampling error from the spread of q.
            double mean = 0.0, square = 0.0;
            const double h = 0.001;
            for (double x = -10.0; x < d + 10.0; x += h) {
                const double a = std::exp(-0.5 * x * x) / std::sqrt(2 * M_PI);
                const double b = std::exp(-0.5 * (x - d) * (x - d)) / std::sqrt(2 * M_PI);
                const double p = a / (a + b), q = p * (1.0 - p);
                mean += h * 0.5 * (a + b) * q;
                square += h * 0.5 * (a + b) * q * q;
            }
            CHECK(1.0 / mean - 4.0 == doctest::Approx(table[i]).epsilon(2e-5));
            const double error = std::sqrt((square - mean * mean) / n) / (mean * mean);
            CAPTURE(d);
            CHECK(std::fabs(n * std::pow(r.asymptotic_error(1, 0), 2) - table[i]) < 4.0 * error);
            CHECK(std::fabs(r.window_f[1]) < 4.0 * r.asymptotic_error(1, 0));
            // Independent samples: the blocks' error is the asymptotic one, to 1/sqrt(2 (G−1)).
            const double blocks = static_cast<double>(r.error_blocks.count());
            CHECK(std::fabs(r.window_f_error[1] / r.asymptotic_error(1, 0) - 1.0) <
                  3.5 / std::sqrt(2.0 * (blocks - 1.0)));
        }
}

TEST_CASE("coverage: errors match the spread over seeds, correlated or not") {
    const Device device = Device::cpu(2);
    const Harmonic system(spaced(-1.2, 1.2, 9));
    const Grid grid = line_grid(-1.0, 1.0, 40);
    const int seeds = 60;
    for (const std::string method :
         {"mbar", "umbrella_integration"})
        for (const bool few : {false, true}) {
            // Many replicas, or two long ones a window (blocks of time).
            const index replicas = few ? 2 : 24, length = few ? 3000 : 250;
            const double phi = few ? 0.5 : 0.8;
            Coverage f, profile, mean, variance;
            index blocks = 0;
            for (int seed = 0; seed < seeds; ++seed) {
                OnDevice on(device,
                            system.sample(replicas, length, phi, static_cast<uint64>(1000 + seed)));
                const FreeEnergyResult r =
                    estimate_free_energy(on.stream, on.samples, system.windows, grid,
                                         options_for(method, 1.0 / system.beta));
                blocks = r.error_blocks.count();
                f.add(r.window_f[8], system.f(8), r.window_f_error[8]);
                profile.add(r.profile.value_at(0.7) - r.profile.value_at(0.1),
                            0.5 * system.k0 * (0.49 - 0.01),
                            r.profile.difference_error({0.7, 0.0}, {0.1, 0.0}));
                if (method != "mbar") continue;
                const ConditionalMoments c = conditional_moments(
                    on.stream, on.samples, on.y.span(), on.samples.row, 1, grid, r.error_blocks);
                mean.add(c.mean_at(0, 0.33), std::sin(0.99), c.mean_error_at(0, 0.33));
                variance.add(c.variance_at(0, 0.33), 0.09, c.variance_error_at(0, 0.33));
            }
            CAPTURE(method);
            CAPTURE(few);
            CAPTURE(blocks);
            CHECK(blocks >= 16);
            f.check(blocks);
            profile.check(blocks);
            if (method != "mbar") continue;
            mean.check(blocks);
            variance.check(blocks);
        }
}

TEST_CASE("conditional averages: wide bins, no bias to second order; empty bins stay empty") {
    const Harmonic system(spaced(-1.2, 1.2, 9));
    const HostSamples host = system.sample(64, 2000, 0.0, 7);
    for (const Device& device : quick_devices()) {
        OnDevice on(device, host);
        // Bins of 0.2: sin(3x) has h²/24 m'' = 0.015, many standard errors.
        const ErrorBlocks blocks = choose_error_blocks(on.samples, 1.0);
        const Grid grid = line_grid(-1.0, 3.0, 20);
        const ConditionalMoments c = conditional_moments(on.stream, on.samples, on.y.span(),
                                                         on.samples.row, 1, grid, blocks);
        double squares = 0.0;
        int n = 0;
        for (index b = 0; b < 10; ++b) {
            const double x = grid.centre(0, b);
            const double z = (c.mean[at(b)] - std::sin(3.0 * x)) / c.mean_error[at(b)];
            CHECK(c.mean_error[at(b)] < 0.004);
            squares += z * z;
            ++n;
            CHECK(std::fabs(c.variance[at(b)] - 0.09) < 5.0 * c.variance_error[at(b)] + 2e-4);
        }
        CHECK(squares / n < 1.0 + 4.0 * std::sqrt(2.0 / n));
        CHECK(c.count[19] == 0.0);
        CHECK(std::isnan(c.mean[19]));
        CHECK(std::isnan(c.variance[19]));
        CHECK(std::isnan(c.mean_error[19]));
        const FreeEnergyResult r =
            estimate_free_energy(on.stream, on.samples, system.windows, grid, EstimateOptions{});
        const FreeEnergyResult u =
            estimate_free_energy(on.stream, on.samples, system.windows, grid,
                                 options_for("umbrella_integration", 1.0));
        for (const FreeEnergyResult* f : {&r, &u}) {
            CHECK(std::isnan(f->profile.free_energy[19]));
            CHECK(std::isnan(f->profile.std_error[19]));
        }
    }
}

// --- Müller–Brown --------------------------------------------------------------------------------

namespace {

double muller_brown(double x, double y) {
    constexpr double amplitude[] = {-200, -100, -170, 15}, a[] = {-1, -1, -6.5, 0.7};
    constexpr double b[] = {0, 0, 11, 0.6}, c[] = {-10, -10, -6.5, 0.7};
    constexpr double x0[] = {1, 0, -0.5, -1}, y0[] = {0, 0.5, 1.5, 1};
    double v = 0.0;
    for (int i = 0; i < 4; ++i) {
        const double dx = x - x0[i], dy = y - y0[i];
        v += amplitude[i] * std::exp(a[i] * dx * dx + b[i] * dx * dy + c[i] * dy * dy);
    }
    return v;
}

// Boltzmann sampling of every window through a fine grid, uniform inside a cell.
HostSamples sample_muller_brown(const BiasWindows& windows, double kt, index replicas,
                                index samples, uint64 seed) {
    constexpr int nx = 640, ny = 640;
    const double x0 = -1.8, y0 = -0.8, h = 0.005;
    std::vector<double> density(nx * ny), row(nx, 0.0);
    for (int i = 0; i < nx; ++i)
        for (int j = 0; j < ny; ++j) {
            const double p =
                std::exp(-muller_brown(x0 + (i + 0.5) * h, y0 + (j + 0.5) * h) / kt - 9.0);
            row[at(i)] += p;
            density[at(i * ny + j)] = row[at(i)];  // cumulative along y
        }
    HostSamples host(windows.size(), replicas, samples);
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> uniform;
    std::vector<double> cumulative(nx);
    for (index w = 0; w < windows.size(); ++w) {
        double sum = 0.0;
        for (int i = 0; i < nx; ++i) {
            const double d = x0 + (i + 0.5) * h - windows.center[at(w)][0];
            sum += row[at(i)] * std::exp(-0.5 * windows.stiffness[at(w)][0] * d * d / kt);
            cumulative[at(i)] = sum;
        }
        for (index s = 0; s < samples; ++s)
            for (index r = 0; r < replicas; ++r) {
                const auto i = std::min<index>(
                    nx - 1,
                    std::upper_bound(cumulative.begin(), cumulative.end(), sum * uniform(random)) -
                        cumulative.begin());
                const auto begin = density.begin() + i * ny;
                const auto j = std::min<index>(
                    ny - 1,
                    std::upper_bound(begin, begin + ny, row[at(i)] * uniform(random)) - begin);
                const index column = host.column(w, r, s);
                host.xi[at(column)] =
                    static_cast<float>(x0 + (static_cast<double>(i) + uniform(random)) * h);
                host.y[at(column)] =
                    static_cast<float>(y0 + (static_cast<double>(j) + uniform(random)) * h);
            }
    }
    return host;
}

BiasWindows muller_brown_windows(double kt) {
    BiasWindows windows;
    windows.beta = {1.0 / kt, 1.0};
    for (const double c : spaced(-1.5, 1.2, 28)) {
        windows.center.push_back({c, 0.0});
        windows.stiffness.push_back({500.0, 0.0});
    }
    return windows;
}

}  // namespace

TEST_CASE("Müller–Brown: free energy and conditional moments against quadrature") {
    const double kt = 15.0;
    const BiasWindows windows = muller_brown_windows(kt);
    const Grid grid = line_grid(-1.5, 1.2, 109);
    const HostSamples host = sample_muller_brown(windows, kt, 64, 400, 5);
    for (const Device& device : quick_devices()) {
        OnDevice on(device, host);
        for (const std::string method : {"mbar", "wham"}) {
            const FreeEnergyResult r =
                estimate_free_energy(on.stream, on.samples, windows, grid, options_for(method, kt));
            CHECK(r.converged);
            CHECK(r.missing_overlaps.empty());
            CHECK(r.overlaps.size() == 27);
            const double x[] = {-0.8, 0.0, 0.5}, exact[] = {16.0296, 57.8804, 40.8471};
            for (int i = 0; i < 3; ++i) {
                const double error = r.profile.difference_error({x[i], 0.0}, {-0.5, 0.0});
                const double value = r.profile.value_at(x[i]) - r.profile.value_at(-0.5);
                CAPTURE(x[i]);
                CAPTURE(value);
                CAPTURE(error);
                CHECK(error < 0.5);
                CHECK(std::fabs(value - exact[i]) < 3.0 * error);
            }
            if (method != "mbar") continue;
            const ConditionalMoments c = conditional_moments(
                on.stream, on.samples, on.y.span(), on.samples.row, 1, grid, r.error_blocks);
            const double at_x[] = {-0.5, 0.0, 0.5}, mean[] = {1.48149, 0.41106, 0.05881};
            const double variance[] = {0.013105, 0.059375, 0.010976};
            for (int i = 0; i < 3; ++i) {
                CAPTURE(at_x[i]);
                CAPTURE(c.mean_at(0, at_x[i]));
                CAPTURE(c.mean_error_at(0, at_x[i]));
                CHECK(std::fabs(c.mean_at(0, at_x[i]) - mean[i]) <
                      3.0 * c.mean_error_at(0, at_x[i]));
                CHECK(std::fabs(c.variance_at(0, at_x[i]) - variance[i]) <
                      3.0 * c.variance_error_at(0, at_x[i]));
                CHECK(c.mean_error_at(0, at_x[i]) < 0.006);
            }
        }
    }
}

// --- two collective variables --------------------------------------------------------------------

TEST_CASE("two collective variables: a correlated Gaussian") {
    // βU = ½(a x² + 2 b x y + c y²), windows of stiffness κ in both, different β per variable.
    const double a = 1.0, b = 0.6, c = 1.5, kappa = 8.0;
    BiasWindows windows;
    windows.beta = {2.0, 0.5};
    for (const double x : spaced(-1.2, 1.2, 6))
        for (const double y : spaced(-1.0, 1.0, 5)) {
            windows.center.push_back({x, y});
            windows.stiffness.push_back({kappa / 2.0, kappa / 0.5});
        }
    HostSamples host(windows.size(), 32, 150, 2);
    std::mt19937_64 random(9);
    std::normal_distribution<double> normal;
    const double k00 = a + kappa, k11 = c + kappa, det = k00 * k11 - b * b;
    const double s00 = k11 / det, s01 = -b / det, s11 = k00 / det;
    const double l00 = std::sqrt(s00), l10 = s01 / l00, l11 = std::sqrt(s11 - l10 * l10);
    for (index w = 0; w < windows.size(); ++w)
        for (index r = 0; r < 32; ++r)
            for (index s = 0; s < 150; ++s) {
                const double gx = kappa * windows.center[at(w)][0];
                const double gy = kappa * windows.center[at(w)][1];
                const double z0 = normal(random), z1 = normal(random);
                const double x = s00 * gx + s01 * gy + l00 * z0;
                const double y = s01 * gx + s11 * gy + l10 * z0 + l11 * z1;
                const index j = host.column(w, r, s);
                host.xi[at(j)] = static_cast<float>(x);
                host.xi[at(host.run.size() + j)] = static_cast<float>(y);
                host.y[at(j)] =
                    static_cast<float>(x * y + std::cos(2.0 * y) + 0.2 * normal(random));
            }
    Grid grid;
    grid.dims = 2;
    grid.from = {-1.0, -0.8};
    grid.to = {1.0, 0.8};
    grid.bins = {12, 10};
    for (const Device& device : test_devices())
        for (const std::string method : {"mbar", "wham"}) {
            OnDevice on(device, host);
            const FreeEnergyResult r = estimate_free_energy(on.stream, on.samples, windows, grid,
                                                            options_for(method, 1.0));
            CHECK(r.converged);
            CHECK(r.missing_overlaps.empty());
            const auto u = [&](double x, double y) {
                return 0.5 * (a * x * x + 2.0 * b * x * y + c * y * y);
            };
            double squares = 0.0;
            int n = 0;
            for (const double x : {-0.9, -0.4, 0.3, 0.8})
                for (const double y : {-0.7, -0.2, 0.5}) {
                    const double z =
                        (r.profile.value_at(x, y) - r.profile.value_at(0.0, 0.0) - u(x, y)) /
                        r.profile.difference_error({x, y}, {0.0, 0.0});
                    CHECK(std::fabs(z) < 4.0);
                    squares += z * z;
                    ++n;
                }
            CHECK(squares / n < 1.0 + 4.0 * std::sqrt(2.0 / n));
            const ConditionalMoments m = conditional_moments(
                on.stream, on.samples, on.y.span(), on.samples.row, 1, grid, r.error_blocks);
            squares = 0.0;
            for (index bin = 0; bin < grid.size(); ++bin) {
                const double x = grid.centre(0, bin), y = grid.centre(1, bin);
                const double z =
                    (m.mean[at(bin)] - x * y - std::cos(2.0 * y)) / m.mean_error[at(bin)];
                squares += z * z;
            }
            const double bins = static_cast<double>(grid.size());
            // Student's t with 31 degrees of freedom; neighbouring bins share a little.
            CHECK(std::fabs(squares / bins - 31.0 / 29.0) < 4.5 * std::sqrt(2.0 / bins));
        }
    OnDevice on(test_devices()[0], host);
    CHECK_THROWS_AS(estimate_free_energy(on.stream, on.samples, windows, grid,
                                         options_for("umbrella_integration", 1.0)),
                    InputError);
}

TEST_CASE("a second run at other windows, with other replicas, adds to the first") {
    const Harmonic all(spaced(-1.2, 1.2, 9));
    const Harmonic first(spaced(-1.2, 0.0, 5)), second(spaced(0.3, 1.2, 4));
    const HostSamples one = first.sample(24, 300, 0.3, 21), two = second.sample(40, 200, 0.3, 22);
    // And one more over the first run's windows 2 … 4, to meet them again.
    const Harmonic again(spaced(-0.6, 0.0, 3));
    const HostSamples three = again.sample(20, 100, 0.3, 23);
    HostSamples joined(1, 1, one.run.size() + two.run.size() + three.run.size());
    std::copy(one.xi.begin(), one.xi.end(), joined.xi.begin());
    std::copy(two.xi.begin(), two.xi.end(), joined.xi.begin() + one.run.size());
    std::copy(three.xi.begin(), three.xi.end(),
              joined.xi.begin() + one.run.size() + two.run.size());
    for (const Device& device : test_devices()) {
        OnDevice on(device, joined);
        on.samples.blocks = {one.run, two.run, three.run};
        on.samples.blocks[1].first = one.run.size();
        on.samples.blocks[1].first_window = 5;
        on.samples.blocks[2].first = one.run.size() + two.run.size();
        on.samples.blocks[2].first_window = 2;
        const FreeEnergyResult r = estimate_free_energy(
            on.stream, on.samples, all.windows, line_grid(-1.0, 1.0, 40), EstimateOptions{});
        CHECK(r.converged);
        CHECK(r.error_blocks.count() == 20);
        for (index w = 1; w < 9; ++w) {
            CAPTURE(w);
            CHECK(std::fabs(r.window_f[at(w)] - all.f(w)) < 4.0 * r.window_f_error[at(w)]);
            CHECK(r.window_f_error[at(w)] < 0.15);
        }
        const double counts[] = {7200, 7200, 9200, 9200, 9200, 8000, 8000, 8000, 8000};
        for (index w = 0; w < 9; ++w)
            CHECK(r.effective_samples[at(w)] * r.inefficiency[at(w)] ==
                  doctest::Approx(counts[w]).epsilon(1e-9));
    }
}

// --- behaviour -----------------------------------------------------------------------------------

TEST_CASE("the number of threads changes no bit") {
    const Harmonic system(spaced(-1.2, 1.2, 9));
    const HostSamples host = system.sample(24, 500, 0.5, 3);
    const Grid grid = line_grid(-1.0, 1.0, 30);
    std::vector<std::vector<double>> results;
    std::vector<std::vector<float>> weights;
    for (const int threads : {1, 2, 3}) {
        OnDevice on(Device::cpu(threads), host);
        const FreeEnergyResult r =
            estimate_free_energy(on.stream, on.samples, system.windows, grid, EstimateOptions{});
        const ConditionalMoments c = conditional_moments(on.stream, on.samples, on.y.span(),
                                                         on.samples.row, 1, grid, r.error_blocks);
        std::vector<double> all = r.window_f;
        for (const auto* v : {&r.window_f_error, &r.profile.free_energy, &r.profile.std_error,
                              &r.inefficiency, &c.mean, &c.mean_error, &c.variance})
            all.insert(all.end(), v->begin(), v->end());
        results.push_back(all);
        weights.push_back(to_host(on.stream, r.log_weight.span()));
    }
    for (std::size_t i = 1; i < results.size(); ++i) {
        REQUIRE(results[i].size() == results[0].size());
        CHECK(std::memcmp(results[i].data(), results[0].data(), results[0].size() * 8) == 0);
        CHECK(std::memcmp(weights[i].data(), weights[0].data(), weights[0].size() * 4) == 0);
    }
}

TEST_CASE("windows without overlap are named") {
    const Harmonic system({-1.5, -1.3, -1.1, 2.1, 2.3, 2.5});
    const HostSamples host = system.sample(16, 200, 0.0, 3);
    OnDevice on(test_devices()[0], host);
    const FreeEnergyResult r = estimate_free_energy(on.stream, on.samples, system.windows,
                                                    line_grid(-1.5, 2.5, 60), EstimateOptions{});
    REQUIRE(r.missing_overlaps.size() == 1);
    CHECK(std::min(r.missing_overlaps[0].a, r.missing_overlaps[0].b) == 2);
    CHECK(std::max(r.missing_overlaps[0].a, r.missing_overlaps[0].b) == 3);
    REQUIRE_FALSE(r.warnings.empty());
    CHECK(r.warnings[0].find("-1.1") != std::string::npos);
    CHECK(r.warnings[0].find("2.1") != std::string::npos);
    CHECK(r.overlaps.size() == 5);
    CHECK(r.overlaps[2].overlap < 1e-6);
    CHECK(r.overlaps[0].overlap > 0.3);
    for (const double f : r.window_f) CHECK(std::isfinite(f));
}

TEST_CASE("weak overlap, unequal stiffness and population still converge") {
    // Neighbours 4.5 standard deviations apart, stiffness alternating by 10, and a soft window.
    BiasWindows windows;
    windows.beta = {1.0, 1.0};
    std::vector<double> sd;
    for (int w = 0; w < 12; ++w) {
        windows.center.push_back({0.25 * w, 0.0});
        windows.stiffness.push_back({w % 2 ? 1000.0 : 100.0, 0.0});
    }
    windows.center.push_back({1.0, 0.0});
    windows.stiffness.push_back({3.0, 0.0});
    const index n = windows.size();
    HostSamples host(n, 16, 500);
    std::mt19937_64 random(17);
    std::normal_distribution<double> normal;
    // Flat U: every window is N(c, 1/κ), with f = ½ ln κ.
    for (index w = 0; w < n; ++w)
        for (index r = 0; r < 16; ++r)
            for (index s = 0; s < 500; ++s)
                host.xi[at(host.column(w, r, s))] =
                    static_cast<float>(windows.center[at(w)][0] +
                                       normal(random) / std::sqrt(windows.stiffness[at(w)][0]));
    for (const Device& device : test_devices()) {
        OnDevice on(device, host);
        const FreeEnergyResult r = estimate_free_energy(
            on.stream, on.samples, windows, line_grid(0.0, 2.75, 50), EstimateOptions{});
        CHECK(r.converged);
        CHECK(r.residual < 1e-9);
        for (index w = 1; w < n; ++w) {
            const double exact =
                0.5 * std::log(windows.stiffness[at(w)][0] / windows.stiffness[0][0]);
            CAPTURE(w);
            CHECK(std::fabs(r.window_f[at(w)] - exact) < 4.0 * r.window_f_error[at(w)]);
        }
    }
}

TEST_CASE("too few iterations are reported, not hidden") {
    const Harmonic system(spaced(-1.2, 1.2, 9));
    OnDevice on(test_devices()[0], system.sample(16, 100, 0.0, 3));
    EstimateOptions options;
    options.max_iterations = 1;
    const FreeEnergyResult r = estimate_free_energy(on.stream, on.samples, system.windows,
                                                    line_grid(-1.0, 1.0, 20), options);
    CHECK_FALSE(r.converged);
    REQUIRE_FALSE(r.warnings.empty());
    CHECK(r.warnings[0].find("did not converge") != std::string::npos);
}

TEST_CASE("wrong input is refused by name") {
    const Harmonic system(spaced(-1.2, 1.2, 9));
    HostSamples host = system.sample(4, 50, 0.0, 3);
    const Grid grid = line_grid(-1.0, 1.0, 20);
    host.xi[at(host.column(3, 2, 17))] = std::numeric_limits<float>::quiet_NaN();
    for (const Device& device : test_devices()) {
        OnDevice on(device, host);
        try {
            estimate_free_energy(on.stream, on.samples, system.windows, grid, EstimateOptions{});
            FAIL("accepted a NaN");
        } catch (const NumericError& error) {
            const std::string text = error.what();
            CHECK(text.find("window 3, replica 2, sample 17") != std::string::npos);
        }
    }
    host.xi[at(host.column(3, 2, 17))] = 0.0f;
    host.y[at(host.column(4, 0, 5))] = std::numeric_limits<float>::infinity();
    {
        OnDevice on(test_devices()[0], host);
        CHECK_THROWS_AS(conditional_moments(on.stream, on.samples, on.y.span(), on.samples.row, 1,
                                            grid, choose_error_blocks(on.samples, 1.0)),
                        NumericError);
    }
    OnDevice on(test_devices()[0], host);
    const auto refused = [&](const BiasedSamples& s, const BiasWindows& w, const Grid& g) {
        CHECK_THROWS_AS(estimate_free_energy(on.stream, s, w, g, EstimateOptions{}), InputError);
    };
    Grid backwards = grid;
    backwards.to = grid.from;
    refused(on.samples, system.windows, backwards);
    BiasedSamples gap = on.samples;
    gap.blocks[0].samples -= 1;
    refused(gap, system.windows, grid);
    BiasWindows more = system.windows;
    more.center.push_back({2.0, 0.0});
    more.stiffness.push_back({20.0, 0.0});
    refused(on.samples, more, grid);
    BiasWindows negative = system.windows;
    negative.stiffness[2] = {-1.0, 0.0};
    refused(on.samples, negative, grid);
    CHECK_THROWS_AS(find_estimator("bar"), InputError);
    // Samples, but none inside the grid.
    CHECK_THROWS_AS(estimate_free_energy(on.stream, on.samples, system.windows,
                                         line_grid(50.0, 60.0, 10), EstimateOptions{}),
                    NumericError);
}

}  // namespace microlift
