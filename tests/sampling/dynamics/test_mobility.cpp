// Biases on systems that are given by drift and noise: the law is the free one times exp(−U/D_ξ), whatever
// the noise and the gradient of ξ; held ξ samples the conditional law.
#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "kernels/random/streams.h"
#include "sampling/bias/table.h"
#include "sampling/formula/mobility.h"
#include "sampling/model/model.h"
#include "sampling/run/config/run_config.h"
#include "tests/support/devices.h"
#include "tests/support/laws.h"

namespace microlift {
namespace {

using Law = std::array<double, 3>;  // of two variables: xx, xy, yy

RunConfig config(const std::string& system, const std::string& cvs,
                 const std::string& integrator = "dt = 0.01") {
    return parse_run_config("[system]\n" + system + "\n[cv]\nvariables = [" + cvs +
                                "]\n[integrator]\n" + integrator +
                                "\n[umbrella]\nfrom = 0.5\nto = 1.5\nwindows = 2\nstiffness = 1.0\n"
                                "replicas = 1\nsteps = 10\nstride = 10\n",
                            "test.toml");
}

// D = [[1, 0.6], [0.6, 0.5]], V = x²/2 + (y − x)²/2, so that the free law has precision [[2, −1], [−1, 1]].
const std::string kCorrelated =
    "variables = [\"x\", \"y\"]\n"
    "drift = [\"-(x - (y - x)) - 0.6*(y - x)\", \"-0.6*(x - (y - x)) - 0.5*(y - x)\"]\n"
    "diffusion = [[\"sqrt(2)\", \"0\"], [\"0.6*sqrt(2)\", \"sqrt(0.28)\"]]";
const Law kFreePrecision{2, -1, 1};
const Law kMobility{1, 0.6, 0.5};

double form(const Law& m, const double (&u)[2], const double (&v)[2]) {
    return m[0] * u[0] * v[0] + m[1] * (u[0] * v[1] + u[1] * v[0]) + m[2] * u[1] * v[1];
}

// States of n trajectories under biases of the same stiffness and centre on every ξ.
struct Biased {
    std::string system, cvs;
    BiasKind kind = BiasKind::harmonic;
    double stiffness = 0, center = 0, dt = 0.01;
    std::string scheme = "leimkuhler_matthews";
    GridView grid = {};
    std::array<float, 3> start{1.0f, 1.0f, 1.0f};

