// What the errors of a free energy take in besides noise: the choice of the minimum, and windows that
// umbrella integration takes for Gaussian.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <random>
#include <vector>

#include "engine/at.h"
#include "sampling/estimate/free_energy.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

// Over many profiles, the mean of z² over all bins but the minimum, once with the errors of finish() and
// once with noise alone. So many neighbouring bins share each part of the noise.
struct Squares {
    double counted = 0, noise_alone = 0;
};
Squares squares_of_profiles(const std::function<double(double)>& energy, index shared = 1) {
    constexpr index kBins = 40, kBlocks = 32;
    constexpr int kProfiles = 300;
    constexpr double kNoise = 0.1;
    std::mt19937_64 random(11);
    std::normal_distribution<double> normal;
    const auto noise = [&](double size) {
        std::vector<double> parts, out;
        for (index b = 0; b < kBins + shared - 1; ++b)
            parts.push_back(size / std::sqrt(static_cast<double>(shared)) * normal(random));
        for (index b = 0; b < kBins; ++b)
            out.push_back(std::accumulate(parts.begin() + b, parts.begin() + b + shared, 0.0));
        return out;
    };
    Squares out;
    for (int i = 0; i < kProfiles; ++i) {
        FreeEnergyProfile p;
        p.grid.bins = {kBins, 1};
        p.blocks = kBlocks;
        std::vector<double> exact;
        p.free_energy = noise(kNoise);
        for (index b = 0; b < kBins; ++b) {
            exact.push_back(energy(static_cast<double>(b) - 0.5 * static_cast<double>(kBins - 1)));
            p.free_energy[at(b)] += exact.back();
        }
        for (index g = 0; g < kBlocks; ++g)
            for (const double part : noise(kNoise / std::sqrt(static_cast<double>(kBlocks))))
                p.influence.push_back(part);
        p.finish();
        const index m = p.minimum_bin;
        for (index b = 0; b < kBins; ++b) {
            if (b == m) continue;
            const double off = p.free_energy[at(b)] - (exact[at(b)] - exact[at(m)]);
            const double all = static_cast<double>(kProfiles * (kBins - 1));
            out.counted += off * off / (p.std_error[at(b)] * p.std_error[at(b)]) / all;
            // Of a bin and the minimum, less what they share.
            const double apart = static_cast<double>(std::min(std::abs(b - m), shared)) /
                                 static_cast<double>(shared);
            out.noise_alone += off * off / (2 * kNoise * kNoise * apart) / all;
        }
    }
    return out;
}

// A dip of 1.5 kT, narrower than the windows beside it; independent samples.
struct Dip {
    static double energy(double x) { return -1.5 * std::exp(-100 * x * x); }
    BiasWindows windows;
    SampleBlock run;
    std::vector<float> xi;

    explicit Dip(uint64 seed) {
        constexpr index kWindows = 9, kReplicas = 32, kSamples = 150;
        run = {0, 0, kWindows, kReplicas, kSamples};
        windows.beta = {1, 1};
        std::mt19937_64 random(seed);
        std::uniform_real_distribution<double> uniform;
        xi.resize(at(run.size()));
        for (index w = 0; w < kWindows; ++w) {
            const double centre = -1 + 0.25 * static_cast<double>(w);
            windows.center.push_back({centre, 0});
            windows.stiffness.push_back({30.0, 0});
            std::vector<double> sum{0};
            const double low = centre - 1.2, h = 2.4 / 4000;
            for (int i = 0; i < 4000; ++i) {
                const double x = low + (i + 0.5) * h;
                sum.push_back(sum.back() +
                              std::exp(-energy(x) - 15 * (x - centre) * (x - centre)));
            }
            for (index r = 0; r < kReplicas; ++r)
                for (index s = 0; s < kSamples; ++s) {
                    const double u = uniform(random) * sum.back();
                    const auto above = std::upper_bound(sum.begin(), sum.end(), u);
                    const auto i = above - sum.begin() - 1;
                    xi[at(s * run.trajectories() + w * kReplicas + r)] = static_cast<float>(
                        low + h * (static_cast<double>(i) + (u - sum[static_cast<std::size_t>(i)]) /
                                                                (*above - *(above - 1))));
                }
        }
    }
    FreeEnergyResult estimate() const {
        Stream stream(Device::cpu(1));
        Buffer<float> values(stream.device(), static_cast<index>(xi.size()));
        copy_to_device(stream, values.span(), xi.data());
        BiasedSamples samples;
        samples.xi = values.span();
        samples.row = samples.n = run.size();
        samples.blocks = {run};
        Grid grid;
        grid.from = {-1, 0};
        grid.to = {1, 0};
        grid.bins = {40, 1};
        EstimateOptions options;
        options.method = "umbrella_integration";
        return estimate_free_energy(stream, samples, windows, grid, options);
    }
};

}  // namespace

