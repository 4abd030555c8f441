// Whole trajectories give the same bits at every lane width, for every system, integrator and bias.
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "kernels/dynamics/path.h"
#include "kernels/random/streams.h"
#include "kernels/dynamics/systems.h"
#include "tests/support/lanes.h"

namespace microlift {

namespace {

// Every array that a path writes.
struct PathResult {
    std::vector<float> x, v, sample_x, sample_xi;
    uint64 bad = 0;
};

template <int W, template <class, int> class Bias, class System, class Cv, class Integrator>
PathResult run_width(const System& system, const Cv& cv, const Integrator& integrator, index n) {
    constexpr int D = System::dim, K = Cv::n;
    constexpr index segments = 3;
    const auto size = [](index s) { return static_cast<std::size_t>(s); };
    PathResult r;
    r.x.resize(size(D * n)), r.v.resize(size(D * n));
    r.sample_x.resize(size(D * segments * n)), r.sample_xi.resize(size(K * segments * n));
    std::vector<float> center(size(K * n)), stiffness(size(K * n), 50.0f);
    for (index i = 0; i < n; ++i) {
        for (int d = 0; d < D; ++d) r.x[size(d * n + i)] = 0.3f + 0.01f * static_cast<float>(i + d);
        for (int k = 0; k < K; ++k) center[size(k * n + i)] = 0.02f * static_cast<float>(i) - 0.4f;
    }
    uint64 status[2] = {0, kStatusClear};
    PathArgs a{};
    a.trajectories = n, a.first_trajectory = 5, a.seed = 17, a.stream = kStreamNoise;
    a.first_step = 7, a.stride = 13, a.segments = segments;
    a.x = r.x.data(), a.v = r.v.data(), a.center = center.data(), a.stiffness = stiffness.data();
    a.sample_x = r.sample_x.data(), a.sample_xi = r.sample_xi.data(), a.sample_row = segments * n;
    a.status = status;
    const PathBody<System, Cv, Bias, Integrator, Portable> body{system, cv, integrator, a};
    using L = typename LaneOfWidth<float, W>::Type;
    index i = 0;
    for (; i + W <= n; i += W) body(L{}, i);
    for (; i < n; ++i) body(0.0f, i);
    r.bad = status[0];
    return r;
}

template <template <class, int> class Bias, class System, class Cv, class Integrator>
void check_widths(const std::string& name, const System& system, const Cv& cv,
                  const Integrator& integrator) {
    CAPTURE(name);
    const index n = 37;  // packs and a tail
    const PathResult one = run_width<1, Bias>(system, cv, integrator, n);
    CHECK(one.bad == 0);
    const auto same = [&](const PathResult& other) {
        return same_bits(other.x, one.x) && same_bits(other.v, one.v) &&
               same_bits(other.sample_x, one.sample_x) && same_bits(other.sample_xi, one.sample_xi);
    };
    CHECK(same(run_width<4, Bias>(system, cv, integrator, n)));
    CHECK(same(run_width<8, Bias>(system, cv, integrator, n)));
    CHECK(same(run_width<16, Bias>(system, cv, integrator, n)));
    // The trajectories did move, and differ from each other.
    CHECK(one.x[0] != 0.3f);
    CHECK(one.x[0] != one.x[1]);
}

template <class System>
System with_temperature(System system, float beta) {
    system.sigma = std::sqrt(2.0f / beta);
    return system;
}

constexpr EulerMaruyama kEuler{0.001f, 0.0316227766f};
constexpr LeimkuhlerMatthews kLeimkuhler{0.001f, 0.0316227766f};
constexpr Baoab kBaoab{0.0005f, 0.0005f, 0.999f, 0.0447f};

template <class System>
void check_schemes(const std::string& name, const System& system) {
    constexpr int D = System::dim;
    check_widths<HarmonicBias>(name + ", Euler-Maruyama", system, CoordinateCv<0, D>{}, kEuler);
    check_widths<HarmonicBias>(name + ", Leimkuhler-Matthews", system, CoordinateCv<0, D>{},
                               kLeimkuhler);
    check_widths<HarmonicBias>(name + ", BAOAB", system, CoordinateCv<0, D>{}, kBaoab);
}

}  // namespace

TEST_CASE("path: widths 1, 4, 8, 16 give the same bits, one-dimensional systems") {
    DoubleWell system{};
    system.height = 2.5f;
    check_schemes("double_well", with_temperature(system, 1.0f));
}

TEST_CASE("path: widths 1, 4, 8, 16 give the same bits, Muller-Brown") {
    check_schemes("muller_brown", with_temperature(MullerBrown{}, 0.0667f));
}

TEST_CASE("path: widths 1, 4, 8, 16 give the same bits, hidden barrier and channel") {
    check_schemes("hidden_barrier", with_temperature(HiddenBarrier{}, 1.0f));
    Channel channel{};
    channel.k = 20.0f;
    check_widths<HarmonicBias>("channel", with_temperature(channel, 3.0f), CoordinateCv<1, 2>{},
                               kEuler);
}

TEST_CASE("path: widths 1, 4, 8, 16 give the same bits, no gradient system") {
    const FastSlow system{1e-3f, 1e-3f, 0.1f, 0.1f};
    check_widths<HarmonicBias>("fast_slow", system, CoordinateCv<0, 2>{}, kEuler);
    const PulledLinearCv<1, 2> projection{{{{0.8f, -0.6f}}, {0.1f}}, {{1.1f, -0.2f}}};
    check_widths<HarmonicBias>("fast_slow, pulled", system, projection, kEuler);
    check_widths<LevelSetConstraint>("fast_slow, held", system, projection, kEuler);
}

TEST_CASE("path: widths 1, 4, 8, 16 give the same bits, projections and level sets") {
    Channel channel{};
    channel.k = 20.0f;
    channel = with_temperature(channel, 3.0f);
    const LinearCv<1, 2> projection{{{0.8f, -0.6f}}, {0.1f}};
    const LinearCv<2, 2> both{{{0.8f, -0.6f}, {0.2f, 1.0f}}, {0.1f, 0.0f}};
    check_widths<HarmonicBias>("one projection", channel, projection, kLeimkuhler);
    check_widths<HarmonicBias>("two projections", channel, both, kLeimkuhler);
    check_widths<LevelSetConstraint>("one level set", channel, projection, kLeimkuhler);
    check_widths<LevelSetConstraint>("two level sets", channel, both, kEuler);
}

}  // namespace microlift
