// bias.csv and convergence.csv: the bias that all walkers made, and how it came there.
#include "sampling/run/stages/bias/bias.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/files/store.h"
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
    const std::vector<float> energy(bias, bias + axes.size());
    const GridView view = axes.view({energy.data(), std::ssize(energy)});
    std::vector<double> values;
    for (const CvValue& place : places) {
        const float xi[2] = {static_cast<float>(place[0]), static_cast<float>(place[1])};
        values.push_back(static_cast<double>(grid_energy(view, axes.cvs, xi, 0.0f)));
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
    return exact ? f : run.free_energy.profile;
}

// Of convergence.csv, by frame.
struct Looks {
    std::vector<long long> step;
    std::vector<double> change, error;
};

Looks write_convergence(Run& run, const BiasFrames& frames, const std::vector<double>& f) {
    const AdaptiveOptions& o = run.bias.method->options();
    const std::vector<CvValue> places = bin_centres(run.grid);
    CsvWriter csv(run.dir / "convergence.csv", {"steps", "rms_change", "rms_error"});
    std::vector<double> before(places.size(), 0.0);
    Looks looks;
    for (std::size_t i = 0; i < frames.step.size(); ++i) {
        const std::vector<double> now = values_at(o.axes, frames.bias.data() + i * at(o.axes.size()), places);
        looks.step.push_back(frames.step[i] - o.start);
        looks.change.push_back(rms(now, -1, before));
        looks.error.push_back(f.empty() ? kNaN : rms(now, run.bias.method->share(), f));
        csv.row({frames.step[i] - o.start, looks.change.back(), looks.error.back()});
        before = now;
    }
    csv.finish();
    return looks;
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
    record["frozen_steps"] = run.config.umbrella.steps;
    record["share"] = method.share();
    if (method.sigma()[0] > 0)
        for (int k = 0; k < run.grid.dims; ++k) record["sigma"].push_back(method.sigma()[at(k)]);
    if (!looks.step.empty()) {
        record["rms_change"] = looks.change.back();
        record["rms_error"] = looks.error.back();
    }
    record["compared_with"] = source;
    if (run.config.bias.plumed) write_plumed_files(run, frames);
    run.write_metrics();
}

}  // namespace microlift
