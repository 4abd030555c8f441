// The random numbers: published vectors, the folded rounds against the general form, moments and
// tails of the normals, independence, and that a run cut into launches draws what one launch draws.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "kernels/dynamics/path.h"
#include "kernels/random/streams.h"
#include "tests/support/laws.h"
#include "tests/support/lanes.h"

namespace microlift {

namespace {

using Words = std::array<uint32, 4>;

template <int Rounds>
Words philox(Words counter, uint32 k0, uint32 k1) {
    uint32 c[4] = {counter[0], counter[1], counter[2], counter[3]};
    philox4x32<Rounds>(c, PhiloxKey{k0, k1});
    return {c[0], c[1], c[2], c[3]};
}

constexpr uint32 kOnes = 0xffffffffu;

// Compares draw() of a lane type with the general form, lane by lane.
template <class L>
bool draws_match(uint64 seed, uint32 stream, index first, uint64 block) {
    const PhiloxStream<L> rng(seed, stream, first);
    Uint<L> u[4];
    rng.draw(block, u);
    for (int j = 0; j < kWidth<L>; ++j) {
        const uint64 i = static_cast<uint64>(first + j);
        const Words expected =
            philox<10>({static_cast<uint32>(i), stream ^ static_cast<uint32>(i >> 32) << 8,
                        static_cast<uint32>(block), static_cast<uint32>(block >> 32)},
                       static_cast<uint32>(seed), static_cast<uint32>(seed >> 32));
        for (int w = 0; w < 4; ++w)
            if (as_uint(get_lane(as_float(u[w]), j)) != expected[static_cast<std::size_t>(w)])
                return false;
    }
    return true;
}

using Wide = Pack<float, 16>;

// n normals of one (seed, stream): trajectories × blocks of four.
std::vector<float> normals(uint64 seed, uint32 stream, index trajectories, uint64 blocks,
                           uint64 first_block = 0) {
    std::vector<float> z(static_cast<std::size_t>(trajectories) * blocks * 4);
    for (index i = 0; i < trajectories; i += 16) {
        const PhiloxStream<Wide> rng(seed, stream, i);
        for (uint64 b = 0; b < blocks; ++b) {
            Wide four[4];
            normal_block<Portable>(rng, first_block + b, four);
            for (int k = 0; k < 4; ++k)
                store(z.data(),
                      static_cast<index>(4 * b + static_cast<uint64>(k)) * trajectories + i,
                      four[k]);
        }
    }
    return z;
}

double correlation(const std::vector<float>& a, const std::vector<float>& b) {
    double sum = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += double(a[i]) * b[i];
    return sum / static_cast<double>(a.size());
}

// dx = z: the sums of the noise itself.
template <int D>
struct NoiseOnly {
    static constexpr int dim = D, n_observed = 0;
    static constexpr bool gradient = false;
    template <class M, class L>
    LANE_FN void force(const L (&)[D], L (&f)[D]) const {
        for (int d = 0; d < D; ++d) f[d] = broadcast<L>(0.0f);
    }
    template <class L>
    LANE_FN void add_noise(const L (&)[D], const L (&z)[D], float s, L (&f)[D]) const {
        for (int d = 0; d < D; ++d) f[d] = fma(broadcast<L>(s), z[d], f[d]);
    }
};

template <int D, class Integrator>
struct NoiseRun {
    static constexpr index n = 16;
    std::vector<float> x = std::vector<float>(n * D), center = std::vector<float>(n),
                       stiffness = std::vector<float>(n);
    uint64 status[2] = {0, kStatusClear};
    uint64 step = 0;