    std::vector<float> states(Stream& stream, index n, uint64 steps, bool compiled = false) const {
        const RunConfig run = config(system, cvs, "scheme = \"" + scheme + "\"\ndt = " +
                                                      toml_number(dt));
        const Model model(run);
        PathSetup setup = model.path_setup(run.integrator);
        setup.bias = kind;
        setup.compile_after = compiled ? 0 : -1;
        Ensemble ensemble(stream, model.path_kernel(setup), n, 7, kStreamNoise);
        std::vector<float> x;
        for (int d = 0; d < model.dim(); ++d)
            x.insert(x.end(), static_cast<std::size_t>(n), start[static_cast<std::size_t>(d)]);
        copy_to_device(stream, ensemble.x(), x.data());
        const auto K = static_cast<std::size_t>(model.n_cvs());
        const std::vector<float> c(K * static_cast<std::size_t>(n), static_cast<float>(center)),
            k(c.size(), static_cast<float>(stiffness));
        copy_to_device(stream, ensemble.center(), c.data());
        copy_to_device(stream, ensemble.stiffness(), k.data());
        ensemble.set_grid(grid);
        ensemble.advance(steps);
        ensemble.check_finite([](index) { return std::string("test"); });
        return to_host(stream, Span<const float>(ensemble.x()));
    }
};

// Means and covariances of independent states against exact ones: within 4.5 standard errors (seven of
// a million chances each), which for a normal law are √(Σ_ii/n) and √((Σ_ii Σ_jj + Σ_ij²)/n).
void check_law(const std::vector<float>& x, index n, const std::array<double, 2>& mean,
               const Law& covariance, double step_error = 0) {
    double m[2] = {}, c[3] = {};
    const auto at = [&](int d, index i) {
        return static_cast<double>(x[static_cast<std::size_t>(d * n + i)]) -
               mean[static_cast<std::size_t>(d)];
    };
    for (index i = 0; i < n; ++i) {
        for (int d = 0; d < 2; ++d) m[d] += at(d, i) / static_cast<double>(n);
        c[0] += at(0, i) * at(0, i) / static_cast<double>(n);
        c[1] += at(0, i) * at(1, i) / static_cast<double>(n);
        c[2] += at(1, i) * at(1, i) / static_cast<double>(n);
    }
    const double xx = covariance[0], xy = covariance[1], yy = covariance[2];
    const double count = static_cast<double>(n), kSure = 4.5;
    CHECK(std::fabs(m[0]) < kSure * std::sqrt(xx / count) + step_error * std::sqrt(xx));
    CHECK(std::fabs(m[1]) < kSure * std::sqrt(yy / count) + step_error * std::sqrt(yy));
    CHECK(std::fabs(c[0] - xx) < (kSure * std::sqrt(2 / count) + step_error) * xx);
    CHECK(std::fabs(c[2] - yy) < (kSure * std::sqrt(2 / count) + step_error) * yy);
    CHECK(std::fabs(c[1] - xy) <
          kSure * std::sqrt((xx * yy + xy * xy) / count) + step_error * std::sqrt(xx * yy));
}

// The law of exp(−V − Σ_k U_k/D_k), linear ξ_k = w_k·x, U_k = ½ stiffness (ξ_k − center)².
void check_normal_law(const std::vector<float>& x, index n, const Biased& run,
                      const std::vector<std::array<double, 2>>& w, const Law& free,
                      const std::vector<double>& unit) {
    Law p = free;
    double pull[2] = {};
    for (std::size_t k = 0; k < w.size(); ++k) {
        const double a = run.stiffness / unit[k];
        p[0] += a * w[k][0] * w[k][0];
        p[1] += a * w[k][0] * w[k][1];
        p[2] += a * w[k][1] * w[k][1];
        for (std::size_t d = 0; d < 2; ++d) pull[d] += a * run.center * w[k][d];
    }
    const double det = p[0] * p[2] - p[1] * p[1];
    const Law covariance{p[2] / det, -p[1] / det, p[0] / det};
    check_law(x, n,
              {covariance[0] * pull[0] + covariance[1] * pull[1],
               covariance[1] * pull[0] + covariance[2] * pull[1]},
              covariance, 0.01);  // the scheme's error: dt² curvature², and for |∇ξ| ≠ 1 less
}

}  // namespace

TEST_CASE("bias without a potential: correlated noise, any linear CV, the law exp(-U/D)") {
    for (const Device& device : test_devices()) {
        const index n = is_emulated(device) ? 1000 : 20000;
        Stream stream(device);
        for (const auto& [cv, w] : {std::pair{std::string("x"), std::array{1.0, 0.0}}, {"2*x", {2.0, 0.0}},
                                    {"x - 0.5*y", {1.0, -0.5}}}) {
            CAPTURE(cv);
            Biased run{kCorrelated, "\"" + cv + "\""};
            run.stiffness = 4, run.center = 1.5, run.dt = 0.02;
            const double u[2] = {w[0], w[1]};
            const double unit = form(kMobility, u, u);
            CHECK(Model(config(kCorrelated, run.cvs)).kt() == doctest::Approx(unit).epsilon(1e-6));
            check_normal_law(run.states(stream, n, 4000), n, run, {w}, kFreePrecision, {unit});
        }
        Biased two{kCorrelated, "\"x\", \"x + 2*y\""};
        two.stiffness = 2, two.center = 1, two.dt = 0.02;
        const double along[2] = {1, 2};
        check_normal_law(two.states(stream, n, 4000), n, two, {{1.0, 0.0}, {1.0, 2.0}},
                         kFreePrecision, {1.0, form(kMobility, along, along)});
    }
}

TEST_CASE("bias without a potential: a table is one function in the unit of the first CV") {
    // U = ½·2·((ξ₁ − ½)² + (ξ₂ − ½)²), exact between cubic points.
    for (const Device& device : test_devices()) {
        const index n = is_emulated(device) ? 1000 : 20000;
        Stream stream(device);
        GridAxes axes;
        axes.cvs = 2;
        axes.from = {-8, -8}, axes.to = {8, 8}, axes.points = {129, 129};
        std::vector<double> energy;
        for (int i = 0; i < 129; ++i)
            for (int j = 0; j < 129; ++j) {
                const double a = -8.5 + i / 8.0, b = -8.5 + j / 8.0;
                energy.push_back(a * a + b * b);
            }
        const HostGrid host(axes, {energy.data(), std::ssize(energy)});
        Buffer<float> table(device, axes.polynomials());
        copy_to_device(stream, table.span(), host.polynomials().data());
        Biased run{kCorrelated, "\"x\", \"x + 2*y\"", BiasKind::grid};
        run.grid = axes.view(table.span());
        run.dt = 0.02;
        const std::vector<float> x = run.states(stream, n, 4000);
        run.stiffness = 2, run.center = 0.5;
        check_normal_law(x, n, run, {{1.0, 0.0}, {1.0, 2.0}}, kFreePrecision, {1.0, 1.0});
    }
}

TEST_CASE("bias without a potential: two mobilities, built-in and compiled, have the bits of bytecode") {
    // dx = a₁ dt + a₂ dW₁, dy = a₃ (1 − y) dt + a₄ dW₂: y − 1 has precision 2 a₃/a₄² = 1, x is free.
    const std::string built_in = "name = \"fast_slow\"\na1 = 0.0\na2 = 1.0\na3 = 2.0\na4 = 2.0";
    const std::string formula = "variables = [\"x1\", \"x2\"]\ndrift = [\"0\", \"2 - 2*x2\"]\n"
                                "diffusion = [\"1\", \"2\"]";
    constexpr index n = 20000;
    Stream stream(Device::cpu(2));
    const double unit = 0.5 * 1 + 2 * 0.25;
    Biased run{built_in, "\"x1 + 0.5*x2 - 0.5\""};
    run.stiffness = 2, run.center = 1, run.dt = 0.02, run.start = {0.0f, 1.0f};
    std::vector<float> x = run.states(stream, n, 4000);
    run.system = formula;
    const std::vector<float> bytecode = run.states(stream, n, 4000);
    CHECK(bytecode == run.states(stream, n, 4000, true));
    // The built-in kernel rounds its force in another order.
    for (std::size_t i = 0; i < x.size(); ++i)
        REQUIRE(std::fabs(x[i] - bytecode[i]) < 1e-3f);
    for (index i = 0; i < n; ++i) x[static_cast<std::size_t>(n + i)] -= 1;
    check_normal_law(x, n, run, {{1.0, 0.5}}, {0, 0, 1}, {unit});
}

TEST_CASE("bias without a potential: curved variables with constant noise along them") {
    for (const Device& device : test_devices()) {
        const index n = is_emulated(device) ? 1000 : 20000;
        Stream stream(device);
        // r = |x| of isotropic noise, D = 2: p(r) ∝ r exp(−r²/2·(1 + κ/2) + κ/2·c r).
        Biased radius{"variables = [\"x\", \"y\"]\ndrift = [\"-2*x\", \"-2*y\"]\n"
                      "diffusion = [\"2\", \"2\"]", "\"sqrt(x^2 + y^2)\""};
        radius.stiffness = 4, radius.center = 1.5, radius.dt = 5e-3;
        const Model model(config(radius.system, radius.cvs));
        CHECK(model.kt() == 2.0);
        std::vector<float> x = radius.states(stream, n, 2000);
        double z = 0, first = 0, second = 0;
        for (int i = 0; i < 8000; ++i) {
            const double r = (i + 0.5) * 1e-3;
            const double p = r * std::exp(-1.5 * r * r + 3 * r);
            z += p, first += p * r, second += p * r * r;
        }
        Mean mean, square;
        for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
            const double r = std::hypot(x[i], x[static_cast<std::size_t>(n) + i]);
            mean.add(r);
            square.add(r * r);
        }
        CHECK(std::fabs(mean.deviation(first / z)) < 4.5);
        CHECK(std::fabs(square.deviation(second / z)) < 4.5);

        // dX = X (½ − ln X) dt + X dW: ln X is an Ornstein–Uhlenbeck process of variance ½, D_ξ = ½.
        Biased log{"variables = [\"x\"]\ndrift = [\"x*(0.5 - log(x))\"]\ndiffusion = [\"x\"]",
                   "\"log(x)\""};
        log.stiffness = 1, log.center = 1, log.dt = 2e-3, log.scheme = "milstein";
        CHECK(Model(config(log.system, log.cvs, "dt = 0.01\nscheme = \"milstein\"")).kt() == 0.5);
        x = log.states(stream, n, 3000);
        Mean at, spread;  // precision 2 + 1/½, mean ½
        for (const float v : x) {
            const double y = std::log(static_cast<double>(v)) - 0.5;
            at.add(y);
            spread.add(y * y);
        }
        CHECK(std::fabs(at.value()) < 4.5 * at.error() + 2e-3);
        CHECK(std::fabs(spread.value() - 0.25) < 4.5 * spread.error() + 1e-3);
    }
}

