#include "sampling/estimate/free_energy.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "engine/at.h"
#include "engine/error.h"
#include "sampling/estimate/estimators.h"
#include "sampling/estimate/histogram.h"

namespace microlift {

namespace {

// Fills the rest of `r`.
void solve(const WindowStatistics& statistics, CellHistogram& cells, const BiasWindows& windows,
           const EstimateOptions& options, const KeptSamples* kept, FreeEnergyResult& r) {
    Estimation e{windows, statistics, cells, options, kept, r};
    e.mixture.dims = statistics.dims;
    e.mixture.windows = windows.size();
    e.mixture.population = statistics.population;
    for (int k = 0; k < statistics.dims; ++k)
        for (index w = 0; w < windows.size(); ++w) {
            e.mixture.center.push_back(windows.center[at(w)][k]);
            e.mixture.half_stiffness.push_back(0.5 * windows.reduced_stiffness(w, k));
        }
    const std::vector<double> a = find_estimator(options.method).estimate(e);
    if (!r.converged) {
        std::ostringstream text;
        text << "the free energies did not converge in " << r.iterations << " iterations (residual "
             << r.residual << "); do not trust them";
        r.warnings.push_back(text.str());
    }
    find_overlaps(window_overlaps(e.mixture, cells.at_mean, a), windows, statistics.dims,
                  options.overlap_warning, r);
}

void check_estimator(const Estimator& estimator, int cvs, bool kept) {
    const std::string name = estimator.name;
    if (cvs > estimator.most_cvs)
        throw InputError(name + " needs one collective variable, not " + std::to_string(cvs) +
                         "; use mbar or wham");
    if (estimator.needs_samples && !kept)
        throw InputError(name + " needs stored samples; use wham or umbrella_integration");
}

void warn_of_one_block(FreeEnergyResult& r) {
    if (r.error_blocks.count() < 2)
        r.warnings.push_back("one trajectory a window, too short to divide: no standard errors");
}

}  // namespace

FreeEnergyResult estimate_free_energy(Stream& stream, const BiasedSamples& samples,
                                      const BiasWindows& windows, const Grid& grid,
                                      const EstimateOptions& options) {
    check_estimator(find_estimator(options.method), samples.n_cvs, true);
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
    check_estimator(find_estimator(options.method), grid.dims, false);
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
