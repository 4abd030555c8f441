// Biases from tables, and bias methods between launches.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "engine/files/store.h"
#include "kernels/random/streams.h"
#include "sampling/bias/energy.h"
#include "sampling/bias/table.h"
#include "sampling/bias/umbrella.h"
#include "sampling/dynamics/bytecode_path.h"
#include "sampling/numerics/statistics.h"
#include "tests/support/devices.h"
#include "tests/support/lanes.h"
#include "tests/support/dragged.h"

namespace microlift {
namespace {

double wave(double x) { return std::sin(x) + 0.3 * std::cos(2 * x); }

TableOptions table_of(const GridAxes& axes, const std::function<double(double, double)>& u) {
    TableOptions options{axes, {}};
    for (index a = 0; a < axes.points[0]; ++a)
        for (index b = 0; b < (axes.cvs == 2 ? axes.points[1] : 1); ++b)
            options.energy.push_back(
                u(axes.from[0] + static_cast<double>(a) * axes.spacing(0),
                  axes.cvs == 2 ? axes.from[1] + static_cast<double>(b) * axes.spacing(1) : 0.0));
    return options;
}

HostGrid table_on_host(const GridAxes& axes, const std::function<double(double, double)>& u) {
    const std::vector<double> energy = table_of(axes, u).energy;
    return {axes, {energy.data(), std::ssize(energy)}};
}
float pull_at(const HostGrid& table, float x) {
    float p[1];
    GridBias<float, 1>(table.view()).pull({x}, p);
    return p[0];
}
float energy_at(const HostGrid& table, float x) { return table.energy({x, 0.0f}); }

GridAxes line(double from, double to, index points, bool periodic = false, bool cubic = true) {
    GridAxes axes;
    axes.from[0] = from, axes.to[0] = to, axes.points[0] = points;
    axes.periodic[0] = periodic, axes.cubic = cubic;
    return axes;
}

std::shared_ptr<const FormulaSystem> formula(const std::vector<std::string>& variables,
                                             const std::string& potential, double beta,
                                             const std::vector<std::string>& cv) {
    FormulaSystemText text;
    text.variables = variables;
    text.potential = potential;
    text.beta = beta;
    text.cv = cv;
    return std::make_shared<const FormulaSystem>(make_formula_system(text));
}

}  // namespace

TEST_CASE("a table gives its points, lines exactly, and stays as it is beyond its ends") {
    for (bool cubic : {false, true}) {
        const HostGrid straight = table_on_host(line(-1, 2, 13, false, cubic), [](double x, double) { return 3 - 2 * x; });
        for (float x = -0.999f; x < 2.0f; x += 0.013f) {
            CHECK(energy_at(straight, x) == doctest::Approx(3 - 2 * x).epsilon(1e-6));
            CHECK(pull_at(straight, x) == doctest::Approx(2).epsilon(1e-5));
        }
        CHECK(energy_at(straight, -5.0f) == doctest::Approx(5).epsilon(1e-6));
        CHECK(energy_at(straight, 9.0f) == doctest::Approx(-1).epsilon(1e-6));
        CHECK(pull_at(straight, -5.0f) == 0.0f);
        CHECK(pull_at(straight, 9.0f) == 0.0f);
        CHECK(pull_at(straight, NAN) == 0.0f);
        const HostGrid curved = table_on_host(line(0, 2, 21, false, cubic), [](double x, double) { return wave(x); });
        for (int i = 0; i <= 20; ++i)
            CHECK(energy_at(curved, 0.1f * static_cast<float>(i)) ==
                  doctest::Approx(wave(0.1 * i)).epsilon(1e-5));
    }
}

TEST_CASE("the pull is the derivative of the energy, and cubic tables converge in third order") {
    const double pi = std::acos(-1.0);
    double worst[2] = {};
    for (int refined = 0; refined < 2; ++refined) {
        const HostGrid ring = table_on_host(line(-pi, pi, 32 << refined, true), [](double x, double) { return wave(x); });
        for (double x = -9; x < 9; x += 0.0137) {
            const double e = energy_at(ring, static_cast<float>(x));
            worst[refined] = std::max(worst[refined], std::fabs(e - wave(x)));
            const double h = 4e-3, slope = (energy_at(ring, static_cast<float>(x + h)) -
                                            energy_at(ring, static_cast<float>(x - h))) / (2 * h);
            CHECK(std::fabs(slope + pull_at(ring, static_cast<float>(x))) < 2e-3);
        }
    }
    CHECK(worst[0] < 3e-3);
    CHECK(worst[1] < worst[0] / 6);
}

TEST_CASE("a table of one variable: the pull adds up to the energy in every cell, with the same bits at each width") {
    const double pi = std::acos(-1.0);
    for (const bool periodic : {false, true}) {
        const GridAxes axes = line(-pi, pi, 37, periodic);
        const HostGrid table = table_on_host(axes, [](double x, double) { return 20 * wave(x); });
        // Two thirds of a cell, in it: of a parabola's pull Simpson's rule misses nothing but rounding.
        const double width = axes.spacing(0);
        for (index cell = 0; cell < table.view().cells(0); ++cell) {
            const double a = axes.from[0] + (static_cast<double>(cell) + 1.0 / 6) * width, h = width / 3;
            const auto x = [&](int k) { return static_cast<float>(a + k * h); };
            const double work = (static_cast<double>(x(2)) - static_cast<double>(x(0))) / 6 *
                                (static_cast<double>(pull_at(table, x(0))) + 4 * static_cast<double>(pull_at(table, x(1))) +
                                 static_cast<double>(pull_at(table, x(2))));
            CHECK(std::fabs(static_cast<double>(energy_at(table, x(2))) - static_cast<double>(energy_at(table, x(0))) + work) <
                  1e-5);
        }
        std::vector<float> x{NAN, INFINITY, -INFINITY, 1e30f, -1e30f, static_cast<float>(-pi), static_cast<float>(pi), 0.0f};
        while (x.size() < 480) x.push_back(-9.0f + 0.0391f * static_cast<float>(x.size()));
        const auto values = [&]<int W>() {
            using L = typename LaneOfWidth<float, W>::Type;
            std::vector<float> out(2 * x.size());
            for (std::size_t i = 0; i < x.size(); i += W) {
                const auto at = static_cast<index>(i);
                const L xi[1] = {load<L>(x.data(), at)};
                L p[1];
                const GridBias<L, 1> packed(table.view());
                packed.pull(xi, p);
                store(out.data(), at, packed.energy(xi, broadcast<L>(0.0f)));
                store(out.data(), static_cast<index>(x.size()) + at, p[0]);
            }
            return out;
        };
        const std::vector<float> one = values.operator()<1>();
        for (const float v : one) CHECK(std::isfinite(v));
        CHECK(same_bits(one, values.operator()<4>()));
        CHECK(same_bits(one, values.operator()<8>()));
        CHECK(same_bits(one, values.operator()<16>()));
    }
}

TEST_CASE("bias energies of stored states: windows and tables have the same bits on every device") {
    constexpr index n = 700, trajectories = 100;
    GridAxes axes = line(-1, 1, 20, false, true);
    const HostGrid one = table_on_host(axes, [](double x, double) { return wave(x); });
    axes.cvs = 2;
    axes.from[1] = -1, axes.to[1] = 1, axes.points[1] = 16;
    const HostGrid two = table_on_host(axes, [](double x, double y) { return wave(x) * y; });
    std::vector<float> xi, center, stiffness;
    for (index j = 0; j < 2 * n; ++j) xi.push_back(-1.1f + 2.2f * static_cast<float>(j % 97) / 97);
    for (index t = 0; t < 2 * trajectories; ++t) {
        center.push_back(0.01f * static_cast<float>(t));
        stiffness.push_back(static_cast<float>(t % 7));
    }
    std::vector<std::vector<float>> expected;
    for (const Device& device : test_devices()) {
        Stream stream(device);
        const auto on_device = [&](const std::vector<float>& values) {
            Buffer<float> made(device, static_cast<index>(values.size()));
            copy_to_device(stream, made.span(), values.data());
            return made;
        };
        const Buffer<float> states = on_device(xi), c = on_device(center), k = on_device(stiffness),
                            line_table = on_device(one.polynomials()), plane_table = on_device(two.polynomials());
        Buffer<float> out(device, n);
        std::vector<std::vector<float>> found;
        const auto keep = [&] { found.push_back(to_host(stream, Span<const float>(out.span()))); };
        for (const int cvs : {1, 2}) {
            bias_energy(stream, WindowView{c.data(), k.data(), trajectories}, cvs, states.span(), n, n,
                        out.span());
            keep();
            for (index j = 0; j < n; j += 13) {
                double u = 0;
                for (int v = 0; v < cvs; ++v) {
                    const auto t = static_cast<std::size_t>(v * trajectories + j % trajectories);
                    const double d = static_cast<double>(xi[static_cast<std::size_t>(v * n + j)]) -
                                     static_cast<double>(center[t]);
                    u += 0.5 * static_cast<double>(stiffness[t]) * d * d;
                }
                CHECK(static_cast<double>(found.back()[static_cast<std::size_t>(j)]) ==
                      doctest::Approx(u).epsilon(1e-5));
            }
        }
        GridAxes along = axes;
        along.cvs = 1;
        bias_energy(stream, along.view(line_table.span()), 1, states.span(), n, n, out.span());
        keep();
        CHECK(found.back()[5] == energy_at(one, xi[5]));
        bias_energy(stream, axes.view(plane_table.span()), 2, states.span(), n, n, out.span());
        keep();
        if (expected.empty()) expected = found;
        CHECK(found == expected);
    }
}

TEST_CASE("a table of two variables: derivatives, a period along one, the same bits at each width") {
    const double pi = std::acos(-1.0);
    for (bool cubic : {false, true}) {
        GridAxes axes = line(-1, 1, 20, false, cubic);
        axes.cvs = 2;
        axes.from[1] = 0, axes.to[1] = 2 * pi, axes.points[1] = 48, axes.periodic[1] = true;
        const HostGrid table = table_on_host(axes, [](double x, double y) { return x * x * std::cos(y) + x; });
        const GridBias<float, 2> bias(table.view());
        const auto energy = [&](double x, double y) {
            return static_cast<double>(
                bias.energy({static_cast<float>(x), static_cast<float>(y)}, 0.0f));
        };
        std::vector<float> x, y;
        for (int i = 0; i < 480; ++i) {
            x.push_back(-1.2f + 0.005f * static_cast<float>(i));
            y.push_back(-7.0f + 0.031f * static_cast<float>(i));
        }
        for (std::size_t i = 0; i < x.size(); ++i) {
            const double h = 2e-3, a = x[i], b = y[i];
            if (std::fabs(std::fabs(a) - 1) < 2 * h) continue;
            const double inside = std::fmin(std::fmax(a, -1.0), 1.0);
            CHECK(std::fabs(energy(a, b) - (inside * inside * std::cos(b) + inside)) < 4e-3);
            if (!cubic) continue;  // its slope jumps at the points
            float p[2];
            bias.pull({x[i], y[i]}, p);
            CHECK(std::fabs((energy(a + h, b) - energy(a - h, b)) / (2 * h) + p[0]) < 5e-3);
            CHECK(std::fabs((energy(a, b + h) - energy(a, b - h)) / (2 * h) + p[1]) < 5e-3);
        }
        const auto pulls = [&]<int W>() {
            using L = typename LaneOfWidth<float, W>::Type;
            std::vector<float> out(3 * x.size());
            for (std::size_t i = 0; i < x.size(); i += W) {
                const auto at = static_cast<index>(i), n = static_cast<index>(x.size());
                const L xi[2] = {load<L>(x.data(), at), load<L>(y.data(), at)};
                L p[2];
                const GridBias<L, 2> packed(table.view());
                packed.pull(xi, p);
                store(out.data(), at, packed.energy(xi, broadcast<L>(0.0f)));
                store(out.data(), n + at, p[0]);
                store(out.data(), 2 * n + at, p[1]);
            }
            return out;
        };
        const std::vector<float> one = pulls.operator()<1>();
        CHECK(same_bits(one, pulls.operator()<4>()));
        CHECK(same_bits(one, pulls.operator()<8>()));
        CHECK(same_bits(one, pulls.operator()<16>()));
    }
}

TEST_CASE("a double well under the negative of its free energy has the exact, flat law") {
    // V = 2 (x² − 1)² + (y − x)², β = 2, ξ = x; F(x) = 2 (x² − 1)² up to a constant. Beyond the table the
    // bias is constant and V confines.
    const double beta = 2, end = 1.4;
    const auto well = [](double x) { return 2 * (x * x - 1) * (x * x - 1); };
    const auto system = formula({"x", "y"}, "2*(x^2 - 1)^2 + (y - x)^2", beta, {"x"});
    const index n = 4096;
    for (const Device& device : test_devices()) {
        Stream stream(device);
        BiasSetup setup;
        setup.trajectories = n;
        setup.options = table_of(line(-end, end, 57), [&](double x, double) { return -well(x); });
        const auto method = make_bias_method("table", stream, setup);
        PathSetup path;
        path.scheme = Scheme::leimkuhler_matthews;
        path.dt = 2e-3;
        path.beta = beta;
        path.bias = method->kind();
        Ensemble ensemble(stream, make_formula_path_kernel(system, path), n, 3, kStreamNoise);
        const std::vector<float> start(static_cast<std::size_t>(2 * n), -1.0f);
        copy_to_device(stream, ensemble.x(), start.data());
        method->begin(ensemble);
        ensemble.advance(8000);  // 16 units of time; a flat stretch of 2.8 relaxes in 2.8²/(π²/β) = 1.6
        SampleSet samples(device, 2, 1, 8 * n);
        ensemble.sample(1000, 8, samples);
        const std::vector<float> xi = to_host(stream, Span<const float>(samples.xi.span()));
        const std::vector<float> x = to_host(stream, Span<const float>(samples.x.span()));

        // The exact law, by quadrature: flat inside, exp(−β (V − V(end))) beyond.
        const auto density = [&](double s) {
            return std::fabs(s) < end ? 1.0 : std::exp(-beta * (well(s) - well(end)));
        };
        constexpr int cells = 14;
        double exact[cells + 1] = {}, mass = 0;
        for (double s = -2.5; s < 2.5; s += 1e-4) {
            const double p = density(s + 5e-5);
            const int cell = std::fabs(s) < end ? static_cast<int>((s + end) / (2 * end) * cells) : cells;
            exact[std::min(cell, cells)] += p;
            mass += p;
        }
        const double trajectories = static_cast<double>(n);
        double bridge = 0, bridge_square = 0;
        for (int cell = 0; cell <= cells; ++cell) {
            // A trajectory's share is one independent number.
            double sum = 0, square = 0;
            for (index t = 0; t < n; ++t) {
                double share = 0;
                for (index s = 0; s < 8; ++s) {
                    const double at = static_cast<double>(xi[static_cast<std::size_t>(s * n + t)]);
                    const int here =
                        std::fabs(at) < end ? static_cast<int>((at + end) / (2 * end) * cells) : cells;
                    share += here == cell ? 0.125 : 0.0;
                }
                sum += share;
                square += share * share;
            }
            const double mean = sum / trajectories;
            const double error = std::sqrt((square / trajectories - mean * mean) / trajectories);
            CAPTURE(cell);
            CHECK(std::fabs(mean - exact[cell] / mass) < 4 * error + 4e-4);
        }
        // y given x is as without the bias.
        for (std::size_t i = 0; i < xi.size(); ++i) {
            const double d = static_cast<double>(x[xi.size() + i]) - static_cast<double>(x[i]);
            bridge += d / static_cast<double>(xi.size());
            bridge_square += d * d / static_cast<double>(xi.size());
        }
        CHECK(std::fabs(bridge) < 0.02);
        CHECK(bridge_square == doctest::Approx(1 / (2 * beta)).epsilon(0.03));

        Buffer<float> energy(device, samples.n);
        method->energy(stream, samples.xi.span(), samples.row, samples.n, energy.span());
        const std::vector<float> u = to_host(stream, Span<const float>(energy.span()));
        for (std::size_t i = 0; i < u.size(); i += 37) {
            const double inside = std::fmin(std::fabs(static_cast<double>(xi[i])), end);
            // In the last cell the point beyond is on a line: up to 2/27 h² V'' = 0.0073 off.
            const double bound = inside > end - 2 * end / 56 ? 0.0075 : 1e-3;
            CHECK(std::fabs(static_cast<double>(u[i]) + well(inside)) < bound);
        }
    }
}

TEST_CASE("metropolis steps see a table's energy, and one of two variables") {
    // V = (x² + y²)/2 and U = (x² + y²)/2 from a table: variance 1/(2β).
    const double beta = 1;
    const auto system = formula({"x", "y"}, "0.5*(x^2 + y^2)", beta, {"x", "y"});
    const index n = 2048;
    Stream stream(Device::cpu(2));
    GridAxes axes = line(-6, 6, 97);
    axes.cvs = 2;
    axes.from[1] = -6, axes.to[1] = 6, axes.points[1] = 97;
    BiasSetup setup;
    setup.cvs = 2;
    setup.trajectories = n;
    setup.options = table_of(axes, [](double x, double y) { return 0.5 * (x * x + y * y); });
    const auto method = make_bias_method("table", stream, setup);
    for (Scheme scheme : {Scheme::mala, Scheme::baoab}) {
        PathSetup path;
        path.scheme = scheme;
        path.dt = 0.2;
        path.beta = beta;
        path.bias = BiasKind::grid;
        Ensemble ensemble(stream, make_formula_path_kernel(system, path), n, 9, kStreamNoise);
        fill_zero(stream, ensemble.x());
        fill_zero(stream, ensemble.v());
        method->begin(ensemble);
        ensemble.advance(100);
        SampleSet samples(stream.device(), 2, 2, 32 * n);
        ensemble.sample(20, 32, samples);
        const std::vector<float> xi = to_host(stream, Span<const float>(samples.xi.span()));
        double square = 0;
        for (float v : xi) square += static_cast<double>(v) * static_cast<double>(v);
        CHECK(square / static_cast<double>(xi.size()) == doctest::Approx(0.5).epsilon(0.02));
    }
}

TEST_CASE("a method of one's own: work of dragging obeys Jarzynski's equality, also resumed") {
    // V = x²/2 k, spring κ: F(c) = ½ c² kκ/(k + κ).
    const double k = 3, kappa = 8, beta = 1.5, to = 1.2;
    const auto system = formula({"x"}, "1.5*x^2", beta, {"x"});
    const index n = 20000, steps = 400;
    for (const Device& device : test_devices()) {
        Stream stream(device);
        BiasSetup setup;
        setup.trajectories = n;
        setup.options = DraggedOptions{0, to, kappa, steps, 4};
        PathSetup path;
        path.dt = 2e-3;
        path.beta = beta;
        const auto run = [&](bool interrupted) {
            auto method = make_bias_method("dragged", stream, setup, methods_with_dragged());
            Ensemble ensemble(stream, make_formula_path_kernel(system, path), n, 7, kStreamNoise);
            std::vector<float> start(static_cast<std::size_t>(n));
            for (std::size_t t = 0; t < start.size(); ++t) {
                float z[4];
                normal_block<Portable>(PhiloxStream<float>(5, kStreamTest, static_cast<index>(t)), 0, z);
                start[t] = z[0] / static_cast<float>(std::sqrt(beta * (k + kappa)));
            }
            copy_to_device(stream, ensemble.x(), start.data());
            method->begin(ensemble);
            while (ensemble.step() < static_cast<uint64>(steps)) {
                ensemble.advance(static_cast<uint64>(method->period()));
                method->step(ensemble, Span<const float>(ensemble.x()));
                if (interrupted && ensemble.step() == static_cast<uint64>(steps) / 2) {
                    Store kept;
                    method->save(stream, kept);
                    method = make_bias_method("dragged", stream, setup, methods_with_dragged());
                    method->load(stream, kept);
                    method->begin(ensemble);
                }
            }
            Store end;
            method->save(stream, end);
            const auto work = end.get<float>("dragged_work");
            return std::vector<float>(work.begin(), work.end());
        };
        const std::vector<float> work = run(false);
        CHECK(same_bits(work, run(true)));
        double sum = 0, square = 0, mean = 0;
        for (float w : work) {
            const double e = std::exp(-beta * static_cast<double>(w));
            sum += e;
            square += e * e;
            mean += static_cast<double>(w) / static_cast<double>(n);
        }
        const double average = sum / static_cast<double>(n);
        const double error =
            std::sqrt((square / static_cast<double>(n) - average * average) / static_cast<double>(n));
        const double free_energy = 0.5 * to * to * k * kappa / (k + kappa);
        CHECK(std::fabs(average - std::exp(-beta * free_energy)) < 4 * error);
        CHECK(mean > free_energy + 0.3);  // far from reversible
    }
}

TEST_CASE("umbrella: the table's method exchanges as exchange_neighbours does") {
    const auto system = formula({"x"}, "(x^2 - 1)^2", 3, {"x"});
    Stream stream(Device::cpu(2));
    UmbrellaOptions options;
    for (int w = 0; w < 6; ++w) {
        options.windows.center.push_back({-1.0 + 0.4 * w, 0});
        options.windows.stiffness.push_back({30, 0});
    }
    options.grid = {6, 1};
    options.replicas = 32;
    options.exchange = 20;
    BiasSetup setup;
    setup.trajectories = 6 * 32;
    setup.beta = {3, 3};
    setup.options = options;
    PathSetup path;
    path.beta = 3;
    path.dt = 1e-3;
    const auto run = [&](bool by_method) {
        Ensemble ensemble(stream, make_formula_path_kernel(system, path), setup.trajectories, 3,
                          kStreamNoise);
        fill_zero(stream, ensemble.x());
        const auto method = make_bias_method("umbrella", stream, setup);
        method->begin(ensemble);
        Buffer<uint64> counters(stream.device(), 2);
        fill_zero(stream, counters.span());
        for (uint64 attempt = 1; attempt <= 20; ++attempt) {
            ensemble.advance(20);
            const Span<const float> xi = ensemble.x();
            if (by_method)
                method->step(ensemble, xi);
            else
                exchange_neighbours(stream, ensemble, {{6, 1}, 32, {3, 3}}, 0,
                                    static_cast<int>(attempt % 2), setup.seed, attempt, xi,
                                    counters.span());
        }
        return ensemble.save_state();
    };
    CHECK(same_bits(run(true), run(false)));
    CHECK_THROWS_WITH(make_bias_method("umbrela", stream, setup),
                      "bias: unknown method 'umbrela'; did you mean 'umbrella'?");
    setup.options = TableOptions{};
    CHECK_THROWS_AS(make_bias_method("umbrella", stream, setup), InputError);
}

}  // namespace microlift
