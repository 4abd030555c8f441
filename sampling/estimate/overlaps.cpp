#include "sampling/estimate/overlaps.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "engine/at.h"
#include "engine/stop.h"

namespace microlift {

// Neighbours: in one dimension by centre, in two along the tree of largest overlaps. Links of that
// tree under the threshold leave parts of the windows without a trustworthy common reference.
void find_overlaps(const std::vector<double>& overlap, const BiasWindows& windows, int dims,
                   double threshold, FreeEnergyResult& r) {
    const index n = windows.size();
    std::vector<char> done(at(n), 0);
    std::vector<double> best(at(n), -1.0);
    std::vector<index> parent(at(n), 0);
    std::vector<WindowOverlap> tree;
    index last = 0;
    done[0] = 1;
    for (index added = 1; added < n; ++added) {
        check_stop();
        index next = -1;
        for (index w = 0; w < n; ++w) {
            if (done[at(w)]) continue;
            const double o = overlap[at(last * n + w)];
            const auto apart = [&](index v) {
                double d = 0.0;
                for (int k = 0; k < dims; ++k)
                    d += std::pow(windows.apart(k, windows.center[at(v)][k], windows.center[at(w)][k]), 2);
                return d;
            };
            // Ties (no overlap at all) go to the nearer centre.
            if (o > best[at(w)] || (o == best[at(w)] && apart(last) < apart(parent[at(w)]))) {
                best[at(w)] = o;
                parent[at(w)] = last;
            }
            if (next < 0 || best[at(w)] > best[at(next)]) next = w;
        }
        tree.push_back({parent[at(next)], next, best[at(next)]});
        done[at(next)] = 1;
        last = next;
    }
    r.tree = tree;
    if (dims == 1) {
        std::vector<index> order(at(n));
        for (index w = 0; w < n; ++w) order[at(w)] = w;
        std::stable_sort(order.begin(), order.end(), [&](index a, index b) {
            return windows.center[at(a)][0] < windows.center[at(b)][0];
        });
        for (index i = 0; i + 1 < n; ++i)
            r.overlaps.push_back(
                {order[at(i)], order[at(i + 1)], overlap[at(order[at(i)] * n + order[at(i + 1)])]});
        if (windows.period[0] > 0 && n > 2)
            r.overlaps.push_back(
                {order[at(n - 1)], order[0], overlap[at(order[at(n - 1)] * n + order[0])]});
    } else {
        r.overlaps = tree;
    }
    const WindowOverlap* worst = nullptr;
    for (const WindowOverlap& link : tree) {
        if (link.overlap >= threshold) continue;
        r.missing_overlaps.push_back(link);
        if (!worst || link.overlap < worst->overlap) worst = &link;
    }
    if (!worst) return;
    const std::size_t links = r.missing_overlaps.size();
    std::ostringstream text;
    text.precision(2);
    text << (links > 1 ? std::to_string(links) + " pairs of neighbours among the windows hardly "
                                                 "overlap, the worst "
                       : std::string())
         << "windows " << window_name(windows, worst->a, dims) << " and "
         << window_name(windows, worst->b, dims) << (links > 1 ? " (" : " hardly overlap (")
         << worst->overlap
         << "): their relative free energy is not to be trusted; add windows between them or "
            "lower the stiffness";
    r.warnings.push_back(text.str());
}

std::vector<index> connected_parts(const FreeEnergyResult& r) {
    constexpr double kLeastShared = 10;  // effective samples in an overlap that connect
    std::vector<index> part(r.window_f.size());
    for (std::size_t w = 0; w < part.size(); ++w) part[w] = static_cast<index>(w);
    const auto root = [&](index w) {
        while (part[at(w)] != w) w = part[at(w)] = part[at(part[at(w)])];
        return w;
    };
    const auto shared = [&](const WindowOverlap& link) {
        return link.overlap * std::min(r.effective_samples[at(link.a)],
                                       r.effective_samples[at(link.b)]);
    };
    for (const WindowOverlap& link : r.tree) {
        const bool missing = std::any_of(
            r.missing_overlaps.begin(), r.missing_overlaps.end(),
            [&](const WindowOverlap& m) { return m.a == link.a && m.b == link.b; });
        if (!missing || shared(link) >= kLeastShared) part[at(root(link.b))] = root(link.a);
    }
    for (std::size_t w = 0; w < part.size(); ++w) part[w] = root(static_cast<index>(w));
    return part;
}

}  // namespace microlift
