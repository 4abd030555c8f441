// What the products of a checkpoint say of one another and of the configuration.
#include "sampling/run/agreement.h"

#include <algorithm>

#include "engine/at.h"
#include "sampling/lift/lifted_moves.h"
#include "sampling/run/biased_runs.h"
#include "sampling/run/places.h"
#include "sampling/run/stages.h"

namespace microlift {

namespace {

void need(bool agrees, const std::string& what) {
    if (!agrees)
        throw InputError("checkpoint.h5: its " + what +
                         " do not go with this configuration; begin anew with --force");
}

// Stages that a run stops in while its trajectories go on.
bool moves_trajectories(const Run& run) {
    const std::string& stage = run.position.stage;
    return stage == "sample" || stage == "steer" || stage == "anneal" || stage == "string";
}

void check_position(const Run& run) {
    const Position& position = run.position;
    const CouplingConfig& coupling = run.config.coupling;
    need(moves_trajectories(run) || position.stage == "train" || position.stage == "rates", "stage and round");
    const index rounds = coupling.enabled ? coupling.rounds : 0;
    need(position.round >= 0 && position.round <= rounds, "stage and round");
    const auto wanted = [&](const Stage& stage) {
        return stage.name == position.stage && stage.wanted(run);
    };
    need(std::any_of(stages().begin(), stages().end(), wanted), "stage and round");
    need(run.sampling.ensemble.empty() != moves_trajectories(run), "stage and trajectories");
    need(run.training.trainer.empty() == (position.stage != "train"), "stage and training");
}

index windows_of_samples(const Run& run) {
    index windows = 0;
    for (const SampleBlock& block : run.samples.blocks) {
        need(block.first_window == windows, "blocks of samples");
        windows += block.windows;
    }
    return windows;
}

void check_states(const Run& run, const RoundPlan& plan, std::size_t temperatures) {
    const SamplingState& state = run.sampling;
    const auto n = static_cast<std::size_t>(plan.trajectories());
    const auto rows = static_cast<std::size_t>(run.kernel->dim()) * (run.kernel->has_velocity() ? 2 : 1);
    need(state.ensemble.size() == rows * n * (1 + temperatures), "trajectories");
    need(state.accepted.size() == (run.kernel->metropolis() ? n : 0), "accepted steps");
}

// Of methods that are not sampled under one bias.
void check_steps(const Run& run, const RoundPlan& plan) {
    const SamplingState& state = run.sampling;
    const BiasConfig& bias = run.config.bias;
    check_states(run, plan, 0);
    const auto step = static_cast<index>(state.step);
    if (run.position.stage == "steer") {
        // Within the move that was made last.
        const index moved = run.bias.steered->moved(), done = plan.equilibrate + moved * bias.move;
        need(moved == 0 ? step <= done : step > done - bias.move && step <= done, "steps and moves so far");
    } else if (run.position.stage == "anneal") {
        need(state.sampled >= 0 && state.sampled <= bias.rungs, "temperature");
        need(step <= (state.sampled == 0 ? plan.equilibrate : bias.anneal), "steps so far");
    } else {
        need(state.sampled >= 0 && state.sampled <= bias.iterations, "iterations so far");
    }
}

void check_trajectories(const Run& run, const RoundPlan& plan) {
    const SamplingState& state = run.sampling;
    const std::size_t temperatures = run.config.umbrella.molecule.temperatures.size();
    check_states(run, plan, temperatures);
    need(state.counters.size() == 2 + at(LiftedMoves::kCounters) + 2 * temperatures, "counters");
    // The step is that of the samples taken so far, or inside the next stride.
    const auto step = static_cast<index>(state.step), stride = run.config.umbrella.stride;
    need(state.sampled >= 0 && state.sampled <= plan.segments, "samples so far");
    const index taken = plan.equilibrate + state.sampled * stride;
    need(state.sampled == 0 ? step >= 0 : step >= taken, "steps so far");
    need(state.sampled == plan.segments ? step <= taken : step < taken + stride, "steps so far");
    if (run.config.umbrella.histogram)
        need(run.histogram.restored() && run.histogram.restored_samples() == state.sampled,
             "histograms");
    else
        need(run.samples.n == samples_of_blocks(run) + plan.trajectories() * state.sampled, "samples");
}

void check_estimate(const Run& run) {
    const FreeEnergy& f = run.free_energy;
    const auto bins = static_cast<std::size_t>(run.grid.size());
    need(f.profile.empty() ? f.error.empty() && f.influence.empty()
                           : f.profile.size() == bins && f.error.size() == bins,
         "free energies");
    const auto blocks = static_cast<std::size_t>(f.error_blocks.count());
    need(f.profile.empty() || f.influence.size() == blocks * bins, "errors of the free energy");
    need(f.bias.empty() || f.bias.size() == f.profile.size(), "bias of the free energy");
    index replicas = 1, samples = 1;
    for (const SampleBlock& block : run.samples.blocks) {
        replicas = std::max(replicas, block.replicas);
        samples = std::max(samples, block.samples);
    }
    if (!run.config.umbrella.histogram)
        need(f.error_blocks.replica_groups <= replicas && f.error_blocks.time_segments <= samples,
             "blocks for errors");
    for (const WindowOverlap& o : f.overlaps)
        need(o.a < run.windows.size() && o.b < run.windows.size(), "overlaps");
}

void check_coupling(const Run& run) {
    const Coupling& c = run.coupling;
    need(static_cast<index>(c.places.size()) <= std::max<index>(run.config.coupling.windows, 0) &&
             (run.position.round == 0 || !c.places.empty() || run.position.stage != "sample"),
         "places of coupling");
    for (const CvValue& place : c.places)
        for (int k = 0; k < run.grid.dims; ++k) {
            const auto i = static_cast<std::size_t>(k);
            const double rounding = 1e-9 * (run.grid.to[i] - run.grid.from[i]);  // of a place at an end
            need(place[i] >= run.grid.from[i] - rounding && place[i] <= run.grid.to[i] + rounding, "places of coupling");
        }
    for (const CouplingProfile& profile : c.profiles)
        need(profile.mean.size() == c.profiles.front().mean.size() &&
                 profile.variance.size() == profile.mean.size() &&
                 profile.free_energy.size() == c.profiles.front().free_energy.size(),
             "profiles of coupling");
    for (const std::vector<double>& condition : run.generator.conditions)
        need(static_cast<int>(condition.size()) == run.grid.dims, "conditions of the generator");
}

}  // namespace

index samples_of_blocks(const Run& run) {
    index samples = 0;
    for (const SampleBlock& block : run.samples.blocks) samples += block.size();
    return samples;
}

void check_agreement(const Run& run) {
    check_position(run);
    if (!run.config.sampled) return;
    check_coupling(run);
    const RoundPlan plan = plan_of(run, run.position.round);
    need(run.windows.size() == windows_of_samples(run) + (moves_trajectories(run) ? plan.windows : 0), "windows");
    if (run.position.stage == "sample")
        check_trajectories(run, plan);
    else if (moves_trajectories(run))
        check_steps(run, plan);
    else
        need(run.samples.n == samples_of_blocks(run) && (run.samples.n > 0 || run.config.umbrella.histogram), "samples");
    check_estimate(run);
}

}  // namespace microlift