TEST_CASE("held without a potential: the conditional law, for correlated and state-dependent noise") {
    for (const Device& device : test_devices()) {
        const index n = is_emulated(device) ? 1000 : 20000;
        Stream stream(device);
        Biased run{kCorrelated, "\"x\"", BiasKind::level_set};
        run.center = 1.5, run.dt = 0.02, run.start = {1.5f, 0.0f};
        const auto last_of = [&](const std::vector<float>& x) {
            Mean mean;
            for (std::size_t i = x.size() - static_cast<std::size_t>(n); i < x.size(); ++i)
                mean.add(static_cast<double>(x[i]));
            return mean;
        };
        Mean y = last_of(run.states(stream, n, 1500));  // E(y | x) = x, variance 1
        CHECK(std::fabs(y.deviation(1.5)) < 4.5);
        CHECK(y.error() * std::sqrt(n) == doctest::Approx(1).epsilon(4.5 / std::sqrt(2.0 * n)));

        // u and v are independent Ornstein–Uhlenbeck processes of variance ½ with noise 1; x = u,
        // y = v + 2u², so that y | x is normal about 2x² with variance ½.
        Biased bent{"variables = [\"x\", \"y\"]\n"
                    "drift = [\"-x\", \"-(y - 2*x^2) - 4*x^2 + 2\"]\n"
                    "diffusion = [[\"1\", \"0\"], [\"4*x\", \"1\"]]", "\"x\"", BiasKind::level_set};
        bent.scheme = "euler_maruyama";
        bent.center = 0.7, bent.dt = 2e-3, bent.start = {0.7f, 0.98f};
        y = last_of(bent.states(stream, n, 3000));
        CHECK(std::fabs(y.value() - 0.98) < 4.5 * y.error() + 2e-3);
        CHECK(y.error() * std::sqrt(n) == doctest::Approx(std::sqrt(0.5)).epsilon(0.025));

        // Two of them held; z = w + u² + v².
        Biased both{"variables = [\"x\", \"y\", \"z\"]\n"
                    "drift = [\"-x\", \"-y\", \"-(z - x^2 - y^2) - 2*x^2 - 2*y^2 + 2\"]\n"
                    "diffusion = [[\"1\", \"0\", \"0\"], [\"0\", \"1\", \"0\"], "
                    "[\"2*x\", \"2*y\", \"1\"]]", "\"x\", \"x + y\"", BiasKind::level_set};
        both.scheme = "euler_maruyama";
        both.center = 0.7, both.dt = 2e-3, both.start = {0.7f, 0.0f, 0.49f};
        const Mean z = last_of(both.states(stream, n, 3000));
        CHECK(std::fabs(z.value() - 0.49) < 4.5 * z.error() + 2e-3);
        CHECK(z.error() * std::sqrt(n) == doctest::Approx(std::sqrt(0.5)).epsilon(0.025));
    }
}

