// What the work says: free energy differences, the free energy along the path, and what of it may be trusted.
#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/files/files.h"
#include "sampling/estimate/result.h"
#include "sampling/run/checks.h"
#include "sampling/run/places.h"
#include "sampling/run/stages/work/work.h"
#include "sampling/work/steered.h"
#include "sampling/work/work_values.h"

namespace microlift {

namespace {

constexpr double kWorkOverlap = 0.03, kWorkShared = 20;
constexpr double kWorkEffective = 10;  // walkers that an exponential average rests on
constexpr double kCrooksErrors = 5, kCrooksOff = 0.05;
constexpr double kCellWidth = 0.5;      // of a cell about a point of a path in a plane, in widths of the bias

void write_walkers(const Run& run, const PulledPath& path, const std::vector<float>& last) {
    std::vector<std::string> columns{"direction", "walker", "work"};
    for (const std::string& name : cv_columns(path.cvs, {})) columns.push_back(name);
    CsvWriter csv(run.dir / "work.csv", columns);
    for (index i = 0; i < path.columns(); ++i) {
        std::vector<CsvWriter::Cell> cells{i < path.walkers ? "forward" : "reverse", i % path.walkers, path.total[at(i)]};
        for (index k = 0; k < path.cvs; ++k) cells.emplace_back(static_cast<double>(last[at(k * path.columns() + i)]));
        csv.row(cells);
    }
    csv.finish();
}

struct WayMoments {
    double mean = 0, deviation = 0;
};

WayMoments way_moments(const double* values, index n) {
    WayMoments m;
    for (index i = 0; i < n; ++i) m.mean += values[i] / static_cast<double>(n);
    for (index i = 0; i < n; ++i) m.deviation += (values[i] - m.mean) * (values[i] - m.mean);
    m.deviation = std::sqrt(m.deviation / static_cast<double>(n - 1));
    return m;
}

void write_way(const Run& run, const PulledPath& path, const PathProfile& profile) {
    CsvWriter csv(run.dir / "steered.csv",
                  cv_columns(path.cvs, {"free_energy", "std_error", "forward_work", "forward_deviation", "reverse_work",
                                        "reverse_deviation"}));
    for (index f = 0; f < path.frames; ++f) {
        std::vector<CsvWriter::Cell> cells = cv_cells(path.cvs, path.center[at(f)]);
        cells.emplace_back(profile.restrained[at(f)]);
        cells.emplace_back(profile.restrained_error[at(f)]);
        for (index way = 0; way < 2; ++way) {
            const WayMoments m = way_moments(&path.work[at(f * path.columns() + way * path.walkers)], path.walkers);
            cells.emplace_back(m.mean);
            cells.emplace_back(m.deviation);
        }
        csv.row(cells);
    }
    csv.finish();
}

PathCells path_cells(const Run& run, const PulledPath& path) {
    PathCells cells;
    if (path.cvs == 1) {
        cells.line = true;
        cells.centre = bin_centres(run.grid);
        cells.half[0] = 0.5 * run.grid.width(0);
        return cells;
    }
    SteeredOptions along = run.bias.steered->options();
    const index points = run.grid.bins[0];
    along.moves = std::max<index>(1, points - 1);
    for (index p = 0; p < points; ++p) cells.centre.push_back(steered_center(along, p));
    for (std::size_t k = 0; k < at(path.cvs); ++k) cells.half[k] = kCellWidth * std::sqrt(path.kt / path.stiffness[k]);
    return cells;
}

void write_path_profile(Run& run, const PathCells& cells, PathProfile&& of, int cvs) {
    FreeEnergyProfile profile;
    profile.grid = run.grid;
    if (cvs == 2) {  // points along a line
        profile.grid.dims = 1;
        profile.grid.bins = {std::ssize(cells.centre), 1};
    }
    profile.free_energy = std::move(of.free_energy);
    profile.influence = std::move(of.influence);
    profile.samples = std::move(of.samples);
    profile.blocks = of.blocks;
    profile.finish();
    CsvWriter csv(run.dir / "free_energy.csv", cv_columns(cvs, {"free_energy", "std_error"}));
    for (std::size_t c = 0; c < cells.centre.size(); ++c) {
        std::vector<CsvWriter::Cell> row = cv_cells(cvs, cells.centre[c]);
        row.emplace_back(profile.free_energy[c]);
        row.emplace_back(profile.std_error[c]);
        csv.row(row);
    }
    csv.finish();
    if (cvs == 2) return;
    run.free_energy.profile = profile.free_energy;
    run.free_energy.error = profile.std_error;
    run.free_energy.influence = profile.influence;
    run.free_energy.samples = profile.samples;
    run.free_energy.error_blocks = {profile.blocks, 1, "groups of walkers"};
}

Json work_json(const WorkValue& value) {
    Json json{{"value", value.value}, {"std_error", value.std_error}};
    if (value.bias != 0) json["bias"] = value.bias;
    return json;
}

Json work_json(const WorkDirection& d) {
    return {{"mean_work", d.mean}, {"variance", d.variance}, {"dissipated_kt", d.dissipated}, {"effective", d.effective}};
}

void record_work(Run& run, const PulledPath& path, const WorkResult& result) {
    Json& record = run.record["steered"];
    const SteeredOptions& o = run.bias.steered->options();
    record = {{"walkers", path.walkers}, {"moves", o.moves}, {"steps", o.moves * o.move}};
    for (const CvValue& point : o.path) record["path"].push_back(cv_json(path.cvs, point));
    record["forward"] = work_json(result.forward);
    record["reverse"] = work_json(result.reverse);
    record["difference"] = {{"jarzynski_forward", work_json(result.forward.jarzynski)},
                            {"jarzynski_reverse", work_json(result.reverse.jarzynski)},
                            {"crooks", work_json(result.crooks)}, {"bar", work_json(result.bar)}};
    record["slope"] = result.slope;
    record["slope_error"] = result.slope_error;
    record["overlap"] = result.overlap;
    record["shared_walkers"] = result.shared;
}

void warn_of_work(Run& run, const PulledPath& path, const WorkResult& r) {
    const Checking check(run, "work");
    const bool apart = r.overlap < kWorkOverlap || r.shared < kWorkShared;
    if (apart)
        run.warn("the work forward and back hardly overlaps (" + number(100 * r.overlap) + " %, worth " +
                 number(r.shared) + " walkers): neither BAR nor the crossing nor the free energy along the path can be "
                 "trusted; pull slower (more bias.steps), or take more walkers");
    // An average of e^{−W} is made by what looks like the other direction's way back: e^{W dissipated there} walkers
    // are needed for one of them (Jarzynski, Phys. Rev. E 73 (2006) 046105).
    const double most = std::log(static_cast<double>(path.walkers));
    const auto judge = [&](const char* name, const WorkDirection& own, const WorkDirection& other) {
        if (other.dissipated < most && own.effective >= kWorkEffective) return;
        run.warn("Jarzynski's average of the work " + std::string(name) + " rests on " + number(own.effective) + " of " +
                 std::to_string(path.walkers) + " walkers, and " + number(std::max(other.dissipated, own.dissipated)) +
                 " kT are dissipated: it is biased by more than its error says; take BAR, or pull slower");
    };
    judge("forward", r.forward, r.reverse);
    judge("back", r.reverse, r.forward);
    if (!apart && std::fabs(r.slope - 1) > std::max(kCrooksErrors * r.slope_error, kCrooksOff))
        run.warn("the work does not follow Crooks' relation: the logarithm of the ratio of both densities rises by " +
                 number(r.slope) + " ± " + number(r.slope_error) + " a kT of work, not by 1; walkers were not in "
                 "equilibrium at both ends (bias.equilibrate), or integrator.dt is too large");
}

}  // namespace

void write_work(Run& run, const PulledPath& path, const std::vector<float>& last) {
    run.progress.begin("work", 1, "estimate");
    const auto n = at(path.walkers);
    const std::span<const double> forward(path.total.data(), n), reverse(path.total.data() + n, n);
    for (const double w : path.total)
        if (!std::isfinite(w)) throw NumericError("the work on a walker is not finite; choose a smaller integrator.dt");
    const WorkResult result = evaluate_work(forward, reverse, path.kt);
    record_work(run, path, result);
    warn_of_work(run, path, result);
    write_walkers(run, path, last);
    const PathCells cells = path_cells(run, path);
    PathProfile profile = path_profile(path, cells);
    write_way(run, path, profile);
    write_path_profile(run, cells, std::move(profile), path.cvs);
    run.write_metrics();
    run.progress.end();
}

}  // namespace microlift