// Values of one profile share the noise of its minimum: the mean of z² over 300 has a standard error of
// about sqrt(2/300) = 0.08; 31/29 is that of Student's t.
TEST_CASE("the minimum is a bin that noise chose, and errors count it") {
    const auto well = [](double stiffness) {
        return [stiffness](double x) { return 0.5 * stiffness * x * x; };
    };
    const Squares level = squares_of_profiles(well(0));
    CHECK(level.noise_alone > 2);
    CHECK(level.counted == doctest::Approx(1).epsilon(0.25));
    const Squares round = squares_of_profiles(well(0.005));
    CHECK(round.noise_alone > 1.4);
    CHECK(round.counted == doctest::Approx(1).epsilon(0.25));
    // One bin far below all others: no choice.
    const Squares steep = squares_of_profiles(well(4));
    CHECK(steep.counted == doctest::Approx(steep.noise_alone).epsilon(0.15));
    // Two wells whose bins share noise: which well it is does little to the errors of all others.
    const Squares two = squares_of_profiles(
        [](double x) { return 2 * std::pow(std::pow(x / 12, 2) - 1, 2); }, 8);
    CHECK(two.noise_alone == doctest::Approx(1).epsilon(0.25));
    CHECK(two.counted == doctest::Approx(1).epsilon(0.25));
}

TEST_CASE("umbrella integration: errors count windows that are not Gaussian") {
    constexpr int kSeeds = 20;
    double squares = 0, without = 0, most = 0, windows = 0, values = 0, of_windows = 0;
    for (uint64 seed = 1; seed <= kSeeds; ++seed) {
        const Dip dip(seed);
        const FreeEnergyResult r = dip.estimate();
        const FreeEnergyProfile& p = r.profile;
        const double least = Dip::energy(p.grid.centre(0, p.minimum_bin));
        for (index b = 0; b < p.grid.bins[0]; ++b) {
            if (b == p.minimum_bin) continue;
            const double off =
                p.free_energy[at(b)] - (Dip::energy(p.grid.centre(0, b)) - least);
            const double z = off / p.std_error[at(b)];
            const double moved = p.bias[at(b)] - p.bias[at(p.minimum_bin)];
            squares += z * z;
            without += off * off / (p.std_error[at(b)] * p.std_error[at(b)] - moved * moved);
            most = std::max(most, std::fabs(z));
            values += 1;
        }
        // Both outermost windows see next to nothing of the dip: equal free energies.
        const double z = r.window_f[8] / r.window_f_error[8];
        windows += z * z;
        of_windows += 1;
    }
    CAPTURE(squares / values);
    CAPTURE(without / values);
    // 20 runs, whose values go together: sqrt(2/20) = 0.3.
    CHECK(without / values > 3);
    CHECK(squares / values < 1.4);
    CHECK(squares / values > 0.5);
    CHECK(most < 5);
    CHECK(windows / of_windows < 1 + 3.5 * std::sqrt(2.0 / kSeeds));
}

}  // namespace microlift
