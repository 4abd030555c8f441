// One ensemble of any size by the Euler–Maruyama scheme, which every peer of bench/peers/ has too.
#include <algorithm>
#include <array>
#include <cmath>

#include "bench/harness.h"
#include "engine/at.h"
#include "engine/error.h"
#include "kernels/random/streams.h"
#include "kernels/dynamics/systems.h"
#include "sampling/model/model.h"
#include "sampling/run/config/run_config.h"

namespace microlift {

namespace {

// --- the law of the Euler chain ------------------------------------------------------------------

// x' = m(x) + s z with m(x) = x + dt f(x): the density after a step is ∫ p(x) N(x'; m(x), s²) dx. On a
// grid whose step is well under s the trapezoid rule is exact to rounding, so this is the law of the
// chain itself after kCheckSteps, its error of order dt included.
constexpr index kCheckSteps = 64;  // the umbrella relaxes within 13

struct ChainLaw {
    std::array<double, 2> mean{}, variance{};
};

struct Held {
    double dt = 5e-5, kt = 15, center = 0.6, stiffness = 1500, start_y = 0.03;
};

std::array<double, 2> muller_brown_drift(const Held& held, double x, double y) {
    double fx = -held.stiffness * (x - held.center), fy = 0;
    for (int k = 0; k < MullerBrown::terms; ++k) {
        const MullerBrown::Term t = MullerBrown::term(k);
        const double dx = x - static_cast<double>(t.x0), dy = y - static_cast<double>(t.y0);
        const double a = static_cast<double>(t.a), b = static_cast<double>(t.b),
                     c = static_cast<double>(t.c);
        const double e = -static_cast<double>(t.amplitude) *
                         std::exp(a * dx * dx + b * dx * dy + c * dy * dy);
        fx += e * (2 * a * dx + b * dy);
        fy += e * (2 * c * dy + b * dx);
    }
    return {fx, fy};
}

ChainLaw chain_law(const Held& held) {
    const double s = std::sqrt(2 * held.kt * held.dt), h = 0.6 * s;
    constexpr int kBelow = 42, kRows = 85, kColumns = 97, kNodes = kRows * kColumns;
    constexpr int kReach = 13;  // about 8 s
    const std::array<double, 2> low{held.center - kBelow * h, held.start_y - kBelow * h};
    // Adds weight · N(·; m(x, y), s²), up to the common factor.
    const auto spread = [&](double x, double y, double weight, std::vector<double>& out) {
        const auto f = muller_brown_drift(held, x, y);
        const double u[2] = {(x + held.dt * f[0] - low[0]) / h, (y + held.dt * f[1] - low[1]) / h};
        if (!(std::abs(u[0]) < 1e6 && std::abs(u[1]) < 1e6)) return;
        double gauss[2][2 * kReach + 1];
        int first[2];
        for (int d = 0; d < 2; ++d) {
            first[d] = static_cast<int>(std::floor(u[d])) - kReach;
            for (int k = 0; k <= 2 * kReach; ++k) {
                const double z = (first[d] + k - u[d]) * h / s;
                gauss[d][k] = std::exp(-0.5 * z * z);
            }
        }
        for (int a = 0; a <= 2 * kReach; ++a) {
            const int row = first[0] + a;
            if (row < 0 || row >= kRows) continue;
            for (int b = 0; b <= 2 * kReach; ++b) {
                const int column = first[1] + b;
                if (column >= 0 && column < kColumns)
                    out[at(row * kColumns + column)] += weight * gauss[0][a] * gauss[1][b];
            }
        }
    };
    std::vector<double> p(kNodes, 0.0), next;
    spread(held.center, held.start_y, 1, p);
    for (index k = 1; k <= kCheckSteps; ++k) {
        double total = 0;
        for (const double v : p) total += v;
        for (double& v : p) v /= total;
        if (k == kCheckSteps) break;
        next.assign(kNodes, 0.0);
        for (int i = 0; i < kNodes; ++i)
            if (p[at(i)] > 1e-20)
                spread(low[0] + i / kColumns * h, low[1] + i % kColumns * h, p[at(i)], next);
        p.swap(next);
    }
    ChainLaw law;
    for (int d = 0; d < 2; ++d) {
        const auto axis = static_cast<std::size_t>(d);
        double m1 = 0, m2 = 0;
        for (int i = 0; i < kNodes; ++i) {
            const double x = low[axis] + (d == 0 ? i / kColumns : i % kColumns) * h;
            m1 += p[at(i)] * x;
            m2 += p[at(i)] * x * x;
        }
        law.mean[axis] = m1;
        law.variance[axis] = m2 - m1 * m1;
    }
    return law;
}

}  // namespace

BenchResult bench_ensemble(Stream& stream, const BenchSettings& settings) {
    const index n = settings.count("n", 8192);
    const Repeats repeats(settings);
    const Held held;
    RunConfig run = parse_run_config(
        "[system]\nname = \"muller_brown\"\nbeta = 0.06666666666666667\n[cv]\nvariables = [\"x\"]\n"
        "[integrator]\nscheme = \"euler_maruyama\"\ndt = 5e-5\n[umbrella]\nfrom = -1.0\nto = 1.0\n"
        "windows = 2\nstiffness = 1.0\nreplicas = 1\nsteps = 1000\nstride = 100\n",
        "benchmark");
    run.integrator.portable_math = portable_trajectories();
    const Model model(run);
    Ensemble ensemble(stream, model.path_kernel(model.path_setup(run.integrator)), n, kSeed,
                      kStreamNoise);
    const auto set = [&](Span<float> span, double value) {
        const std::vector<float> host(at(n), static_cast<float>(value));
        copy_to_device(stream, span, host.data());
    };
    set(ensemble.center(), held.center);
    set(ensemble.stiffness(), held.stiffness);
    set(ensemble.x().subspan(0, n), held.center);
    set(ensemble.x().subspan(n, n), held.start_y);

    BenchResult result;
    result.unit = "steps_per_second";
    if (stream.device().is_cpu()) result.clock_hz = measure_clock();
    // In two calls, so that noise drawn twice would show.
    for (int half = 0; half < 2; ++half) ensemble.advance(static_cast<uint64>(kCheckSteps / 2));
    const ChainLaw law = chain_law(held);
    {
        const std::vector<float> states = ensemble.save_state();
        result.check_moments("x", states.data(), n, law.mean[0], law.variance[0]);
        result.check_moments("y", states.data() + n, n, law.mean[1], law.variance[1]);
    }

    const index multiple = std::clamp<index>(1000000 / n, 16, 4096) / 2 * 2;
    const index steps = units_per_repeat(
        stream, multiple, [&](index k) { ensemble.advance(static_cast<uint64>(k)); },
        repeats.seconds);
    for (int r = 0; r < repeats.count; ++r) {
        const double time =
            seconds(stream, [&] { ensemble.advance(static_cast<uint64>(steps)); });
        result.rates.push_back(static_cast<double>(n) * static_cast<double>(steps) / time);
    }
    ensemble.check_finite([](index) { return std::string("benchmark"); });
    result.more = {{"trajectories", static_cast<double>(n)},
                   {"steps", static_cast<double>(steps)},
                   {"exact_mean_x", law.mean[0]},
                   {"exact_variance_x", law.variance[0]},
                   {"exact_mean_y", law.mean[1]},
                   {"exact_variance_y", law.variance[1]}};
    return result;
}

}  // namespace microlift
