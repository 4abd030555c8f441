// Every path kernel that is compiled ahead, on every device: systems, collective variables, schemes, umbrellas and
// holds, rounds of the generator. In portable mathematics the bits of the CPU; with the hardware's functions, whose
// noise is another, the same trajectories where there is no noise, and noise of the same size.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "sampling/dynamics/path_kernel.h"
#include "sampling/dynamics/systems.h"
#include "tests/support/devices.h"
#include "tests/support/ensemble_state.h"
#include "tests/support/laws.h"

namespace microlift {
namespace {

constexpr index n = 1037;  // whole packs and blocks, and a tail

struct Case {
    const SystemInfo* system;
    PathSetup setup;
    std::string name;
};

// Of fast_slow the second and the last parameter are amplitudes of noise.
std::vector<double> parameters(const SystemInfo& info, bool noisy) {
    std::vector<double> p;
    for (const ParameterInfo& each : info.parameters) p.push_back(each.value);
    if (!info.gradient() && !noisy) p[1] = p[3] = 0;
    return p;
}

PathSetup setup_of(const SystemInfo& info, const std::vector<std::vector<double>>& weights) {
    PathSetup s;
    s.dt = info.name.starts_with("muller_brown") ? 1e-4 : 1e-3;
    s.beta = info.gradient() ? info.beta : 1;
    s.cv_weight = weights;
    if (!info.gradient()) s.cv_pull = weights;
    return s;
}

std::vector<Case> all_cases() {
    std::vector<Case> cases;
    for (const SystemInfo& info : system_registry()) {
        if (!info.kernel) continue;
        std::vector<std::vector<std::vector<double>>> cvs{{{1}}, {{0.8}}};
        if (info.variables.size() == 2) cvs = {{{1, 0}}, {{0.8, 0.6}}, {{1, 0}, {0.6, 0.8}}};
        for (std::size_t c = 0; c < cvs.size(); ++c)
            for (const Scheme scheme :
                 {Scheme::euler_maruyama, Scheme::leimkuhler_matthews, Scheme::baoab}) {
                if (scheme == Scheme::baoab && !info.gradient()) continue;
                Case one{&info, setup_of(info, cvs[c]), info.name + ", cv " + std::to_string(c)};
                one.setup.scheme = scheme;
                cases.push_back(one);
                if (c == 0 && scheme != Scheme::baoab) {
                    one.setup.philox_rounds = kPhiloxFewRounds;
                    cases.push_back(one);
                }
                if (scheme != Scheme::leimkuhler_matthews) continue;
                one.setup.philox_rounds = kPhiloxRounds;
                one.setup.bias = BiasKind::level_set;
                cases.push_back(one);
            }
    }
    return cases;
}

enum class Noise { off, on };

// (dim, n)
std::vector<float> end_state(const Device& device, const Case& one, bool portable, Noise noise) {
    PathSetup setup = one.setup;
    setup.portable_math = portable;
    const bool noisy = noise == Noise::on;
    if (!noisy) setup.beta = 1e16;  // a step of the noise is below the rounding of a state
    Stream stream(device);
    const std::shared_ptr<const PathKernel> kernel =
        one.system->kernel(parameters(*one.system, noisy), setup);
    const std::vector<double>& start = one.system->initial;
    std::vector<float> x, center, stiffness;
    for (const double value : start)
        for (index t = 0; t < n; ++t)
            x.push_back(static_cast<float>(value + 1e-4 * static_cast<double>(t)));
    for (std::size_t k = 0; k < setup.cv_weight.size(); ++k)
        for (index t = 0; t < n; ++t) {
            double xi = 0.02;  // beside where it starts
            for (std::size_t d = 0; d < start.size(); ++d) xi += setup.cv_weight[k][d] * start[d];
            center.push_back(static_cast<float>(xi));
            stiffness.push_back(setup.held() ? 0.0f : static_cast<float>(t % 7));
        }
    std::vector<float> state = advanced_state(stream, kernel, n, x, center, stiffness);
    state.resize(x.size());
    return state;
}

// Samples of a launch that begins inside a block of normals, and the status; the last trajectory is lost.
struct Sampled {
    std::vector<float> x, xi;
    std::vector<uint64> status;
};
Sampled sampled(const Device& device, const Case& one, bool portable) {
    constexpr index trajectories = 301, segments = 3, columns = trajectories * segments;
    PathSetup setup = one.setup;
    setup.portable_math = portable;
    Stream stream(device);
    const auto kernel = one.system->kernel(parameters(*one.system, true), setup);
    const index dim = kernel->dim(), cvs = kernel->n_cvs();
    std::vector<float> start, center;
    for (const double value : one.system->initial) {
        start.insert(start.end(), trajectories, static_cast<float>(value));
        start.back() = HUGE_VALF;
    }
    for (index k = 0; k < cvs; ++k) {
        double xi = 0;
        for (index d = 0; d < dim; ++d)
            xi += setup.cv_weight[static_cast<std::size_t>(k)][static_cast<std::size_t>(d)] *
                  one.system->initial[static_cast<std::size_t>(d)];
        center.insert(center.end(), trajectories, static_cast<float>(xi));
    }
    Buffer<float> x(device, dim * trajectories), v(device, dim * trajectories), c(device, cvs * trajectories),
        k(device, cvs * trajectories), sample_x(device, dim * columns), sample_xi(device, cvs * columns);
    Buffer<uint64> status(device, 2);
    const uint64 clear[2] = {0, kStatusClear};
    copy_to_device(stream, status.span(), clear);
    copy_to_device(stream, x.span(), start.data());
    copy_to_device(stream, c.span(), center.data());
    PathArgs a{};
    a.trajectories = trajectories, a.seed = 5, a.stream = kStreamNoise;
    a.first_step = 1, a.stride = 6, a.segments = segments;
    a.x = x.data(), a.v = v.data(), a.center = c.data(), a.stiffness = k.data();
    a.sample_x = sample_x.data(), a.sample_xi = sample_xi.data(), a.sample_row = columns;
    a.status = status.data();
    kernel->launch(stream, a);
    return {to_host(stream, sample_x.span()), to_host(stream, sample_xi.span()),
            to_host(stream, status.span())};
}

// Of every number the bits; what is no number has none of its own.
bool same_numbers(const std::vector<float>& a, const std::vector<float>& b) {
    for (std::size_t i = 0; i < a.size(); ++i)
        if (!(std::isnan(a[i]) && std::isnan(b[i])) && as_uint(a[i]) != as_uint(b[i])) return false;
    return a.size() == b.size();
}

// Squared displacements by the noise, of each trajectory.
Mean displacements(const std::vector<float>& with, const std::vector<float>& without) {
    Mean mean;
    for (std::size_t t = 0; t < n; ++t) {
        double sum = 0;
        for (std::size_t i = t; i < with.size(); i += n)
            sum += std::pow(static_cast<double>(with[i]) - static_cast<double>(without[i]), 2);
        mean.add(sum);
    }
    return mean;
}

}  // namespace

TEST_CASE("compiled paths: every one, in portable mathematics and in the hardware's") {
    const std::vector<Case> cases = all_cases();
    CHECK(cases.size() >= 60);
    for (const Case& one : cases) {
        CAPTURE(one.name);
        CAPTURE(static_cast<int>(one.setup.scheme));
        CAPTURE(one.setup.philox_rounds);
        CAPTURE(one.setup.held());
        const Device& cpu = test_devices()[0];
        const std::vector<float> expected = end_state(cpu, one, true, Noise::on);
        const std::vector<float> still = end_state(cpu, one, true, Noise::off);
        const Mean by_noise = displacements(expected, still);
        for (std::size_t m = 1; m < test_devices().size(); ++m) {
            const Device& device = test_devices()[m];
            const std::vector<float> found = end_state(device, one, true, Noise::on);
            REQUIRE(found.size() == expected.size());
            CHECK(std::memcmp(found.data(), expected.data(), found.size() * sizeof(float)) == 0);
            const Sampled samples = sampled(cpu, one, true), on_device = sampled(device, one, true);
            CHECK(same_numbers(samples.x, on_device.x));
            CHECK(same_numbers(samples.xi, on_device.xi));
            // A lone variable that is held is where it is held, wherever it began.
            const bool nothing_free =
                one.setup.held() && one.system->initial.size() == 1 && one.setup.cv_weight[0][0] == 1;
            CHECK((samples.status[0] > 0) != nothing_free);
            CHECK(samples.status == on_device.status);
            CHECK(sampled(device, one, false).status == samples.status);
            const std::vector<float> fast_still = end_state(device, one, false, Noise::off);
            double worst = 0;
            for (std::size_t i = 0; i < still.size(); ++i)
                worst = std::max(worst, static_cast<double>(std::fabs(fast_still[i] - still[i])));
            CHECK(worst < 2e-5);  // a hundred steps of single precision
            // Five standard errors; a state that is held in all directions does not move.
            const Mean fast = displacements(end_state(device, one, false, Noise::on), fast_still);
            CAPTURE(fast.value());
            CAPTURE(by_noise.value());
            CHECK(std::fabs(fast.value() - by_noise.value()) <=
                  5 * std::hypot(fast.error(), by_noise.error()) + 1e-9);
        }
    }
}

}  // namespace microlift
