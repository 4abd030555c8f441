// bias.csv and convergence.csv: the bias that all walkers made, and how it came there.
#include "sampling/run/stages/bias/bias.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/at.h"
#include "engine/device/host_view.h"
#include "engine/files/store.h"
#include "sampling/run/biased_runs.h"
#include "sampling/run/places.h"
#include "sampling/run/stages.h"

namespace microlift {

namespace {

constexpr index kDrawn = 8;  // frames that the report draws

// Points between `from` and `to`, without what lies beyond.
std::vector<index> points_of_interest(const AdaptiveOptions& o) {
    std::vector<index> points;
    const index columns = o.axes.cvs == 2 ? o.axes.points[1] : 1;
    for (index j = 0; j < o.axes.size(); ++j) {
        const index at[2] = {j / columns, j % columns};
        bool inside = true;
        for (std::size_t k = 0; k < microlift::at(o.axes.cvs); ++k)
            inside = inside && at[k] >= o.beyond[k] && at[k] < o.axes.points[k] - o.beyond[k];
        if (inside) points.push_back(j);
    }
    return points;
}

void write_bias(Run& run, const std::vector<double>& bias, const std::vector<double>& counts) {
    const AdaptiveOptions& o = run.bias.method->options();
    CsvWriter csv(run.dir / "bias.csv", cv_columns(run.grid.dims, {"bias", "count"}));
    for (const index j : points_of_interest(o)) {
        CvValue value{};
        for (int k = 0; k < run.grid.dims; ++k) value[at(k)] = grid_value(o.axes, k, j);
        std::vector<CsvWriter::Cell> cells = cv_cells(run.grid.dims, value);
        cells.emplace_back(bias[at(j)]);
        cells.emplace_back(counts[at(j)]);
        csv.row(cells);
    }
    csv.finish();
}

// A frame between the points, at values of ξ.
std::vector<double> values_at(const GridAxes& axes, const double* bias, const std::vector<CvValue>& places) {
    const HostGrid grid(axes, {bias, axes.size()});
    std::vector<double> values;
    for (const CvValue& place : places) {
        const float xi[2] = {static_cast<float>(place[0]), static_cast<float>(place[1])};
        values.push_back(static_cast<double>(grid.energy(xi)));
    }
    return values;
}

// Root mean square of a + factor · b, less their mean difference, where both are known.
double rms(const std::vector<double>& a, double factor, const std::vector<double>& b) {
    double n = 0, mean = 0, square = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double d = a[i] + factor * b[i];
        if (!std::isfinite(d)) continue;
        n += 1;
        square += (d - mean) * (d - mean) * (n - 1) / n;
        mean += (d - mean) / n;
    }
    return n > 0 ? std::sqrt(square / n) : kNaN;
}

// What springs bind to has the free energy of ξ seen through their Gaussian, bin by bin. Nothing is known of what they
// see beyond an end.
std::vector<double> seen_through_springs(Run& run, const std::vector<double>& f) {
    constexpr double kWidths = 4, kFromEnd = 3;
    const Grid& grid = run.grid;
    const double kt = run.model.kt();
    std::vector<double> weight[kMaxCvs];
    double end[kMaxCvs] = {0, 0};
    for (int k = 0; k < grid.dims; ++k) {
        const double sigma = std::sqrt(kt / run.bias.method->options().spring[at(k)]);
        end[k] = kFromEnd * sigma;
        for (index m = 0; static_cast<double>(m) * grid.width(k) <= kWidths * sigma; ++m)
            weight[k].push_back(std::exp(-0.5 * std::pow(static_cast<double>(m) * grid.width(k) / sigma, 2)));
    }
    double least = std::numeric_limits<double>::infinity();
    for (const double value : f) least = std::isnan(value) ? least : std::min(least, value);
    // Along one variable after the other.
    std::vector<double> density;
    for (const double value : f) density.push_back(std::exp((least - value) / kt));
    for (int k = 0; k < grid.dims; ++k) {
        std::vector<double> through(density.size(), 0.0);
        const index stride = k == 0 && grid.dims == 2 ? grid.bins[1] : 1, bins = grid.bins[at(k)];
        for (index b = 0; b < grid.size(); ++b) {
            const index i = b / stride % bins;
            const double room = (static_cast<double>(std::min(i, bins - 1 - i)) + 0.5) * grid.width(k);
            double sum = 0, norm = 0;
            for (index m = 1 - std::ssize(weight[k]); m < std::ssize(weight[k]); ++m) {
                index other = i + m;
                if (grid.round[at(k)]) other = ((other % bins) + bins) % bins;
                if (other < 0 || other >= bins) continue;
                const double w = weight[k][at(std::abs(m))];
                sum += w * density[at(b + (other - i) * stride)];
                norm += w;
            }
            through[at(b)] = !grid.round[at(k)] && room < end[k] ? kNaN : sum / norm;
        }
        density = std::move(through);
    }
    for (double& value : density) value = -kt * std::log(value);
    return density;
}

// F at bin centres that the bias is judged by: exact, or of the samples under the frozen bias, which took no part in
// making it.
std::vector<double> reference(Run& run, std::string& source) {
    const std::vector<CvValue> places = bin_centres(run.grid);
    std::vector<double> f;
    const std::optional<ExactModel> exact = run.model.observed() ? std::nullopt : run.model.exact();
    for (std::size_t b = 0; exact && b < places.size(); ++b) {
        const std::optional<ExactConditional> law = exact->law(places[b][0]);
        f.push_back(law ? -run.model.kt() * law->log_z : kNaN);
    }
    source = exact ? "exact" : "frozen";
    if (!exact) f = run.free_energy.profile;
    return run.config.bias.method == "eabf" && !f.empty() ? seen_through_springs(run, f) : f;
}

// Of convergence.csv, by frame of the bias and then by look at the samples.
struct Looks {
    std::vector<long long> step;
    std::vector<double> change, error;
    std::vector<double> profile, profile_error;  // (look at the samples, bin)
};

constexpr index kProfiles = 6;  // looks at the samples under the frozen bias, each of twice as many

// The samples of those walkers that made the bias; null where coupling discarded them.
const SampleBlock* makers(const Run& run) {
    const std::vector<SampleBlock>& blocks = run.samples.blocks;
    return std::ssize(blocks) == run.position.round + 1 ? &blocks.front() : nullptr;
}

void look_at_samples(Run& run, std::vector<double> before, CsvWriter& csv, Looks& looks) {
    const AdaptiveOptions& o = run.bias.method->options();
    const SampleBlock* block = makers(run);
    if (block == nullptr || !run.config.estimate.enabled) return;
    const bool follows = run.bias.method->follows_profile();
    for (double& v : before) v = follows ? v / -run.bias.method->share() : kNaN;
    for (index halved = kProfiles; halved-- > 0;) {
        const index samples = block->samples >> halved;
        if (samples == 0) continue;
        const FreeEnergyProfile profile = first_profile(run, block->replicas, samples);
        looks.step.push_back(o.end - o.start + samples * run.config.umbrella.stride);
        looks.change.push_back(rms(profile.free_energy, -1, before));
        looks.error.push_back(typical_error(profile).rms);
        csv.row({looks.step.back(), looks.change.back(), looks.error.back(), 1});
        before = profile.free_energy;
        looks.profile.insert(looks.profile.end(), before.begin(), before.end());
        looks.profile_error.insert(looks.profile_error.end(), profile.std_error.begin(), profile.std_error.end());
    }
}

Looks write_convergence(Run& run, const BiasFrames& frames, const std::vector<double>& f) {
    const AdaptiveOptions& o = run.bias.method->options();
    const std::vector<CvValue> places = bin_centres(run.grid);
    CsvWriter csv(run.dir / "convergence.csv", {"steps", "rms_change", "rms_error", "frozen"});
    std::vector<double> before(places.size(), 0.0);
    Looks looks;
    for (std::size_t i = 0; i < frames.step.size(); ++i) {
        const std::vector<double> now = values_at(o.axes, frames.bias.data() + i * at(o.axes.size()), places);
        looks.step.push_back(frames.step[i] - o.start);
        looks.change.push_back(rms(now, -1, before));
        looks.error.push_back(f.empty() || !run.bias.method->follows_profile() ? kNaN : rms(now, run.bias.method->share(), f));
        csv.row({frames.step[i] - o.start, looks.change.back(), looks.error.back(), 0});
        before = now;
    }
    look_at_samples(run, std::move(before), csv, looks);
    csv.finish();
    return looks;
}

// How often walkers go from one side of variable k's range to the other under the frozen bias: from its first quarter
// to its last, all round to its third.
struct Crossings {
    double all = 0;
    index walkers = 0;  // that never did
};

Crossings crossings_of(const Run& run, const SampleBlock& block, int k, const HostView<float>& xi) {
    Crossings found;
    const auto i = at(k);
    const double width = run.grid.to[i] - run.grid.from[i], middle = 0.5 * (run.grid.from[i] + run.grid.to[i]);
    const double far = run.grid.round[i] ? 0.5 : 0.75;
    const auto side = [&](double value) {
        if (run.grid.round[i]) value = middle + run.grid.apart(k, value, middle);
        const double place = (value - run.grid.from[i]) / width;
        return place < 0.25 ? -1 : place >= far && (!run.grid.round[i] || place < 0.75) ? 1 : 0;
    };
    for (index t = 0; t < block.trajectories(); ++t) {
        int last = 0;
        index times = 0;
        for (index s = 0; s < block.samples; ++s) {
            const int now = side(static_cast<double>(xi[at(s * block.trajectories() + t)]));
            if (now == 0) continue;
            times += last == -now;
            last = now;
        }
        found.all += static_cast<double>(times);
        found.walkers += times == 0;
    }
    return found;
}

void record_crossings(Run& run) {
    const SampleBlock* block = makers(run);
    if (block == nullptr) return;
    Json& record = run.record.metrics["bias"]["crossings"];
    record = Json::array();
    for (int k = 0; k < run.grid.dims; ++k) {
        const HostView<float> xi(run.stream,
                                 Span<const float>(run.samples.xi.span().subspan(k * run.samples.row, block->size())));
        const Crossings found = crossings_of(run, *block, k, xi);
        record.push_back({{"all", found.all},
                          {"each", found.all / static_cast<double>(block->trajectories())},
                          {"walkers_without", found.walkers}});
    }
}

// What the report draws.
void write_frames(Run& run, const BiasFrames& frames, const std::vector<double>& counts, const Looks& looks) {
    const AdaptiveOptions& o = run.bias.method->options();
    const std::vector<index> points = points_of_interest(o);
    const index all = std::ssize(frames.step), size = o.axes.size();
    Store file;
    std::vector<double> bias, values, count;
    std::vector<long long> steps;
    const index drawn = std::min(kDrawn, all);
    for (index d = 0; d < drawn; ++d) {
        const index f = (d + 1) * all / drawn - 1;
        steps.push_back(frames.step[at(f)] - o.start);
        for (const index j : points) bias.push_back(frames.bias[at(f * size + j)]);
    }
    for (int k = 0; k < run.grid.dims; ++k)
        for (const index j : points) values.push_back(grid_value(o.axes, k, j));
    for (const index j : points) count.push_back(counts[at(j)]);
    const auto n = std::ssize(points);
    file.put("step", std::move(steps));
    file.put("cv", std::move(values), {run.grid.dims, n});
    file.put("bias", std::move(bias), {drawn, n});
    file.put("count", std::move(count));
    file.put("look", std::vector<long long>(looks.step));
    file.put("rms_change", std::vector<double>(looks.change));
    file.put("rms_error", std::vector<double>(looks.error));
    const index bins = run.grid.size(), profiles = std::ssize(looks.profile) / bins;
    file.put("profile", std::vector<double>(looks.profile), {profiles, bins});
    file.put("profile_error", std::vector<double>(looks.profile_error), {profiles, bins});
    file.save(run.dir / "bias.h5", "bias");
}

}  // namespace

