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

namespace microlift {

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr index kMostErrorBlocks = 64, kFewestReplicas = 16;

std::size_t at(index i) {
    return static_cast<std::size_t>(i);
}

}  // namespace

// --- the grid
// --------------------------------------------------------------------------------------

std::vector<GridWeight> interpolation_weights(const Grid& grid, const std::array<double, 2>& x) {
    std::vector<GridWeight> axis[2];
    for (int k = 0; k < grid.dims; ++k) {
        const index n = grid.bins[k], points = std::min<index>(4, n);
        const double u = (x[k] - grid.from[k]) / grid.width(k) - 0.5;
        index first = static_cast<index>(std::floor(u)) - (points - 1) / 2;
        first = std::clamp<index>(first, 0, n - points);
        for (index i = 0; i < points; ++i) {
            double w = 1.0;
            for (index j = 0; j < points; ++j)
                if (j != i) w *= (u - static_cast<double>(first + j)) / static_cast<double>(i - j);
            if (w != 0.0) axis[k].push_back({first + i, w});
        }
    }
    if (grid.dims == 1) return axis[0];
    std::vector<GridWeight> product;
    for (const GridWeight& a : axis[0])
        for (const GridWeight& b : axis[1])
            product.push_back({a.bin * grid.bins[1] + b.bin, a.weight * b.weight});
    return product;
}

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

// --- input
// -----------------------------------------------------------------------------------------

FreeEnergyMethod free_energy_method(const std::string& name) {
    if (name == "mbar") return FreeEnergyMethod::mbar;
    if (name == "wham") return FreeEnergyMethod::wham;
    if (name == "umbrella_integration") return FreeEnergyMethod::umbrella_integration;
    throw InputError("no estimator is called '" + name +
                     "'; there are mbar, wham and umbrella_integration");
}

void check_estimate_input(const BiasedSamples& samples, const BiasWindows* windows,
                          const Grid& grid) {
    const auto fail = [](const std::string& what) { throw InputError("estimate: " + what); };
    if (samples.n_cvs < 1 || samples.n_cvs > kMaxCvs)
        fail(std::to_string(samples.n_cvs) + " collective variables; one or two are supported");
    if (grid.dims != samples.n_cvs)
        fail("the grid has " + std::to_string(grid.dims) + " dimensions, the samples " +
             std::to_string(samples.n_cvs));
    for (int k = 0; k < grid.dims; ++k)
        if (!(grid.to[k] > grid.from[k]) || grid.bins[k] < 1)
            fail("the grid needs from < to and at least one bin in every dimension");
    if (samples.n < 1) fail("there are no samples");
    if (samples.row < samples.n || samples.xi.size < (samples.n_cvs - 1) * samples.row + samples.n)
        fail("the sample array is shorter than its sizes say");
    index next = 0;
    for (const SampleBlock& run : samples.blocks) {
        if (run.first != next || run.windows < 1 || run.replicas < 1 || run.samples < 1)
            fail("runs of samples must be non-empty and follow each other");
        if (windows && (run.first_window < 0 || run.first_window + run.windows > windows->size()))
            fail("a run names windows that do not exist");
        next += run.size();
    }
    if (next != samples.n)
        fail("the runs hold " + std::to_string(next) + " samples, not " +
             std::to_string(samples.n));
    if (!windows) return;
    if (windows->size() < 1 || windows->stiffness.size() != windows->center.size())
        fail("every window needs a centre and a stiffness");
    std::vector<char> seen(at(windows->size()), 0);
    for (const SampleBlock& run : samples.blocks)
        for (index w = 0; w < run.windows; ++w) seen[at(run.first_window + w)] = 1;
    for (index w = 0; w < windows->size(); ++w) {
        if (!seen[at(w)]) fail("window " + std::to_string(w) + " has no samples");
        for (int k = 0; k < grid.dims; ++k)
            if (!(windows->reduced_stiffness(w, k) >= 0.0) ||
                !std::isfinite(windows->reduced_stiffness(w, k)) ||
                !std::isfinite(windows->center[at(w)][k]))
                fail("window " + std::to_string(w) + " needs a finite centre and a stiffness ≥ 0");
    }
}

namespace {

void check_range(Stream& stream, const BiasedSamples& samples, double* range) {
    index bad[kMaxCvs] = {-1, -1};
    sample_range(stream, samples, range, bad);
    for (int k = 0; k < samples.n_cvs; ++k) {
        if (bad[k] < 0) continue;
        for (const SampleBlock& run : samples.blocks) {
            const index j = bad[k] - run.first;
            if (j >= run.size()) continue;
            const index t = j % run.trajectories();
            throw NumericError("collective variable " + std::to_string(k + 1) +
                               " of a sample is not finite: window " +
                               std::to_string(run.first_window + t / run.replicas) + ", replica " +
                               std::to_string(t % run.replicas) + ", sample " +
                               std::to_string(j / run.trajectories()) + " (column " +
                               std::to_string(bad[k]) + ")");
        }
    }
}

}  // namespace

// --- blocks for errors
// ------------------------------------------------------------------------------

