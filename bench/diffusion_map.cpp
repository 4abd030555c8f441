// Samples a second through a diffusion map, kernel and eigenproblem.
#include <cmath>

#include "bench/harness.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "sampling/learn/diffusion_map.h"

namespace microlift {

// A normal law in the plane with deviations 1 and 0.6, α = 0: λ_1 = [1 + 2ε/1]⁻¹ in the wide
// direction.
BenchResult bench_diffusion_map(Stream& stream) {
    constexpr index kPoints = 20000;
    constexpr uint64 kSeed = 20240611;
    constexpr double kEpsilon = 0.04;
    std::vector<float> host(2 * kPoints);
    for (index i = 0; i < kPoints; ++i) {
        const PhiloxStream<float> rng(kSeed, kStreamTest, i);
        float z[4];
        normal_block<Portable>(rng, 0, z);
        host[static_cast<std::size_t>(i)] = z[0];
        host[static_cast<std::size_t>(kPoints + i)] = 0.6f * z[1];
    }
    Buffer<float> x(stream.device(), 2 * kPoints);
    copy_to_device(stream, x.span(), host.data());
    const PointSet points{x.span(), kPoints, kPoints, 2, {}};
    DiffusionMapOptions options;
    options.alpha = 0;
    options.epsilon = kEpsilon;
    BenchResult result;
    result.unit = "samples_per_second";
    result.precision = "float32 kernel, float64 vectors";
    if (stream.device().is_cpu()) result.clock_hz = measure_clock();
    DiffusionMap map;
    for (int r = 0; r < 3; ++r) {
        const double time =
            seconds(stream, [&] { map = diffusion_map(stream, points, {}, options); });
        result.rates.push_back(static_cast<double>(kPoints) / time);
    }
    const double exact = 1 / (1 + 2 * kEpsilon);
    // A rate estimated from n samples is off by about sqrt(2/n) of itself.
    result.check("first eigenvalue", map.eigenvalues[1], exact,
                 kSigmas * std::sqrt(2.0 / kPoints) * (1 - exact), "sampling error of a variance");
    result.more = {{"points", static_cast<double>(kPoints)},
                   {"products", static_cast<double>(map.products)}};
    return result;
}

}  // namespace microlift
