#include "sampling/estimate/free_energy.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include "engine/error.h"
#include "sampling/estimate/histogram.h"
#include "sampling/estimate/mbar.h"
#include "sampling/numerics/statistics.h"
#include "sampling/estimate/umbrella_integration.h"
#include "sampling/estimate/wham.h"
#include "sampling/estimate/window_statistics.h"

namespace microlift {

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::size_t at(index i) {
    return static_cast<std::size_t>(i);
}

// ∂a/∂weight of each block (G, K), by the implicit function theorem: −H⁻¹ (Σ_{n∈g} P − N^g).
std::vector<double> influence_of_blocks(const Mixture& mixture, const CellHistogram& cells,
                                        const WindowStatistics& statistics,
                                        const std::vector<double>& a,
                                        const std::vector<double>& factor) {
    const index n = mixture.windows, blocks = cells.blocks, points = cells.at_mean.points();
    std::vector<double> g(at(n * blocks), 0.0);  // (K, G): columns for the solver
    std::vector<Mixture::Term> terms;
    for (index m = 0; m < points; ++m) {
        mixture.terms(a, &cells.at_mean.x[at(m * mixture.dims)], terms);
        for (const Mixture::Term& t : terms)
            for (index b = 0; b < blocks; ++b)
                g[at(t.window * blocks + b)] += cells.at_mean.block_count[at(b * points + m)] * t.p;
    }
    for (index w = 0; w < n; ++w) {
        double mean = 0.0;
        for (index b = 0; b < blocks; ++b) {
            g[at(w * blocks + b)] -= statistics.sum(w, b)[0];
            mean += g[at(w * blocks + b)] / static_cast<double>(blocks);
        }
        // The sum over blocks is the gradient, zero but for the cells' width.
        for (index b = 0; b < blocks; ++b) g[at(w * blocks + b)] = mean - g[at(w * blocks + b)];
    }
    cholesky_solve(factor, n, g.data(), blocks);
    std::vector<double> result(at(blocks * n));
    for (index w = 0; w < n; ++w)
        for (index b = 0; b < blocks; ++b) result[at(b * n + w)] = g[at(w * blocks + b)] - g[at(b)];
    return result;
}

// ln p(ξ_b) = ln ρ(ξ_b) − D(ξ_b): the density of all samples, nearly flat, at the bin's centre,
// times the weight at the very centre. A count is the mean of ρ over the bin; the centre's value is
// that less h²ρ''/24, by second differences.
void mixture_profile(const Mixture& mixture, const CellHistogram& cells,
                     const std::vector<double>& a, const std::vector<double>& da, double kt,
                     FreeEnergyProfile& profile) {
    const Grid& grid = profile.grid;
    const index n = mixture.windows, blocks = cells.blocks, all = cells.bins[0] * cells.bins[1];
    std::vector<double> total(at(all), 0.0);
    for (index g = 0; g < blocks; ++g)
        for (index b = 0; b < all; ++b) total[at(b)] += cells.bin_count[at(g * all + b)];
    const index step[2] = {grid.dims == 1 ? 1 : cells.bins[1], 1};
    const auto at_centre = [&](const double* count, index b) {
        double value = count[b];
        for (int k = 0; k < grid.dims; ++k)
            value -= (count[b + step[k]] - 2.0 * count[b] + count[b - step[k]]) / 24.0;
        return value;
    };
    profile.free_energy.assign(at(grid.size()), kNaN);
    profile.influence.assign(at(blocks * grid.size()), kNaN);
    profile.blocks = blocks;
    std::vector<Mixture::Term> terms;
    for (index b = 0; b < grid.size(); ++b) {
        const index padded = cells.padded_bin(b);
        const double count = total[at(padded)];
        if (count <= 0.0) continue;
        const double x[2] = {grid.centre(0, b), grid.dims == 2 ? grid.centre(1, b) : 0.0};
        const double d = mixture.terms(a, x, terms);
        double rho = at_centre(total.data(), padded);
        const bool smooth = rho > 0.5 * count && rho < 2.0 * count;
        if (!smooth) rho = count;
        profile.free_energy[at(b)] = kt * (d - std::log(rho));
        for (index g = 0; g < blocks; ++g) {
            const double* counts = &cells.bin_count[at(g * all)];
            double change = -(smooth ? at_centre(counts, padded) : counts[padded]) / rho;
            for (const Mixture::Term& t : terms) change += t.p * da[at(g * n + t.window)];
            profile.influence[at(g * grid.size() + b)] = kt * change;
        }
    }
    // A block's influence is relative to its share of the whole: centre it.
    for (index b = 0; b < grid.size(); ++b) {
        double mean = 0.0;
        for (index g = 0; g < blocks; ++g)
            mean += profile.influence[at(g * grid.size() + b)] / static_cast<double>(blocks);
        for (index g = 0; g < blocks; ++g) profile.influence[at(g * grid.size() + b)] -= mean;
    }
    profile.finish();
}

// The samples behind the cells, where they were kept.
struct KeptSamples {
    Stream& stream;
    const BiasedSamples& samples;
    const double* range;
};

// Fills the rest of `r`.
void solve(const WindowStatistics& statistics, CellHistogram& cells, const BiasWindows& windows,
           const EstimateOptions& options, const KeptSamples* kept, FreeEnergyResult& r) {
    const index n = windows.size();
    const int dims = statistics.dims;
    Mixture mixture;
    mixture.dims = dims;
    mixture.windows = n;
    mixture.population = statistics.population;
    for (int k = 0; k < dims; ++k)
        for (index w = 0; w < n; ++w) {
            mixture.center.push_back(windows.center[at(w)][k]);
            mixture.half_stiffness.push_back(0.5 * windows.reduced_stiffness(w, k));
        }
    const auto weigh = [&](const std::vector<double>& a) {
        if (kept)
            mixture_log_weights(kept->stream, mixture, kept->samples, kept->range, a,
                                r.log_weight.data());
    };

    std::vector<double> a;
    if (options.method == FreeEnergyMethod::umbrella_integration) {
        estimate_umbrella_integration(statistics, windows, cells, options.kt, r);
        for (index w = 0; w < n; ++w)
            a.push_back(r.window_f[at(w)] + std::log(mixture.population[at(w)]));
        weigh(a);
    } else {
        const std::vector<double> start =
            gaussian_start(mixture, statistics.mean, statistics.variance);
        MixtureSolution solution;
        if (options.method == FreeEnergyMethod::wham) {
            solution = solve_wham(mixture, cells, start, options.tolerance, options.max_iterations);
            weigh(solution.a);
            cells.at_mean.x = cells.cell_centre;
        } else {
            // A start for the exact equations: a looser tolerance is enough.
            solution = solve_gathered(mixture, cells.at_mean, start,
                                      std::max(options.tolerance, 1e-4), options.max_iterations);
            const index before = solution.iterations;
            solution = solve_streaming(kept->stream, mixture, kept->samples, kept->range,
                                       cells.at_mean, solution.a, options.tolerance,
                                       options.max_iterations, r.log_weight.data());
            solution.iterations += before;
        }
        a = solution.a;
        r.converged = solution.converged;
        r.iterations = solution.iterations;
        r.residual = solution.residual;

        const std::vector<double> factor = factor_hessian(
            mixture_derivatives(mixture, cells.at_mean, a).hessian, n, 1e-12, mixture.population);
        const std::vector<double> da = influence_of_blocks(mixture, cells, statistics, a, factor);
        mixture_profile(mixture, cells, a, da, options.kt, r.profile);
        std::vector<double> g(at(r.error_blocks.count()));
        for (index w = 0; w < n; ++w) {
            r.window_f.push_back((a[at(w)] - std::log(mixture.population[at(w)])) -
                                 (a[0] - std::log(mixture.population[0])));
            // f = a − ln N, and N counts the block too.
            for (std::size_t b = 0; b < g.size(); ++b)
                g[b] = da[b * at(n) + at(w)] -
                       statistics.sum(w, static_cast<index>(b))[0] / mixture.population[at(w)] +
                       statistics.sum(0, static_cast<index>(b))[0] / mixture.population[0];
            r.window_f_error.push_back(influence_error(g.data(), r.error_blocks.count()));
        }
        // H⁺ − diag(1/N), up to what differences do not see.
        r.asymptotic_covariance.assign(at(n * n), 0.0);
        for (index w = 0; w < n; ++w) r.asymptotic_covariance[at(w * n + w)] = 1.0;
        cholesky_solve(factor, n, r.asymptotic_covariance.data(), n);
        for (index w = 0; w < n; ++w)
            r.asymptotic_covariance[at(w * n + w)] -= 1.0 / mixture.population[at(w)];
    }
    if (!r.converged) {
        std::ostringstream text;
        text << "the free energies did not converge in " << r.iterations << " iterations (residual "
             << r.residual << "); do not trust them";
        r.warnings.push_back(text.str());
    }
    find_overlaps(window_overlaps(mixture, cells.at_mean, a), windows, dims,
                  options.overlap_warning, r);
}

void warn_of_one_block(FreeEnergyResult& r) {
    if (r.error_blocks.count() < 2)
        r.warnings.push_back("one trajectory a window, too short to divide: no standard errors");
}

}  // namespace

