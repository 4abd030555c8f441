// Whole ensembles: built-in against formula, constraints on non-linear CVs, replica exchange, quiet loops.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/support/devices.h"
#include "sampling/bias/exchange.h"
#include "sampling/lift/lifting.h"
#include "sampling/model/model.h"
#include "sampling/run/config/run_config.h"

namespace microlift {
namespace {

RunConfig config(const std::string& system, const std::string& cv = "\"x\"",
                 const std::string& scheme = "leimkuhler_matthews", double dt = 1e-3) {
    return parse_run_config("seed = 1\n[system]\n" + system + "\n[cv]\nvariables = [" + cv +
                                "]\n[integrator]\nscheme = \"" + scheme +
                                "\"\ndt = " + toml_number(dt) +
                                "\n[umbrella]\nfrom = -1.0\nto = 1.0\nwindows = 4\nstiffness = 10.0\n"
                                "replicas = 4\nequilibrate = 10\nsteps = 10\nstride = 1\n",
                            "test.toml");
}

std::vector<float> end_state(const Device& device, const RunConfig& run, index n, uint64 steps,
                             std::vector<float> start) {
    const Model model(run);
    Stream stream(device);
    const std::shared_ptr<const PathKernel> kernel = model.path_kernel(model.path_setup(run.integrator));
    Ensemble ensemble(stream, kernel, n, 5, 1);
    std::vector<float> x;
    for (float value : start) x.insert(x.end(), static_cast<std::size_t>(n), value);
    copy_to_device(stream, ensemble.x(), x.data());
    ensemble.advance(steps);
    std::vector<float> state = ensemble.save_state();
    state.resize(x.size());
    return state;
}

struct Pair {
    const char *builtin, *formula;
    std::vector<float> start;
};

}  // namespace

TEST_CASE("a built-in and its formula take the same steps") {
    const Pair pairs[] = {
        {"name = \"double_well\"\nbeta = 3.0",
         "variables = [\"x\"]\nbeta = 3.0\npotential = \"(x^2 - 1)^2\"", {-1}},
        {"name = \"channel\"\nbeta = 3.0",
         "variables = [\"x\", \"y\"]\nbeta = 3.0\npotential = \"(x^2 - 1)^2 + 5*(y - x)^2\"",
         {-1, -1}},
        {"name = \"hidden_barrier\"\nbeta = 1.0",
         "variables = [\"x\", \"y\"]\nbeta = 1.0\npotential = \"3*(x^2 - 1)^2 + (0.5 + 10*x^2)*(y^2 - "
         "1)^2 - 0.4*x*y\"",
         {-1, 1}}};
    for (const Device& device : test_devices())
        for (const Pair& p : pairs)
            for (const char* scheme : {"euler_maruyama", "leimkuhler_matthews", "baoab"}) {
                CAPTURE(p.builtin);
                CAPTURE(scheme);
                // 300 trajectories: whole tiles, packs and a ragged tail. Rounding differs; over 20
                // steps it has not grown.
                const auto a = end_state(device, config(p.builtin, "\"x\"", scheme), 300, 20, p.start);
                const auto b = end_state(device, config(p.formula, "\"x\"", scheme), 300, 20, p.start);
                double worst = 0;
                for (std::size_t i = 0; i < a.size(); ++i)
                    worst = std::max(worst, static_cast<double>(std::fabs(a[i] - b[i])));
                CHECK(worst < 2e-5);
                CHECK(a[0] != p.start[0]);
            }
}

TEST_CASE("a launch is cut, and the pieces make the same bits") {
    const std::string system = "variables = [\"x\"]\nbeta = 3.0\npotential = \"(x^2 - 1)^2\"";
    for (const char* scheme : {"leimkuhler_matthews", "mala", "baoab"}) {
        CAPTURE(scheme);
        const RunConfig run = config(system, "\"x\"", scheme);
        const Model model(run);
        Stream stream(Device::cpu(1));
        const std::shared_ptr<const PathKernel> kernel =
            model.path_kernel(model.path_setup(run.integrator));
        // More than two launches, and a part of one.
        Ensemble whole(stream, kernel, 3, 5, 1), pieces(stream, kernel, 3, 5, 1);
        const uint64 stride = 2 * whole.launch_steps() + whole.launch_steps() / 3 + 1;
        SampleSet a(stream.device(), 1, 1, 3), b(stream.device(), 1, 1, 3);
        whole.sample(stride, 1, a);
        pieces.advance(stride - 12345);
        pieces.sample(12345, 1, b);
        CHECK(to_host(stream, Span<const float>(a.x.span())) ==
              to_host(stream, Span<const float>(b.x.span())));
        CHECK(whole.save_state() == pieces.save_state());
        CHECK(whole.accepted() == pieces.accepted());
        CHECK(whole.step() == stride);
    }
}

// The noise that is averaged with the last step's is the last launch's.
TEST_CASE("noise by a matrix goes on from launch to launch") {
    const RunConfig run = config("variables = [\"x\", \"y\"]\ndrift = [\"-x\", \"-y\"]\n"
                                 "diffusion = [[\"0.7\", \"0.2\"], [\"-0.3\", \"0.8\"]]");
    const Model model(run);
    for (const Device& device : test_devices()) {
        Stream stream(device);
        const std::shared_ptr<const PathKernel> kernel =
            model.path_kernel(model.path_setup(run.integrator));
        Ensemble whole(stream, kernel, 300, 5, 1), pieces(stream, kernel, 300, 5, 1);
        whole.advance(40);
        for (const uint64 steps : {1, 6, 33}) pieces.advance(steps);
        CHECK(whole.save_state() == pieces.save_state());
    }
}

TEST_CASE("steps beyond 2^32 are named as they are") {
    const RunConfig run = config("variables = [\"x\"]\nbeta = 3.0\npotential = \"(x^2 - 1)^2\"");
    const Model model(run);
    Stream stream(Device::cpu(1));
    Ensemble ensemble(stream, model.path_kernel(model.path_setup(run.integrator)), 2, 5, 1);
    const uint64 far = (uint64{1} << 33) + 7;
    ensemble.load_state({0.5f, 1e30f}, far);  // its cube is infinite
    ensemble.advance(1);
    std::string message;
    try {
        ensemble.check_finite([](index) { return "here"; });
    } catch (const NumericError& error) {
        message = error.what();
    }
    CHECK(message.find("at step " + std::to_string(far + 1) + ";") != std::string::npos);
    CHECK(message.find("trajectory 1 (here)") != std::string::npos);
}

TEST_CASE("constrained dynamics samples p(x | xi = s) for a non-linear xi") {
    // V = (x² + y²)/2, β = 2, ξ = x² + y²: on the circle of radius sqrt(s) every angle is alike, and
    // ∇ξ depends on s alone. With V = (x² + 4y²)/2, ξ = x² + 4y² + ... a Gaussian shows the Fixman
    // term: p(θ) on the ellipse ∝ exp(−βV)/|∇ξ| dσ, uniform in the ellipse's own angle t.
    const RunConfig run = config(
        "variables = [\"x\", \"y\"]\nbeta = 2.0\npotential = \"(x^2 + 4*y^2)/2\"", "\"x^2 + 4*y^2\"");
    const Model model(run);
    for (const Device& device : test_devices()) {
        if (!device.is_cpu()) continue;
        Stream stream(device);
        const index n = 8192;
        Buffer<float> s(device, n), x(device, 2 * n);
        std::vector<float> ones(static_cast<std::size_t>(n), 1.0f), start;
        for (index i = 0; i < 2 * n; ++i) start.push_back(i < n ? 1.0f : 0.0f);
        copy_to_device(stream, s.span(), ones.data());
        copy_to_device(stream, x.span(), start.data());
        heal(stream, model, run.integrator, s.span(), n, 6000, 3, 0, x.span());
        const auto end = to_host(stream, Span<const float>(x.span()));
        double mean = 0, square = 0, off = 0;
        for (index i = 0; i < n; ++i) {
            const double a = static_cast<double>(end[static_cast<std::size_t>(i)]);
            const double b = static_cast<double>(end[static_cast<std::size_t>(n + i)]);
            mean += a / static_cast<double>(n);
            square += a * a / static_cast<double>(n);
            off = std::max(off, std::fabs(a * a + 4 * b * b - 1));
        }
        // x = cos t with t uniform: mean 0, E x² = ½, var x² = 1/8; four standard errors. Without the
        // Fixman term E x² would be that of arc length, 0.420.
        CHECK(off < 1e-5);
        CHECK(std::fabs(mean) < 4 * std::sqrt(0.5 / static_cast<double>(n)));
        CHECK(std::fabs(square - 0.5) < 4 * std::sqrt(0.125 / static_cast<double>(n)));
    }
}

TEST_CASE("neighbour exchange is accepted at the exact rate") {
    // Harmonic windows, V = x²/2, β = 1, κ = 10: acceptance erfc(½ sqrt(βκ²Δ²/K)), K = k0 + κ.
    const double kappa = 10, spacing = 0.25, K = 1 + kappa;
    const double exact = std::erfc(0.5 * std::sqrt(kappa * kappa * spacing * spacing / K));
    const RunConfig run =
        config("variables = [\"x\"]\nbeta = 1.0\npotential = \"x^2/2\"", "\"x\"");
    const Model model(run);
    for (const Device& device : test_devices()) {
        Stream stream(device);
        const index windows = 2, replicas = 20000, n = windows * replicas;
        const std::shared_ptr<const PathKernel> kernel = model.path_kernel(model.path_setup(run.integrator));
        Ensemble ensemble(stream, kernel, n, 7, 1);
        std::vector<float> center, stiffness(static_cast<std::size_t>(n), static_cast<float>(kappa));
        for (index t = 0; t < n; ++t) center.push_back(t < replicas ? 0.0f : static_cast<float>(spacing));
        copy_to_device(stream, ensemble.center(), center.data());
        copy_to_device(stream, ensemble.stiffness(), stiffness.data());
        ensemble.advance(1000);  // ten relaxation times
        Buffer<uint64> accepted(device, 2);
        ExchangeGrid grid;
        grid.windows[0] = windows;
        grid.replicas = replicas;
        exchange_neighbours(stream, ensemble, grid, 0, 0, 9, 1, ensemble.x(), accepted.span());
        const auto counts = to_host(stream, Span<const uint64>(accepted.span()));
        REQUIRE(counts[1] == static_cast<uint64>(replicas));
        const double rate = static_cast<double>(counts[0]) / static_cast<double>(counts[1]);
        CHECK(std::fabs(rate - exact) <
              4 * std::sqrt(exact * (1 - exact) / static_cast<double>(replicas)));
    }
}

TEST_CASE("the sampling loop moves no byte between host and device") {
    const RunConfig run = config("name = \"muller_brown\"", "\"x\"", "leimkuhler_matthews", 1e-4);
    const Model model(run);
    for (const Device& device : test_devices()) {
        Stream stream(device);
        const std::shared_ptr<const PathKernel> kernel = model.path_kernel(model.path_setup(run.integrator));
        Ensemble ensemble(stream, kernel, 512, 7, 1);
        SampleSet samples(device, 2, 1, 512 * 20);
        const TransferCounters before = transfer_counters();
        ensemble.advance(50);
        ensemble.sample(10, 20, samples);
        const TransferCounters after = transfer_counters();
        CHECK(after.bytes_to_device == before.bytes_to_device);
        CHECK(after.bytes_to_host == before.bytes_to_host);
        CHECK(after.kernel_launches == before.kernel_launches + 2);
        CHECK(samples.n == 512 * 20);
    }
}

TEST_CASE("quadrature gives the reference values of Mueller-Brown and the hidden barrier") {
    const Model brown(config("name = \"muller_brown\"\nbeta = 0.06666666666666667"));
    const auto exact = brown.exact();
    REQUIRE(exact);
    const double zero = exact->free_energy(-0.5);
    CHECK(exact->free_energy(-0.8) - zero == doctest::Approx(16.0296).epsilon(1e-5));
    CHECK(exact->free_energy(0.0) - zero == doctest::Approx(57.8804).epsilon(1e-5));
    CHECK(exact->free_energy(0.5) - zero == doctest::Approx(40.8471).epsilon(1e-5));
    CHECK(exact->at(-0.5).mean == doctest::Approx(1.48149).epsilon(1e-5));
    CHECK(exact->at(0.0).variance == doctest::Approx(0.059375).epsilon(1e-4));
    const Model hidden(config("name = \"hidden_barrier\""));
    const auto barrier = hidden.exact();
    REQUIRE(barrier);
    CHECK(barrier->at(1.0).mean == doctest::Approx(0.371022).epsilon(1e-5));
    CHECK(barrier->at(1.0).variance == doctest::Approx(0.840068).epsilon(1e-5));
    // By the trapezoid rule on 4e5 points in double precision, made apart from this program.
    CHECK(barrier->free_energy(0) - barrier->free_energy(-1) ==
          doctest::Approx(1.5658824).epsilon(1e-6));
}

}  // namespace microlift