BlockDivision block_division(const SampleBlock& run, const ErrorBlocks& blocks) {
    return {static_cast<int32>(run.trajectories()), static_cast<int32>(run.replicas),
            static_cast<int32>(run.samples), static_cast<int32>(blocks.replica_groups),
            static_cast<int32>(blocks.time_segments)};
}

ErrorBlocks choose_error_blocks(const BiasedSamples& samples, double inefficiency, index wanted) {
    index replicas = std::numeric_limits<index>::max(), length = replicas;
    for (const SampleBlock& run : samples.blocks) {
        replicas = std::min(replicas, run.replicas);
        length = std::min(length, run.samples);
    }
    const index goal = wanted > 0 ? wanted : kMostErrorBlocks;
    ErrorBlocks blocks;
    blocks.replica_groups = std::min(replicas, goal);
    const index enough = wanted > 0 ? wanted : kFewestReplicas;
    if (blocks.replica_groups < enough) {
        const double longest = static_cast<double>(length) / (10.0 * std::max(inefficiency, 1.0));
        const index most = static_cast<index>(std::max(1.0, std::floor(longest)));
        const index need = (2 * enough + blocks.replica_groups - 1) / blocks.replica_groups;
        blocks.time_segments = std::min(need, most);
    }
    std::ostringstream text;
    text << "jackknife over " << blocks.count() << " blocks: " << blocks.replica_groups
         << " groups of independent replicas";
    if (blocks.time_segments > 1) text << " times " << blocks.time_segments << " segments of time";
    blocks.description = text.str();
    return blocks;
}

// --- the estimate
// ------------------------------------------------------------------------------------

namespace {

// Per window: counts, means, variances; and the sums of each block they come from.
struct WindowStatistics {
    index windows = 0, blocks = 0;
    int dims = 1;
    std::vector<double> sums;  // (window, block, 1 + 2*dims), about the window's centre
    std::vector<double> population, mean, variance;