    void launch(uint64 stride, index segments) {
        PathArgs a{};
        a.trajectories = n, a.seed = 77, a.stream = kStreamNoise, a.first_step = step;
        a.stride = stride, a.segments = segments, a.x = x.data();
        a.center = center.data(), a.stiffness = stiffness.data(), a.status = status;
        const PathBody<NoiseOnly<D>, CoordinateCv<0, D>, HarmonicBias, Integrator, Portable> body{
            {}, {}, Integrator{1.0f, 1.0f}, a};
        body(Wide{}, 0);
        step += stride * static_cast<uint64>(segments);
    }
};

template <int D, class Integrator>
void check_splitting() {
    CAPTURE(D);
    NoiseRun<D, Integrator> whole;
    whole.launch(210, 1);
    const std::vector<std::vector<std::pair<uint64, index>>> plans = {
        {{1, 210}},
        {{1, 1}, {3, 1}, {5, 1}, {7, 3}, {13, 1}, {2, 4}, {159, 1}},
        {{105, 2}},
        {{11, 7}, {133, 1}}};
    for (const auto& plan : plans) {
        NoiseRun<D, Integrator> pieces;
        for (const auto& [stride, segments] : plan) pieces.launch(stride, segments);
        REQUIRE(pieces.step == 210);
        CHECK(same_bits(pieces.x, whole.x));
    }
}

// Every normal of a trajectory is used once: steps × D numbers are the stream's first ones, in
// order.
template <int D>
void check_order() {
    CAPTURE(D);
    using Layout = NoiseLayout<D>;
    static_assert(Layout::steps * D == Layout::blocks * 4);
    const PhiloxStream<float> rng(5, kStreamTest, 3);
    index used = 0, wrong = 0;
    for (uint64 group = 0; group < 5; ++group) {
        float z[Layout::steps][D];
        noise_group<Portable, float, D>(rng, group, z);
        for (int s = 0; s < Layout::steps; ++s) {
            for (int d = 0; d < D; ++d, ++used) {
                float four[4];
                normal_block<Portable>(rng, static_cast<uint64>(used / 4), four);
                wrong += as_uint(four[used % 4]) != as_uint(z[s][d]);
            }
        }
    }
    CHECK(wrong == 0);
}

}  // namespace

// Random123, examples/kat_vectors.
TEST_CASE("philox: known answers of Random123") {
    CHECK(philox<7>({0, 0, 0, 0}, 0, 0) == Words{0x5f6fb709, 0x0d893f64, 0x4f121f81, 0x4f730a48});
    CHECK(philox<7>({kOnes, kOnes, kOnes, kOnes}, kOnes, kOnes) ==
          Words{0x5207ddc2, 0x45165e59, 0x4d8ee751, 0x8c52f662});
    CHECK(philox<7>({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0) ==
          Words{0x4dfccaba, 0x190a87f0, 0xc47362ba, 0xb6b5242a});
    CHECK(philox<10>({0, 0, 0, 0}, 0, 0) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    CHECK(philox<10>({kOnes, kOnes, kOnes, kOnes}, kOnes, kOnes) ==
          Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    CHECK(philox<10>({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0) ==
          Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("philox: the folded rounds equal the general form, high words included") {
    for (const uint64 seed : {0ull, 1ull, 0xa5a5a5a512345678ull})
        for (const uint32 stream : {1u, 13u})
            for (const index first : {0ll, 32ll, 0x7ffffff0ll, 0xfffffff0ll, 0x300000010ll})
                for (const uint64 block :
                     {0ull, 1ull, 0xffffffffull, 0x100000000ull, 0x123456789abull}) {
                    CAPTURE(first);
                    CAPTURE(block);
                    CHECK(draws_match<float>(seed, stream, first, block));
                    CHECK(draws_match<Pack<float, 4>>(seed, stream, first, block));
                    CHECK(draws_match<Pack<float, 8>>(seed, stream, first, block));
                    CHECK(draws_match<Pack<float, 16>>(seed, stream, first, block));
                }
}

TEST_CASE("philox: seven rounds of the stream equal seven of the general form") {
    const PhiloxStream<float, 7> rng(42, 3, 9);
    uint32 u[4];
    rng.draw(11, u);
    CHECK(Words{u[0], u[1], u[2], u[3]} == philox<7>({9, 3, 11, 0}, 42, 0));
}

TEST_CASE("philox: uniform numbers lie in (0, 1]") {
    CHECK(uniform_open<float>(0u) == 0x1p-32f);
    CHECK(uniform_open<float>(kOnes) == 1.0f);
    CHECK(uniform_open<float>(0x80000000u) == doctest::Approx(0.5).epsilon(1e-7));
    float z0, z1;
    box_muller<Portable>(kOnes, 12345u, z0, z1);  // radius 0
    CHECK(std::fabs(z0) + std::fabs(z1) <= 1e-6f);
    box_muller<Portable>(0u, 12345u, z0, z1);  // the largest radius: sqrt(64 ln 2)
    CHECK(std::hypot(z0, z1) == doctest::Approx(std::sqrt(64 * std::log(2.0))).epsilon(1e-6));
}

TEST_CASE("normals: moments, tails and Kolmogorov-Smirnov distance") {
    std::vector<float> z = normals(20240601, kStreamTest, 4096, 256);
    const double n = static_cast<double>(z.size());
    REQUIRE(n == 4194304);
    check_normal_moments(z);
    std::sort(z.begin(), z.end());
    for (const double t : {1.0, 2.0, 3.0, 4.0, 4.75}) {
        CAPTURE(t);
        const double p = normal_cdf(-t);
        const double above = static_cast<double>(
            z.end() - std::upper_bound(z.begin(), z.end(), static_cast<float>(t)));
        const double below = static_cast<double>(
            std::lower_bound(z.begin(), z.end(), static_cast<float>(-t)) - z.begin());
        const double deviation = std::sqrt(n * p * (1 - p));
        CHECK(std::fabs(above - n * p) <= 4 * deviation);
        CHECK(std::fabs(below - n * p) <= 4 * deviation);
    }
    double distance = 0.0;
    for (std::size_t i = 0; i < z.size(); ++i) {
        const double cdf = normal_cdf(static_cast<double>(z[i]));
        distance = std::max({distance, std::fabs(cdf - static_cast<double>(i) / n),
                             std::fabs(cdf - static_cast<double>(i + 1) / n)});
    }
    CHECK(distance * std::sqrt(n) <= 1.95);  // exceeded with probability 1e-3
}

TEST_CASE("normals: streams, seeds, trajectories, steps and the four of a block are uncorrelated") {
    const index trajectories = 1024;
    const std::vector<float> z = normals(3, kStreamNoise, trajectories, 256);
    const double limit = 5 / std::sqrt(static_cast<double>(z.size()));
    const auto shifted = [&](std::size_t by) {
        std::vector<float> y = z;
        std::rotate(y.begin(), y.begin() + static_cast<std::ptrdiff_t>(by), y.end());
        return y;
    };
    CHECK(std::fabs(correlation(z, normals(3, kStreamTest, trajectories, 256))) <= limit);
    CHECK(std::fabs(correlation(z, normals(4, kStreamNoise, trajectories, 256))) <= limit);
    CHECK(std::fabs(correlation(z, normals(3ull << 32, kStreamNoise, trajectories, 256))) <= limit);
    CHECK(std::fabs(correlation(z, shifted(1))) <= limit);   // next trajectory
    CHECK(std::fabs(correlation(z, shifted(16))) <= limit);  // next pack
    for (std::size_t k = 1; k <= 8; ++k) {                   // within a block, and next blocks
        CAPTURE(k);
        CHECK(std::fabs(correlation(z, shifted(k * trajectories))) <= limit);
    }
    // Squares too: dependence without correlation would show here.
    std::vector<float> squares = z;
    for (float& v : squares) v = (v * v - 1) / std::sqrt(2.0f);
    std::vector<float> next = squares;
    for (std::size_t k = 1; k <= 4; ++k) {
        std::rotate(next.begin(), next.begin() + trajectories, next.end());
        CHECK(std::fabs(correlation(squares, next)) <= limit);
    }
    CHECK(correlation(z, z) == doctest::Approx(1.0).epsilon(0.02));
}

TEST_CASE("normals: a path uses every number of its stream once and in order, dimensions 1 to 8") {
    check_order<1>();
    check_order<2>();
    check_order<3>();
    check_order<4>();
    check_order<5>();
    check_order<6>();
    check_order<7>();
    check_order<8>();
}

TEST_CASE("path: launches of odd lengths give the bits of one launch, dimensions 1 to 8") {
    check_splitting<1, EulerMaruyama>();
    check_splitting<2, EulerMaruyama>();
    check_splitting<3, EulerMaruyama>();
    check_splitting<4, EulerMaruyama>();
    check_splitting<5, EulerMaruyama>();
    check_splitting<6, EulerMaruyama>();
    check_splitting<7, EulerMaruyama>();
    check_splitting<8, EulerMaruyama>();
    check_splitting<1, LeimkuhlerMatthews>();
    check_splitting<2, LeimkuhlerMatthews>();
    check_splitting<3, LeimkuhlerMatthews>();
    check_splitting<4, LeimkuhlerMatthews>();
    check_splitting<7, LeimkuhlerMatthews>();
    check_splitting<8, LeimkuhlerMatthews>();
}

}  // namespace microlift
