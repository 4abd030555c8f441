#include "sampling/estimate/agreement.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "engine/at.h"
#include "sampling/numerics/statistics.h"

namespace microlift {

namespace {

constexpr double kFalseAlarm = 1e-3;      // of each test
constexpr double kLeastSamples = 50;      // in a bin that is judged
constexpr double kMostError = 0.5;        // kT: beyond it a logarithm is not linear in its count
constexpr double kAllowed = 0.1;          // kT between halves or estimators, which warns nobody
constexpr double kAllowedShift = 0.05;    // of a window's mean, in its deviations
constexpr double kMostWork = 3e8;

struct Sum {
    double value = 0, error = 0;
};

// Σ_g d_g and its standard error from the scatter of the d.
Sum scattered_sum(const std::vector<double>& d) {
    const double n = static_cast<double>(d.size());
    double total = 0, squares = 0;
    for (const double v : d) total += v;
    for (const double v : d) squares += (v - total / n) * (v - total / n);
    return {total, std::sqrt(squares * n / (n - 1))};
}

std::string place(const Grid& grid, index bin) {
    std::ostringstream text;
    text.precision(4);
    text << grid.centre(0, bin);
    if (grid.dims == 2) text << ", " << grid.centre(1, bin);
    return text.str();
}

std::string how_much(const Disagreement& d, double kt) {
    std::ostringstream text;
    text.precision(3);
    text << std::fabs(d.difference) / kt << " kT, " << d.errors << " standard errors";
    return text.str();
}

// ∂F_b of a mixture (block, bin) under another division into blocks.
std::vector<double> influence_by(const Estimation& e, const std::vector<double>& a,
                                 const ErrorBlocks& blocks) {
    const KeptSamples& kept = *e.kept;
    const WindowStatistics statistics =
        window_statistics(kept.stream, kept.near, e.windows, blocks);
    const CellHistogram cells = gather_cells(kept.stream, kept.samples, kept.range, e.windows,
                                             e.result.profile.grid, blocks);
    FreeEnergyProfile profile;
    profile.grid = e.result.profile.grid;
    mixture_profile(e.mixture, cells, a, mixture_influence(e.mixture, cells, statistics, a),
                    e.options.kt, profile);
    return profile.influence;
}

// What the later halves of `independent` blocks say beyond the earlier ones: change (block, bin).
void judge_halves(FreeEnergyResult& r, double kt, const std::vector<double>& change, index independent) {
    const index bins = r.profile.grid.size();
    if (independent < kFewBlocks) return;
    r.compared.emplace_back("halves");
    std::vector<double> total(at(bins), 0.0);
    for (index g = 0; g < independent; ++g)
        for (index b = 0; b < bins; ++b) total[at(b)] += change[at(g * bins + b)];
    const Disagreement d = disagreement(total, change, independent, r.profile.samples, kt, kAllowed * kt);
    if (d.bin >= 0)
        r.doubts.push_back(
            "the two halves of the data give free energies that differ at " +
            place(r.profile.grid, d.bin) + " (" + how_much(d, kt) +
            "): the start still shows or windows are stuck, and error bars do not include that; raise "
            "umbrella.equilibrate, or use umbrella.exchange or [coupling]");
}

// The second half of every trajectory beside its first.
void compare_halves(const Estimation& e, const std::vector<double>& a) {
    FreeEnergyResult& r = e.result;
    const index bins = r.profile.grid.size(), groups = r.error_blocks.replica_groups;
    if (r.error_blocks.time_segments > 1) return compare_time_halves(r, e.options.kt);
    if (!e.kept || groups < kFewBlocks) return;
    for (const SampleBlock& run : e.kept->samples.blocks)
        if (run.samples < 4) return;
    const std::vector<double> halves = influence_by(e, a, {groups, 2, {}});
    std::vector<double> change(at(groups * bins));
    for (index g = 0; g < groups; ++g)
        for (index b = 0; b < bins; ++b)
            change[at(g * bins + b)] = 2 * (halves[at((2 * g + 1) * bins + b)] - halves[at(2 * g * bins + b)]);
    judge_halves(r, e.options.kt, change, groups);
}

// Σ_g of what the mixture of all windows predicts for Σ(ξ − c) of each window, less what its own samples
// give, by block: (window, block).
std::vector<double> mean_shifts(const Estimation& e, const std::vector<double>& a, int k) {
    const CellHistogram& cells = e.cells;
    const index n = e.mixture.windows, blocks = cells.blocks, points = cells.at_mean.points();
    const std::vector<double> da = mixture_influence(e.mixture, cells, e.statistics, a);
    std::vector<double> shift(at(n * blocks), 0.0);
    std::vector<Mixture::Term> terms;
    for (index m = 0; m < points; ++m) {
        const double* x = &cells.at_mean.x[at(m * e.mixture.dims)];
        e.mixture.terms(a, x, terms);
        for (index g = 0; g < blocks; ++g) {
            double mean = 0;
            for (const Mixture::Term& t : terms) mean += t.p * da[at(g * n + t.window)];
            for (const Mixture::Term& t : terms)
                shift[at(t.window * blocks + g)] +=
                    t.p *
                    e.windows.apart(k, x[k], e.windows.center[at(t.window)][static_cast<std::size_t>(k)]) *
                    (cells.at_mean.block_count[at(g * points + m)] +
                     cells.at_mean.count[at(m)] * (da[at(g * n + t.window)] - mean));
        }
    }
    for (index w = 0; w < n; ++w)
        for (index g = 0; g < blocks; ++g)
            shift[at(w * blocks + g)] -= e.statistics.sum(w, g)[1 + 2 * k];
    return shift;
}

// Each window beside what all others say of it where they overlap.
void compare_windows(const Estimation& e, const std::vector<double>& a) {
    const index n = e.mixture.windows, blocks = e.cells.blocks;
    const double work = static_cast<double>(e.cells.at_mean.points()) * static_cast<double>(blocks) *
                        std::min<double>(static_cast<double>(n), 20);
    if (blocks < kFewBlocks || n < 2 || work > kMostWork) return;
    e.result.compared.emplace_back("windows");
    const double beyond =
        largest_deviation(static_cast<double>(n * e.mixture.dims), kFalseAlarm);
    index worst = -1;
    double most = beyond, by = 0;
    for (int k = 0; k < e.mixture.dims; ++k) {
        const std::vector<double> shift = mean_shifts(e, a, k);
        for (index w = 0; w < n; ++w) {
            const auto first = shift.begin() + w * blocks;
            const Sum sum = scattered_sum({first, first + blocks});
            const double unit = e.mixture.population[at(w)] *
                                std::sqrt(e.statistics.variance[at(w * e.mixture.dims + k)]);
            const double size = std::fabs(sum.value) - kAllowedShift * unit;
            if (!(size > 0) || !(sum.error > 0)) continue;
            const double z = normal_of_t(size / sum.error, static_cast<double>(blocks - 1));
            if (z > most) most = z, worst = w, by = std::fabs(sum.value) / unit;
        }
    }
    if (worst < 0) return;
    std::ostringstream text;
    text.precision(3);
    text << "the windows contradict each other: in the one at " << e.windows.center[at(worst)][0];
    if (e.mixture.dims == 2) text << ", " << e.windows.center[at(worst)][1];
    text << " the mean is " << by << " deviations from what its neighbours say (" << most
         << " standard errors): windows stuck in different states that the collective variable does "
            "not see, or a time step too large for some of them; raise umbrella.equilibrate, use "
            "umbrella.exchange or [coupling], or lower integrator.dt";
    e.result.doubts.push_back(text.str());
}

bool cells_resolve(const Estimation& e) {
    for (int k = 0; k < e.mixture.dims; ++k)
        for (index w = 0; w < e.mixture.windows; ++w)
            if (e.cells.cell_width[k] >
                0.5 * std::sqrt(e.statistics.variance[at(w * e.mixture.dims + k)]))
                return false;
    return true;
}

// The windows' free energies beside those of the second estimator.
void compare_estimators(const Estimation& e, const std::vector<double>& a) {
    if (e.second.empty()) return;
    e.result.compared.emplace_back("estimators");
    const FreeEnergyResult& r = e.result;
    double most = 0;
    index worst = -1;
    for (index w = 0; w < e.mixture.windows; ++w) {
        const double error = r.window_f_error[at(w)];
        if (!std::isfinite(error)) continue;
        const double apart = std::fabs((e.second[at(w)] - e.second[0]) - (a[at(w)] - a[0])) -
                             kAllowed - 3 * error;
        if (apart > most) most = apart, worst = w;
    }
    if (worst < 0) return;
    std::ostringstream text;
    text.precision(3);
    text << "estimate.method = \"" << e.options.method << "\" and " << e.second_name
         << " differ by " << most + kAllowed + 3 * r.window_f_error[at(worst)]
         << " kT at the window at " << e.windows.center[at(worst)][0] << ": " << e.second_cause;
    e.result.doubts.push_back(text.str());
}

}  // namespace

void compare_time_halves(FreeEnergyResult& r, double kt) {
    const index bins = r.profile.grid.size(), segments = r.error_blocks.time_segments, blocks = r.error_blocks.count();
    if (segments < 2) return;
    std::vector<double> change = r.profile.influence;
    for (index g = 0; g < blocks; ++g) {
        const index twice = 2 * (g % segments) + 1;
        const double sign = twice < segments ? -2.0 : (twice > segments ? 2.0 : 0.0);
        for (index b = 0; b < bins; ++b) change[at(g * bins + b)] *= sign;
    }
    judge_halves(r, kt, change, blocks);
}

Disagreement disagreement(const std::vector<double>& difference, const std::vector<double>& influence,
                          index blocks, const std::vector<double>& samples, double kt,
                          double allowed) {
    const auto bins = static_cast<index>(difference.size());
    std::vector<index> judged;
    double weight = 0;
    for (index b = 0; b < bins; ++b)
        if (samples[at(b)] >= kLeastSamples && std::isfinite(difference[at(b)]) &&
            std::isfinite(influence[at(b)])) {
            judged.push_back(b);
            weight += samples[at(b)];
        }
    Disagreement worst;
    if (blocks < kFewBlocks || judged.empty()) return worst;
    double mean = 0;
    std::vector<double> common(at(blocks), 0.0), d(at(blocks));
    for (const index b : judged) {
        const double share = samples[at(b)] / weight;
        mean += share * difference[at(b)];
        for (index g = 0; g < blocks; ++g) common[at(g)] += share * influence[at(g * bins + b)];
    }
    double most = largest_deviation(static_cast<double>(judged.size()), kFalseAlarm);
    for (const index b : judged) {
        for (index g = 0; g < blocks; ++g) d[at(g)] = influence[at(g * bins + b)] - common[at(g)];
        const double error = scattered_sum(d).error, apart = difference[at(b)] - mean;
        const double size = std::fabs(apart) - allowed;
        if (!(size > 0) || !(error > 0) || error > kMostError * kt) continue;
        const double z = normal_of_t(size / error, static_cast<double>(blocks - 1));
        if (z > most) most = z, worst = {b, apart, std::fabs(apart) / error};
    }
    return worst;
}

void check_agreement(Estimation& e, const std::vector<double>& a) {
    if (!e.result.converged) return;
    const std::vector<double>& solution = e.solution.empty() ? a : e.solution;
    compare_halves(e, solution);
    // Cells too wide for the windows tell nothing of samples that were kept.
    if (e.kept && !cells_resolve(e)) return;
    compare_windows(e, solution);
    compare_estimators(e, a);
}

}  // namespace microlift
