// What MBAR and WHAM share: the profile and the errors of a mixture of windows.
#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/stop.h"
#include "sampling/estimate/estimators.h"
#include "sampling/numerics/statistics.h"

namespace microlift {

namespace {

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

}  // namespace

// ln p(ξ_b) = ln ρ(ξ_b) − D(ξ_b): the density of all samples, nearly flat, at the bin's centre,
// times the weight at the very centre. A count is the mean of ρ over the bin; the centre's value is
// that less h²ρ''/24, by second differences.
void mixture_profile(const Mixture& mixture, const CellHistogram& cells,
                     const std::vector<double>& a, const std::vector<double>& da, double kt,
                     FreeEnergyProfile& profile) {
    const Grid& grid = profile.grid;
    const index n = mixture.windows, blocks = cells.blocks, all = cells.bins[0] * cells.bins[1];
    std::vector<double> total(at(all), 0.0);
    for (index g = 0; g < blocks; ++g, check_stop())
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
        check_stop();
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
        check_stop();
        double mean = 0.0;
        for (index g = 0; g < blocks; ++g)
            mean += profile.influence[at(g * grid.size() + b)] / static_cast<double>(blocks);
        for (index g = 0; g < blocks; ++g) profile.influence[at(g * grid.size() + b)] -= mean;
    }
    profile.finish();
}

std::vector<double> mixture_influence(const Mixture& mixture, const CellHistogram& cells,
                                      const WindowStatistics& statistics,
                                      const std::vector<double>& a) {
    const std::vector<double> factor =
        factor_hessian(mixture_derivatives(mixture, cells.at_mean, a).hessian, mixture.windows,
                       1e-12, mixture.population);
    return influence_of_blocks(mixture, cells, statistics, a, factor);
}

void weigh_samples(Estimation& e, const std::vector<double>& a) {
    if (e.kept)
        mixture_log_weights(e.kept->stream, e.mixture, e.kept->samples, e.kept->range, a,
                            e.result.log_weight.data());
}

std::vector<double> finish_mixture(Estimation& e, const MixtureSolution& solution) {
    const index n = e.windows.size();
    const Mixture& mixture = e.mixture;
    const std::vector<double>& a = solution.a;
    FreeEnergyResult& r = e.result;
    r.converged = solution.converged;
    r.iterations = solution.iterations;
    r.residual = solution.residual;

    const std::vector<double> factor = factor_hessian(
        mixture_derivatives(mixture, e.cells.at_mean, a).hessian, n, 1e-12, mixture.population);
    const std::vector<double> da = influence_of_blocks(mixture, e.cells, e.statistics, a, factor);
    mixture_profile(mixture, e.cells, a, da, e.options.kt, r.profile);
    std::vector<double> g(at(r.error_blocks.count()));
    for (index w = 0; w < n; ++w) {
        r.window_f.push_back((a[at(w)] - std::log(mixture.population[at(w)])) -
                             (a[0] - std::log(mixture.population[0])));
        // f = a − ln N, and N counts the block too.
        for (std::size_t b = 0; b < g.size(); ++b)
            g[b] = da[b * at(n) + at(w)] -
                   e.statistics.sum(w, static_cast<index>(b))[0] / mixture.population[at(w)] +
                   e.statistics.sum(0, static_cast<index>(b))[0] / mixture.population[0];
        r.window_f_error.push_back(influence_error(g.data(), r.error_blocks.count()));
    }
    // H⁺ − diag(1/N), up to what differences do not see.
    r.asymptotic_covariance.assign(at(n * n), 0.0);
    for (index w = 0; w < n; ++w) r.asymptotic_covariance[at(w * n + w)] = 1.0;
    cholesky_solve(factor, n, r.asymptotic_covariance.data(), n);
    for (index w = 0; w < n; ++w)
        r.asymptotic_covariance[at(w * n + w)] -= 1.0 / mixture.population[at(w)];
    return a;
}

}  // namespace microlift
