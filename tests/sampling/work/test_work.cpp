// Free energy differences from work, and the bias that does it.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/files/store.h"
#include "kernels/random/streams.h"
#include "sampling/bias/methods.h"
#include "sampling/dynamics/bytecode_path.h"
#include "sampling/work/steered.h"
#include "sampling/work/work_values.h"
#include "tests/support/devices.h"
#include "tests/support/lanes.h"

namespace microlift {
namespace {

std::vector<double> normals(index n, uint64 seed, double mean, double deviation) {
    std::vector<double> values;
    for (index i = 0; i < n; ++i) {
        float four[4];
        normal_block<Portable>(PhiloxStream<float>(seed, kStreamTest, i), 0, four);
        values.push_back(mean + deviation * static_cast<double>(four[0]));
    }
    return values;
}

// Work of a trap that is dragged, dissipating `lost` each way over a difference `f`: variance 2 · lost.
WorkResult dragged(index n, uint64 seed, double f, double lost, double kt = 1) {
    const double deviation = std::sqrt(2 * lost);
    std::vector<double> forward = normals(n, seed, f + lost, deviation),
                        reverse = normals(n, seed + 1000, lost - f, deviation);
    for (double& w : forward) w *= kt;
    for (double& w : reverse) w *= kt;
    return evaluate_work(forward, reverse, kt);
}

}  // namespace

TEST_CASE("work: BAR's error is the asymptotic one of normal laws") {
    // Of unit normal laws shifted by 0.5, 1, 2, 3, N·var = 0.25055, 1.02547, 4.89681, 16.2796. In work they have the
    // deviation s = √(2 lost), and lie 2 lost apart: shifted by √(2 lost).
    const double shift[4] = {0.5, 1, 2, 3}, variance[4] = {0.25055, 1.02547, 4.89681, 16.2796};
    for (int i = 0; i < 4; ++i) {
        const index n = 20000;
        const WorkResult r = dragged(n, 17, 0.7, 0.5 * shift[i] * shift[i]);
        const double told = r.bar.std_error * r.bar.std_error * 2 * static_cast<double>(n);
        CHECK(told == doctest::Approx(variance[i]).epsilon(0.06));
        CHECK(std::fabs(r.bar.value - 0.7) < 4 * r.bar.std_error);
        CHECK(std::fabs(r.slope - 1) < 4 * r.slope_error);
        CHECK(std::fabs(r.crooks.value - 0.7) < 4 * r.crooks.std_error);
    }
}

TEST_CASE("work: errors cover the spread over seeds, and units scale") {
    double bar = 0, crooks = 0, forward = 0, reverse = 0, slope = 0;
    const int seeds = 200;
    for (int s = 0; s < seeds; ++s) {
        const WorkResult r = dragged(500, 5000 + static_cast<uint64>(3 * s), -0.4, 0.8);
        const auto z2 = [](const WorkValue& v) { return std::pow((v.value - v.bias + 0.4) / v.std_error, 2) / seeds; };
        bar += z2(r.bar), crooks += z2(r.crooks);
        forward += z2(r.forward.jarzynski), reverse += z2(r.reverse.jarzynski);
        slope += std::pow((r.slope - 1) / r.slope_error, 2) / seeds;
    }
    // A mean of 200 squares of normal numbers has the deviation 0.1; exponential averages have longer tails.
    for (const double z2 : {bar, crooks, slope}) CHECK(std::fabs(z2 - 1) < 0.4);
    for (const double z2 : {forward, reverse}) CHECK(std::fabs(z2 - 1) < 0.6);
    const WorkResult one = dragged(500, 3, 0.2, 0.5), other = dragged(500, 3, 0.2, 0.5, 2.5);
    CHECK(other.bar.value == doctest::Approx(2.5 * one.bar.value));
    CHECK(other.crooks.std_error == doctest::Approx(2.5 * one.crooks.std_error));
    CHECK(other.overlap == doctest::Approx(one.overlap));
}

TEST_CASE("work: densities that do not overlap are told") {
    const WorkResult far = dragged(200, 9, 0, 60);
    CHECK(far.overlap < 0.03);
    CHECK(far.bar.std_error > 0.5);
    CHECK(far.forward.effective < 10);
    const WorkResult same = dragged(2000, 9, 0, 1e-4);
    CHECK(same.overlap == doctest::Approx(1).epsilon(1e-3));
}

TEST_CASE("work: a centre goes along a path at a constant pace") {
    SteeredOptions o;
    o.path = {{0, 0}, {1, 0}, {1, 1}};
    o.stiffness = {1, 4};  // the second part is twice as long
    o.moves = 30;
    CHECK(steered_center(o, 0) == CvValue{0, 0});
    CHECK(steered_center(o, 5)[0] == doctest::Approx(0.5));
    CHECK(steered_center(o, 10) == CvValue{1, 0});
    CHECK(steered_center(o, 20)[1] == doctest::Approx(0.5));
    CHECK(steered_center(o, 30) == CvValue{1, 1});
}

TEST_CASE("work: of steering, with the bits of the CPU and of a run that was not stopped") {
    // V = 3/2 x², spring 8: F(c) = ½ c² kκ/(k + κ).
    const double k = 3, kappa = 8, beta = 1.5, to = 1.2;
    FormulaSystemText text;
    text.variables = {"x"};
    text.potential = "1.5*x^2";
    text.beta = beta;
    text.cv = {"x"};
    const auto system = std::make_shared<const FormulaSystem>(make_formula_system(text));
    PathSetup path;
    path.dt = 2e-3;
    path.beta = beta;
    path.portable_math = true;
    const auto pulled = [&](const Device& device, index walkers, index steps, bool interrupted) {
        Stream stream(device);
        BiasSetup setup;
        setup.trajectories = 2 * walkers;
        SteeredOptions options;
        options.path = {{0, 0}, {to, 0}};
        options.stiffness = {kappa, 0};
        options.move = 2, options.moves = steps / 2, options.stride = 10, options.kt = 1 / beta;
        setup.options = options;
        auto method = std::make_unique<Steered>(stream, setup);
        Ensemble ensemble(stream, make_formula_path_kernel(system, path), 2 * walkers, 7, kStreamNoise);
        std::vector<float> start;
        for (const double z : normals(2 * walkers, 5, 0, 1 / std::sqrt(beta * (k + kappa))))
            start.push_back(static_cast<float>(
                z + (std::ssize(start) < walkers ? 0 : to * kappa / (k + kappa))));
        copy_to_device(stream, ensemble.x(), start.data());
        method->begin(ensemble);
        while (!method->done()) {
            method->step(ensemble, Span<const float>(ensemble.x()));
            ensemble.advance(static_cast<uint64>(method->period()));
            if (!interrupted || method->moved() != options.moves / 2) continue;
            Store kept;
            method->save(stream, kept);
            method = std::make_unique<Steered>(stream, setup);
            method->load(stream, kept);
            method->begin(ensemble);
        }
        return method->path();
    };
    const PulledPath one = pulled(Device::cpu(1), 40, 80, false);
    for (const Device& device : test_devices())
        for (const bool interrupted : {false, true}) {
            const PulledPath other = pulled(device, 40, 80, interrupted);
            CHECK(one.total == other.total);
            CHECK(one.work == other.work);
            CHECK(one.xi == other.xi);
        }
    for (const Device& device : quick_devices()) {
        const PulledPath far = pulled(device, 10000, 400, false);
        const std::span<const double> work(far.total);
        const WorkResult r = evaluate_work(work.subspan(0, 10000), work.subspan(10000), 1 / beta);
        const double exact = 0.5 * to * to * k * kappa / (k + kappa);
        CHECK(std::fabs(r.bar.value - exact) < 4 * r.bar.std_error);
        CHECK(std::fabs(r.crooks.value - exact) < 4 * r.crooks.std_error);
        CHECK(r.forward.dissipated > 0.3);
        // On the way: F with the bias at every frame.
        const PathProfile profile = path_profile(far, {{{0, 0}}, {0.1, 0}, true});
        for (std::size_t f = 1; f < profile.restrained.size(); ++f) {
            const double c = far.center[f][0];
            CHECK(std::fabs(profile.restrained[f] - 0.5 * c * c * k * kappa / (k + kappa)) <
                  4.5 * profile.restrained_error[f]);
        }
    }
}

}  // namespace microlift
