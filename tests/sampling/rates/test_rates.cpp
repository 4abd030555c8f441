// Rates by splitting, a weighted ensemble and milestoning.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/at.h"
#include "engine/config/checks.h"
#include "sampling/rates/method.h"
#include "sampling/rates/methods.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

// First passage of V = (x² − 1)² from −1 to 1: β ∫∫ e^{β(V(y) − V(z))} over z < y, y from −1 to 1.
double exact_time(double beta) {
    constexpr int kPoints = 40000;
    const double from = -3, to = 1, h = (to - from) / kPoints;
    const auto v = [](double x) { return (x * x - 1) * (x * x - 1); };
    double inner = 0, outer = 0;
    for (int i = 0; i < kPoints; ++i) {
        const double x = from + (i + 0.5) * h;
        inner += 0.5 * h * std::exp(-beta * v(x));
        if (x > -1) outer += h * std::exp(beta * v(x)) * inner;
        inner += 0.5 * h * std::exp(-beta * v(x));
    }
    return beta * outer;
}

ModelConfig double_well(double beta) {
    ModelConfig config;
    config.system.name = "double_well";
    config.system.beta = beta;
    config.system.variables = {"x"};
    config.integrator.scheme = "euler_maruyama";
    config.integrator.dt = 1e-3;
    config.integrator.philox_rounds = kPhiloxRounds;
    config.integrator.compile_after = -1;
    config.integrator.portable_math = true;
    CvVariable x;
    x.formula = x.name = "x";
    config.cv.variables = {x};
    return config;
}

RatesConfig rates_of(const std::string& method) {
    RatesConfig rates = rates_section.defaults();
    rates.enabled = true;
    rates.method = method;
    rates.from.value = -1;
    rates.to.value = 1;
    rates.bins = 20;
    rates.equilibrate = 300;
    return rates;
}

Device portable(const Device& of) {
    Device device = of;
    device.compute_portably(true);
    return device;
}

struct Computed {
    RateResult result;
    double force_evaluations;
    const RateFigure& figure(const std::string& quantity) const {
        for (const RateFigure& f : result.figures)
            if (f.quantity == quantity) return f;
        throw std::logic_error("no such figure");
    }
};

// Stopped after `stop` looks and gone on with from what it saved; −1: not stopped.
Computed compute(const Device& on, const ModelConfig& config, const RatesConfig& rates, uint64 seed, index stop = -1) {
    const Device device = portable(on);
    Stream stream(device);
    const Model model(config);
    const RateSetup setup{model, config.integrator, rates, seed};
    std::unique_ptr<RateMethod> method = make_rate_method(stream, setup);
    for (index look = 0; look != stop && method->advance(); ++look) {}
    if (stop >= 0) {
        Store store;
        method->save(store);
        method = make_rate_method(stream, setup);
        method->load(store);
        while (method->advance()) {}
    }
    return {method->result(), method->lanes().force_evaluations()};
}

void need_same(const Computed& a, const Computed& b) {
    REQUIRE(a.result.figures.size() == b.result.figures.size());
    for (std::size_t i = 0; i < a.result.figures.size(); ++i) {
        CHECK(a.result.figures[i].value == b.result.figures[i].value);
        CHECK(a.result.figures[i].error == b.result.figures[i].error);
    }
    CHECK(a.force_evaluations == b.force_evaluations);
    CHECK(a.result.metrics.dump(0) == b.result.metrics.dump(0));
}

const std::vector<std::string> kMethods{"splitting", "weighted_ensemble", "milestoning"};

// As small as shows something, for an emulated device.
RatesConfig tiny(const std::string& method) {
    RatesConfig rates = rates_of(method);
    rates.bins = 6;
    rates.repeats = 4;
    rates.replicas = method == "splitting" ? 24 : 8;
    rates.loops = 2;
    rates.equilibrate = 8;
    rates.steps = 160;
    rates.interval = 8;
    rates.iterations = 2;
    rates.dt = 0.02;
    return rates;
}

}  // namespace

TEST_CASE("rates: the same bits on every device, for any number of threads, and after a stop") {
    const ModelConfig config = double_well(1);
    for (const std::string& method : kMethods) {
        CAPTURE(method);
        const RatesConfig rates = tiny(method);
        const Computed one = compute(Device::cpu(1), config, rates, 5);
        CHECK(std::isfinite(one.figure("mfpt").value));
        for (const Device& device : test_devices()) need_same(compute(device, config, rates, 5), one);
        for (const index stop : {index{3}, index{40}, index{111}}) need_same(compute(Device::cpu(2), config, rates, 5, stop), one);
    }
}

TEST_CASE("rates: the noise along a curved variable is that where a step ends, on every device") {
    ModelConfig config = double_well(1);
    config.cv.variables[0].formula = config.cv.variables[0].name = "x + 0.1*x^3";
    RatesConfig rates = tiny("splitting");
    rates.from.value = -1.1;
    rates.to.value = 1.1;
    const Computed one = compute(Device::cpu(1), config, rates, 6);
    CHECK(std::isfinite(one.figure("mfpt").value));
    for (const Device& device : test_devices()) need_same(compute(device, config, rates, 6), one);
}

