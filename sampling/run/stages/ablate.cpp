// What coupling buys: umbrella sampling alone and the generator alone, at the force evaluations that
// the coupled run had spent after each of its rounds.
#include "sampling/run/run.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/random/streams.h"

namespace microlift {

namespace {

constexpr index kLifted = 4000;  // states at a place
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Json listed(const std::vector<double>& values) {
    Json list = Json::array();
    for (double v : values) list.push_back(std::isfinite(v) ? Json(v) : Json());
    return list;
}

std::vector<double> from_list(const Json& list) {
    std::vector<double> values;
    for (const Json& v : list) values.push_back(v.is_number() ? v.get<double>() : kNan);
    return values;
}

}  // namespace

Json Pipeline::coupling_profile(double cost, const ConditionalMoments* m,
                                const std::vector<double>& free_energy) const {
    Json j;
    j["force_evaluations"] = cost;
    std::vector<double> mean, variance, profile;
    const std::vector<CouplingPlace> places = coupling_places();
    for (const CouplingPlace& place : places) {
        const std::size_t bin = place_bin(place.at);
        profile.push_back(bin < free_energy.size() ? free_energy[bin] : kNan);
    }
    if (m) {
        for (index v = 0; v < m->variables; ++v)
            for (const CouplingPlace& place : places) {
                const std::size_t i = m->place(v, static_cast<index>(place_bin(place.at)));
                mean.push_back(m->mean[i]);
                variance.push_back(m->variance[i]);
            }
    }
    j["mean"] = listed(mean);
    j["variance"] = listed(variance);
    j["free_energy"] = listed(profile);
    return j;
}

// Means in conditional deviations, free energies in kT about their common mean; RMS over the places.
void Pipeline::add_errors(Json& point, const Json& reference) const {
    const auto mean = from_list(point["mean"]), exact = from_list(reference["mean"]),
               variance = from_list(reference["variance"]);
    double sum = 0, count = 0;
    for (std::size_t i = 0; i < mean.size() && i < exact.size(); ++i) {
        const double d = (mean[i] - exact[i]) / std::sqrt(variance[i]);
        if (!std::isfinite(d)) continue;
        sum += d * d;
        count += 1;
    }
    if (count > 0) point["conditional_error"] = std::sqrt(sum / count);
    const auto f = from_list(point["free_energy"]), g = from_list(reference["free_energy"]);
    double first = 0, second = 0;
    count = 0;
    for (std::size_t i = 0; i < f.size() && i < g.size(); ++i) {
        const double d = (f[i] - g[i]) / model_.kt();
        if (!std::isfinite(d)) continue;
        first += d;
        second += d * d;
        count += 1;
    }
    if (count > 1)
        point["free_energy_error"] =
            std::sqrt(std::max(0.0, second / count - first * first / count / count));
}

void Pipeline::ablate() {
    Json& coupling = metrics_["coupling"];
    const std::vector<CouplingPlace> places = coupling_places();
    Json ablation;
    ablation["variables"] = target_names();
    for (const CouplingPlace& place : places) {
        Json at;
        for (int k = 0; k < grid_.dims; ++k) at.push_back(place.at[static_cast<std::size_t>(k)]);
        ablation["places"].push_back(at);
    }
    std::vector<double> levels;
    for (const Json& round : coupling["rounds"]) {
        ablation["both"].push_back(round["profile"]);
        levels.push_back(round["force_evaluations"].get<double>());
    }
    // Against quadrature where there is one, else against the last round.
    const std::optional<ExactModel> exact = model_.observed() ? std::nullopt : model_.exact();
    Json reference;
    if (exact && model_.dim() == 2) {
        std::vector<double> mean, variance, free_energy;
        for (const CouplingPlace& place : places) {
            const double at = grid_.centre(0, static_cast<index>(place_bin(place.at)));
            const ExactConditional law = exact->at(at);
            mean.push_back(law.mean);
            variance.push_back(law.variance);
            free_energy.push_back(-law.log_z * model_.kt());
        }
        reference["source"] = "exact";
        reference["mean"] = listed(mean);
        reference["variance"] = listed(variance);
        reference["free_energy"] = listed(free_energy);
    } else {
        reference = ablation["both"].back();
        reference["source"] = "last round";
    }
    const bool own = reference["source"] != "exact";
    for (std::size_t i = 0; i < ablation["both"].size(); ++i)
        if (!own || i + 1 < ablation["both"].size()) add_errors(ablation["both"][i], reference);

    // The umbrella's own windows, longer and longer.
    const index rounds = round_;
    round_ = 0;
    const RoundPlan p = plan();
    const index n = p.windows * p.replicas, stride = run_.umbrella.stride;
    std::vector<index> segments;
    for (double cost : levels)
        segments.push_back(std::max<index>(
            p.segments, static_cast<index>((cost / static_cast<double>(n) -
                                            static_cast<double>(p.equilibrate)) /
                                           static_cast<double>(stride))));
    progress_.begin("ablation", static_cast<double>(levels.size()), "levels");
    StageMeter meter(metrics_["stages"], "ablation");
    Ensemble ensemble(stream_, kernel_, n, derived_seed(run_.seed, 0), kStreamNoise);
    SampleSet alone(device_, model_.dim(), model_.n_cvs(), n * segments.back());
    BiasWindows windows;
    windows.beta = windows_.beta;
    for (const auto& c : round_centers()) {
        windows.center.push_back(c);
        const auto& k = run_.umbrella.stiffness;
        windows.stiffness.push_back({k[0], grid_.dims == 2 ? k[1] : 0.0});
    }
    std::swap(windows, windows_);  // set_bias and set_initial look there
    set_bias(ensemble, 0, p);
    set_initial(ensemble, 0, p);
    std::swap(windows, windows_);
    Buffer<uint64> accepted(device_, 2);
    const index piece = p.exchange > 0 ? p.exchange : launch_steps(n) / stride * stride + stride;
    while (ensemble.step() < static_cast<uint64>(p.equilibrate)) {
        const index left = p.equilibrate - static_cast<index>(ensemble.step());
        ensemble.advance(static_cast<uint64>(std::min(left, piece)));
        if (p.exchange > 0) try_exchange(ensemble, p, accepted);
        throw_if_stopped();
    }
    EstimateOptions options;
    options.method = run_.estimate.enabled ? run_.estimate.method : "mbar";
    options.kt = model_.kt();
    const auto names = target_names();
    const auto variables = static_cast<index>(names.size());
    Buffer<float> y(device_, variables * alone.row);
    TensorMap warm;
    index done = 0;
    for (std::size_t level = 0; level < levels.size(); ++level) {
        while (done < segments[level]) {
            const index now = std::min(std::max<index>(1, piece / stride), segments[level] - done);
            ensemble.sample(static_cast<uint64>(stride), now, alone);
            done += now;
            if (p.exchange > 0) try_exchange(ensemble, p, accepted);
            stream_.synchronize();
            throw_if_stopped();
        }
        alone.blocks = {{0, 0, p.windows, p.replicas, done}};
        if (model_.observed())
            model_.observe(stream_, alone.x.span(), alone.row, alone.n, y.span(), alone.row);
        else
            for (index f = 0; f < variables; ++f)
                copy(stream_, y.span().subspan(f * alone.row, alone.n),
                     Span<const float>(alone.x.span().subspan(
                         free_[static_cast<std::size_t>(f)] * alone.row, alone.n)));
        const FreeEnergyResult result =
            estimate_free_energy(stream_, alone.biased(), windows, grid_, options);
        const ConditionalMoments m = conditional_moments(
            stream_, alone.biased(), y.span(), alone.row, variables, grid_, result.error_blocks);
        Json umbrella = coupling_profile(levels[level], &m, result.profile.free_energy);
        add_errors(umbrella, reference);
        ablation["umbrella"].push_back(umbrella);

        // The generator, taught by these samples alone.
        const auto trainer = make_trainer(
            stream_,
            trainer_config(run_, level == 0 ? run_.generator.iterations : run_.coupling.iterations,
                           derived_seed(run_.seed, 7000 + level)),
            static_cast<int>(variables), model_.n_cvs());
        trainer->set_data(y.span(), alone.xi.span(), alone.row, alone.n, n);
        if (!warm.empty()) trainer->warm_start(warm);
        while (!trainer->done()) {
            trainer->advance(200);
            stream_.synchronize();
            trainer->check();
            throw_if_stopped();
        }
        warm = trainer->save_state();
        Lifter lifter(stream_, model_, Generator(stream_, trainer->generator_tensors()),
                      run_.generator.project);
        std::vector<std::array<double, kMaxCvs>> at;
        for (const CouplingPlace& place : places) {
            const auto bin = static_cast<index>(place_bin(place.at));
            at.push_back({grid_.centre(0, bin), grid_.dims == 2 ? grid_.centre(1, bin) : 0.0});
        }
        const index lifted = static_cast<index>(places.size()) * kLifted;
        const Buffer<float> s = conditions(at, kLifted);
        Buffer<float> x(device_, lifter.dim() * lifted);
        lifter.lift(s.span(), lifted, derived_seed(run_.seed, 8000 + level), 0, x.span());
        const std::vector<float> host = to_host(stream_, Span<const float>(x.span()));
        std::vector<double> mean, variance;
        for (index v = 0; v < variables; ++v)
            for (std::size_t c = 0; c < places.size(); ++c) {
                const index row = model_.observed() ? v : free_[static_cast<std::size_t>(v)];
                const float* first = host.data() + row * lifted + static_cast<index>(c) * kLifted;
                double sum = 0, squares = 0;
                for (index i = 0; i < kLifted; ++i) {
                    sum += static_cast<double>(first[i]);
                    squares += static_cast<double>(first[i]) * static_cast<double>(first[i]);
                }
                mean.push_back(sum / kLifted);
                variance.push_back(squares / kLifted - mean.back() * mean.back());
            }
        Json generator = coupling_profile(levels[level], nullptr, {});
        generator["mean"] = listed(mean);
        generator["variance"] = listed(variance);
        add_errors(generator, reference);
        ablation["generator"].push_back(generator);
        progress_.update(static_cast<double>(level + 1));
    }
    meter.work(ensemble.force_evaluations(), ensemble.force_evaluations());
    round_ = rounds;
    ablation["reference"] = reference;
    coupling["ablation"] = ablation;
    progress_.end();
    write_metrics();
}

}  // namespace microlift
