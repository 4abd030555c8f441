// Basins of torsions that some trajectories of a window never leave and the others never enter: what these weigh was
// decided by the starts. Heat may leave a peptide bond turned, for one.
#include "sampling/run/stages.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>

#include "engine/launch/gather.h"
#include "engine/text.h"
#include "sampling/run/checks.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

constexpr index kMostSeen = 1 << 18;    // that are looked at
constexpr std::size_t kShown = 4;     // torsions beside the worst
constexpr int kSectors = 24;            // of a turn; neighbours where anything was seen are one basin

using Sectors = uint32;  // one bit for each

// With the neighbours on both sides.
Sectors widened(Sectors s) {
    constexpr Sectors kAll = (1u << kSectors) - 1;
    return (s | s << 1 | s >> (kSectors - 1) | s >> 1 | s << (kSectors - 1)) & kAll;
}

int sector_of(float angle) {
    const double part = static_cast<double>(angle) / (2 * std::numbers::pi) + 0.5;
    return std::clamp(static_cast<int>(part * kSectors), 0, kSectors - 1);
}

// All that is joined to `basin` by what trajectories visited, and by lying side by side.
Sectors joined(Sectors basin, const std::vector<Sectors>& visited, Sectors seen) {
    for (Sectors last = 0; last != basin;) {
        last = basin;
        basin = widened(basin) & seen;
        for (const Sectors v : visited)
            if ((v & basin) != 0) basin |= v;
    }
    return basin;
}

double middle_of(Sectors basin) {
    double x = 0, y = 0;
    for (int s = 0; s < kSectors; ++s)
        if ((basin >> s & 1u) != 0) {
            const double angle = ((s + 0.5) / kSectors - 0.5) * 2 * std::numbers::pi;
            x += std::cos(angle);
            y += std::sin(angle);
        }
    return std::atan2(y, x) * 180 / std::numbers::pi;
}

// Of one torsion in all windows.
struct Apart {
    index windows = 0, most = 0, of = 0;  // trajectories apart in the worst window, of how many
    double here = 0, there = 0;           // degrees, there
    // The trajectories of one window.
    void add(const std::vector<Sectors>& visited) {
        Sectors seen = 0, largest = 0;
        index in_largest = 0;
        for (const Sectors v : visited) seen |= v;
        for (Sectors left = seen; left != 0;) {
            const Sectors basin = joined(left & (~left + 1), visited, seen);
            left &= ~basin;
            const index inside = std::ranges::count_if(visited, [&](Sectors v) { return (v & basin) != 0; });
            if (inside > in_largest) {
                in_largest = inside;
                largest = basin;
            }
        }
        const index outside = std::ssize(visited) - in_largest;
        if (outside <= 0) return;
        ++windows;
        if (outside <= most) return;
        most = outside;
        of = std::ssize(visited);
        here = middle_of(seen & ~largest);
        there = middle_of(largest);
    }
};

// Angles of all trajectories of a block at some of its times: (time, trajectory, torsion).
std::vector<float> angles_of(Run& run, const SampleBlock& block, index times) {
    const index n = times * block.trajectories(), D = run.model.dim();
    std::vector<index> which;
    for (const index time : spread_over(block.samples, times))
        for (index t = 0; t < block.trajectories(); ++t)
            which.push_back(block.first + time * block.trajectories() + t);
    Buffer<index> chosen(run.device, n);
    copy_to_device(run.stream, chosen.span(), which.data());
    Buffer<float> x(run.device, D * n);
    gather_columns(run.stream, run.samples.x.data(), run.samples.row, D, std::as_const(chosen).span(), x.data());
    return torsion_angles(run, std::as_const(x).span(), n, n);
}

// One warning for the worst torsion, which names others.
void warn_of(Run& run, const std::vector<std::size_t>& worst, const std::vector<Apart>& apart, index windows) {
    if (worst.empty()) return;
    const std::vector<std::string>& names = run.model.torsion_names();
    const Apart& a = apart[worst[0]];
    std::string others;
    for (std::size_t i = 1; i < worst.size() && i <= kShown; ++i) others += (i > 1 ? ", " : "") + names[worst[i]];
    if (worst.size() > 1 + kShown) others += " and " + std::to_string(worst.size() - 1 - kShown) + " more";
    run.warn("the torsion " + names[worst[0]] + " has basins that trajectories do not leave: in " +
             std::to_string(a.windows) + " of " + std::to_string(windows) + " windows some, at most " +
             std::to_string(a.most) + " of " + std::to_string(a.of) + ", stay near " + number(a.here, 3) +
             " degrees and never meet those near " + number(a.there, 3) +
             (others.empty() ? "" : "; so have " + others) +
             "; their share is that of the starts, not of equilibrium. " +
             (run.config.bias.enabled || run.config.samples.enabled
                  ? "Mix them ([coupling]), or bias the torsion, too"
                  : "Lower umbrella.heat if it turned what should not turn, or mix them (umbrella.temperatures, "
                    "[coupling])"));
}

}  // namespace

void check_basins(Run& run) {
    const Checking check(run, "basins");
    const auto T = run.model.torsion_names().size();
    std::vector<Apart> apart(T);
    index windows = 0;
    for (const SampleBlock& block : run.samples.blocks) {
        windows += block.windows;
        if (block.replicas < 2 || block.samples < 2) continue;
        const index times = std::clamp<index>(kMostSeen / block.trajectories(), 2, block.samples);
        const std::vector<float> angles = angles_of(run, block, times);
        std::vector<Sectors> visited(static_cast<std::size_t>(block.replicas));
        for (std::size_t torsion = 0; torsion < T; ++torsion)
            for (index w = 0; w < block.windows; ++w) {
                std::ranges::fill(visited, 0u);
                for (index time = 0; time < times; ++time)
                    for (index r = 0; r < block.replicas; ++r) {
                        const index state = time * block.trajectories() + w * block.replicas + r;
                        visited[static_cast<std::size_t>(r)] |=
                            1u << sector_of(angles[static_cast<std::size_t>(state) * T + torsion]);
                    }
                apart[torsion].add(visited);
            }
    }
    std::vector<std::size_t> worst;
    for (std::size_t torsion = 0; torsion < T; ++torsion)
        if (apart[torsion].windows > 0) worst.push_back(torsion);
    const auto share = [&](std::size_t torsion) {
        return static_cast<double>(apart[torsion].most) / static_cast<double>(apart[torsion].of);
    };
    std::ranges::stable_sort(worst, std::greater<>{}, share);
    for (const std::size_t torsion : worst) {
        const Apart& a = apart[torsion];
        run.record.metrics["basins"][run.model.torsion_names()[torsion]] = {
            {"windows", a.windows}, {"apart", a.most}, {"of", a.of}, {"here", a.here}, {"there", a.there}};
    }
    warn_of(run, worst, apart, windows);
}

}  // namespace microlift
