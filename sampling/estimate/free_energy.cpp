#include "sampling/estimate/free_energy.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include "engine/at.h"
#include "engine/error.h"
#include "sampling/estimate/agreement.h"
#include "sampling/estimate/estimators.h"
#include "sampling/estimate/histogram.h"
#include "sampling/estimate/overlaps.h"
#include "sampling/estimate/stationarity.h"
#include "sampling/numerics/statistics.h"

namespace microlift {

namespace {

// Errors of bins that few blocks reach, and of what no samples connect with the minimum.
void judge_bins(Estimation& e, const std::vector<double>& a) {
    FreeEnergyResult& r = e.result;
    FreeEnergyProfile& profile = r.profile;
    const index bins = profile.grid.size(), blocks = e.cells.blocks,
                all = e.cells.bins[0] * e.cells.bins[1];
    const std::vector<index> part = connected_parts(r);
    std::vector<Mixture::Term> terms;
    const auto part_of = [&](index b) {
        const double x[2] = {profile.grid.centre(0, b),
                             profile.grid.dims == 2 ? profile.grid.centre(1, b) : 0.0};
        e.mixture.terms(a, x, terms);
        return part[at(std::max_element(terms.begin(), terms.end(), [](const auto& u, const auto& v) {
                           return u.p < v.p;
                       })->window)];
    };
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const index home = part_of(profile.minimum_bin);
    profile.samples.assign(at(bins), 0.0);
    index cut = 0;
    for (index b = 0; b < bins; ++b) {
        index present = 0;
        for (index g = 0; g < blocks; ++g) {
            const double count = e.cells.bin_count[at(g * all + e.cells.padded_bin(b))];
            profile.samples[at(b)] += count;
            present += count > 0;
        }
        if (!std::isfinite(profile.free_energy[at(b)])) continue;
        if (b != profile.minimum_bin)
            profile.std_error[at(b)] *= student_factor(present) / student_factor(blocks);
        if (part_of(b) == home) continue;
        profile.std_error[at(b)] = kInfinity;
        profile.samples[at(b)] = 0;  // nothing to judge it by
        ++cut;
    }
    for (std::size_t w = 0; w < part.size(); ++w)
        if (part[w] != part[0]) r.window_f_error[w] = kInfinity;
    if (cut > 0)
        r.warnings.back() += "; no samples connect " + std::to_string(cut) +
                             " bins with the minimum, and their std_error is inf";
}

// Fills the rest of `r`.
void solve(const WindowStatistics& statistics, CellHistogram& cells, const BiasWindows& windows,
           const EstimateOptions& options, const KeptSamples* kept, FreeEnergyResult& r) {
    Estimation e{windows, statistics, cells, options, kept, r};
    e.mixture.dims = statistics.dims;
    e.mixture.windows = windows.size();
    e.mixture.population = statistics.population;
    for (int k = 0; k < statistics.dims; ++k)
        for (index w = 0; w < windows.size(); ++w) {
            e.mixture.period[k] = windows.period[at(k)];
            e.mixture.center.push_back(windows.center[at(w)][k]);
            e.mixture.half_stiffness.push_back(0.5 * windows.reduced_stiffness(w, k));
        }
    const std::vector<double> a = find_estimator(options.method).estimate(e);
    r.profile.remove(options.common_bias);
    if (!r.converged) {
        std::ostringstream text;
        text << "the free energies did not converge in " << r.iterations << " iterations (residual "
             << r.residual << "); do not trust them";
        r.warnings.push_back(text.str());
    }
    find_overlaps(window_overlaps(e.mixture, cells.at_mean, a), windows, statistics.dims,
                  options.overlap_warning, r);
    judge_bins(e, a);
    check_agreement(e, a);
    for (std::size_t w = 0; w < e.window_bias.size(); ++w)
        r.window_f_error[w] = std::hypot(r.window_f_error[w], e.window_bias[w]);
}

void check_estimator(const Estimator& estimator, int cvs, bool kept) {
    const std::string name = estimator.name;
    if (cvs > estimator.most_cvs)
        throw InputError(name + " needs one collective variable, not " + std::to_string(cvs) +
                         "; use mbar or wham");
    if (estimator.needs_samples && !kept)
        throw InputError(name + " needs stored samples; use wham or umbrella_integration");
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
    const NearWindows near(stream, samples, windows);
    check_moving(stream, near.samples(), windows, r);
    r.profile.grid = grid;
    r.inefficiency.assign(at(windows.size()), 1.0);
    window_inefficiencies(stream, near.samples(), r);
    r.error_blocks = choose_error_blocks(
        samples, *std::max_element(r.inefficiency.begin(), r.inefficiency.end()),
        options.error_blocks);
    warn_of_few_blocks(r);

    const WindowStatistics statistics =
        window_statistics(stream, near.samples(), windows, r.error_blocks);
    CellHistogram cells = gather_cells(stream, samples, range, windows, grid, r.error_blocks);
    r.log_weight = Buffer<float>(stream.device(), samples.n);
    const KeptSamples kept{stream, samples, near.samples(), range};
    solve(statistics, cells, windows, options, &kept, r);
    return r;
}

FreeEnergyResult estimate_free_energy(const HistogramSamples& samples, const BiasWindows& windows,
                                      const Grid& grid, const EstimateOptions& options) {
    check_estimator(find_estimator(options.method), grid.dims, false);
    const index n = samples.windows, times = samples.blocks.time_segments;
    FreeEnergyResult r;
    r.profile.grid = grid;
    r.error_blocks = samples.blocks;
    warn_of_few_blocks(r);
    check_moving(samples, windows, r);

    WindowStatistics statistics;
    statistics.windows = n;
    statistics.blocks = samples.blocks.count();
    statistics.dims = grid.dims;
    const index width = 1 + 2 * grid.dims;
    statistics.sums.assign(at(n * statistics.blocks * width), 0.0);
    for (index t = 0; t < samples.trajectories(); ++t)
        for (index time = 0; time < times; ++time) {
            const index g = t % samples.replicas * samples.blocks.replica_groups / samples.replicas;
            double* sum = &statistics.sums[at(
                (t / samples.replicas * statistics.blocks + g * times + time) * width)];
            sum[0] += static_cast<double>(samples.samples_in(time));
            for (int k = 0; k < 2 * grid.dims; ++k)
                sum[1 + k] += samples.sums[at((time * samples.moments() + k % 2 * grid.dims + k / 2) *
                                                  samples.trajectories() + t)];
        }
    finish_statistics(windows, statistics);
    for (index w = 0; w < n; ++w) {
        r.inefficiency.push_back(samples.inefficiency(w));
        r.effective_samples.push_back(statistics.population[at(w)] / r.inefficiency.back());
    }
    CellHistogram cells = gather_cells(samples, grid);
    solve(statistics, cells, windows, options, nullptr, r);
    return r;
}

}  // namespace microlift
