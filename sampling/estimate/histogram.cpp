#include "sampling/estimate/histogram.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"

namespace microlift {

double HistogramSamples::sum(index moment, index trajectory) const {
    double all = 0;
    for (index time = 0; time < blocks.time_segments; ++time)
        all += sums[at((time * moments() + moment) * trajectories() + trajectory)];
    return all;
}

index HistogramSamples::samples_in(index time) const {
    const index times = blocks.time_segments;
    const auto start = [&](index t) { return (t * samples + times - 1) / times; };
    return start(time + 1) - start(time);
}

double HistogramSamples::inefficiency(index window) const {
    const index times = blocks.time_segments, n = replicas * times;
    const double length = static_cast<double>(samples) / static_cast<double>(times);
    double worst = 1.0;
    for (index k = 0; k < layout.cells.dims && n > 1; ++k) {
        double first = 0, second = 0, square = 0;
        for (index time = 0; time < times; ++time)
            for (index t = window * replicas; t < (window + 1) * replicas; ++t) {
                const auto of = [&](index moment) {
                    return sums[at((time * moments() + moment) * trajectories() + t)];
                };
                const double mean = of(k) / static_cast<double>(samples_in(time));
                first += mean / static_cast<double>(n);
                square += mean * mean / static_cast<double>(n);
                second += of(layout.cells.dims + k);
            }
        const double variance = second / static_cast<double>(replicas * samples) - first * first;
        const double spread = std::max(square - first * first, 0.0) * static_cast<double>(n) /
                              static_cast<double>(n - 1);
        if (variance > 0) worst = std::max(worst, std::min(length, length * spread / variance));
    }
    return worst;
}

namespace {

// Two neighbouring segments of time become one.
template <class T>
std::vector<T> halved(const std::vector<T>& from, index outer, index times, index inner) {
    std::vector<T> to(from.size() / 2, T{});
    for (index g = 0; g < outer; ++g)
        for (index time = 0; time < times; ++time)
            for (index i = 0; i < inner; ++i)
                to[at((g * (times / 2) + time / 2) * inner + i)] +=
                    from[at((g * times + time) * inner + i)];
    return to;
}

}  // namespace

void merge_times(HistogramSamples& h) {
    constexpr double kLength = 10;  // inefficiencies
    while (h.blocks.time_segments > 1) {
        const index times = h.blocks.time_segments;
        double worst = 1;
        for (index w = 0; w < h.windows; ++w) worst = std::max(worst, h.inefficiency(w));
        if (static_cast<double>(h.samples) >= kLength * worst * static_cast<double>(times)) return;
        h.counts = halved(h.counts, h.blocks.replica_groups, times, h.layout.cells.size());
        h.sums = halved(h.sums, 1, times, h.moments() * h.trajectories());
        h.blocks.time_segments = times / 2;
    }
}

}  // namespace microlift
