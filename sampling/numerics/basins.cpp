#include "sampling/numerics/basins.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/at.h"

namespace microlift {
namespace {

std::vector<index> neighbours(const Grid& grid, index b) {
    std::vector<index> out;
    for (int k = 0; k < grid.dims; ++k) {
        const index n = grid.bins[static_cast<std::size_t>(k)], here = grid.bin(k, b);
        const index stride = grid.dims == 2 && k == 0 ? grid.bins[1] : 1;
        for (const index step : {index{-1}, index{1}}) {
            index to = here + step;
            if (grid.round[static_cast<std::size_t>(k)]) to = (to + n) % n;
            if (to >= 0 && to < n) out.push_back(b + (to - here) * stride);
        }
    }
    return out;
}

}  // namespace

// Floods the bins from the lowest on; where two floods meet is the saddle of the shallower one.
std::vector<Basin> basins(const Grid& grid, const std::vector<double>& free_energy,
                          const std::vector<double>& std_error, double kt) {
    std::vector<index> order, root(at(grid.size()), -1);
    for (index b = 0; b < grid.size(); ++b)
        if (std::isfinite(free_energy[at(b)])) order.push_back(b);
    std::ranges::stable_sort(order, {}, [&](index b) { return free_energy[at(b)]; });
    const auto flood = [&](index b) {
        while (root[at(b)] != b) b = root[at(b)];
        return b;
    };
    const auto stands_out = [&](index minimum, index saddle) {
        const double height = free_energy[at(saddle)] - free_energy[at(minimum)];
        const double error = std::hypot(std_error[at(saddle)], std_error[at(minimum)]);
        return height >= std::max(kBasinKt * kt, std::isnan(error) ? HUGE_VAL : kBasinErrors * error);
    };
    std::vector<Basin> out;
    for (const index b : order) {
        root[at(b)] = b;
        for (const index next : neighbours(grid, b)) {
            if (root[at(next)] < 0) continue;
            index deeper = flood(next), other = flood(b);
            if (deeper == other) continue;
            if (free_energy[at(other)] < free_energy[at(deeper)]) std::swap(deeper, other);
            if (other != b && stands_out(other, b)) out.push_back({other, b});
            root[at(other)] = deeper;
        }
    }
    if (!order.empty()) out.push_back({order.front()});
    std::ranges::stable_sort(out, {}, [&](const Basin& basin) { return free_energy[at(basin.minimum)]; });
    return out;
}

}  // namespace microlift
