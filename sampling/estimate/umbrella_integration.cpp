#include "sampling/estimate/umbrella_integration.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include "engine/at.h"
#include "engine/error.h"
#include "engine/stop.h"
#include "sampling/numerics/statistics.h"

namespace microlift {

namespace {

constexpr double kFalseAlarm = 1e-3;  // of the test whether the mean force closes
constexpr double kAllowed = 0.1;      // kT round a period, which warn nobody

double mean_force(const WindowMoments& m, const std::vector<double>& center,
                  const std::vector<double>& stiffness, double period, double x) {
    check_stop();
    // Relative to the largest weight, so that far from all windows the nearest one speaks.
    double top = -1e300;
    const std::size_t n = m.mean.size();
    const auto log_weight = [&](std::size_t w) {
        const double d = nearest_image(x - m.mean[w], period);
        return std::log(m.count[w]) - 0.5 * std::log(m.variance[w]) - 0.5 * d * d / m.variance[w];
    };
    for (std::size_t w = 0; w < n; ++w)
        if (m.count[w] > 1.0) top = std::max(top, log_weight(w));
    double sum = 0.0, force = 0.0;
    for (std::size_t w = 0; w < n; ++w) {
        if (!(m.count[w] > 1.0)) continue;
        const double l = log_weight(w) - top;
        if (l < -44.0) continue;
        const double p = std::exp(l);
        sum += p;
        force += p * (nearest_image(x - m.mean[w], period) / m.variance[w] -
                      stiffness[w] * nearest_image(x - center[w], period));
    }
    return force / sum;
}

// ∫ mean force from a to b: Simpson.
double integral(const WindowMoments& m, const std::vector<double>& center,
                const std::vector<double>& stiffness, double period, double a, double b, int panels) {
    const double h = (b - a) / (2 * panels);
    double sum = mean_force(m, center, stiffness, period, a) + mean_force(m, center, stiffness, period, b);
    for (int i = 1; i < 2 * panels; ++i)
        sum += (i % 2 ? 4.0 : 2.0) * mean_force(m, center, stiffness, period, a + i * h);
    return sum * h / 3.0;
}

double least_width(const WindowMoments& m) {
    return std::sqrt(*std::min_element(m.variance.begin(), m.variance.end()));
}

// A difference from which noise of this size is taken out, in the mean square.
double beyond_noise(double difference, double noise) {
    return std::copysign(
        std::sqrt(std::max(0.0, difference * difference - noise * noise)), difference);
}

// What windows that are not Gaussian do: the difference to WHAM, which takes the same samples and assumes
// nothing of them, less the noise of that difference. window_influence: (block, window).
void estimate_bias(Estimation& e, const std::vector<double>& window_influence) {
    FreeEnergyProfile& profile = e.result.profile;
    const index n = e.statistics.windows, blocks = e.statistics.blocks, bins = profile.grid.size();
    const std::vector<double> da =
        mixture_influence(e.mixture, e.cells, e.statistics, e.solution);
    FreeEnergyProfile free;
    free.grid = profile.grid;
    mixture_profile(e.mixture, e.cells, e.solution, da, e.options.kt, free);
    const index home = free.minimum_bin;
    std::vector<double> g(at(blocks));
    profile.bias.assign(at(bins), 0.0);
    for (index b = 0; b < bins; ++b) {
        const auto apart = [&](const double* own, const double* other) {
            return (own[b] - own[home]) - (other[b] - other[home]);
        };
        for (index i = 0; i < blocks; ++i)
            g[at(i)] = apart(&profile.influence[at(i * bins)], &free.influence[at(i * bins)]);
        const double difference = apart(profile.free_energy.data(), free.free_energy.data());
        if (std::isfinite(difference))
            profile.bias[at(b)] = beyond_noise(difference, influence_error(g.data(), blocks));
    }
    for (index w = 0; w < n; ++w) {
        // f = a − ln N, and N counts the block too.
        const auto share = [&](index window, index i) {
            return e.statistics.sum(window, i)[0] / e.mixture.population[at(window)];
        };
        for (index i = 0; i < blocks; ++i)
            g[at(i)] = window_influence[at(i * n + w)] -
                       (da[at(i * n + w)] - share(w, i) + share(0, i));
        const double other = e.solution[at(w)] - std::log(e.mixture.population[at(w)]) -
                             e.solution[0] + std::log(e.mixture.population[0]);
        e.window_bias.push_back(beyond_noise(e.result.window_f[at(w)] - other,
                                             influence_error(g.data(), blocks)));
    }
}

// Round a period the mean force of a free energy integrates to 0.
void check_closing(FreeEnergyResult& r, std::vector<double> without_block) {
    const auto blocks = static_cast<index>(without_block.size());
    r.once_round_error = jackknife_error(std::move(without_block));
    if (blocks < kFewBlocks || !(r.once_round_error > 0)) return;
    r.compared.emplace_back("round");
    const double size = std::fabs(r.once_round) - kAllowed;
    if (!(normal_of_t(size / r.once_round_error, static_cast<double>(blocks - 1)) >
          largest_deviation(1, kFalseAlarm)))
        return;
    std::ostringstream text;
    text.precision(3);
    text << "the mean force, integrated once round the period, gives " << r.once_round << " kT ("
         << std::fabs(r.once_round) / r.once_round_error
         << " standard errors) and not 0: windows that are stuck or not Gaussian, or a drift that drives "
            "the collective variable round, for which there is no free energy";
    r.doubts.push_back(text.str());
}

}  // namespace

std::vector<double> umbrella_integration(const WindowMoments& moments,
                                         const std::vector<double>& center,
                                         const std::vector<double>& reduced_stiffness,
                                         const Grid& grid, double* once_round) {
    const double period = grid.period(0);
    std::vector<double> f(at(grid.bins[0]), 0.0);
    const int panels = static_cast<int>(
        std::clamp(std::ceil(2.0 * grid.width(0) / least_width(moments)), 1.0, 64.0));
    for (index b = 1; b < grid.bins[0]; ++b)
        f[at(b)] = f[at(b - 1)] + integral(moments, center, reduced_stiffness, period,
                                           grid.centre(0, b - 1), grid.centre(0, b), panels);
    if (!(period > 0)) return f;
    const double left = f.back() + integral(moments, center, reduced_stiffness, period,
                                            grid.centre(0, grid.bins[0] - 1),
                                            grid.centre(0, 0) + period, panels);
    for (index b = 0; b < grid.bins[0]; ++b)
        f[at(b)] -= left * static_cast<double>(b) / static_cast<double>(grid.bins[0]);
    if (once_round) *once_round = left;
    return f;
}

std::vector<double> umbrella_window_f(const WindowMoments& moments,
                                      const std::vector<double>& center,
                                      const std::vector<double>& reduced_stiffness, double period) {
    const std::size_t n = moments.mean.size();
    double low = 1e300, high = -1e300;
    for (std::size_t w = 0; w < n; ++w) {
        const double reach = 6.0 * std::sqrt(moments.variance[w]);
        low = std::min(low, moments.mean[w] - reach);
        high = std::max(high, moments.mean[w] + reach);
    }
    if (period > 0) low = center[0], high = center[0] + period;
    const index steps =
        static_cast<index>(std::clamp(8.0 * (high - low) / least_width(moments), 256.0, 65536.0));
    const double h = (high - low) / static_cast<double>(steps);
    std::vector<double> f(at(steps + 1), 0.0);
    for (index i = 1; i <= steps; ++i)
        f[at(i)] = f[at(i - 1)] + integral(moments, center, reduced_stiffness, period,
                                           low + static_cast<double>(i - 1) * h,
                                           low + static_cast<double>(i) * h, 1);
    if (period > 0) {
        const double left = f.back();
        for (index i = 0; i <= steps; ++i)
            f[at(i)] -= left * static_cast<double>(i) / static_cast<double>(steps);
        f.back() = std::numeric_limits<double>::infinity();  // the first again
    }
    std::vector<double> result(n);
    for (std::size_t w = 0; w < n; ++w) {
        const auto exponent = [&](index i) {
            const double d = nearest_image(low + static_cast<double>(i) * h - center[w], period);
            return -f[at(i)] - 0.5 * reduced_stiffness[w] * d * d;
        };
        double top = -1e300, sum = 0.0;
        for (index i = 0; i <= steps; ++i) top = std::max(top, exponent(i));
        for (index i = 0; i <= steps; ++i) sum += std::exp(exponent(i) - top);
        result[w] = -(top + std::log(sum));
    }
    const double first = result[0];
    for (double& r : result) r -= first;
    return result;
}

std::vector<double> estimate_umbrella_integration(Estimation& e) {
    const WindowStatistics& statistics = e.statistics;
    const CellHistogram& cells = e.cells;
    const double kt = e.options.kt;
    FreeEnergyResult& r = e.result;
    const index n = statistics.windows, blocks = statistics.blocks;
    std::vector<double> center, stiffness;
    for (index w = 0; w < n; ++w) {
        center.push_back(e.windows.center[at(w)][0]);
        stiffness.push_back(e.windows.reduced_stiffness(w, 0));
    }
    // Moments of all blocks but one (−1: of all).
    const auto moments = [&](index without) {
        WindowMoments m;
        for (index w = 0; w < n; ++w) {
            double sum[3] = {0, 0, 0};
            for (index g = 0; g < blocks; ++g)
                for (int i = 0; i < 3 && g != without; ++i) sum[i] += statistics.sum(w, g)[i];
            const double mean = sum[0] > 0.0 ? sum[1] / sum[0] : 0.0;
            const double least = sum[0] > 0.0 ? std::max(1e-12 * sum[2] / sum[0], 1e-300) : 1e-300;
            m.count.push_back(sum[0]);
            m.mean.push_back(center[at(w)] + mean);
            m.variance.push_back(
                sum[0] > 1.0 ? std::max((sum[2] - sum[0] * mean * mean) / (sum[0] - 1.0), least)
                             : least);
        }
        return m;
    };
    const WindowMoments all = moments(-1);
    for (index w = 0; w < n; ++w)
        if (all.count[at(w)] < 2.0)
            throw InputError("umbrella integration needs two samples in every window; window " +
                             std::to_string(w) + " has fewer");
    const Grid& grid = r.profile.grid;
    const double period = grid.period(0);
    std::vector<double> round(at(blocks));
    r.profile.free_energy = umbrella_integration(all, center, stiffness, grid, &r.once_round);
    r.window_f = umbrella_window_f(all, center, stiffness, period);
    r.profile.blocks = blocks;
    r.profile.influence.assign(at(blocks * grid.size()), 0.0);
    std::vector<double> f(at(blocks * n), 0.0);
    for (index g = 0; g < blocks; ++g) {
        const WindowMoments some = moments(g);
        const std::vector<double> p =
            umbrella_integration(some, center, stiffness, grid, &round[at(g)]);
        const std::vector<double> wf = umbrella_window_f(some, center, stiffness, period);
        std::copy(p.begin(), p.end(), r.profile.influence.begin() + g * grid.size());
        std::copy(wf.begin(), wf.end(), f.begin() + g * n);
    }
    if (period > 0) check_closing(r, std::move(round));
    for (index b = 0; b < grid.size(); ++b) {
        jackknife_influence(&r.profile.influence[at(b)], blocks, grid.size());
        r.profile.free_energy[at(b)] *= kt;
        for (index g = 0; g < blocks; ++g) r.profile.influence[at(g * grid.size() + b)] *= kt;
    }
    for (index w = 0; w < n; ++w) {
        jackknife_influence(&f[at(w)], blocks, n);
        r.window_f_error.push_back(influence_error(&f[at(w)], blocks, n));
    }
    // The mean force reaches everywhere; where nothing was sampled it is a guess.
    const index all_bins = cells.bins[0];
    for (index b = 0; b < grid.size(); ++b) {
        double count = 0.0;
        for (index g = 0; g < blocks; ++g)
            count += cells.bin_count[at(g * all_bins + cells.padded_bin(b))];
        if (count <= 0.0) r.profile.free_energy[at(b)] = std::numeric_limits<double>::quiet_NaN();
    }
    r.converged = true;
    std::vector<double> a;
    for (index w = 0; w < n; ++w)
        a.push_back(r.window_f[at(w)] + std::log(e.mixture.population[at(w)]));
    weigh_samples(e, a);
    e.solution = solve_wham(e.mixture, cells, a, e.options.tolerance, e.options.max_iterations).a;
    estimate_bias(e, f);
    r.profile.finish();
    e.second = e.solution;
    e.second_name = "WHAM";
    e.second_cause = "umbrella integration takes every window for Gaussian, and these are not; use "
                     "\"mbar\" or \"wham\"";
    return a;
}

}  // namespace microlift
