#include "sampling/run/targets.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/launch/gather.h"
#include "sampling/estimate/reweight/reweighting.h"
#include "sampling/numerics/within.h"
#include "sampling/run/places.h"

namespace microlift {

namespace {

// `count` of these columns in turn, as often as they weigh.
std::vector<index> chosen_by_weight(const std::vector<index>& columns, const std::vector<float>& weight, index count) {
    double all = 0, passed = 0;
    for (const index j : columns) all += static_cast<double>(weight[static_cast<std::size_t>(j)]);
    std::vector<index> chosen;
    for (const index j : columns) {
        passed += static_cast<double>(weight[static_cast<std::size_t>(j)]);
        while (std::ssize(chosen) < count &&
               (static_cast<double>(chosen.size()) + 0.5) / static_cast<double>(count) * all <= passed)
            chosen.push_back(j);
    }
    while (std::ssize(chosen) < count) chosen.push_back(columns.back());
    return chosen;
}

}  // namespace

std::vector<double> given_log_weights(const Run& run) {
    const GivenSamples& given = *run.config.samples.given;
    std::vector<double> weights;
    for (const index row : given.columns().row) weights.push_back(given.log_weight[static_cast<std::size_t>(row)]);
    return weights;
}

void weigh_given(Run& run) {
    const SamplesConfig& samples = run.config.samples;
    if (!samples.enabled || !samples.given->weighted() || run.samples.n == 0) return;
    const std::vector<float> weight =
        weights_within_bins(run.stream, run.samples.biased(), given_log_weights(run), run.grid);
    run.samples.weight = Buffer<float>(run.device, run.samples.n);
    copy_to_device(run.stream, run.samples.weight.span(), weight.data());
}

namespace {

// Columns of samples made elsewhere as training takes them.
std::vector<index> training_columns(Run& run) {
    struct Place {
        double time;  // share of its trajectory
        index column;
    };
    std::vector<Place> places;
    for (const SampleBlock& block : run.samples.blocks)
        for (index j = 0; j < block.size(); ++j)
            places.push_back({(static_cast<double>(j / block.trajectories()) + 0.5) / static_cast<double>(block.samples),
                              block.first + j});
    std::ranges::stable_sort(places, {}, &Place::time);
    std::vector<index> columns;
    for (const Place& place : places) columns.push_back(place.column);
    if (run.samples.weight.size() == 0) return columns;
    const std::vector<float> weight = to_host(run.stream, Span<const float>(run.samples.weight.span()));
    const StoredCvs xi(run);
    std::vector<std::vector<std::size_t>> bins(static_cast<std::size_t>(run.grid.size()));
    for (std::size_t i = 0; i < columns.size(); ++i) {
        CvValue value{};
        for (int k = 0; k < run.grid.dims; ++k) value[static_cast<std::size_t>(k)] = xi(k, columns[i]);
        bins[bin_of(run.grid, value)].push_back(i);
    }
    for (const std::vector<std::size_t>& bin : bins) {
        std::vector<index> own;
        for (const std::size_t i : bin) own.push_back(columns[i]);
        const std::vector<index> chosen = chosen_by_weight(own, weight, std::ssize(own));
        for (std::size_t i = 0; i < bin.size(); ++i) columns[bin[i]] = chosen[i];
    }
    return columns;
}

}  // namespace

void TrainingData::give(Run& run, GeneratorTrainer& trainer, const Targets& y) {
    const index n = run.samples.n, cvs = run.model.n_cvs();
    if (!run.config.samples.enabled)
        return trainer.set_data(y.values, run.samples.xi.span(), y.row, n, run.samples.blocks.front().trajectories());
    const std::vector<index> chosen = training_columns(run);
    Buffer<index> columns(run.device, n);
    copy_to_device(run.stream, columns.span(), chosen.data());
    values_ = Buffer<float>(run.device, y.count * n);
    conditions_ = Buffer<float>(run.device, cvs * n);
    gather_columns(run.stream, y.values.data, y.row, y.count, std::as_const(columns).span(), values_.data());
    gather_columns(run.stream, run.samples.xi.data(), run.samples.row, cvs, std::as_const(columns).span(),
                   conditions_.data());
    run.stream.synchronize();
    trainer.set_data(std::as_const(values_).span(), std::as_const(conditions_).span(), n, n, 1);
}

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

HostView<float> host_column(Run& run, const Targets& y, index value) {
    return {run.stream, y.values.subspan(value * y.row, run.samples.n)};
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

StoredCvs::StoredCvs(Run& run)
    : values_(run.stream, Span<const float>(run.samples.xi.span())), row_(run.samples.row) {}

std::vector<index> samples_near(Run& run, const StoredCvs& xi, const CvValue& value, double reach, index most) {
    const index n = run.samples.n;
    std::vector<index> found;
    const double far = run.grid.round[0] ? HUGE_VAL : reach * run.grid.width(0);
    each_within(xi.data(), n, value[0] - far, value[0] + far, [&](index j) {
        bool near = true;
        for (int k = 0; k < run.grid.dims; ++k)
            near &= std::fabs(run.grid.apart(k, xi(k, j), value[static_cast<std::size_t>(k)])) <
                    reach * run.grid.width(k);
        if (near) found.push_back(j);
    });
    if (run.samples.weight.size() > 0 && !found.empty())
        return chosen_by_weight(found, to_host(run.stream, Span<const float>(run.samples.weight.span())),
                                std::min<index>(most, std::ssize(found)));
    if (static_cast<index>(found.size()) <= most) return found;
    std::vector<index> kept;
    for (const index i : spread_over(std::ssize(found), most)) kept.push_back(found[static_cast<std::size_t>(i)]);
    return kept;
}

TrainerConfig trainer_config(const RunConfig& run, index iterations, uint64 seed) {
    return trainer_config(run.generator, run.cv, iterations, seed);
}

}  // namespace microlift
