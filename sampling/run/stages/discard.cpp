// Earlier windows' samples that this round's contradict are thrown away.
#include "sampling/run/stages.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sampling/lift/coupling.h"
#include "sampling/run/meter.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

constexpr double kReach = 3;  // windows further apart than this many widths do not compare
constexpr index kStatistics = 2;  // of each variable that window_disagreement looks at

// Standard errors that one of n comparisons exceeds by chance about as often as a single one exceeds `errors`:
// a normal tail falls as exp(-z²/2).
double among(double errors, index n) {
    return std::sqrt(errors * errors + 2 * std::log(static_cast<double>(std::max<index>(n, 1))));
}

bool in_reach(const Run& run, index earlier, const WindowData& now) {
    double apart = 0;
    for (int k = 0; k < run.grid.dims; ++k) {
        const auto d = static_cast<std::size_t>(k);
        const double gap =
            run.windows.apart(k, run.windows.center[static_cast<std::size_t>(earlier)][d], now.center[d]);
        apart += run.windows.beta[d] * now.stiffness[d] * gap * gap;
    }
    return apart <= kReach * kReach;
}

}  // namespace

void discard_outdated(Run& run) {
    run.coupling.discarded = 0;
    if (run.samples.blocks.size() < 2) return;
    StageMeter meter(run.record, "couple");
    const SampleBlock& last = run.samples.blocks.back();
    const Targets y = targets(run);
    const auto data = [&](index window) {
        return window_data(run.stream, run.samples, run.windows, window, y.values, y.row,
                           static_cast<int>(y.count));
    };
    std::vector<bool> remove(static_cast<std::size_t>(run.windows.size()), false);
    std::vector<WindowData> later;
    for (index w = 0; w < last.windows; ++w) later.push_back(data(last.first_window + w));
    std::vector<double> disagreement;  // by earlier window, the worst
    index compared = 0;
    for (index w = 0; w < last.first_window; ++w) {
        disagreement.push_back(0);
        WindowData earlier;
        for (const WindowData& now : later) {
            if (!in_reach(run, w, now)) continue;
            if (earlier.samples == 0) earlier = data(w);
            disagreement.back() = std::max(disagreement.back(), window_disagreement(earlier, now, run.windows.beta));
            ++compared;
        }
    }
    const double least = run.config.coupling.discard > 0
                             ? among(run.config.coupling.discard, compared * kStatistics * static_cast<index>(y.count))
                             : std::numeric_limits<double>::infinity();
    for (std::size_t w = 0; w < disagreement.size(); ++w)
        if (disagreement[w] > least) {
            remove[w] = true;
            ++run.coupling.discarded;
        }
    if (run.coupling.discarded == 0) return;
    remove_windows(run.stream, run.samples, run.windows, remove);
    run.samples.forget_segments();
    run.progress.note("discarded the samples of " + std::to_string(run.coupling.discarded) +
                      " earlier windows: later runs at the same place disagree");
}

}  // namespace microlift
