#include "sampling/estimate/result.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/at.h"
#include "engine/error.h"
#include "engine/stop.h"
#include "sampling/numerics/statistics.h"

namespace microlift {

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

}  // namespace

double FreeEnergyProfile::value_at(double x0, double x1) const {
    double value = 0.0;
    for (const GridWeight& w : interpolation_weights(grid, {x0, x1}))
        value += w.weight * free_energy[at(w.bin)];
    return value;
}

double FreeEnergyProfile::difference_error(const std::array<double, 2>& x,
                                           const std::array<double, 2>& y) const {
    std::vector<double> g(at(blocks), 0.0);
    const auto add = [&](const std::array<double, 2>& point, double sign) {
        for (const GridWeight& w : interpolation_weights(grid, point))
            for (index b = 0; b < blocks; ++b)
                g[at(b)] += sign * w.weight * influence[at(b * grid.size() + w.bin)];
    };
    add(x, 1.0);
    add(y, -1.0);
    return influence_error(g.data(), blocks);
}

void FreeEnergyProfile::finish() {
    minimum_bin = -1;
    for (index b = 0; b < grid.size(); ++b)
        if (std::isfinite(free_energy[at(b)]) &&
            (minimum_bin < 0 || free_energy[at(b)] < free_energy[at(minimum_bin)]))
            minimum_bin = b;
    if (minimum_bin < 0)
        throw NumericError(
            "no sample lies inside the free-energy grid; widen "
            "umbrella.from and umbrella.to, or sample there");
    const double least = free_energy[at(minimum_bin)];
    std_error.assign(at(grid.size()), kNaN);
    std::vector<double> g(at(blocks));
    for (index b = 0; b < grid.size(); ++b) {
        check_stop();
        free_energy[at(b)] -= least;
        if (!std::isfinite(free_energy[at(b)])) continue;
        for (index i = 0; i < blocks; ++i)
            g[at(i)] =
                influence[at(i * grid.size() + b)] - influence[at(i * grid.size() + minimum_bin)];
        std_error[at(b)] = influence_error(g.data(), blocks);
    }
}

double FreeEnergyResult::asymptotic_error(index i, index j) const {
    const index n = static_cast<index>(window_f.size());
    if (asymptotic_covariance.empty()) return kNaN;
    const auto c = [&](index a, index b) { return asymptotic_covariance[at(a * n + b)]; };
    return std::sqrt(std::max(0.0, c(i, i) + c(j, j) - 2.0 * c(i, j)));
}

}  // namespace microlift
