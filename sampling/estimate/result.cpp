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

namespace {

constexpr index kChoices = 256;
constexpr double kReach = 5.0;      // errors: bins further above are never chosen
constexpr double kLeastPart = 0.3;  // of a squared error that the choice may leave

// What it adds to squared errors that noise chose the minimum, or takes off: the noise of a bin
// that won is narrow. Beside the chosen bin J the error of bin b is E[(N_b − N_J)²] of the noise N.
// More noise R of the same law, added to F, chooses by both, T = N + R: as R − N is independent of
// T, E[(T_b − T_J)²]/4 = E[(R_b − R_J)²] − E[s²_bJ]/2, s² the variance of a difference. Where that
// is in proportion to the noise, as of level bins (of others it is less), E[(N_b − N_J)²] is half
// of E[(T_b − T_J)²].
std::vector<double> added_by_choice(const FreeEnergyProfile& p) {
    constexpr uint64 kSeed = 5030;
    const index bins = p.grid.size(), blocks = p.blocks;
    const double scale = std::sqrt(static_cast<double>(blocks) / static_cast<double>(blocks - 1));
    // By block, what a deviate of it adds to F(b) − F(minimum): s²_bJ is the square of a difference
    // of these.
    const auto share = [&](index b, index g) {
        const double* row = &p.influence[at(g * bins)];
        return scale * (row[b] - row[p.minimum_bin]);
    };
    std::vector<index> near;
    for (index b = 0; b < bins; ++b)
        if (b != p.minimum_bin && p.free_energy[at(b)] < kReach * p.std_error[at(b)])
            near.push_back(b);
    // With R_b = z·s_b: R_J² sums up to `squares`, 2 z R_J − s_J to `along`, s_J² to `variances`.
    std::vector<double> z(at(blocks)), along(at(blocks), 0.0);
    double squares = 0.0, variances = 0.0;
    for (index r = 0; r < kChoices && !near.empty(); ++r) {
        check_stop();
        const PhiloxStream<float> random(kSeed, kStreamBootstrap, r);
        float four[4];
        for (index g = 0; g < blocks; ++g) {
            if (g % 4 == 0) normal_block<Portable>(random, static_cast<uint64>(g / 4), four);
            z[at(g)] = static_cast<double>(four[g % 4]);
        }
        index chosen = p.minimum_bin;
        double least = 0.0, noise = 0.0;
        for (const index b : near) {
            double added = 0.0;
            for (index g = 0; g < blocks; ++g) added += z[at(g)] * share(b, g);
            if (p.free_energy[at(b)] + added >= least) continue;
            least = p.free_energy[at(b)] + added;
            noise = added;
            chosen = b;
        }
        squares += noise * noise;
        for (index g = 0; g < blocks; ++g) {
            const double s = share(chosen, g);
            along[at(g)] += 2.0 * z[at(g)] * noise - s;
            variances += s * s;
        }
    }
    std::vector<double> added(at(bins), 0.0);
    const double wider = student_factor(blocks);
    for (index b = 0; b < bins && !near.empty(); ++b) {
        double sum = 2.0 * squares - variances;
        for (index g = 0; g < blocks; ++g) sum -= 2.0 * along[at(g)] * share(b, g);
        added[at(b)] = wider * wider * sum / static_cast<double>(kChoices);
    }
    return added;
}

}  // namespace

void FreeEnergyProfile::remove(const std::vector<double>& common) {
    if (common.empty()) return;
    for (index b = 0; b < grid.size(); ++b) free_energy[at(b)] -= common[at(b)];
    finish();
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
    const std::vector<double> added = added_by_choice(*this);
    for (index b = 0; b < grid.size(); ++b) {
        const double square = std_error[at(b)] * std_error[at(b)];
        if (b != minimum_bin)
            std_error[at(b)] = std::sqrt(std::max(kLeastPart * square, square + added[at(b)]));
    }
}

double FreeEnergyResult::asymptotic_error(index i, index j) const {
    const index n = static_cast<index>(window_f.size());
    if (asymptotic_covariance.empty()) return kNaN;
    const auto c = [&](index a, index b) { return asymptotic_covariance[at(a * n + b)]; };
    return std::sqrt(std::max(0.0, c(i, i) + c(j, j) - 2.0 * c(i, j)));
}

}  // namespace microlift
