#include "sampling/estimate/stationarity.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/error.h"
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

namespace {

// What is said of windows in which `still` of the trajectories kept their value.
void judge_still(const BiasWindows& windows, int dims, const std::vector<index>& still,
                 const std::vector<index>& trajectories, FreeEnergyResult& r) {
    index all = 0, some = 0, first = -1;
    for (index w = 0; w < windows.size(); ++w) {
        some += still[at(w)];
        if (still[at(w)] < trajectories[at(w)]) continue;
        ++all;
        if (first < 0) first = w;
    }
    const std::string why =
        "integrator.dt is too small for single precision, or with scheme \"mala\" so large that "
        "every step is refused, or the collective variable is constant there";
    if (all > 0)
        throw NumericError("the samples never move: the collective variable keeps its value in "
                           "every trajectory of window " + window_name(windows, first, dims) +
                           (all > 1 ? " and of " + std::to_string(all - 1) + " more" : "") + "; " +
                           why);
    if (some > 0)
        r.warnings.push_back("the collective variable never changes in " + std::to_string(some) +
                             " trajectories: " + why);
}

}  // namespace

void check_moving(Stream& stream, const BiasedSamples& samples, const BiasWindows& windows,
                  FreeEnergyResult& r) {
    std::vector<index> still(at(windows.size()), 0), all(at(windows.size()), 0);
    for (const SampleBlock& run : samples.blocks) {
        if (run.samples * run.replicas < 2) continue;
        Buffer<int32> out(stream.device(), run.trajectories());
        std::vector<index> worst(at(run.windows), 0);
        for (int k = 0; k < samples.n_cvs; ++k) {
            still_trajectories(stream, samples.xi.subspan(k * samples.row, samples.n), run,
                               out.span());
            const std::vector<int32> host = to_host(stream, Span<const int32>(out.span()));
            for (index w = 0; w < run.windows; ++w) {
                index count = 0;
                for (index t = 0; t < run.replicas; ++t) count += host[at(w * run.replicas + t)];
                if (run.samples == 1 && count < run.replicas) count = 0;
                worst[at(w)] = std::max(worst[at(w)], count);
            }
        }
        for (index w = 0; w < run.windows; ++w) {
            still[at(run.first_window + w)] += worst[at(w)];
            all[at(run.first_window + w)] += run.replicas;
        }
    }
    // A window of a single sample cannot be judged.
    for (index& count : all) count = std::max<index>(count, 1);
    judge_still(windows, samples.n_cvs, still, all, r);
}

// No variance but that of rounded sums.
void check_moving(const HistogramSamples& samples, const BiasWindows& windows, FreeEnergyResult& r) {
    if (samples.samples < 2) return;
    const int dims = samples.layout.cells.dims;
    const auto each = static_cast<double>(samples.samples);
    std::vector<index> still(at(samples.windows), 0);
    for (index w = 0; w < samples.windows; ++w)
        for (int k = 0; k < dims; ++k) {
            index count = 0;
            for (index t = w * samples.replicas; t < (w + 1) * samples.replicas; ++t) {
                const double sum = samples.sum(k, t), squares = samples.sum(dims + k, t);
                count += squares - sum * sum / each <= 1e-16 * each * squares;
            }
            still[at(w)] = std::max(still[at(w)], count);
        }
    judge_still(windows, dims, still, std::vector<index>(at(samples.windows), samples.replicas), r);
}

}  // namespace microlift
