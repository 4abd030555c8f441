// Seven rounds of Philox instead of ten: the same tests of the numbers, and what a trajectory makes of them.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/error.h"
#include "kernels/dynamics/path.h"
#include "kernels/random/streams.h"
#include "kernels/dynamics/systems.h"
#include "sampling/dynamics/ensemble.h"
#include "sampling/model/model.h"
#include "sampling/run/config/run_config.h"
#include "tests/support/devices.h"
#include "tests/support/laws.h"

namespace microlift {
namespace {

using Wide = NativeLane;
constexpr index kTrajectories = 4096;
constexpr uint64 kBlocks = 256;

// Words, or normals, of a stream: [4 · block + k][trajectory].
std::vector<uint32> words(uint64 seed) {
    std::vector<uint32> out(static_cast<std::size_t>(kTrajectories) * kBlocks * 4);
    for (index i = 0; i < kTrajectories; i += kNativeWidth) {
        const PhiloxStream<Wide, kPhiloxFewRounds> rng(seed, kStreamTest, i);
        for (uint64 b = 0; b < kBlocks; ++b) {
            Uint<Wide> u[4];
            rng.draw(b, u);
            for (int k = 0; k < 4; ++k)
                for (int j = 0; j < kNativeWidth; ++j)
                    out[(4 * b + static_cast<uint64>(k)) * kTrajectories +
                        static_cast<std::size_t>(i + j)] = get_lane(u[k], j);
        }
    }
    return out;
}

std::vector<float> normals(uint64 seed) {
    std::vector<float> out(static_cast<std::size_t>(kTrajectories) * kBlocks * 4);
    for (index i = 0; i < kTrajectories; i += kNativeWidth) {
        const PhiloxStream<Wide, kPhiloxFewRounds> rng(seed, kStreamTest, i);
        for (uint64 b = 0; b < kBlocks; ++b) {
            Wide z[4];
            normal_block<Portable>(rng, b, z);
            for (int k = 0; k < 4; ++k)
                store(out.data(),
                      static_cast<index>(4 * b + static_cast<uint64>(k)) * kTrajectories + i, z[k]);
        }
    }
    return out;
}

double chi_square(const std::vector<uint64>& counts, double expected) {
    double sum = 0;
    for (const uint64 c : counts) {
        const double d = static_cast<double>(c) - expected;
        sum += d * d / expected;
    }
    return sum;
}

RunConfig config(const std::string& system, int rounds, const std::string& scheme,
                 const std::string& cv = "x") {
    return parse_run_config("[system]\n" + system + "\n[cv]\nvariables = [\"" + cv +
                                "\"]\n[integrator]\nscheme = \"" + scheme +
                                "\"\ndt = 1e-3\nphilox_rounds = " + std::to_string(rounds) +
                                "\n[umbrella]\nfrom = -1.0\nto = 1.0\nwindows = 2\nstiffness = 1.0\n"
                                "replicas = 1\nsteps = 10\nstride = 1\n",
                            "test.toml");
}

std::vector<float> end_state(const Device& device, const RunConfig& run, index n, uint64 steps) {
    const Model model(run);
    Stream stream(device);
    Ensemble ensemble(stream, model.path_kernel(model.path_setup(run.integrator)), n, 5, kStreamNoise);
    ensemble.advance(steps);
    std::vector<float> x = ensemble.save_state();
    x.resize(static_cast<std::size_t>(n * model.dim()));
    return x;
}

}  // namespace

TEST_CASE("seven rounds: every byte of every word is uniform, alone and beside its neighbours") {
    const std::vector<uint32> u = words(9);
    const double n = static_cast<double>(u.size());
    // χ² of 256 cells has 255 degrees of freedom, standard deviation √510; of 65536 cells likewise.
    const double limit = 255 + 5 * std::sqrt(510.0);
    for (int byte = 0; byte < 4; ++byte) {
        CAPTURE(byte);
        std::vector<uint64> one(256), next_trajectory(65536), next_word(65536);
        for (std::size_t i = 0; i < u.size(); ++i) {
            const uint32 a = u[i] >> (8 * byte) & 255;
            ++one[a];
            if (i % kTrajectories + 1 < kTrajectories)
                ++next_trajectory[a << 8 | (u[i + 1] >> (8 * byte) & 255)];
            if (i + kTrajectories < u.size())
                ++next_word[a << 8 | (u[i + kTrajectories] >> (8 * byte) & 255)];
        }
        CHECK(chi_square(one, n / 256) <= limit);
        const double pair_limit = 65535 + 5 * std::sqrt(2 * 65535.0);
        const double k = static_cast<double>(kTrajectories);
        CHECK(chi_square(next_trajectory, n * (k - 1) / k / 65536) <= pair_limit);
        CHECK(chi_square(next_word, (n - k) / 65536) <= pair_limit);
    }
}

TEST_CASE("seven rounds: moments of the normals, and no correlation of neighbours and steps") {
    const std::vector<float> z = normals(4);
    check_normal_moments(z);
    const double n = static_cast<double>(z.size());
    // Next trajectory, next pack; within a block, the next blocks. Of the numbers and of their squares.
    for (const index by : {index{1}, index{16}, kTrajectories, 2 * kTrajectories, 3 * kTrajectories,
                           4 * kTrajectories, 8 * kTrajectories}) {
        CAPTURE(by);
        double linear = 0, squares = 0;
        const std::size_t shift = static_cast<std::size_t>(by);
        for (std::size_t i = 0; i + shift < z.size(); ++i) {
            const double a = z[i], b = z[i + shift];
            linear += a * b;
            squares += (a * a - 1) * (b * b - 1) / 2;
        }
        CHECK(std::fabs(linear) <= 5 * std::sqrt(n));
        CHECK(std::fabs(squares) <= 5 * std::sqrt(n));
    }
}

TEST_CASE("seven rounds: a harmonic well has its variance") {
    // The channel's y around x held at 0 by a stiff umbrella would do; a fast_slow x2 is exact: with
    // Leimkuhler–Matthews its variance is a4²/2a3 = 0.05 at every step size.
    const RunConfig run = config("name = \"fast_slow\"", 7, "leimkuhler_matthews", "x1");
    for (const Device& device : test_devices()) {
        const Model model(run);
        Stream stream(device);
        IntegratorConfig slow = run.integrator;
        slow.dt = 0.25;
        Ensemble ensemble(stream, model.path_kernel(model.path_setup(slow)), 1 << 15, 3, kStreamNoise);
        double m1 = 0, m2 = 0, m4 = 0, n = 0;
        ensemble.advance(400);  // 10 relaxation times
        for (int sample = 0; sample < 10; ++sample) {
            ensemble.advance(160);  // 4 relaxation times: correlation e^-4, of squares e^-8
            const std::vector<float> x = ensemble.save_state();
            for (std::size_t i = std::size_t{1} << 15; i < std::size_t{2} << 15; ++i) {
                const double d = static_cast<double>(x[i]) - 1;
                m1 += d, m2 += d * d, m4 += d * d * d * d, n += 1;
            }
        }
        m1 /= n, m2 /= n, m4 /= n;
        // Correlation e^-4 between samples widens the error of the mean by (1 + e^-4)/(1 − e^-4).
        CHECK(std::fabs(m1) <= 4 * std::sqrt(1.04 * 0.05 / n));
        CHECK(std::fabs(m2 - 0.05) <= 4 * std::sqrt((m4 - m2 * m2) / n));
    }
}

TEST_CASE("seven rounds: built-in and formula take the same steps, other than ten rounds do") {
    const std::string formula =
        "variables = [\"x\", \"y\"]\nbeta = 3.0\npotential = \"(x^2 - 1)^2 + 5*(y - x)^2\"";
    for (const Device& device : test_devices())
        for (const char* scheme : {"euler_maruyama", "leimkuhler_matthews"}) {
            CAPTURE(scheme);
            const auto seven = end_state(
                device, config("name = \"channel\"\nbeta = 3.0", 7, scheme), 300, 20);
            const auto other = end_state(device, config(formula, 7, scheme), 300, 20);
            const auto ten = end_state(
                device, config("name = \"channel\"\nbeta = 3.0", 10, scheme), 300, 20);
            double worst = 0, apart = 0;
            for (std::size_t i = 0; i < seven.size(); ++i) {
                worst = std::max(worst, static_cast<double>(std::fabs(seven[i] - other[i])));
                apart = std::max(apart, static_cast<double>(std::fabs(seven[i] - ten[i])));
            }
            CHECK(worst < 2e-5);
            CHECK(apart > 0.1);
        }
}

TEST_CASE("seven rounds: what has no such kernel says so") {
    const auto refusal = [](const RunConfig& run) {
        const Model model(run);
        try {
            model.path_kernel(model.path_setup(run.integrator));
        } catch (const InputError& e) {
            return std::string(e.what());
        }
        return std::string();
    };
    const std::string channel = "name = \"channel\"\nbeta = 3.0";
    CHECK(refusal(config(channel, 7, "baoab")).find("integrator.philox_rounds") == 0);
    CHECK(refusal(config(channel, 7, "euler_maruyama", "y")).find("use 10") != std::string::npos);
    CHECK(refusal(config(channel, 10, "baoab")).empty());
    CHECK_THROWS_AS(config(channel, 8, "baoab"), InputError);
}

}  // namespace microlift
