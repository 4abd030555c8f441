// The free energy, and samples.h5 with the weights that come with it.
#include "sampling/run/run.h"

#include "sampling/estimate/stationarity.h"

namespace microlift {

void Pipeline::estimate() {
    progress_.begin("estimate", 1, "estimate");
    FreeEnergyResult result;
    {
        StageMeter meter(metrics_["stages"], "estimate");
        EstimateOptions options;
        options.method = run_.estimate.method;
        options.kt = model_.kt();
        options.tolerance = run_.estimate.tolerance;
        options.max_iterations = run_.estimate.max_iterations;
        options.error_blocks = run_.estimate.blocks;
        result = histogram_ ? estimate_histogram(options)
                            : estimate_free_energy(stream_, samples_.biased(), windows_, grid_,
                                                   options);
    }
    error_blocks_ = result.error_blocks;
    Json& record = metrics_["stages"]["estimate"];
    record["method"] = run_.estimate.method;
    record["iterations"] = result.iterations;
    record["residual"] = result.residual;
    record["converged"] = result.converged;
    record["error_blocks"] = result.error_blocks.count();
    record["samples"] = histogram_ ? histogram_->samples() * run_.umbrella.trajectories() : samples_.n;
    Json list = Json::array();
    for (index w = 0; w < windows_.size(); ++w) {
        const auto i = static_cast<std::size_t>(w);
        Json j;
        for (int k = 0; k < grid_.dims; ++k) {
            j["center"].push_back(windows_.center[i][static_cast<std::size_t>(k)]);
            j["stiffness"].push_back(windows_.stiffness[i][static_cast<std::size_t>(k)]);
        }
        if (i < result.inefficiency.size()) j["inefficiency"] = result.inefficiency[i];
        if (i < result.effective_samples.size())
            j["effective_samples"] = result.effective_samples[i];
        for (const WindowOverlap& o : result.overlaps)
            if (o.a == w && !j.contains("overlap_next")) j["overlap_next"] = o.overlap;
        if (i < result.window_f.size()) j["free_energy_kt"] = result.window_f[i];
        list.push_back(j);
    }
    if (histogram_) {
        const SampleAccumulator::Moments moments = histogram_->moments(stream_);
        const auto D = static_cast<std::size_t>(model_.dim());
        for (std::size_t w = 0; w < list.size(); ++w)
            for (std::size_t d = 0; d < D; ++d) {
                list[w]["mean"].push_back(moments.mean[w * D + d]);
                list[w]["variance"].push_back(moments.variance[w * D + d]);
            }
    }
    metrics_["windows"] = list;
    record["overlaps"] = Json::array();
    for (const WindowOverlap& o : result.overlaps)
        record["overlaps"].push_back({o.a, o.b, o.overlap});
    profile_ = result.profile.free_energy;
    profile_error_ = result.profile.std_error;
    profile_influence_ = result.profile.influence;
    for (const std::string& w : result.warnings) warn(w);
    warn_equilibration(result.inefficiency);

    std::vector<std::string> columns;
    for (int k = 0; k < grid_.dims; ++k) columns.push_back("cv_" + std::to_string(k + 1));
    columns.insert(columns.end(), {"free_energy", "std_error"});
    CsvWriter csv(dir_ / "free_energy.csv", columns);
    for (index b = 0; b < grid_.size(); ++b) {
        std::vector<CsvWriter::Cell> cells;
        for (int k = 0; k < grid_.dims; ++k) cells.emplace_back(grid_.centre(k, b));
        cells.emplace_back(result.profile.free_energy[static_cast<std::size_t>(b)]);
        cells.emplace_back(result.profile.std_error[static_cast<std::size_t>(b)]);
        csv.row(cells);
    }
    csv.finish();
    if (!histogram_) write_samples(result);
    write_metrics();
    progress_.end();
    if (!result.converged)
        throw NumericError("the free-energy estimator '" + run_.estimate.method +
                           "' did not converge in " + std::to_string(result.iterations) +
                           " iterations (residual " + number(result.residual) +
                           "); add windows where they do not overlap, or raise "
                           "estimate.max_iterations");
}

void Pipeline::warn_equilibration(const std::vector<double>& inefficiency) {
    std::string slow;
    for (std::size_t w = 0; w < inefficiency.size(); ++w) {
        const bool first_round = static_cast<index>(w) < run_.umbrella.window_count();
        const index equilibrate =
            first_round ? run_.umbrella.equilibrate : run_.coupling.equilibrate;
        const double relaxation =
            0.5 * inefficiency[w] * static_cast<double>(run_.umbrella.stride);
        if (first_round && inefficiency[w] > 4 && 5 * relaxation > static_cast<double>(equilibrate))
            slow += (slow.empty() ? "" : ", ") + std::to_string(w) + " (" +
                    number(relaxation) + " steps)";
    }
    if (!slow.empty())
        warn("equilibrated for less than five relaxation times, so the start may still show, "
             "and the error bars do not include it: windows " + slow +
             "; raise umbrella.equilibrate or use umbrella.exchange");
}

void Pipeline::warn_drift() {
    const int dim = static_cast<int>(model_.dim());
    std::string list;
    for (const Drifting& d : drifting_windows(stream_, samples_.biased(), samples_.x.span(),
                                              samples_.row, dim)) {
        const auto& center = windows_.center[static_cast<std::size_t>(d.window)];
        list += (list.empty() ? "" : ", ") + number(center[0]) +
                (model_.n_cvs() > 1 ? "; " + number(center[1]) : "") + " (" +
                model_.variables()[static_cast<std::size_t>(d.variable)] + ", " +
                number(std::fabs(d.z)) + ")";
    }
    if (!list.empty())
        warn("not in equilibrium: the two halves of the samples differ, by more standard errors than "
             "chance explains, in the windows at " + list +
             "; error bars do not include that. Raise umbrella.equilibrate, use umbrella.exchange "
             "or [coupling]");
}

void Pipeline::write_samples(const FreeEnergyResult& result) {
    SamplesInfo info;
    info.samples = samples_.n;
    info.variables = model_.variables();
    info.cvs = model_.cv_names();
    for (const CvVariable& cv : run_.cv.variables) info.cv_units.push_back(cv.unit);
    info.system = model_.name();
    for (index w = 0; w < windows_.size(); ++w)
        for (int k = 0; k < grid_.dims; ++k)
            info.centers.push_back(windows_.center[static_cast<std::size_t>(w)][static_cast<std::size_t>(k)]);
    info.stiffness = run_.umbrella.stiffness;
    SamplesWriter file(dir_ / "samples.h5", info);
    constexpr index piece = 1 << 18;
    const auto D = static_cast<std::size_t>(model_.dim());
    const auto K = static_cast<std::size_t>(model_.n_cvs());
    std::vector<float> x(D * piece), xi(K * piece), weight(piece, 0.0f);
    std::vector<double> log_weight(piece, 0.0);
    std::vector<int> window(piece);
    std::size_t block = 0;
    for (index first = 0; first < samples_.n; first += piece) {
        const index count = std::min(piece, samples_.n - first);
        for (std::size_t d = 0; d < D; ++d)
            copy_to_host(stream_, x.data() + d * piece,
                         Span<const float>(samples_.x.span().subspan(
                             static_cast<index>(d) * samples_.row + first, count)));
        for (std::size_t k = 0; k < K; ++k)
            copy_to_host(stream_, xi.data() + k * piece,
                         Span<const float>(samples_.xi.span().subspan(
                             static_cast<index>(k) * samples_.row + first, count)));
        if (result.log_weight.size() >= samples_.n)
            copy_to_host(stream_, weight.data(), result.log_weight.span().subspan(first, count));
        for (index i = 0; i < count; ++i) {
            const index j = first + i;
            while (j >= samples_.blocks[block].first + samples_.blocks[block].size()) ++block;
            const SampleBlock& b = samples_.blocks[block];
            window[static_cast<std::size_t>(i)] = static_cast<int>(
                b.first_window + (j - b.first) % b.trajectories() / b.replicas);
            log_weight[static_cast<std::size_t>(i)] =
                static_cast<double>(weight[static_cast<std::size_t>(i)]);
        }
        file.append(count, x.data(), piece, xi.data(), piece, window.data(), log_weight.data());
    }
    file.finish();
}

}  // namespace microlift
