// The schemes that run from formulas: Heun, Milstein and MALA against exact laws and solutions.
#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "kernels/random/streams.h"
#include "sampling/dynamics/bytecode_path.h"
#include "sampling/estimate/free_energy.h"
#include "sampling/model/model.h"
#include "sampling/run/config/run_config.h"
#include "tests/support/devices.h"
#include "tests/support/laws.h"

namespace microlift {
namespace {

RunConfig config(const std::string& system, const std::string& scheme, double dt) {
    return parse_run_config("[system]\n" + system + "\n[cv]\nvariables = [\"x\"]\n[integrator]\n" +
                                "scheme = \"" + scheme + "\"\ndt = " + toml_number(dt) +
                                "\n[umbrella]\nfrom = -1.0\nto = 1.0\nwindows = 2\n"
                                "stiffness = 1.0\nreplicas = 1\nsteps = 10\nstride = 10\n",
                            "test.toml");
}

// Samples of n free trajectories, begun at ±start in every variable.
struct Samples {
    std::vector<float> x;  // (dim, n · segments)
    double acceptance = 0;
};
Samples sampled(const Device& device, const std::string& system, const std::string& scheme,
                double dt, index n, uint64 skip, uint64 stride, index segments, float start) {
    const Model model(config(system, scheme, dt));
    Stream stream(device);
    Ensemble ensemble(stream, model.path_kernel(model.path_setup(config(system, scheme, dt).integrator)),
                      n, 3, kStreamNoise);
    std::vector<float> x;
    for (index i = 0; i < model.dim() * n; ++i) x.push_back(i % 2 ? start : -start);
    copy_to_device(stream, ensemble.x(), x.data());
    SampleSet samples(device, model.dim(), 1, n * segments);
    ensemble.advance(skip);
    ensemble.sample(stride, segments, samples);
    ensemble.check_finite([](index) { return std::string("test"); });
    Samples result;
    result.x = to_host(stream, Span<const float>(samples.x.span()));
    for (const uint64 a : ensemble.accepted())
        result.acceptance += static_cast<double>(a) / static_cast<double>(n) /
                             static_cast<double>(ensemble.step());
    return result;
}

// Mean of f over one variable's samples, and its standard error from the means of trajectories.
template <class F>
Mean mean_of(const std::vector<float>& x, int variable, index n, index segments, const F& f) {
    Mean m;
    for (index i = 0; i < n; ++i) {
        double one = 0;
        for (index s = 0; s < segments; ++s)
            one += f(static_cast<double>(
                       x[static_cast<std::size_t>((variable * segments + s) * n + i)])) /
                   static_cast<double>(segments);
        m.add(one);
    }
    return m;
}

double squared(double x) { return x * x; }

}  // namespace

TEST_CASE("heun: an Ornstein-Uhlenbeck process has the variance of the discrete scheme") {
    // x' = (1 − h + h²/2) x + (1 − h/2) σ sqrt(dt) z, h = k dt. Here k = 2, β = ½, so that 1/(βk) = 1; the
    // drift, a matrix of noise and a potential are three ways through the code.
    constexpr index n = 1 << 14, segments = 20;
    const double dt = 0.25, h = 2 * dt;
    const double exact = (1 - h / 2) / (1 - h / 2 + h * h / 4), euler = 1 / (1 - h / 2);
    for (const Device& device : test_devices())
        for (const std::string system :
             {"variables = [\"x\"]\npotential = \"x^2\"\nbeta = 0.5",
              "variables = [\"x\", \"y\"]\ndrift = [\"-2*x\", \"-2*y\"]\n"
              "diffusion = [[\"1.2\", \"1.6\"], [\"0\", \"2\"]]"}) {
            CAPTURE(system);
            const Mean m = mean_of(sampled(device, system, "heun", dt, n, 40, 16, segments, 0).x, 0, n,
                                   segments, squared);
            INFO("variance " << m.value() << " +- " << m.error() << ", exact " << exact);
            CHECK(std::fabs(m.deviation(exact)) <= 4);
            CHECK(std::fabs(m.deviation(1)) >= 8);
            CHECK(std::fabs(m.deviation(euler)) >= 8);
        }
}

TEST_CASE("milstein: geometric Brownian motion has strong order 1, Euler-Maruyama 1/2") {
    // dX = μ X dt + s X dW has X(1) = exp(μ − s²/2 + s W(1)); W comes from the same random numbers.
    constexpr index n = 1 << 13;
    constexpr int kBlocks = 16;
    const double mu = 0.4, s = 0.5;
    const auto system = [](const std::string& drift, const std::string& diffusion) {
        FormulaSystemText text;
        text.variables = {"x"};
        text.drift = {drift};
        text.diffusion = {diffusion};
        text.cv = {"x"};
        return std::make_shared<const FormulaSystem>(make_formula_system(text));
    };
    const auto motion = system("0", "1"), geometric = system("0.4*x", "0.5*x");
    for (const Device& device : test_devices())
        for (const Scheme scheme : {Scheme::milstein, Scheme::euler_maruyama}) {
            std::vector<double> log_dt;
            std::array<std::vector<double>, kBlocks> log_error;
            for (const uint64 steps : {16, 32, 64, 128, 256}) {
                PathSetup setup;
                setup.dt = 1 / static_cast<double>(steps);
                setup.scheme = scheme;
                Stream stream(device);
                const auto end = [&](const auto& formulas, float start) {
                    Ensemble ensemble(stream, make_formula_path_kernel(formulas, setup), n, 7,
                                      kStreamNoise);
                    const std::vector<float> x(static_cast<std::size_t>(n), start);
                    copy_to_device(stream, ensemble.x(), x.data());
                    ensemble.advance(steps);
                    return ensemble.save_state();
                };
                const std::vector<float> x = end(geometric, 1), w = end(motion, 0);
                log_dt.push_back(std::log(setup.dt));
                for (std::size_t b = 0; b < kBlocks; ++b) {
                    double error = 0;
                    for (std::size_t i = b; i < x.size(); i += kBlocks)
                        error += std::fabs(double(x[i]) -
                                           std::exp(mu - s * s / 2 + s * double(w[i])));
                    log_error[b].push_back(std::log(error));
                }
            }
            // Slope of a straight line, of each block of trajectories.
            Mean slope;
            for (const auto& y : log_error) {
                const double m = static_cast<double>(y.size());
                double sx = 0, sy = 0, sxx = 0, sxy = 0;
                for (std::size_t i = 0; i < y.size(); ++i) {
                    sx += log_dt[i], sy += y[i];
                    sxx += log_dt[i] * log_dt[i], sxy += log_dt[i] * y[i];
                }
                slope.add((m * sxy - sx * sy) / (m * sxx - sx * sx));
            }
            INFO("strong order " << slope.value() << " +- " << slope.error());
            const double order = scheme == Scheme::milstein ? 1 : 0.5;
            CHECK(std::fabs(slope.deviation(order)) <= 4);
            CHECK(slope.error() <= 0.02);
        }
}

TEST_CASE("milstein: with constant noise it is Euler-Maruyama, bit for bit") {
    for (const char* system : {"name = \"double_well\"\nbeta = 3.0",
                               "variables = [\"x\"]\npotential = \"x^4\"\nbeta = 1.0"})
        CHECK(sampled(Device::cpu(2), system, "milstein", 0.01, 100, 10, 10, 2, 0.5f).x ==
              sampled(Device::cpu(2), system, "euler_maruyama", 0.01, 100, 10, 10, 2, 0.5f).x);
}

TEST_CASE("mala: the law of the double well is exact where Euler-Maruyama's is far off") {
    constexpr index n = 1 << 14, segments = 20;
    const double beta = 3, dt = 0.05;
    const auto potential = [](double x) { return squared(x * x - 1); };
    double z = 0, second = 0, energy = 0;
    for (double x = -3; x <= 3; x += 1.0 / 256) {
        const double p = std::exp(-beta * potential(x));
        z += p, second += p * x * x, energy += p * potential(x);
    }
    second /= z, energy /= z;
    for (const Device& device : test_devices()) {
        const auto run = [&](const char* scheme) {
            return sampled(device, "name = \"double_well\"\nbeta = 3.0", scheme, dt, n, 200, 20,
                           segments, 1);
        };
        const Samples mala = run("mala"), euler = run("euler_maruyama");
        const Mean m2 = mean_of(mala.x, 0, n, segments, squared);
        const Mean v = mean_of(mala.x, 0, n, segments, potential);
        const Mean off = mean_of(euler.x, 0, n, segments, potential);
        INFO("E[x^2] " << m2.value() << " +- " << m2.error() << ", exact " << second << "; E[V] "
                       << v.value() << " +- " << v.error() << ", of Euler-Maruyama " << off.value() << " +- "
                       << off.error() << ", exact " << energy);
        CHECK(std::fabs(m2.deviation(second)) <= 4);
        CHECK(std::fabs(v.deviation(energy)) <= 4);
        CHECK(off.deviation(energy) >= 20);
        INFO("acceptance " << mala.acceptance);
        CHECK(mala.acceptance > 0.7);
        CHECK(mala.acceptance < 0.99);
    }
}

TEST_CASE("mala: umbrella windows of a curved variable give the free energy within its errors") {
    // V = x²/2 + 2 y², ξ = x + y²/2; exact by quadrature of p(ξ) = ∫ exp(−βV) dy.
    constexpr index windows = 7, replicas = 256, samples = 50;
    const double beta = 1, stiffness = 8;
    const std::string system = "variables = [\"x\", \"y\"]\npotential = \"x^2/2 + 2*y^2\"\nbeta = 1.0";
    RunConfig run = config(system, "mala", 0.15);
    run.cv.variables[0].formula = "x + y^2/2";
    const Model model(run);
    for (const Device& device : test_devices()) {
        Stream stream(device);
        const index n = windows * replicas;
        Ensemble ensemble(stream, model.path_kernel(model.path_setup(run.integrator)), n, 5,
                          kStreamNoise);
        BiasWindows bias;
        bias.beta = {beta, beta};
        std::vector<float> center, stiff(static_cast<std::size_t>(n), static_cast<float>(stiffness));
        for (index w = 0; w < windows; ++w) {
            bias.center.push_back({-1.5 + 0.5 * static_cast<double>(w), 0});
            bias.stiffness.push_back({stiffness, 0});
            center.insert(center.end(), static_cast<std::size_t>(replicas),
                          static_cast<float>(bias.center.back()[0]));
        }
        copy_to_device(stream, ensemble.center(), center.data());
        copy_to_device(stream, ensemble.stiffness(), stiff.data());
        SampleSet set(device, 2, 1, n * samples);
        set.blocks = {{0, 0, windows, replicas, samples}};
        ensemble.advance(200);
        ensemble.sample(20, samples, set);
        Grid grid;
        grid.from[0] = -1.5, grid.to[0] = 1.5, grid.bins[0] = 15;
        const FreeEnergyResult result = estimate_free_energy(stream, set.biased(), bias, grid, {});
        REQUIRE(result.converged);
        // The mean density of each bin, so that its width does not matter.
        std::vector<double> exact;
        for (int b = 0; b < 15; ++b) {
            double p = 0;
            for (int i = 0; i < 20; ++i)
                for (double y = -4; y <= 4; y += 1.0 / 32) {
                    const double xi = -1.5 + 0.2 * (b + (i + 0.5) / 20);
                    p += std::exp(-beta * (squared(xi - y * y / 2) / 2 + 2 * y * y));
                }
            exact.push_back(-std::log(p) / beta);
        }
        const auto least = static_cast<std::size_t>(result.profile.minimum_bin);
        for (std::size_t b = 0; b < exact.size(); ++b) {
            if (b == least) continue;
            const double found = result.profile.free_energy[b] - result.profile.free_energy[least];
            INFO("bin " << b << ": " << found << " +- " << result.profile.std_error[b] << ", exact "
                        << exact[b] - exact[least]);
            CHECK(std::fabs(found - (exact[b] - exact[least])) <= 4 * result.profile.std_error[b]);
            CHECK(result.profile.std_error[b] <= 0.05);
        }
        double taken = 0;
        for (const uint64 a : ensemble.accepted()) taken += static_cast<double>(a);
        taken /= static_cast<double>(n) * static_cast<double>(ensemble.step());
        INFO("acceptance " << taken);
        CHECK(taken > 0.5);
        CHECK(taken < 0.95);
    }
}

TEST_CASE("heun, milstein, mala: pieces of a run, threads and a reload change no bit") {
    const std::string potential =
        "variables = [\"x\", \"y\"]\npotential = \"(x^2 - 1)^2 + 3*(y - sin(x))^2\"\nbeta = 2.0";
    const std::string slopes = "variables = [\"x\", \"y\"]\ndrift = [\"-x\", \"x - y\"]\n"
                               "diffusion = [\"0.5\", \"0.3 + 0.2*cos(y)\"]";
    for (const auto& [scheme, system] : {std::pair{"heun", potential}, {"mala", potential},
                                         {"milstein", slopes}}) {
        CAPTURE(scheme);
        const RunConfig run = config(system, scheme, 0.02);
        const Model model(run);
        const auto kernel = std::shared_ptr<const PathKernel>(
            model.path_kernel(model.path_setup(run.integrator)));
        constexpr index n = 700;  // two tiles and a half
        const std::vector<float> stiffness(static_cast<std::size_t>(n), 3.0f);
        Stream one(Device::cpu(1)), two(Device::cpu(2));
        Ensemble whole(one, kernel, n, 5, kStreamNoise), first(two, kernel, n, 5, kStreamNoise),
            second(two, kernel, n, 5, kStreamNoise);
        for (Ensemble* e : {&whole, &first, &second})
            copy_to_device(e == &whole ? one : two, e->stiffness(), stiffness.data());
        whole.advance(97);
        first.advance(33);
        second.load_state(first.save_state(), first.step());
        if (kernel->metropolis()) second.load_accepted(first.accepted());
        second.advance(64);
        CHECK(second.save_state() == whole.save_state());
        CHECK(second.accepted() == whole.accepted());
    }
}

}  // namespace microlift
