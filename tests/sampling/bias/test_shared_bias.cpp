// Biases that all walkers make together: sums on the grid, and what each method makes of them.
#include <doctest/doctest.h>

#include <cmath>
#include <numbers>
#include <random>

#include "engine/files/store.h"
#include "kernels/random/streams.h"
#include "sampling/bias/adaptive.h"
#include "sampling/bias/mean_force.h"
#include "sampling/dynamics/bytecode_path.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

GridAxes line(double from, double to, index points, bool periodic) {
    GridAxes axes;
    axes.from[0] = from, axes.to[0] = to, axes.points[0] = points;
    axes.periodic[0] = periodic;
    return axes;
}

std::shared_ptr<const FormulaSystem> formula(const std::string& potential, double beta) {
    FormulaSystemText text;
    text.variables = {"x"};
    text.potential = potential;
    text.beta = beta;
    text.cv = {"x"};
    return std::make_shared<const FormulaSystem>(make_formula_system(text));
}

template <class T>
Buffer<T> on(Stream& stream, const std::vector<T>& values) {
    Buffer<T> buffer(stream.device(), static_cast<index>(values.size()));
    copy_to_device(stream, buffer.span(), values.data());
    return buffer;
}

}  // namespace

TEST_CASE("shared bias: every walker is counted whole, between its points, and none beyond the ends") {
    for (const Device& device : test_devices()) {
        Stream stream(device);
        for (const bool periodic : {false, true}) {
            const GridAxes axes = line(-1, 1, 9, periodic);
            const GridView view = axes.shape();
            std::vector<float> xi;
            for (int i = 0; i < 1000; ++i) xi.push_back(static_cast<float>(-0.999 + 0.00199 * i));
            xi.push_back(-1.5f), xi.push_back(1.25f), xi.push_back(std::nanf(""));
            Buffer<float> values = on(stream, xi);
            Buffer<uint64> count(device, 9);
            fill_zero(stream, count.span());
            const auto n = static_cast<index>(xi.size());
            count_walkers(stream, view, 1, values.span(), n, n, count.span());
            uint64 all = 0;
            double mean = 0;
            const std::vector<uint64> counts = to_host(stream, Span<const uint64>(count.span()));
            for (std::size_t j = 0; j < counts.size(); ++j) {
                all += counts[j];
                mean += static_cast<double>(counts[j]) * (axes.from[0] + axes.spacing(0) * static_cast<double>(j));
            }
            // All round a period the two outside are images of others.
            CHECK(all == (periodic ? 1002 : 1000) * kWalker);
            if (periodic) continue;
            double exact = 0;
            for (int i = 0; i < 1000; ++i) exact += static_cast<double>(xi[static_cast<std::size_t>(i)]);
            // Shares are rounded to 2^-12 of a cell.
            CHECK(mean / static_cast<double>(kWalker) == doctest::Approx(exact).epsilon(1e-3).scale(1000));
        }
    }
}

TEST_CASE("shared bias: sums of values have the bits of any number of threads") {
    std::vector<float> xi, values;
    const index n = 20000;
    for (index i = 0; i < 2 * n; ++i) {
        float four[4];
        normal_block<Portable>(PhiloxStream<float>(3, kStreamTest, i), 0, four);
        (i < n ? xi : values).push_back(four[0]);
    }
    std::vector<float> places = xi;  // the second variable goes round, so that all are inside
    places.insert(places.end(), values.begin(), values.end());
    const auto sums_on = [&](const Device& device, int cvs) {
        Stream stream(device);
        GridAxes axes = line(-3, 3, 41, false);
        axes.cvs = cvs, axes.from[1] = -2, axes.to[1] = 2, axes.points[1] = 25, axes.periodic[1] = true;
        const GridView view = axes.shape();
        Buffer<float> at = on(stream, places), brought = on(stream, values);
        const std::vector<double> low{-6.0}, high{6.0};
        Buffer<double> least = on(stream, low), most = on(stream, high), unit(device, 1);
        choose_units(stream, least.span(), most.span(), n, unit.span());
        Buffer<uint64> sums(device, axes.size());
        fill_zero(stream, sums.span());
        sum_over_walkers(stream, view, cvs, at.span(), n, n, brought.span(), 1, unit.span(), sums.span());
        double total = 0;
        const std::vector<uint64> found = to_host(stream, Span<const uint64>(sums.span()));
        for (const uint64 s : found) total += static_cast<double>(static_cast<int64>(s));
        double exact = 0;
        for (std::size_t i = 0; i < xi.size(); ++i)
            if (std::fabs(xi[i]) <= 3) exact += static_cast<double>(values[i]);
        // A value is cut off at 6 n 2^-62 at most.
        CHECK(total * to_host(stream, Span<const double>(unit.span()))[0] == doctest::Approx(exact).epsilon(1e-9));
        return found;
    };
    for (const int cvs : {1, 2}) {
        const std::vector<uint64> one = sums_on(Device::cpu(1), cvs);
        for (const Device& device : test_devices()) CHECK(sums_on(device, cvs) == one);
    }
}

