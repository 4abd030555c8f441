#include "sampling/estimate/stationarity.h"

#include <cmath>

#include "sampling/estimate/sample_kernels.h"
#include "sampling/numerics/statistics.h"

namespace microlift {
namespace {

bool judged(const SampleBlock& run) { return run.replicas >= 4 && run.samples >= 4; }

// Of the mean of `n` values, as a standard normal number.
double deviation(const float* values, index n) {
    double mean = 0, square = 0;
    const double count = static_cast<double>(n);
    for (index r = 0; r < n; ++r) mean += static_cast<double>(values[r]) / count;
    for (index r = 0; r < n; ++r) {
        const double d = static_cast<double>(values[r]) - mean;
        square += d * d;
    }
    if (!(square > 0)) return 0;  // a variable that does not move
    return normal_of_t(mean / std::sqrt(square / (count * (count - 1))), count - 1);
}

}  // namespace

std::vector<Drifting> drifting_windows(Stream& stream, const BiasedSamples& samples,
                                       Span<const float> x, index row, int dim,
                                       double false_alarm) {
    index tests = 0;
    for (const SampleBlock& run : samples.blocks)
        if (judged(run)) tests += run.windows * dim;
    std::vector<Drifting> found;
    for (const SampleBlock& run : samples.blocks) {
        if (!judged(run)) continue;
        Buffer<float> change(stream.device(), run.trajectories());
        std::vector<Drifting> worst(static_cast<std::size_t>(run.windows), {0, 0, 0.0});
        for (int d = 0; d < dim; ++d) {
            half_change(stream, x.subspan(d * row, samples.n), run, change.span());
            const std::vector<float> host = to_host(stream, Span<const float>(change.span()));
            for (index w = 0; w < run.windows; ++w) {
                Drifting& most = worst[static_cast<std::size_t>(w)];
                const double z = deviation(host.data() + w * run.replicas, run.replicas);
                if (std::fabs(z) >= std::fabs(most.z)) most = {run.first_window + w, d, z};
            }
        }
        for (const Drifting& w : worst)
            if (std::erfc(std::fabs(w.z) / std::sqrt(2.0)) * static_cast<double>(tests) <
                false_alarm)
                found.push_back(w);
    }
    return found;
}

}  // namespace microlift
