// What coupling buys: umbrella sampling alone and the generator alone, at the force evaluations that
// the coupled run had spent after each of its rounds.
#include "sampling/run/stages.h"

#include <algorithm>

#include "kernels/random/streams.h"
#include "sampling/run/biased_runs.h"
#include "sampling/run/coupling_profile.h"
#include "sampling/run/lifted.h"
#include "sampling/run/config/starts.h"
#include "sampling/run/places.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

constexpr index kLifted = 4000;  // states at a place

// The umbrella's own windows, run longer and longer.
class UmbrellaAlone {
public:
    UmbrellaAlone(Run& run, const std::vector<double>& levels);
    ~UmbrellaAlone() { meter_.work(ensemble_.force_evaluations(), ensemble_.force_evaluations()); }
    void run_to(std::size_t level);
    FreeEnergyResult estimate();
    ConditionalMoments moments(const ErrorBlocks& blocks);
    // Taught by these samples alone.
    std::unique_ptr<GeneratorTrainer> train(std::size_t level);

private:
    void equilibrate();

    Run& run_;
    StageMeter meter_;
    const RoundPlan plan_;
    std::vector<index> segments_;  // by level
    Ensemble ensemble_;
    SampleSet samples_;
    BiasWindows windows_;
    std::unique_ptr<Umbrella> bias_;
    Buffer<float> targets_;
    index piece_, done_ = 0, variables_;
    TensorMap warm_;
};

std::vector<index> segments_of(const Run& run, const RoundPlan& plan,
                               const std::vector<double>& levels) {
    std::vector<index> segments;
    for (double cost : levels)
        segments.push_back(std::max<index>(
            plan.segments,
            static_cast<index>((cost / static_cast<double>(plan.trajectories()) -
                                static_cast<double>(plan.equilibrate)) /
                               static_cast<double>(run.config.umbrella.stride))));
    return segments;
}

UmbrellaAlone::UmbrellaAlone(Run& run, const std::vector<double>& levels)
    : run_(run), meter_(run.record, "ablation"), plan_(plan_of(run, 0)),
      segments_(segments_of(run, plan_, levels)),
      ensemble_(run.stream, run.kernel, plan_.trajectories(), derived_seed(run.config.seed, 0),
                kStreamNoise),
      samples_(run.device, run.model.dim(), run.model.n_cvs(),
               plan_.trajectories() * segments_.back()),
      variables_(static_cast<index>(target_names(run).size())) {
    const index stride = run.config.umbrella.stride;
    piece_ = plan_.exchange > 0 ? plan_.exchange
                                : static_cast<index>(ensemble_.launch_steps()) / stride * stride + stride;
    windows_.beta = run.windows.beta;
    windows_.period = run.windows.period;
    add_windows(windows_, run, umbrella_centers(run.config.umbrella));
    bias_ = umbrella_of(run, windows_, 0, plan_);
    bias_->begin(ensemble_);
    set_initial(run, ensemble_, windows_, 0, plan_);
    equilibrate();
    targets_ = Buffer<float>(run.device, variables_ * samples_.row);
}

void UmbrellaAlone::equilibrate() {
    while (ensemble_.step() < static_cast<uint64>(plan_.equilibrate)) {
        const index left = plan_.equilibrate - static_cast<index>(ensemble_.step());
        ensemble_.advance(static_cast<uint64>(std::min(left, piece_)));
        if (bias_->period() > 0) step_bias(run_, ensemble_, *bias_);
        throw_if_stopped();
    }
}

void UmbrellaAlone::run_to(std::size_t level) {
    const index stride = run_.config.umbrella.stride;
    while (done_ < segments_[level]) {
        const index now = std::min(std::max<index>(1, piece_ / stride), segments_[level] - done_);
        ensemble_.sample(static_cast<uint64>(stride), now, samples_);
        done_ += now;
        if (bias_->period() > 0) step_bias(run_, ensemble_, *bias_);
        run_.stream.synchronize();
        throw_if_stopped();
    }
    samples_.blocks = {{0, 0, plan_.windows, plan_.replicas, done_}};
    const index row = samples_.row, n = samples_.n;
    if (run_.model.observed())
        run_.model.observe(run_.stream, samples_.x.span(), row, n, targets_.span(), row);
    else
        for (index f = 0; f < variables_; ++f)
            copy(run_.stream, targets_.span().subspan(f * row, n),
                 Span<const float>(samples_.x.span().subspan(
                     run_.free[static_cast<std::size_t>(f)] * row, n)));
}

FreeEnergyResult UmbrellaAlone::estimate() {
    const EstimateConfig& config = run_.config.estimate;
    EstimateOptions options;
    options.method = config.enabled ? config.method : "mbar";
    options.kt = run_.model.kt();
    return estimate_free_energy(run_.stream, samples_.biased(), windows_, run_.grid, options);
}

ConditionalMoments UmbrellaAlone::moments(const ErrorBlocks& blocks) {
    return conditional_moments(run_.stream, samples_.biased(), targets_.span(), samples_.row,
                               variables_, run_.grid, blocks);
}