TEST_CASE("shared bias: kernels keep what is level, at mirrors and round a period") {
    for (const Device& device : test_devices()) {
        Stream stream(device);
        for (const bool periodic : {false, true}) {
            const std::vector<double> sigma{0.7};
            Buffer<double> width = on(stream, sigma), weight(device, 9);
            gaussian_weights(stream, width.data(), 0.25, KernelShape::normal, weight.span());
            const std::vector<double> level(24, 3.0);
            Buffer<double> in = on(stream, level), out(device, 24);
            smooth_along(stream, {weight.data(), 8, 24, 1, periodic}, in.span(), out.span());
            for (const double v : to_host(stream, Span<const double>(out.span()))) CHECK(v == doctest::Approx(3.0).epsilon(1e-14));
        }
    }
}

TEST_CASE("shared bias: gradients become the function that they are of") {
    const double turn = 2 * std::numbers::pi;
    for (const Device& device : test_devices()) {
        Stream stream(device);
        GridAxes axes = line(0, turn, 90, true);
        axes.cvs = 2;
        axes.from[1] = -1, axes.to[1] = 1, axes.points[1] = 41;
        const auto f = [](double x, double y) { return std::sin(x) * (1 + y) + y * y * y; };
        const index n = axes.size();
        std::vector<double> gradient(static_cast<std::size_t>(2 * n)), exact;
        for (index j = 0; j < n; ++j) {
            const double x = axes.spacing(0) * static_cast<double>(j / 41), y = -1 + axes.spacing(1) * static_cast<double>(j % 41);
            // A constant along what goes round is no gradient, and falls out.
            gradient[static_cast<std::size_t>(j)] = std::cos(x) * (1 + y) + 0.3;
            gradient[static_cast<std::size_t>(n + j)] = std::sin(x) + 3 * y * y;
            exact.push_back(f(x, y));
        }
        Buffer<double> g = on(stream, gradient), phi(device, n);
        GradientIntegral(stream, axes).solve(stream, g.span(), phi.span());
        const std::vector<double> found = to_host(stream, Span<const double>(phi.span()));
        double mean = 0, worst = 0;
        for (std::size_t j = 0; j < exact.size(); ++j) mean += (found[j] - exact[j]) / static_cast<double>(n);
        for (std::size_t j = 0; j < exact.size(); ++j) worst = std::max(worst, std::fabs(found[j] - exact[j] - mean));
        // The trapezoid's h²/12 of the gradient's change: 0.07²/12 · 2 and 0.05²/12 · 6.
        CHECK(worst < 0.07 * 0.07 / 6 + 0.05 * 0.05 / 2);
    }
}

TEST_CASE("shared bias: integrated gradients solve the normal equations") {
    for (const Device& device : test_devices())
        for (const bool first : {false, true})
            for (const bool second : {false, true})
                for (const int cvs : {1, 2}) {
                    Stream stream(device);
                    GridAxes axes = line(0, 3, 37, first);
                    axes.cvs = cvs;
                    if (cvs == 2) axes.from[1] = -1, axes.to[1] = 1, axes.points[1] = 22, axes.periodic[1] = second;
                    const index n = axes.size(), columns = cvs == 2 ? 22 : 1;
                    std::vector<double> gradient;
                    std::mt19937 random(7);
                    for (index j = 0; j < cvs * n; ++j) gradient.push_back(std::normal_distribution<>()(random));
                    Buffer<double> g = on(stream, gradient), phi(device, n);
                    GradientIntegral(stream, axes).solve(stream, g.span(), phi.span());
                    const std::vector<double> f = to_host(stream, Span<const double>(phi.span()));
                    double mean = 0, worst = 0;
                    for (index j = 0; j < n; ++j) {
                        mean += f[static_cast<std::size_t>(j)];
                        double residual = 0;  // of ∂/∂φ_j of the sum of squares
                        for (int k = 0; k < cvs; ++k) {
                            const index stride = k == 0 ? columns : 1, points = axes.points[static_cast<std::size_t>(k)];
                            const index i = j / stride % points;
                            const double h = axes.spacing(k);
                            for (const index way : {index{-1}, index{1}}) {
                                index other = i + way;
                                if (axes.periodic[static_cast<std::size_t>(k)]) other = (other + points) % points;
                                if (other < 0 || other >= points) continue;
                                const auto o = static_cast<std::size_t>(j + (other - i) * stride);
                                const double force = 0.5 * h * (gradient[static_cast<std::size_t>(k * n + j)] +
                                                                gradient[static_cast<std::size_t>(k * n) + o]);
                                residual += (f[static_cast<std::size_t>(j)] - f[o] + static_cast<double>(way) * force) / (h * h);
                            }
                        }
                        worst = std::max(worst, std::fabs(residual));
                    }
                    // Gradients are of order 1, over steps of 0.08: residuals of order 10 without a solution.
                    CHECK(worst < 1e-10);
                    CHECK(std::fabs(mean / static_cast<double>(n)) < 1e-13);
                }
}

