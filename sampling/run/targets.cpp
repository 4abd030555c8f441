#include "sampling/run/targets.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace microlift {

std::vector<std::string> target_names(const Run& run) {
    if (run.model.observed()) return run.model.target_names();
    if (run.model.molecule()) return run.model.feature_names();
    std::vector<std::string> names;
    for (int d : run.free) names.push_back(run.model.variables()[static_cast<std::size_t>(d)]);
    return names;
}

std::vector<int> generated_rows(const Run& run) {
    if (!run.model.observed() && !run.model.molecule()) return run.free;
    std::vector<int> rows(target_names(run).size());
    std::iota(rows.begin(), rows.end(), 0);
    return rows;
}

namespace {

Targets features(Run& run) {
    const SampleSet& samples = run.samples;
    const auto count = std::ssize(run.model.feature_names());
    if (run.targets.size() == 0) run.targets = Buffer<float>(run.device, count * samples.row);
    run.model.features(run.stream, samples.x.span(), samples.row, samples.n, run.targets.span(), samples.row);
    run.stream.synchronize();
    return {run.targets.span(), samples.row, count};
}

}  // namespace

Targets targets(Run& run) {
    const SampleSet& samples = run.samples;
    if (run.model.molecule()) return features(run);
    const index count = run.model.observed() ? run.model.target_dim()
                                             : static_cast<index>(run.free.size());
    const index row = samples.row;
    const bool contiguous =
        !run.model.observed() &&
        run.free.back() - run.free.front() + 1 == static_cast<int>(run.free.size());
    if (contiguous)
        return {{samples.x.data() + run.free.front() * row, (count - 1) * row + samples.n}, row, count};
    if (run.targets.size() == 0) run.targets = Buffer<float>(run.device, count * row);
    if (run.model.observed()) {
        run.model.observe(run.stream, samples.x.span(), row, samples.n, run.targets.span(), row);
    } else {
        for (index f = 0; f < count; ++f)
            copy(run.stream, run.targets.span().subspan(f * row, samples.n),
                 Span<const float>(samples.x.span().subspan(
                     run.free[static_cast<std::size_t>(f)] * row, samples.n)));
    }
    run.stream.synchronize();
    return {run.targets.span(), row, count};
}

std::vector<float> host_column(Run& run, const Targets& y, index value) {
    std::vector<float> column(static_cast<std::size_t>(run.samples.n));
    copy_to_host(run.stream, column.data(), y.values.subspan(value * y.row, run.samples.n));
    return column;
}

std::vector<float> as_targets(Run& run, const Buffer<float>& x, index n) {
    if (!run.model.molecule()) return to_host(run.stream, Span<const float>(x.span()));
    Buffer<float> y(run.device, std::ssize(run.model.feature_names()) * n);
    run.model.features(run.stream, x.span(), n, n, y.span(), n);
    return to_host(run.stream, std::as_const(y).span());
}

std::vector<float> torsion_angles(Run& run, Span<const float> x, index row, index n) {
    const auto T = std::ssize(run.model.torsion_names());
    Buffer<float> y(run.device, std::ssize(run.model.feature_names()) * n);
    run.model.features(run.stream, x, row, n, y.span(), n);
    const std::vector<float> host = to_host(run.stream, std::as_const(y).span());
    std::vector<float> angles(static_cast<std::size_t>(T * n));
    for (index t = 0; t < T; ++t)
        for (index i = 0; i < n; ++i)
            angles[static_cast<std::size_t>(i * T + t)] =
                std::atan2(host[static_cast<std::size_t>((2 * t + 1) * n + i)],
                           host[static_cast<std::size_t>(2 * t * n + i)]);
    return angles;
}

ConditionalMoments target_moments(Run& run) {
    if (!run.config.estimate.enabled && run.free_energy.error_blocks.count() <= 1) {
        FreeEnergyResult correlation;
        correlation.inefficiency.assign(static_cast<std::size_t>(run.windows.size()), 1.0);
        window_inefficiencies(run.stream, run.samples.biased(), correlation);
        run.free_energy.error_blocks = choose_error_blocks(
            run.samples.biased(), *std::max_element(correlation.inefficiency.begin(),
                                                    correlation.inefficiency.end()));
    }
    const Targets y = targets(run);
    return conditional_moments(run.stream, run.samples.biased(), y.values, y.row, y.count, run.grid,
                               run.free_energy.error_blocks);
}

std::vector<float> stored_cvs(Run& run) {
    const index n = run.samples.n;
    std::vector<float> xi(static_cast<std::size_t>(run.grid.dims * n));
    for (int k = 0; k < run.grid.dims; ++k)
        copy_to_host(run.stream, xi.data() + k * n,
                     Span<const float>(run.samples.xi.span().subspan(k * run.samples.row, n)));
    return xi;
}

std::vector<index> samples_near(const Run& run, const std::vector<float>& xi, const CvValue& value,
                                double reach, index most) {
    const index n = run.samples.n;
    std::vector<index> found;
    for (index j = 0; j < n; ++j) {
        bool near = true;
        for (int k = 0; k < run.grid.dims; ++k)
            near &= std::fabs(run.grid.apart(
                        k, static_cast<double>(xi[static_cast<std::size_t>(k * n + j)]),
                        value[static_cast<std::size_t>(k)])) < reach * run.grid.width(k);
        if (near) found.push_back(j);
    }
    if (static_cast<index>(found.size()) <= most) return found;
    std::vector<index> kept;
    for (const index i : spread_over(std::ssize(found), most)) kept.push_back(found[static_cast<std::size_t>(i)]);
    return kept;
}

TrainerConfig trainer_config(const RunConfig& run, index iterations, uint64 seed) {
    return trainer_config(run.generator, run.cv, iterations, seed);
}

}  // namespace microlift
