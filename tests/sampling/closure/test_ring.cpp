// Periodic collective variables: the reduced model on a ring against quadrature, and bursts that wrap.
#include <doctest/doctest.h>

#include <cmath>

#include "sampling/closure/bursts.h"
#include "sampling/run/config/run_config.h"

namespace microlift {

TEST_CASE("a reduced model on a ring: density, times and rates of a tilted cosine") {
    // V = cos 2x + 0.5 cos x − tilt x, D = ½(1 + 0.3 sin x), b = −D V′ + D′, on 2π.
    const double pi = 3.14159265358979;
    for (const double tilt : {0.0, 0.8}) {
        CAPTURE(tilt);
        const auto V = [&](double x) { return std::cos(2 * x) + 0.5 * std::cos(x) - tilt * x; };
        const auto D = [](double x) { return 0.5 * (1 + 0.3 * std::sin(x)); };
        ClosureEstimate e;
        e.period = 2 * pi;
        for (int i = 0; i < 64; ++i) {
            const double x = -pi + 2 * pi * (i + 0.5) / 64;
            e.x.push_back(x);
            e.drift.push_back(D(x) * (2 * std::sin(2 * x) + 0.5 * std::sin(x) + tilt) +
                              0.15 * std::cos(x));
            e.diffusion.push_back(D(x));
            e.drift_error.push_back(1e-9);
            e.diffusion_error.push_back(1e-9);
        }
        const ReducedModel model(e, 0, 0);
        CHECK(model.ring());
        // p ~ e^−V ∫_x^(x+2π) e^V / D, and the exit between a target and its image by Green's function.
        const int n = 4000;
        const double h = 2 * pi / n;
        const auto density = [&](double x) {
            double sum = 0;
            for (int i = 0; i < n; ++i) {
                const double y = x + h * (i + 0.5);
                sum += std::exp(V(y)) / D(y) * h;
            }
            return std::exp(-V(x)) * sum;
        };
        double norm = 0;
        for (int i = 0; i < 200; ++i) norm += density(-pi + 2 * pi * (i + 0.5) / 200) * 2 * pi / 200;
        for (const double x : {-2.9, -1.0, 0.4, 3.0})
            CHECK(model.density(x) == doctest::Approx(density(x) / norm).epsilon(2e-3));
        CHECK(model.density(0.4 + 2 * pi) == doctest::Approx(model.density(0.4)));
        // Backward equation of the exit from (l, l + 2π) on a fine grid, by Thomas's algorithm.
        const auto exit_time = [&](double start, double left) {
            std::vector<double> c(n), d(n);
            for (int i = 1; i < n; ++i) {
                const double x = left + h * i;
                const double up = D(x + h / 2) * std::exp(V(x) - V(x + h / 2)) / (h * h);
                const double down = D(x - h / 2) * std::exp(V(x) - V(x - h / 2)) / (h * h);
                const double pivot = up + down - (i > 1 ? down * c[i - 1] : 0);
                c[i] = up / pivot;
                d[i] = (1 + (i > 1 ? down * d[i - 1] : 0)) / pivot;
            }
            double u = 0, found = 0;
            for (int i = n - 1; i > 0; --i) {
                u = d[i] + c[i] * u;
                if (std::fabs(left + h * i - start) < 0.51 * h) found = u;
            }
            return found;
        };
        CHECK(model.mean_time(-1.5, 1.5) ==
              doctest::Approx(exit_time(-1.5, 1.5 - 2 * pi)).epsilon(5e-3));
        CHECK(model.mean_time(2.5, 1.5) == doctest::Approx(exit_time(2.5, 1.5)).epsilon(5e-3));
        // A way round: from just right of a, b is not far on the other side.
        CHECK(model.committor(-1.5, -1.4, 1.5) < 0.5);
        CHECK(model.committor(1.6, -1.5, 1.5) > 0.5);
    }
    // A constant drift on a ring: every wave decays with D k², whatever the drift.
    ClosureEstimate free;
    free.period = 2 * pi;
    for (int i = 0; i <= 32; ++i) {
        free.x.push_back(-pi + 2 * pi * i / 32);
        free.drift.push_back(0.7);
        free.diffusion.push_back(0.5);
        free.drift_error.push_back(1e-9);
        free.diffusion_error.push_back(1e-9);
    }
    const std::vector<double> rates = ReducedModel(free, 0, 0).rates(2);
    for (const double rate : rates) CHECK(rate == doctest::Approx(0.5).epsilon(2e-3));
    free.period = 0;
    CHECK_FALSE(ReducedModel(free, 0, 0).ring());
}

TEST_CASE("bursts on a ring: displacements and transitions wrap") {
    // Free diffusion on a ring of length 2π, D = ½: cos and sin decay with rate ½, and the drift is 0
    // wherever the ring is cut.
    const RunConfig run = parse_run_config(R"toml([system]
variables = ["x"]
drift = ["0*x"]
diffusion = ["1"]
[cv]
variables = [{ formula = "x", period = 6.283185307179586 }]
[integrator]
scheme = "euler_maruyama"
dt = 2e-2
[umbrella]
from = -3
to = 3
windows = 2
stiffness = 1
)toml", "run.toml");
    const Model model(run);
    Stream stream(Device::cpu(2));
    std::vector<CvValue> values;
    const double pi = 3.14159265358979;
    const index count = 25;
    for (index i = 0; i < count; ++i)
        values.push_back({-pi + 2 * pi * static_cast<double>(i) / static_cast<double>(count - 1), 0});
    // Whole turns away, the same place.
    std::vector<CvValue> turned = values;
    for (std::size_t v = 0; v < turned.size(); v += 2) turned[v][0] += 4 * pi;
    BurstOptions options;
    options.dt = 2e-2;
    options.lags = {25, 50};
    options.controlled = 0;
    options.periods[0] = 2 * pi;
    std::vector<Figure> rates[2];
    for (int turn = 0; turn < 2; ++turn) {
        const Buffer<float> start = repeated_values(stream, 1, turn ? turned : values, 2048);
        const BurstMoments m =
            run_bursts(stream, model, run.integrator, values, start.span(), 2048, options);
        rates[turn] = burst_rates(m, 2);
        for (const Figure& rate : rates[turn]) {
            CAPTURE(rate.error);
            CHECK(rate.value == doctest::Approx(0.5).epsilon(4 * rate.error / 0.5 + 0.01));
            CHECK(rate.error < 0.05);
        }
        for (std::size_t v = 0; v < values.size(); ++v) {
            const BurstPoint& p = m.point(0, v);
            CHECK(std::fabs(p.mean[0]) < 4.5 * p.mean_error[0]);
            CHECK(std::fabs(p.covariance[0] - 0.5) < 4.5 * p.covariance_error[0]);
        }
    }
    CHECK(rates[0][0].value == doctest::Approx(rates[1][0].value).epsilon(1e-3));
}

}  // namespace microlift