TEST_CASE("rates: first passage times of the double well, with errors that 20 seeds bear out") {
    if (quick_devices().empty()) return;
    constexpr double kBeta = 3;
    constexpr int kSeeds = 20;
    const double exact = exact_time(kBeta);
    CHECK(exact == doctest::Approx(26.6401).epsilon(1e-4));
    const ModelConfig config = double_well(kBeta);
    for (const std::string& method : kMethods) {
        CAPTURE(method);
        RatesConfig rates = rates_of(method);
        rates.replicas = method == "splitting" ? 64 : method == "milestoning" ? 32 : 4;
        rates.steps = 6000;
        rates.iterations = 6;
        double squares = 0, mean = 0, error = 0;
        for (int seed = 0; seed < kSeeds; ++seed) {
            const Computed done = compute(Device::cpu(2), config, rates, 100 + static_cast<uint64>(seed));
            const RateFigure& time = done.figure("mfpt");
            squares += std::pow((time.value - exact) / time.error, 2) / kSeeds;
            mean += time.value / kSeeds;
            error += time.error / kSeeds;
            CHECK(done.figure("rate").value == doctest::Approx(1 / time.value));
        }
        CAPTURE(mean);
        CAPTURE(error);
        // The mean of 20 squares of Student's t of 31 degrees spreads by 0.36.
        CHECK(squares > 0.5);
        CHECK(squares < 1.7);
        CHECK(std::fabs(mean - exact) < 4 * error / std::sqrt(kSeeds));
        CHECK(error < 0.12 * exact);
    }
}

TEST_CASE("rates: bins, levels and milestones do not move what is computed") {
    if (quick_devices().empty()) return;
    const double exact = exact_time(1);
    CHECK(exact == doctest::Approx(3.56943).epsilon(1e-4));
    const ModelConfig config = double_well(1);
    for (const std::string& method : kMethods)
        for (const std::vector<double>& levels : {std::vector<double>{-0.9, 0.7}, {-0.2, -0.1, 0.0, 0.6, 0.65, 0.7}}) {
            CAPTURE(method);
            RatesConfig rates = rates_of(method);
            rates.levels = levels;
            rates.replicas = 64;
            rates.steps = 8000;
            const RateFigure time = compute(Device::cpu(2), config, rates, 3).figure("mfpt");
            CAPTURE(time.value);
            CHECK(std::fabs(time.value - exact) < 4 * time.error);
            CHECK(time.error < 0.15 * exact);
        }
}

TEST_CASE("rates: a threshold on a slope is seen between steps") {
    if (quick_devices().empty()) return;
    // To the top of the barrier: a step is 0.045 long, and one that is only looked at after steps is met late.
    ModelConfig config = double_well(3);
    RatesConfig rates = rates_of("splitting");
    rates.to.value = 0;
    rates.replicas = 256;
    const double exact = 12.698;  // by quadrature
    const RateFigure drawn = compute(Device::cpu(2), config, rates, 7).figure("mfpt");
    CAPTURE(drawn.value);
    CHECK(std::fabs(drawn.value - exact) < 4 * drawn.error);
    CHECK(drawn.error < 0.04 * exact);
}

TEST_CASE("rates: backwards, by formulas, and along a progress coordinate of one's own") {
    if (quick_devices().empty()) return;
    const double exact = exact_time(1);
    const ModelConfig config = double_well(1);
    for (const std::string& method : kMethods) {
        CAPTURE(method);
        RatesConfig rates = rates_of(method);
        rates.from.value = 1;
        rates.to.value = -1;
        rates.steps = 6000;
        rates.replicas = 32;
        const RateFigure back = compute(Device::cpu(2), config, rates, 3).figure("mfpt");
        CAPTURE(back.value);
        CHECK(std::fabs(back.value - exact) < 4 * back.error);
        rates.from = rates.to = {};
        rates.from.formula = "x < -1 and x > -30 or x < -40";
        rates.to.formula = "x >= 1";
        rates.progress = "tanh(x)";
        rates.levels = {-0.7, -0.5, 0.0, 0.5, 0.7};
        rates.initial = {-1.1};
        const RateFigure formula = compute(Device::cpu(2), config, rates, 3).figure("mfpt");
        CAPTURE(formula.value);
        // At steps alone the end is met 0.6 of a step's length late, here 0.026.
        CHECK(std::fabs(formula.value - exact) < 4 * formula.error + 0.05 * exact);
    }
}

TEST_CASE("rates: a formula that is true inside a state") {
    CHECK(distance_formula("rates.from", "x < 1") == "(x ) - ( 1)");
    CHECK(distance_formula("rates.from", "x > 1 and y <= 2 or z > 0") == "min(max(( 1) - (x ), (y ) - ( 2)), ( 0) - (z ))");
    CHECK_THROWS_AS((void)distance_formula("rates.from", "x"), KeyError);
    CHECK_THROWS_AS((void)distance_formula("rates.from", "0 < x < 1"), KeyError);
}

}  // namespace microlift