TEST_CASE("shared bias: how often a mean force is integrated") {
    index times = 0, before = 0;
    for (index update = 1; update <= 100000; ++update)
        if (integrates(update)) {
            CHECK(update - before <= 1 + before / 64);
            before = update;
            ++times;
        }
    CHECK(times < 64 + 64 * 9);  // ln(100000/64) = 7.4
    CHECK(integrates(1));
}

namespace {

// V = (x² − 1)² at β = 3: F = V.
struct MadeBias {
    std::vector<double> bias, at;
    Store kept;
    BiasFrames frames;
    std::array<double, kMaxCvs> sigma;
};

MadeBias made_by(const std::string& method, const Device& device, double interrupted_at = 0) {
    const double beta = 3;
    const index n = 2048;
    Stream stream(device);
    AdaptiveOptions options;
    options.axes = line(-2, 2, 161, false);
    options.beyond = {20, 0};
    options.kt = 1 / beta;
    options.pace = 50, options.start = 100, options.end = 12000, options.frames = 10;
    options.height = 0.3, options.biasfactor = 6, options.sigma = {0.1, 0};
    options.barrier = 4;
    options.spring = {1 / (beta * 0.05 * 0.05), 0};
    options.draw = 10;
    options.drift = [](Stream& on_stream, Span<const float> x, index row, index count, Span<float> values) {
        std::vector<float> state(static_cast<std::size_t>(count)), out(static_cast<std::size_t>(2 * row), 1.0f / 3.0f);
        copy_to_host(on_stream, state.data(), x.subspan(0, count));
        for (std::size_t i = 0; i < state.size(); ++i) out[i] = -4 * state[i] * (state[i] * state[i] - 1);
        copy_to_device(on_stream, values, out.data());
    };
    BiasSetup setup;
    setup.trajectories = n;
    setup.options = options;
    const auto make = [&] {
        return std::unique_ptr<AdaptiveBias>(dynamic_cast<AdaptiveBias*>(make_bias_method(method, stream, setup).release()));
    };
    std::unique_ptr<AdaptiveBias> bias = make();
    PathSetup path;
    path.dt = 1e-3, path.beta = beta, path.bias = bias->kind();
    const auto system = formula("(x^2-1)^2", beta);
    Ensemble ensemble(stream, make_formula_path_kernel(system, path), n, 11, kStreamNoise);
    std::vector<float> start(static_cast<std::size_t>(n));
    for (std::size_t t = 0; t < start.size(); ++t) start[t] = -1.4f + 2.8f * static_cast<float>(t) / static_cast<float>(n);
    copy_to_device(stream, ensemble.x(), start.data());
    copy_to_device(stream, ensemble.center(), start.data());
    bias->begin(ensemble);
    bias->begin_with(ensemble, Span<const float>(ensemble.x()));
    while (static_cast<index>(ensemble.step()) < options.end) {
        ensemble.advance(static_cast<uint64>(bias->period()));
        bias->step(ensemble, Span<const float>(ensemble.x()));
        if (interrupted_at > 0 && static_cast<double>(ensemble.step()) == interrupted_at) {
            Store kept;
            bias->save(stream, kept);
            bias = make();
            bias->load(stream, kept);
            bias->begin(ensemble);
        }
    }
    MadeBias made{bias->bias(), {}, {}, bias->frames(), bias->sigma()};
    bias->save(stream, made.kept);
    for (index j = 0; j < options.axes.points[0]; ++j) made.at.push_back(-2 + options.axes.spacing(0) * static_cast<double>(j));
    return made;
}

double rms_from_limit(const MadeBias& made, double share) {
    double sum = 0, square = 0, count = 0;
    for (std::size_t j = 0; j < made.at.size(); ++j) {
        const double x = made.at[j];
        if (std::fabs(x) > 1.5) continue;
        const double d = 3 * (made.bias[j] + share * (x * x - 1) * (x * x - 1));  // kT
        sum += d, square += d * d, count += 1;
    }
    return std::sqrt(square / count - sum * sum / (count * count));
}

}  // namespace