FreeEnergyResult estimate_free_energy(Stream& stream, const BiasedSamples& samples,
                                      const BiasWindows& windows, const Grid& grid,
                                      const EstimateOptions& options) {
    if (options.method == FreeEnergyMethod::umbrella_integration && samples.n_cvs != 1)
        throw InputError("umbrella_integration needs one collective variable, not " +
                         std::to_string(samples.n_cvs) + "; use mbar or wham");
    check_estimate_input(samples, &windows, grid);
    double range[2 * kMaxCvs];
    check_range(stream, samples, range);

    FreeEnergyResult r;
    r.profile.grid = grid;
    r.inefficiency.assign(at(windows.size()), 1.0);
    window_inefficiencies(stream, samples, r);
    r.error_blocks = choose_error_blocks(
        samples, *std::max_element(r.inefficiency.begin(), r.inefficiency.end()),
        options.error_blocks);
    warn_of_one_block(r);

    const WindowStatistics statistics = window_statistics(stream, samples, windows, r.error_blocks);
    CellHistogram cells = gather_cells(stream, samples, range, windows, grid, r.error_blocks);
    r.log_weight = Buffer<float>(stream.device(), samples.n);
    const KeptSamples kept{stream, samples, range};
    solve(statistics, cells, windows, options, &kept, r);
    return r;
}