std::unique_ptr<GeneratorTrainer> UmbrellaAlone::train(std::size_t level) {
    const index iterations =
        level == 0 ? run_.config.generator.iterations : run_.config.coupling.iterations;
    auto trainer = make_trainer(
        run_.stream,
        trainer_config(run_.config, iterations, derived_seed(run_.config.seed, 7000 + level)),
        static_cast<int>(variables_), run_.model.n_cvs());
    trainer->set_data(targets_.span(), samples_.xi.span(), samples_.row, samples_.n,
                      plan_.trajectories());
    if (!warm_.empty()) trainer->warm_start(warm_);
    while (!trainer->done()) {
        trainer->advance(200);
        run_.stream.synchronize();
        trainer->check();
        throw_if_stopped();
    }
    warm_ = trainer->save_state();
    return trainer;
}

// Moments of states lifted at the bins of the places.
CouplingProfile lifted_profile(Run& run, const SafeTensors& weights, double cost,
                               std::size_t level) {
    Lifter lifter = make_lifter(run, weights);
    const std::vector<CvValue> centres = bin_centres(run.grid);
    std::vector<CvValue> at;
    for (const CouplingPlace& place : coupling_places(run))
        at.push_back(centres[bin_of(run.grid, place.at)]);
    const index n = static_cast<index>(at.size()) * kLifted;
    const Buffer<float> s = conditions(run, at, kLifted);
    Buffer<float> x(run.device, lifter.dim() * n);
    lifter.lift(s.span(), n, derived_seed(run.config.seed, 8000 + level), 0, x.span());
    const std::vector<float> host = to_host(run.stream, Span<const float>(x.span()));
    CouplingProfile profile = coupling_profile(run, cost, nullptr, {});
    for (const int row : generated_rows(run))
        for (std::size_t c = 0; c < at.size(); ++c) {
            const float* first = host.data() + row * n + static_cast<index>(c) * kLifted;
            double sum = 0, squares = 0;
            for (index i = 0; i < kLifted; ++i) {
                sum += static_cast<double>(first[i]);
                squares += static_cast<double>(first[i]) * static_cast<double>(first[i]);
            }
            const double mean = sum / kLifted;
            profile.mean.push_back(mean);
            profile.variance.push_back(squares / kLifted - mean * mean);
        }
    return profile;
}

// By quadrature, where that is possible.
std::optional<CouplingProfile> exact_profile(const Run& run) {
    const std::optional<ExactModel> exact =
        run.model.observed() ? std::nullopt : run.model.exact();
    if (!exact || run.model.dim() != 2) return std::nullopt;
    CouplingProfile profile;
    for (const CouplingPlace& place : coupling_places(run)) {
        const std::optional<ExactConditional> law =
            exact->law(run.grid.centre(0, static_cast<index>(bin_of(run.grid, place.at))));
        if (!law) return std::nullopt;
        profile.mean.push_back(law->mean);
        profile.variance.push_back(law->variance);
        profile.free_energy.push_back(-law->log_z * run.model.kt());
    }
    return profile;
}

Json describe_reference(const CouplingProfile& reference, bool exact) {
    Json j = profile_json(reference);
    if (exact) j.erase("force_evaluations");
    j["source"] = exact ? "exact" : "last round";
    return j;
}

}  // namespace

void ablate(Run& run) {
    const std::vector<CouplingProfile>& both = run.coupling.profiles;
    // Against quadrature where there is one, else against the last round.
    const std::optional<CouplingProfile> exact = exact_profile(run);
    const CouplingProfile& reference = exact ? *exact : both.back();
    Json ablation;
    ablation["variables"] = target_names(run);
    for (const CouplingPlace& place : coupling_places(run))
        ablation["places"].push_back(cv_json(run.grid.dims, place.at));
    std::vector<double> levels;
    for (const CouplingProfile& profile : both) {
        ablation["both"].push_back(&profile == &reference ? profile_json(profile)
                                                          : profile_json(run, profile, reference));
        levels.push_back(profile.force_evaluations);
    }
    run.progress.begin("ablation", static_cast<double>(levels.size()), "levels");
    UmbrellaAlone alone(run, levels);
    for (std::size_t level = 0; level < levels.size(); ++level) {
        alone.run_to(level);
        const FreeEnergyResult result = alone.estimate();
        const ConditionalMoments m = alone.moments(result.error_blocks);
        const CouplingProfile umbrella =
            coupling_profile(run, levels[level], &m, result.profile.free_energy);
        ablation["umbrella"].push_back(profile_json(run, umbrella, reference));
        const auto trainer = alone.train(level);
        const CouplingProfile generator =
            lifted_profile(run, trainer->generator_tensors(), levels[level], level);
        ablation["generator"].push_back(profile_json(run, generator, reference));
        run.progress.update(static_cast<double>(level + 1));
    }
    ablation["reference"] = describe_reference(reference, exact.has_value());
    run.record["coupling"]["ablation"] = ablation;
    run.progress.end();
    run.write_metrics();
}

}  // namespace microlift
