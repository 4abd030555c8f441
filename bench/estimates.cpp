// Samples a second through the free-energy estimate.
#include <algorithm>
#include <cmath>

#include "bench/harness.h"
#include "engine/at.h"
#include "engine/error.h"
#include "engine/files/files.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "sampling/estimate/free_energy.h"

namespace microlift {

// Windows k/2 (x − c)² on N(0, 1): each is N(kc/(1+k), 1/(1+k)), f_w = k c_w²/(2(1+k)) + const.
BenchResult bench_estimate(Stream& stream, const BenchSettings& settings) {
    constexpr double kStiffness = 40, kReach = 3;
    const index windows = settings.count("windows", 50), samples = settings.count("samples", 20000);
    const Repeats repeats(settings);
    const std::string save = settings.text("save");
    const index total = windows * samples;
    BiasWindows bias;
    bias.beta = {1, 1};
    for (index w = 0; w < windows; ++w) {
        const double c = kReach * (2 * static_cast<double>(w) / static_cast<double>(windows - 1) - 1);
        bias.center.push_back({c, 0});
        bias.stiffness.push_back({kStiffness, 0});
    }
    // One long trajectory a window would leave no blocks for the errors: as many as divide.
    index replicas = 200;
    while (samples % replicas != 0) --replicas;
    const index row = windows * replicas;
    const double deviation = 1 / std::sqrt(1 + kStiffness);
    std::vector<float> host(at(total));
    for (index t = 0; t < row; ++t) {
        const double c = bias.center[at(t / replicas)][0];
        const PhiloxStream<float> rng(kSeed, kStreamTest, t);
        for (index s = 0; s < samples / replicas; ++s) {
            float z[4];
            normal_block<Portable>(rng, static_cast<uint64>(s), z);
            host[at(s * row + t)] = static_cast<float>(
                kStiffness * c / (1 + kStiffness) + deviation * static_cast<double>(z[0]));
        }
    }
    Buffer<float> xi(stream.device(), total);
    copy_to_device(stream, xi.span(), host.data());
    BiasedSamples biased;
    biased.xi = xi.span();
    biased.row = biased.n = total;
    biased.blocks = {{0, 0, windows, replicas, samples / replicas}};
    Grid grid;
    grid.from[0] = -kReach;
    grid.to[0] = kReach;
    grid.bins[0] = 120;

    BenchResult result;
    result.unit = "samples_per_second";
    result.precision = "float64";
    if (stream.device().is_cpu()) result.clock_hz = measure_clock();
    FreeEnergyResult estimate;
    for (int r = 0; r < repeats.count; ++r) {
        const double time = seconds(
            stream, [&] { estimate = estimate_free_energy(stream, biased, bias, grid, {}); });
        result.rates.push_back(static_cast<double>(total) / time);
    }
    if (!estimate.converged) throw NumericError("benchmark: MBAR did not converge");
    double worst = 0;
    for (index w = 1; w < windows; ++w) {
        const auto exact = [&](index i) {
            const double c = bias.center[at(i)][0];
            return kStiffness * c * c / (2 * (1 + kStiffness));
        };
        const double off = estimate.window_f[at(w)] - exact(w) + exact(0);
        worst = std::max(worst, std::abs(off) / estimate.asymptotic_error(w, 0));
    }
    result.check("largest error of a window's free energy, in standard errors,", worst, 0, kSigmas,
                 "asymptotic errors of independent samples");
    if (!save.empty()) {
        NpyWriter by_window(save + "_samples.npy", windows, samples, false);
        std::vector<float> one;
        for (index w = 0; w < windows; ++w) {
            one.clear();
            for (index s = 0; s < samples / replicas; ++s) {
                const float* begin = host.data() + s * row + w * replicas;
                one.insert(one.end(), begin, begin + replicas);
            }
            by_window.append(one.data(), 1);
        }
        by_window.finish();
        NpyWriter free_energies(save + "_free_energies.npy", 1, windows, true);
        free_energies.append(estimate.window_f.data(), 1);
        free_energies.finish();
    }
    result.more = {{"windows", static_cast<double>(windows)},
                   {"samples", static_cast<double>(total)},
                   {"iterations", static_cast<double>(estimate.iterations)}};
    return result;
}

}  // namespace microlift