FreeEnergyResult estimate_free_energy(const HistogramSamples& samples, const BiasWindows& windows,
                                      const Grid& grid, const EstimateOptions& options) {
    if (options.method == FreeEnergyMethod::mbar)
        throw InputError("mbar needs stored samples; use wham or umbrella_integration");
    if (options.method == FreeEnergyMethod::umbrella_integration && grid.dims != 1)
        throw InputError("umbrella_integration needs one collective variable; use wham");
    const index n = samples.windows, trajectories = n * samples.replicas;
    const auto each = static_cast<double>(samples.samples);
    FreeEnergyResult r;
    r.profile.grid = grid;
    r.error_blocks = samples.blocks;
    warn_of_one_block(r);

    WindowStatistics statistics;
    statistics.windows = n;
    statistics.blocks = samples.blocks.count();
    statistics.dims = grid.dims;
    const index width = 1 + 2 * grid.dims;
    statistics.sums.assign(at(n * statistics.blocks * width), 0.0);
    for (index t = 0; t < trajectories; ++t) {
        const index g = t % samples.replicas * statistics.blocks / samples.replicas;
        double* sum =
            &statistics.sums[at((t / samples.replicas * statistics.blocks + g) * width)];
        sum[0] += each;
        for (int k = 0; k < 2 * grid.dims; ++k)
            sum[1 + k] += samples.sums[at((k % 2 * grid.dims + k / 2) * trajectories + t)];
    }
    finish_statistics(windows, statistics);

    // The variance of a trajectory's mean is g σ²/samples.
    for (index w = 0; w < n; ++w) {
        double worst = 1.0;
        for (int k = 0; k < grid.dims && samples.replicas > 1; ++k) {
            const double* sums = &samples.sums[at(k * trajectories + w * samples.replicas)];
            const double mean = statistics.mean[at(w * grid.dims + k)] -
                                windows.center[at(w)][static_cast<std::size_t>(k)];
            double spread = 0.0;
            for (index t = 0; t < samples.replicas; ++t)
                spread += std::pow(sums[t] / each - mean, 2);
            spread /= static_cast<double>(samples.replicas - 1);
            worst = std::max(worst, std::min(each, each * spread /
                                                       statistics.variance[at(w * grid.dims + k)]));
        }
        r.inefficiency.push_back(worst);
        r.effective_samples.push_back(statistics.population[at(w)] / worst);
    }
    CellHistogram cells = gather_cells(samples, grid);
    solve(statistics, cells, windows, options, nullptr, r);
    return r;
}

}  // namespace microlift