void write_shared_bias(Run& run) {
    const AdaptiveBias& method = *run.bias.method;
    const AdaptiveOptions& o = method.options();
    const std::vector<double> counts = method.counts();
    const BiasFrames frames = method.frames();
    write_bias(run, method.bias(), counts);
    std::string source;
    const std::vector<double> f = reference(run, source);
    const Looks looks = write_convergence(run, frames, f);
    write_frames(run, frames, counts, looks);
    Json& record = run.record.metrics["bias"];
    record["method"] = run.config.bias.method;
    record["walkers"] = run.config.umbrella.replicas;
    record["steps"] = o.end - o.start;
    record["share"] = method.share();
    if (method.sigma()[0] > 0)
        for (int k = 0; k < run.grid.dims; ++k) record["sigma"].push_back(method.sigma()[at(k)]);
    if (!frames.step.empty()) {  // of the bias
        record["rms_change"] = looks.change[frames.step.size() - 1];
        record["rms_error"] = looks.error[frames.step.size() - 1];
    }
    if (looks.step.size() > frames.step.size()) record["std_error"] = looks.error.back();
    record_crossings(run);
    record["compared_with"] = source;
    if (!o.temperatures.empty()) write_temperatures(run);
    if (run.config.bias.plumed) write_plumed_files(run, frames);
    run.write_metrics();
}

}  // namespace microlift