TEST_CASE("shared bias: methods level the double well") {
    // 0.05 kT is what a run is to reach in ten times as many steps; 2048 walkers of 12 000 steps leave three times that.
    const struct { const char* method; double share; } methods[] = {
        {"metadynamics", 5.0 / 6}, {"opes", 5.0 / 6}, {"opes_explore", 5.0 / 6}, {"abf", 1}, {"eabf", 1}};
    for (const Device& device : quick_devices())
        for (const auto& m : methods) {
            CAPTURE(m.method);
            CHECK(rms_from_limit(made_by(m.method, device), m.share) < 0.15);
        }
}

TEST_CASE("shared bias: an interruption and the number of threads leave the bits as they are") {
    for (const char* method : {"metadynamics", "opes", "abf", "eabf"}) {
        CAPTURE(method);
        const MadeBias whole = made_by(method, Device::cpu(1));
        for (const double at : {0.0, 6000.0, 6050.0}) CHECK(made_by(method, Device::cpu(2), at).bias == whole.bias);
        if (std::string(method) == "eabf") CHECK(made_by(method, Device::cpu(2), 6020).bias == whole.bias);
    }
}

TEST_CASE("shared bias: a ladder of temperatures learns its weights from energies") {
    // Of two harmonic variables the energy has the law e^{−V/kT}/kT, and β F − β₀ F₀ = ln β/β₀.
    const index n = 1 << 16;
    const double kt = 0.5;
    const std::vector<double> hotter{0.6, 0.75};
    std::vector<float> energies;
    for (index t = 0; t < n; ++t)
        energies.push_back(static_cast<float>(-kt * std::log((static_cast<double>(t) + 0.5) / static_cast<double>(n))));
    std::vector<double> on_cpu;
    for (const Device& device : test_devices()) {
        Stream stream(device);
        AdaptiveOptions options;
        options.axes = line(0, 8, 401, false);
        options.kt = kt;
        options.pace = 1, options.start = 0, options.end = 4, options.frames = 2;
        options.temperatures = hotter;
        BiasSetup setup;
        setup.trajectories = n;
        setup.options = options;
        std::unique_ptr<AdaptiveBias> bias(
            dynamic_cast<AdaptiveBias*>(make_bias_method("tempering", stream, setup).release()));
        PathSetup path;
        path.dt = 1e-3, path.beta = 1 / kt, path.bias = bias->kind();
        Ensemble ensemble(stream, make_formula_path_kernel(formula("(x^2-1)^2", 1 / kt), path), n, 3, kStreamNoise);
        bias->begin(ensemble);
        Buffer<float> xi(device, n);
        copy_to_device(stream, xi.span(), energies.data());
        ensemble.advance(1);
        bias->step(ensemble, xi.span());
        const std::vector<double> found = bias->bias();
        for (std::size_t j = 0; j < found.size(); ++j) {
            const double v = 0.02 * static_cast<double>(j);
            double sum = 1;
            for (const double higher : hotter) sum += kt / higher * std::exp(-(1 / higher - 1 / kt) * v);
            // The grid's 0.02 and the missing tail beyond ln n kT: a part in a thousand of the weights.
            CHECK(std::fabs(found[j] + kt * std::log(sum / 3)) < 4e-3 * kt);
        }
        if (on_cpu.empty()) on_cpu = found;
        CHECK(found == on_cpu);
    }
}

TEST_CASE("shared bias: hills add up to the bias") {
    const MadeBias made = made_by("metadynamics", Device::cpu(2));
    const std::size_t points = made.at.size();
    for (std::size_t j = 0; j < points; ++j) {
        double sum = 0;
        for (std::size_t i = 0; i < made.frames.hills.size(); ++i) {
            const double hill = made.frames.hills[i], x = made.at[i % points];
            const auto add = [&](double centre) {
                // PLUMED's stretched kernel, 0 beyond √12.5 widths.
                const double z = (made.at[j] - centre) / made.sigma[0], cut = std::exp(-6.25);
                if (0.5 * z * z < 6.25) sum += hill * (std::exp(-0.5 * z * z) - cut) / (1 - cut);
            };
            add(x);
            if (i % points > 0) add(2 * made.at.front() - x);
            if (i % points < points - 1) add(2 * made.at.back() - x);
        }
        CHECK(sum == doctest::Approx(made.bias[j]).epsilon(1e-10));
    }
}

}  // namespace microlift
