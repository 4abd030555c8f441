// Umbrellas all round a period: energies and pulls to the nearest image, exchanges across the seam, values
// that are told in one period, states that are held or projected across it.
#include <doctest/doctest.h>

#include <cmath>
#include <set>
#include <utility>

#include "sampling/bias/exchange.h"
#include "sampling/lift/lifting.h"
#include "sampling/model/model.h"
#include "sampling/run/config/run_config.h"

namespace microlift {
namespace {

constexpr double kPi = 3.14159265358979323846;

CvPeriods turn(int k = 0) {
    CvPeriods periods;
    periods.period[k] = static_cast<float>(2 * kPi);
    return periods;
}

// A chain whose angle `atan2` cuts at ±π, on windows of a whole turn from `from` on.
RunConfig ring(const std::string& from, const std::string& to) {
    return parse_run_config(R"toml([system]
variables = ["x", "y"]
potential = "20*(sqrt(x^2 + y^2) - 1)^2"
beta = 1.0
[cv]
variables = [{ formula = "atan2(y, x)", period = 6.283185307179586 }]
[integrator]
dt = 1e-3
compile_after = -1
[umbrella]
from = )toml" + from + "\nto = " + to + R"toml(
windows = 12
stiffness = 30
initial = [0.9, 0.3]
)toml", "run.toml");
}

}  // namespace

TEST_CASE("periods: the nearest image, whole turns, and no period") {
    for (double d = -20; d < 20; d += 0.037) {
        const double image = nearest_image(d, 2 * kPi);
        CHECK(std::fabs(image) <= kPi * (1 + 1e-12));
        CHECK(std::fabs(std::remainder(d - image, 2 * kPi)) < 1e-12);
        CHECK(nearest_image(d, 0.0) == d);
        CHECK(whole_turns(static_cast<float>(d), 0.0f) == 0.0f);
    }
    CvPeriods periods = turn();
    periods.middle[0] = 3.0f;
    for (float x = -20; x < 20; x += 0.041f) {
        const float image = periods.image(0, x);
        CHECK(std::fabs(image - 3.0f) < 3.1416f);
        CHECK(std::fabs(std::remainder(static_cast<double>(image - x), 2 * kPi)) < 1e-5);
        CHECK(periods.image(1, x) == x);  // has none
    }
}

TEST_CASE("a periodic bias: the parabola of the nearest image, the harmonic bias within half a period") {
    const float center[2] = {2.9f, -0.4f}, stiffness[2] = {7.0f, 3.0f};
    const WindowView plain{center, stiffness, 1};
    WindowView round = plain;
    round.periods = turn();
    const HarmonicBias<float, 2> harmonic(plain, 0);
    const PeriodicBias<float, 2> without(plain, 0), periodic(round, 0);
    const float beta[2] = {2.0f, 0.5f};
    for (float x = -9; x < 9; x += 0.0713f)
        for (float y = -4; y < 4; y += 0.51f) {
            const float at[2] = {x, y}, turned[2] = {x + 6.2831853f, y};
            float p[2], q[2];
            harmonic.pull(at, p);
            without.pull(at, q);
            CHECK(p[0] == q[0]);
            CHECK(p[1] == q[1]);
            CHECK(harmonic.energy(at, 1.5f) == without.energy(at, 1.5f));
            periodic.pull(at, q);
            CHECK(q[1] == p[1]);
            if (std::fabs(x - 2.9f) < 3.1415f) {
                CHECK(q[0] == p[0]);
                CHECK(harmonic.energy(at, 1.5f) == periodic.energy(at, 1.5f));
            }
            const double r = nearest_image(static_cast<double>(x) - 2.9, 2 * kPi);
            if (std::fabs(r) > 3.1415) continue;  // the edge
            const double u = 3.5 * r * r + 1.5 * std::pow(static_cast<double>(y) + 0.4, 2);
            CHECK(static_cast<double>(periodic.energy(at, 0.0f)) == doctest::Approx(u).epsilon(1e-4));
            CHECK(static_cast<double>(periodic.energy(turned, 0.0f)) == doctest::Approx(u).epsilon(1e-4));
            CHECK(static_cast<double>(q[0]) == doctest::Approx(-7 * r).epsilon(1e-4));
            const float origin[2] = {2.9f, -0.4f};
            CHECK(static_cast<double>(periodic.energy_rise(origin, at, 0.0f)) ==
                  doctest::Approx(u).epsilon(1e-4));
            CHECK(static_cast<double>(periodic.times(beta).energy(at, 0.0f)) ==
                  doctest::Approx(7 * r * r + 0.75 * std::pow(static_cast<double>(y) + 0.4, 2))
                      .epsilon(1e-4));
        }
}

TEST_CASE("exchange: all round every window meets both neighbours equally often") {
    for (const index n : {3, 4, 5, 8}) {
        ExchangeGrid grid;
        grid.windows[0] = n;
        grid.round[0] = true;
        std::multiset<std::pair<index, index>> met;
        for (index first = 0; first < n; ++first) {
            std::set<index> busy;
            for (index pair = 0; pair < grid.pairs(0, first); ++pair) {
                const index a = grid.lower(0, first, pair), b = grid.upper(0, a);
                CHECK(b == (a + 1) % n);
                CHECK(busy.insert(a).second);
                CHECK(busy.insert(b).second);
                met.emplace(a, b);
            }
        }
        for (index w = 0; w < n; ++w) CHECK(met.count({w, (w + 1) % n}) == static_cast<std::size_t>(n / 2));
    }
    ExchangeGrid open;
    open.windows[0] = 5;
    CHECK(open.pairs(0, 0) == 2);
    CHECK(open.pairs(0, 1) == 2);
}

TEST_CASE("all round: what is refused, and what as many digits as 3.1416 mean") {
    for (const auto& [from, to] : {std::pair{"-3.141592653589793", "3.141592653589793"},
                                   std::pair{"-3.1416", "3.1416"}, std::pair{"1.0", "7.283"}}) {
        const RunConfig run = ring(from, to);
        CHECK(run.umbrella.all_round(0));
        CHECK(run.umbrella.to[0] - run.umbrella.from[0] == doctest::Approx(2 * kPi).epsilon(1e-15));
        CHECK(run.umbrella.spacing(0) == doctest::Approx(2 * kPi / 12));
        CHECK(run.grid().round[0]);
    }
    CHECK_FALSE(ring("-2.0", "2.0").umbrella.all_round(0));
    CHECK_THROWS(ring("-3.2", "3.2"));
}

TEST_CASE("all round: states are projected and held across the cut, and values told in one period") {
    const RunConfig run = ring("0.5", "6.783185307179586");
    const Model model(run);
    Stream stream(Device::cpu(1));
    constexpr index n = 64;
    std::vector<float> x, s;
    for (index i = 0; i < n; ++i) x.push_back(static_cast<float>(std::cos(3.0 + 0.005 * double(i))));
    for (index i = 0; i < n; ++i) x.push_back(static_cast<float>(std::sin(3.0 + 0.005 * double(i))));
    // Aims across the cut, half of them another image.
    for (index i = 0; i < n; ++i) s.push_back(static_cast<float>(3.3 - (i % 2 ? 2 * kPi : 0.0)));
    Buffer<float> states(stream.device(), 2 * n), aims(stream.device(), n), xi(stream.device(), 3 * n);
    copy_to_device(stream, states.span(), x.data());
    copy_to_device(stream, aims.span(), s.data());
    const auto check_values = [&](double allowed) {
        model.evaluate_cvs(stream, states.span(), n, n, xi.span(), n);
        const std::vector<float> at = to_host(stream, Span<const float>(xi.span().subspan(0, n)));
        for (const float value : at) CHECK(std::fabs(static_cast<double>(value) - 3.3) < allowed);
    };
    model.project(stream, aims.span(), n, n, states.span(), n, 6);
    check_values(1e-4);
    (void)heal(stream, model, run.integrator, aims.span(), n, 200, 1, 0, states.span());
    check_values(1e-4);
}

}  // namespace microlift
