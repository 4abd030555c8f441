#include "sampling/estimate/result.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/error.h"
#include "engine/stop.h"
#include "kernels/lane/math.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "sampling/numerics/statistics.h"

namespace microlift {

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
    double moved = 0.0;
    for (const int sign : {1, -1})
        for (const GridWeight& w : interpolation_weights(grid, sign > 0 ? x : y))
            if (!bias.empty()) moved += sign * w.weight * bias[at(w.bin)];
    return std::hypot(influence_error(g.data(), blocks), moved);
}

// The least of values with noise is one whose noise is below 0. More noise R of the same law, added to F,
// chooses a bin where E[R] is half of what the choice lowers at √2 of the noise, and that is in
// proportion to the noise where bins are level (less where they are not).
double FreeEnergyProfile::lowered_by_choice() const {
    constexpr index kReplicates = 128;
    constexpr uint64 kSeed = 5030;
    constexpr double kReach = 5.0;  // errors: bins further above are never chosen
    std::vector<index> near;
    for (index b = 0; b < grid.size(); ++b)
        if (free_energy[at(b)] < kReach * std_error[at(b)]) near.push_back(b);
    if (near.empty()) return 0.0;
    const double scale =
        std::sqrt(static_cast<double>(blocks) / static_cast<double>(blocks - 1));
    std::vector<double> deviate(at(blocks));
    double sum = 0.0;
    for (index r = 0; r < kReplicates; ++r) {
        const PhiloxStream<float> random(kSeed, kStreamBootstrap, r);
        float z[4];
        for (index g = 0; g < blocks; ++g) {
            if (g % 4 == 0) normal_block<Portable>(random, static_cast<uint64>(g / 4), z);
            deviate[at(g)] = scale * static_cast<double>(z[g % 4]);
        }
        double least = 0.0, noise = 0.0;
        for (const index b : near) {
            double added = 0.0;
            for (index g = 0; g < blocks; ++g)
                added += deviate[at(g)] * (influence[at(g * grid.size() + b)] -
                                           influence[at(g * grid.size() + minimum_bin)]);
            if (free_energy[at(b)] + added < least) {
                least = free_energy[at(b)] + added;
                noise = added;
            }
        }
        sum -= noise;
    }
    return std::sqrt(2.0) * sum / static_cast<double>(kReplicates);
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
        if (!bias.empty())
            std_error[at(b)] = std::hypot(std_error[at(b)], bias[at(b)] - bias[at(minimum_bin)]);
    }
    const double lowered = lowered_by_choice();
    for (index b = 0; b < grid.size(); ++b)
        if (b != minimum_bin) std_error[at(b)] = std::hypot(std_error[at(b)], lowered);
}

double FreeEnergyResult::asymptotic_error(index i, index j) const {
    const index n = static_cast<index>(window_f.size());
    if (asymptotic_covariance.empty()) return kNaN;
    const auto c = [&](index a, index b) { return asymptotic_covariance[at(a * n + b)]; };
    return std::sqrt(std::max(0.0, c(i, i) + c(j, j) - 2.0 * c(i, j)));
}

}  // namespace microlift
