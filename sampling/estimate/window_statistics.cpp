#include "sampling/estimate/window_statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include "engine/at.h"
#include "engine/error.h"
#include "engine/stop.h"
#include "sampling/estimate/sample_kernels.h"

namespace microlift {

namespace {

constexpr index kMostErrorBlocks = 64, kFewestReplicas = 16;

}  // namespace

std::string window_name(const BiasWindows& windows, index w, int dims) {
    std::ostringstream text;
    text << w << " (centre " << windows.center[at(w)][0];
    if (dims == 2) text << ", " << windows.center[at(w)][1];
    text << ")";
    return text.str();
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

void warn_of_few_blocks(FreeEnergyResult& r) {
    const index blocks = r.error_blocks.count();
    const std::string remedy = "; raise umbrella.replicas to " + std::to_string(kFewBlocks) +
                               " or more, or umbrella.steps";
    if (blocks < kLeastBlocks)
        r.warnings.push_back("the trajectories divide into " + std::to_string(blocks) +
                             " independent block" + (blocks == 1 ? "" : "s") +
                             " only: no standard errors" + remedy);
    else if (blocks < kFewBlocks)
        r.warnings.push_back("standard errors rest on " + std::to_string(blocks) +
                             " independent blocks only, and are widened by Student's factor for it" +
                             remedy);
}

NearWindows::NearWindows(Stream& stream, const BiasedSamples& samples, const BiasWindows& windows)
    : samples_(samples) {
    bool any = false;
    for (int k = 0; k < samples.n_cvs; ++k) any = any || windows.period[at(k)] > 0;
    if (!any) return;
    xi_ = Buffer<float>(stream.device(), samples.n_cvs * samples.n);
    samples_.xi = xi_.span();
    samples_.row = samples.n;
    for (int k = 0; k < samples.n_cvs; ++k) {
        const Span<float> to = xi_.span().subspan(k * samples.n, samples.n);
        copy(stream, to, samples.xi.subspan(k * samples.row, samples.n));
        if (!(windows.period[at(k)] > 0)) continue;
        std::vector<float> centers;
        for (const auto& c : windows.center) centers.push_back(static_cast<float>(c[at(k)]));
        Buffer<float> on_device(stream.device(), windows.size());
        copy_to_device(stream, on_device.span(), centers.data());
        for (const SampleBlock& run : samples.blocks)
            near_windows(stream, run, on_device.span(), static_cast<float>(windows.period[at(k)]), to);
    }
}

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
            // Of a single sample: small against its distance from the centre.
            const double least = std::max(1e-12 * xx / n, 1e-300);
            s.variance.push_back(std::max(xx / n - x * x / (n * n), least));
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

}  // namespace microlift