TEST_CASE("bias without a potential: what has no known law is refused or said") {
    const auto key_of = [](const std::string& system, const std::string& cv) {
        try {
            Model(config(system, cv, "dt = 0.01\nscheme = \"euler_maruyama\"")).check_bias();
            return std::string();
        } catch (const std::exception& error) {
            return std::string(error.what());
        }
    };
    const std::string plane = "variables = [\"x\", \"y\"]\ndrift = [\"-x\", \"-y\"]\n";
    CHECK(key_of(plane + "diffusion = [\"1\", \"1\"]", "\"x^2 + y\"").find("depends on the state") !=
          std::string::npos);
    CHECK(key_of(plane + "diffusion = [\"1\", \"0\"]", "\"y\"").find("is zero") != std::string::npos);
    CHECK(key_of(plane + "diffusion = [\"1\", \"1 + x^2\"]", "\"x\"").empty());
    CHECK(key_of(plane + "diffusion = [\"1\", \"1\"]", "\"sqrt(x^2 + y^2)\"").empty());

    const auto balance = [](const std::string& drift, const std::string& diffusion) {
        return detailed_balance(Model(config("variables = [\"x\", \"y\"]\ndrift = " + drift +
                                                 "\ndiffusion = " + diffusion,
                                             "\"x\"", "dt = 0.01\nscheme = \"euler_maruyama\""))
                                    .formulas());
    };
    using enum DetailedBalance;
    CHECK(detailed_balance(Model(config(kCorrelated, "\"x\"")).formulas()) == holds);
    CHECK(balance("[\"-x + y\", \"-y + x\"]", "[\"1\", \"1\"]") == holds);
    CHECK(balance("[\"-x + y\", \"-y + x\"]", "[\"1\", \"2\"]") == broken);
    CHECK(balance("[\"-x + y\", \"-y + 4*x\"]", "[\"1\", \"2\"]") == holds);
    CHECK(balance("[\"-x^3 + y\", \"-y - x\"]", "[\"1\", \"1\"]") == broken);
    CHECK(balance("[\"-x\", \"-y^3\"]", "[\"1\", \"1 + y^2\"]") == holds);
    CHECK(balance("[\"y\", \"-x - y\"]", "[\"1e-3\", \"1\"]") == broken);
}

}  // namespace microlift
