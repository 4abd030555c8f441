// Samples a second through the free-energy estimate.
#include <cmath>

#include "bench/harness.h"
#include "engine/error.h"
#include "kernels/philox.h"
#include "kernels/rng_streams.h"
#include "sampling/estimators.h"

namespace microlift {

// Windows k/2 (x − c)² on N(0, 1): each is N(kc/(1+k), 1/(1+k)), f_w = k c_w²/(2(1+k)) + const.
BenchResult bench_mbar(Stream& stream) {
    constexpr index kWindows = 50, kReplicas = 200, kSamples = 1000;
    constexpr index kTotal = kWindows * kReplicas * kSamples;
    constexpr double kStiffness = 40, kReach = 3;
    constexpr uint64 kSeed = 20240607;

    BiasWindows windows;
    windows.beta = {1, 1};
    for (index w = 0; w < kWindows; ++w) {
        const double c = kReach * (2 * static_cast<double>(w) / (kWindows - 1) - 1);
        windows.center.push_back({c, 0});
        windows.stiffness.push_back({kStiffness, 0});
    }
    const double deviation = 1 / std::sqrt(1 + kStiffness);
    std::vector<float> host(kTotal);
    constexpr index kRow = kWindows * kReplicas;
    for (index t = 0; t < kRow; ++t) {
        const double c = windows.center[static_cast<std::size_t>(t / kReplicas)][0];
        const double mean = kStiffness * c / (1 + kStiffness);
        const PhiloxStream<float> rng(kSeed, kStreamTest, t);
        for (index s = 0; s < kSamples; s += 4) {
            float z[4];
            normal_block<Portable>(rng, static_cast<uint64>(s / 4), z);
            for (index k = 0; k < 4; ++k)
                host[static_cast<std::size_t>((s + k) * kRow + t)] =
                    static_cast<float>(mean + deviation * static_cast<double>(z[k]));
        }
    }
    Buffer<float> xi(stream.device(), kTotal);
    copy_to_device(stream, xi.span(), host.data());
    BiasedSamples samples;
    samples.xi = xi.span();
    samples.row = samples.n = kTotal;
    samples.blocks = {{0, 0, kWindows, kReplicas, kSamples}};
    Grid grid;
    grid.from[0] = -kReach;
    grid.to[0] = kReach;
    grid.bins[0] = 120;

    BenchResult result;
    result.unit = "samples_per_second";
    result.precision = "float64";
    if (stream.device().is_cpu()) result.clock_hz = measure_clock();
    FreeEnergyResult estimate;
    for (int r = 0; r < kRepeats; ++r) {
        const double time = seconds(
            stream, [&] { estimate = estimate_free_energy(stream, samples, windows, grid, {}); });
        result.rates.push_back(static_cast<double>(kTotal) / time);
    }
    if (!estimate.converged) throw NumericError("benchmark: MBAR did not converge");
    const auto exact = [&](index w) {
        const double c = windows.center[static_cast<std::size_t>(w)][0];
        return kStiffness * c * c / (2 * (1 + kStiffness));
    };
    double worst = 0;
    for (index w = 1; w < kWindows; ++w) {
        const double off = estimate.window_f[static_cast<std::size_t>(w)] - exact(w) + exact(0);
        worst = std::max(worst, std::abs(off) / estimate.asymptotic_error(w, 0));
    }
    result.check("largest error of a window's free energy, in standard errors,", worst, 0, kSigmas,
                 "asymptotic errors of independent samples");
    result.more = {{"windows", kWindows},
                   {"samples", static_cast<double>(kTotal)},
                   {"iterations", static_cast<double>(estimate.iterations)}};
    return result;
}

}  // namespace microlift