    const double* sum(index w, index g) const {
        return &sums[at((w * blocks + g) * (1 + 2 * dims))];
    }
};

void finish_statistics(const BiasWindows& windows, WindowStatistics& s) {
    for (index w = 0; w < s.windows; ++w) {
        double n = 0.0;
        for (index g = 0; g < s.blocks; ++g) n += s.sum(w, g)[0];
        s.population.push_back(n);
        for (int k = 0; k < s.dims; ++k) {
            double x = 0.0, xx = 0.0;
            for (index g = 0; g < s.blocks; ++g) {
                x += s.sum(w, g)[1 + 2 * k];
                xx += s.sum(w, g)[2 + 2 * k];
            }
            s.mean.push_back(windows.center[at(w)][k] + x / n);
            s.variance.push_back(std::max(xx / n - x * x / (n * n), 1e-30));
        }
    }
}

WindowStatistics window_statistics(Stream& stream, const BiasedSamples& samples,
                                   const BiasWindows& windows, const ErrorBlocks& blocks) {
    WindowStatistics s;
    s.windows = windows.size();
    s.blocks = blocks.count();
    s.dims = samples.n_cvs;
    const index width = 1 + 2 * s.dims;
    std::vector<double> centers;
    for (const auto& c : windows.center)
        for (int k = 0; k < s.dims; ++k) centers.push_back(c[k]);
    Buffer<double> device_centers(stream.device(), s.windows * s.dims);
    Buffer<double> device_sums(stream.device(), s.windows * s.blocks * width);
    copy_to_device(stream, device_centers.span(), centers.data());
    for (const SampleBlock& run : samples.blocks)
        window_moments(
            stream, samples, run, block_division(run, blocks), s.blocks,
            device_centers.span().subspan(run.first_window * s.dims, run.windows * s.dims),
            device_sums.span().subspan(run.first_window * s.blocks * width,
                                       run.windows * s.blocks * width));
    s.sums = to_host(stream, device_sums.span());
    finish_statistics(windows, s);
    return s;
}

void window_inefficiencies(Stream& stream, const BiasedSamples& samples, FreeEnergyResult& r) {
    const index n = static_cast<index>(r.inefficiency.size());
    std::vector<double> total(at(n), 0.0), effective(at(n), 0.0);
    for (const SampleBlock& run : samples.blocks) {
        Buffer<double> out(stream.device(), run.windows);
        std::vector<double> worst(at(run.windows), 1.0);
        for (int k = 0; k < samples.n_cvs; ++k) {
            window_inefficiency(stream, samples.xi.subspan(k * samples.row, samples.n), run,
                                out.span());
            const std::vector<double> g = to_host(stream, out.span());
            for (std::size_t w = 0; w < g.size(); ++w) worst[w] = std::max(worst[w], g[w]);
        }
        const double count = static_cast<double>(run.replicas * run.samples);
        for (index w = 0; w < run.windows; ++w) {
            total[at(run.first_window + w)] += count;
            effective[at(run.first_window + w)] += count / worst[at(w)];
        }
    }
    for (index w = 0; w < n; ++w) r.inefficiency[at(w)] = total[at(w)] / effective[at(w)];
    r.effective_samples = effective;
}

std::string window_name(const BiasWindows& windows, index w, int dims) {
    std::ostringstream text;
    text << w << " (centre " << windows.center[at(w)][0];
    if (dims == 2) text << ", " << windows.center[at(w)][1];
    text << ")";
    return text.str();
}

// Neighbours: in one dimension by centre, in two along the tree of largest overlaps. Links of that
// tree under the threshold leave parts of the windows without a trustworthy common reference.
void find_overlaps(const std::vector<double>& overlap, const BiasWindows& windows, int dims,
                   double threshold, FreeEnergyResult& r) {
    const index n = windows.size();
    std::vector<char> done(at(n), 0);
    std::vector<double> best(at(n), -1.0);
    std::vector<index> parent(at(n), 0);
    std::vector<WindowOverlap> tree;
    index last = 0;
    done[0] = 1;
    for (index added = 1; added < n; ++added) {
        index next = -1;
        for (index w = 0; w < n; ++w) {
            if (done[at(w)]) continue;
            const double o = overlap[at(last * n + w)];
            const auto apart = [&](index v) {
                double d = 0.0;
                for (int k = 0; k < dims; ++k)
                    d += std::pow(windows.center[at(v)][k] - windows.center[at(w)][k], 2);
                return d;
            };
            // Ties (no overlap at all) go to the nearer centre.
            if (o > best[at(w)] || (o == best[at(w)] && apart(last) < apart(parent[at(w)]))) {
                best[at(w)] = o;
                parent[at(w)] = last;
            }
            if (next < 0 || best[at(w)] > best[at(next)]) next = w;
        }
        tree.push_back({parent[at(next)], next, best[at(next)]});
        done[at(next)] = 1;
        last = next;
    }
    if (dims == 1) {
        std::vector<index> order(at(n));
        for (index w = 0; w < n; ++w) order[at(w)] = w;
        std::stable_sort(order.begin(), order.end(), [&](index a, index b) {
            return windows.center[at(a)][0] < windows.center[at(b)][0];
        });
        for (index i = 0; i + 1 < n; ++i)
            r.overlaps.push_back(
                {order[at(i)], order[at(i + 1)], overlap[at(order[at(i)] * n + order[at(i + 1)])]});
    } else {
        r.overlaps = tree;
    }
    for (const WindowOverlap& link : tree) {
        if (link.overlap >= threshold) continue;
        r.missing_overlaps.push_back(link);
        std::ostringstream text;
        text.precision(2);
        text << "windows " << window_name(windows, link.a, dims) << " and "
             << window_name(windows, link.b, dims) << " hardly overlap (" << link.overlap
             << "): their relative free energy is not to be trusted; add windows between them or "
                "lower the stiffness";
        r.warnings.push_back(text.str());
    }
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

void estimate_umbrella_integration(const WindowStatistics& statistics, const BiasWindows& windows,
                                   const CellHistogram& cells, double kt, FreeEnergyResult& r) {
    const index n = statistics.windows, blocks = statistics.blocks;
    std::vector<double> center, stiffness;
    for (index w = 0; w < n; ++w) {
        center.push_back(windows.center[at(w)][0]);
        stiffness.push_back(windows.reduced_stiffness(w, 0));
    }
    // Moments of all blocks but one (−1: of all).
    const auto moments = [&](index without) {
        WindowMoments m;
        for (index w = 0; w < n; ++w) {
            double sum[3] = {0, 0, 0};
            for (index g = 0; g < blocks; ++g)
                for (int i = 0; i < 3 && g != without; ++i) sum[i] += statistics.sum(w, g)[i];
            const double mean = sum[0] > 0.0 ? sum[1] / sum[0] : 0.0;
            m.count.push_back(sum[0]);
            m.mean.push_back(center[at(w)] + mean);
            m.variance.push_back(
                sum[0] > 1.0 ? std::max((sum[2] - sum[0] * mean * mean) / (sum[0] - 1.0), 1e-30)
                             : 1e-30);
        }
        return m;
    };
    const WindowMoments all = moments(-1);
    for (index w = 0; w < n; ++w)
        if (all.count[at(w)] < 2.0)
            throw InputError("umbrella integration needs two samples in every window; window " +
                             std::to_string(w) + " has fewer");
    const Grid& grid = r.profile.grid;
    r.profile.free_energy = umbrella_integration(all, center, stiffness, grid);
    r.window_f = umbrella_window_f(all, center, stiffness);
    r.profile.blocks = blocks;
    r.profile.influence.assign(at(blocks * grid.size()), 0.0);
    std::vector<double> f(at(blocks * n), 0.0);
    for (index g = 0; g < blocks; ++g) {
        const WindowMoments some = moments(g);
        const std::vector<double> p = umbrella_integration(some, center, stiffness, grid);
        const std::vector<double> wf = umbrella_window_f(some, center, stiffness);
        std::copy(p.begin(), p.end(), r.profile.influence.begin() + g * grid.size());
        std::copy(wf.begin(), wf.end(), f.begin() + g * n);
    }
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
        if (count <= 0.0) r.profile.free_energy[at(b)] = kNaN;
    }
    r.converged = true;
    r.profile.finish();
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
