// One round of biased sampling: of the umbrella's windows, or of those that coupling asks for.
#include "sampling/run/stages.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "engine/at.h"
#include "kernels/random/streams.h"
#include "sampling/bias/tempering.h"
#include "sampling/lift/molecule_moves.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/run/agreement.h"
#include "sampling/run/biased_runs.h"
#include "sampling/run/checkpoint.h"
#include "sampling/run/checks.h"
#include "sampling/run/lifted.h"
#include "sampling/run/config/starts.h"
#include "sampling/run/stages/histogram.h"

namespace microlift {

namespace {

constexpr double kLowAcceptance = 0.3;  // of steps; 0.574 is best where there are many variables
constexpr double kLowJumpAcceptance = 0.01;
constexpr double kLowSwaps = 0.05;
constexpr double kSlopeErrors = 5;
constexpr index kLadders = 16;  // whose spread tells an error

double share(uint64 of, uint64 all) {
    return all ? static_cast<double>(of) / static_cast<double>(all) : 0.0;
}

class SamplingRound {
public:
    explicit SamplingRound(Run& run);
    void equilibrate();
    void collect();
    bool target_met();
    void finish();  // what the samples are, and how exchanges and jumps went

private:
    void begin_molecule_jumps();
    void start();
    void resume();
    void save();
    void tell(const std::vector<uint64>& accepted);
    // Every now and then, or where a piece was the last.
    void look_after(bool last);
    // What the bias method does, and jumps, `done` steps after the start of equilibration or sampling.
    void rearrange(index done);
    index until_rearranged(index done) const;  // steps
    void advance(uint64 steps);  // all temperatures
    double force_evaluations() const;
    void store(index stride, index samples);   // of each trajectory, `stride` steps apart
    std::string describe_window(index window) const;
    void record_steps(Json& record);
    void record_jumps(Json& record);
    void record_tempering(Json& record);
    void record_rungs(Json& record);  // what was seen at each temperature
    double trajectory_steps() const {
        return static_cast<double>(ensemble_.step()) * static_cast<double>(ensemble_.size());
    }

    Run& run_;
    const RoundPlan plan_;
    const std::string stage_;  // in the record
    StageMeter meter_;
    Ensemble ensemble_;
    std::size_t first_window_;
    std::unique_ptr<Umbrella> bias_;  // of windows; null where one is shared
    AdaptiveBias* const shared_;      // the one bias of all walkers, or null
    Buffer<uint64> no_exchanges_;
    Span<uint64> exchanges() { return bias_ ? bias_->counters() : no_exchanges_.span(); }
    std::optional<Tempering> tempering_;
    index temper_ = 0;              // steps between swaps of temperatures
    std::optional<Lifter> lifter_;  // behind the jumps
    std::optional<LiftedMoves> jumps_;
    std::optional<MoleculeMoves> molecule_jumps_;
    index jump_ = 0;              // steps between jumps
    const index launch_;         // steps of a launch, at most
    // So far: samples a trajectory, energies of jumps; attempts and acceptances.
    index sampled_ = 0;
    std::string ended_;  // why sampling under one bias did
    double energies_ = 0, before_ = 0;
    Buffer<uint64> jumped_;
    SaveClock saves_;
    uint64 checked_ = 0;
    const StopLater later_;  // look_after() saves first
};

index windows_of(const std::vector<SampleBlock>& blocks) {
    return std::accumulate(blocks.begin(), blocks.end(), index{0},
                           [](index sum, const SampleBlock& b) { return sum + b.windows; });
}

SamplingRound::SamplingRound(Run& run)
    : run_(run), plan_(plan_of(run, run.position.round)),
      stage_(plan_.round == 0 ? "sample" : "couple"), meter_(run.record, stage_),
      ensemble_(run.stream, run.kernel, plan_.trajectories(),
                derived_seed(run.config.seed, static_cast<uint64>(plan_.round)), kStreamNoise),
      first_window_(static_cast<std::size_t>(windows_of(run.samples.blocks))), shared_(run.bias.method.get()), no_exchanges_(run.device, 2),
      launch_(static_cast<index>(ensemble_.launch_steps())),
      jumped_(run.device, LiftedMoves::kCounters) {
    if (run.windows.center.size() == first_window_)
        add_windows(run.windows, run,
                    plan_.round == 0 || shared_ ? window_centers(run.config.umbrella) : run.coupling.places);
    run.samples.open = SampleBlock{samples_of_blocks(run), static_cast<index>(first_window_), plan_.windows,
                                   plan_.replicas, 0};
    fill_zero(run.stream, no_exchanges_.span());
    if (!shared_) bias_ = umbrella_of(run, run.windows, first_window_, plan_);
    (shared_ ? static_cast<BiasMethod&>(*shared_) : *bias_).begin(ensemble_);
    if (run.config.umbrella.histogram) start_histogram(run, plan_);
    if (plan_.jump > 0 && LiftedMoves::possible(run.model)) {
        lifter_.emplace(make_lifter(run));
        std::vector<CvValue> centers(run.windows.center.begin() + static_cast<std::ptrdiff_t>(first_window_),
                                     run.windows.center.end());
        LiftedMovesConfig config = moves_config(run, 500000 + static_cast<uint64>(plan_.round));
        if (shared_) {  // walkers jump wherever they are
            centers = umbrella_centers(run.config.umbrella);
            config.bias = shared_;
            config.places = umbrella_axes(run.config.umbrella);
        }
        jumps_.emplace(run.stream, run.model, *lifter_, centers, config);
        jump_ = plan_.jump;
    }
    if (plan_.jump > 0 && run.model.molecule()) begin_molecule_jumps();
    if (const MoleculeSampling& molecule = run.config.umbrella.molecule; !molecule.temperatures.empty()) {
        tempering_.emplace(run.stream, run.model, run.config.integrator, ensemble_, molecule.temperatures,
                           derived_seed(run.config.seed, 3500 + static_cast<uint64>(plan_.round)));
        temper_ = molecule.tempering;
    }
    const bool resumed = !run.sampling.ensemble.empty();
    if (resumed)
        resume();
    else
        start();
    run.progress.begin(plan_.round == 0 ? "sample" : "sample, round " + std::to_string(plan_.round),
                       static_cast<double>(plan_.equilibrate +
                                           plan_.segments * run.config.umbrella.stride) *
                           static_cast<double>(ensemble_.size()),
                       "steps", trajectory_steps());
    saves_ = {};
    // The file of samples that an earlier checkpoint counts on is replaced when this round ends.
    run.samples.in_file = false;
    if (plan_.round > 0 && !resumed) save();
    checked_ = ensemble_.step();
}

void SamplingRound::begin_molecule_jumps() {
    lifter_.emplace(make_lifter(run_));
    const std::string no =
        MoleculeProposer::refusal(run_.model.molecule()->molecule, lifter_->coordinates(), lifter_->generator());
    if (!no.empty()) {
        run_.warn("lifted states start windows, but no trajectory jumps to them: " + no +
                  "; populations behind barriers that the collective variable does not see are then the "
                  "generator's");
        return;
    }
    molecule_jumps_.emplace(run_.stream, run_.model, *lifter_,
                            derived_seed(run_.config.seed, 500000 + static_cast<uint64>(plan_.round)));
    jump_ = plan_.jump;
}

void SamplingRound::start() {
    before_ = force_evaluations();
    if (jumps_ && jumps_->coordinates() && shared_)
        LiftedMoves(run_.stream, run_.model, *lifter_, run_.coupling.places,
                    moves_config(run_, 510000 + static_cast<uint64>(plan_.round)))
            .start(ensemble_.size() / std::ssize(run_.coupling.places), ensemble_.x());
    else if (jumps_ && jumps_->coordinates())
        jumps_->start(plan_.replicas, ensemble_.x());
    else
        set_initial(run_, ensemble_, run_.windows, first_window_, plan_);
    if (tempering_) tempering_->start();
    if (shared_) begin_shared_bias(run_, ensemble_, *shared_);
}

void SamplingRound::resume() {
    SamplingState& state = run_.sampling;
    std::vector<float> rungs;  // of tempering, behind the ensemble's own
    const auto own = std::min(state.ensemble.size(), 2 * at(run_.model.dim() * ensemble_.size()));
    if (tempering_) {
        rungs.assign(state.ensemble.begin() + static_cast<std::ptrdiff_t>(own), state.ensemble.end());
        state.ensemble.resize(own);
        tempering_->load_state(rungs, state.step);
    }
    ensemble_.load_state(state.ensemble, state.step);
    before_ = force_evaluations() - state.steps;
    sampled_ = state.sampled;
    energies_ = state.energies;
    constexpr std::size_t kOwn = 2 + LiftedMoves::kCounters;
    const std::size_t swaps = tempering_ ? at(tempering_->counter_count()) : 0;
    if (state.counters.size() != kOwn + swaps)
        throw InputError("checkpoint.h5: it does not hold counters of this run; begin anew with "
                         "--force");
    const std::vector<uint64> counters(state.counters.begin(), state.counters.end());
    copy_to_device(run_.stream, exchanges(), counters.data());
    copy_to_device(run_.stream, jumped_.span(), counters.data() + 2);
    if (tempering_) tempering_->load_counters({counters.begin() + kOwn, counters.end()}, state.rung_sums);
    if (run_.kernel->metropolis())
        ensemble_.load_accepted({state.accepted.begin(), state.accepted.end()});
    state = {};
}

void SamplingRound::save() {
    SamplingState& state = run_.sampling;
    state.ensemble = ensemble_.save_state();
    if (tempering_) {
        const std::vector<float> rungs = tempering_->save_state();
        state.ensemble.insert(state.ensemble.end(), rungs.begin(), rungs.end());
    }
    state.step = ensemble_.step();
    state.sampled = sampled_;
    state.steps = force_evaluations() - before_;
    state.energies = energies_;
    for (const Span<const uint64> counts : {Span<const uint64>(exchanges()),
                                            Span<const uint64>(jumped_.span())})
        for (const uint64 count : to_host(run_.stream, counts))
            state.counters.push_back(static_cast<long long>(count));
    if (tempering_) {
        for (const uint64 count : tempering_->counters())
            state.counters.push_back(static_cast<long long>(count));
        state.rung_sums = tempering_->sums();
    }
    const std::vector<uint64> accepted = ensemble_.accepted();
    state.accepted.assign(accepted.begin(), accepted.end());
    save_checkpoint(run_);
    tell(accepted);
    state = {};
}

// Figures so far, for whoever asks meanwhile.
void SamplingRound::tell(const std::vector<uint64>& accepted) {
    run_.progress.figure("samples", static_cast<double>(sampled_) * static_cast<double>(ensemble_.size()));
    if (!accepted.empty())
        run_.progress.figure("step_acceptance",
                             share(std::accumulate(accepted.begin(), accepted.end(), uint64{0}),
                                   ensemble_.step() * static_cast<uint64>(ensemble_.size())));
    const std::vector<long long>& counters = run_.sampling.counters;
    if (counters.size() > 1 && counters[1] > 0)
        run_.progress.figure("exchange_acceptance", share(static_cast<uint64>(counters[0]), static_cast<uint64>(counters[1])));
}

void SamplingRound::look_after(bool last) {
    const double since = static_cast<double>(ensemble_.step() - checked_) *
                         static_cast<double>(ensemble_.size());
    if (!last && !stops_alone() && since < 0.25 * static_cast<double>(launch_) *
                                                  static_cast<double>(ensemble_.size()))
        return;
    checked_ = ensemble_.step();
    run_.stream.synchronize();
    const auto describe = [&](index t) {
        if (shared_) return "walker " + std::to_string(t);
        return describe_window(t / plan_.replicas) + ", replica " +
               std::to_string(t % plan_.replicas);
    };
    ensemble_.check_finite(describe);
    if (tempering_) tempering_->check_finite(describe);
    run_.progress.update(trajectory_steps());
    run_.progress.figure("trajectory_steps", trajectory_steps());
    if (!saves_.due()) return;
    save();
    throw_if_stopped();
}

void SamplingRound::rearrange(index done) {
    const auto due = [&](index interval) { return interval > 0 && done % interval == 0; };
    if (bias_ && due(bias_->period())) step_bias(run_, ensemble_, *bias_);
    if (due(temper_))
        tempering_->exchange(ensemble_.step() / static_cast<uint64>(temper_),
                             ensemble_.step() > static_cast<uint64>(plan_.equilibrate));
    if (due(jump_) && molecule_jumps_) {
        molecule_jumps_->attempt(ensemble_, ensemble_.step() / static_cast<uint64>(jump_),
                                 jumped_.span().subspan(2, 2));
        energies_ += 2 * static_cast<double>(ensemble_.size());
    } else if (due(jump_)) {
        jumps_->attempt(ensemble_, plan_.replicas, ensemble_.step() / static_cast<uint64>(jump_),
                        jumped_.span());
        energies_ += LiftedMoves::kEnergiesPerAttempt * static_cast<double>(ensemble_.size());
    }
    if (shared_ && due(shared_->period()))
        step_bias(run_, ensemble_, *shared_);
    else if (shared_ && due(jump_))  // what is drawn given ξ follows it
        begin_shared_bias(run_, ensemble_, *shared_);
}

index SamplingRound::until_rearranged(index done) const {
    const index period = shared_ ? shared_->period() : bias_->period();
    const index interval = std::gcd(period, std::gcd(jump_, temper_));
    return interval > 0 ? interval - done % interval : std::numeric_limits<index>::max();
}

void SamplingRound::advance(uint64 steps) {
    if (tempering_) tempering_->advance(steps);
    ensemble_.advance(steps);
}

double SamplingRound::force_evaluations() const {
    return ensemble_.force_evaluations() + (tempering_ ? tempering_->force_evaluations() : 0.0);
}

void SamplingRound::equilibrate() {
    const auto end = static_cast<uint64>(plan_.equilibrate);
    while (ensemble_.step() < end) {
        const auto done = static_cast<index>(ensemble_.step());
        advance(static_cast<uint64>(
            std::min({plan_.equilibrate - done, until_rearranged(done), launch_})));
        rearrange(static_cast<index>(ensemble_.step()));
        look_after(ensemble_.step() >= end);
    }
}

// Of one bias for all walkers, in its first round.
bool SamplingRound::target_met() {
    const double target = run_.config.bias.target_error;
    if (!shared_ || plan_.round > 0 || !(target > 0) || !is_look(sampled_, plan_.segments)) return false;
    const TypicalError error = typical_error(first_profile(run_, plan_.replicas, sampled_));
    if (!(error.rms <= target) || 2 * error.bins < run_.grid.size()) return false;
    ended_ = "the target error is met";
    run_.progress.note("stopped after " + std::to_string(sampled_ * run_.config.umbrella.stride) + " of " +
                       std::to_string(run_.config.umbrella.steps) + " steps under the frozen bias: the standard error " +
                       "of the free energy is " + number(error.rms) + " in " + std::to_string(error.bins) + " of " +
                       std::to_string(run_.grid.size()) + " bins, bias.target_error is " + number(target));
    return true;
}

void SamplingRound::collect() {
    const index stride = run_.config.umbrella.stride;
    if (shared_) shared_->freeze();
    while (sampled_ < plan_.segments && !target_met()) {
        const index done = static_cast<index>(ensemble_.step()) - plan_.equilibrate;
        const index left = (sampled_ + 1) * stride - done, together = std::min(launch_, until_rearranged(done));
        // A long stride is taken in several launches; a run may be stopped between them.
        if (left > together) {
            advance(static_cast<uint64>(together));
            rearrange(done + together);
            look_after(false);
            continue;
        }
        const index most = left < stride ? 1 : std::max<index>(1, together / stride);
        index now = std::min(most, plan_.segments - sampled_);
        for (index more = 1; shared_ && more < now; ++more)
            if (is_look(sampled_ + more, plan_.segments)) now = more;
        store(left, now);
        sampled_ += now;
        if (sampled_ < plan_.segments) rearrange(sampled_ * stride);
        look_after(sampled_ == plan_.segments);
    }
}

void SamplingRound::store(index stride, index samples) {
    const auto steps = static_cast<uint64>(stride);
    if (tempering_) tempering_->advance(steps * static_cast<uint64>(samples));
    if (run_.histogram.kept())
        run_.histogram.accumulator->sample(run_.stream, ensemble_, steps, samples);
    else
        ensemble_.sample(steps, samples, run_.samples);
}

void SamplingRound::finish() {
    Json& record = run_.record.stage(stage_);
    if (run_.kernel->metropolis()) record_steps(record);
    if (run_.model.molecule()) check_temperature(run_, ensemble_, record);
    if (plan_.exchange > 0) {
        const auto a = to_host(run_.stream, Span<const uint64>(exchanges()));
        record["exchange_acceptance"] = share(a[0], a[1]);
    }
    if (tempering_) record_tempering(record);
    if (jump_ > 0) record_jumps(record);
    SampleBlock block{run_.samples.n - ensemble_.size() * sampled_, static_cast<index>(first_window_), plan_.windows,
                      plan_.replicas, sampled_};
    if (shared_ && plan_.round == 0) {
        run_.record.metrics["bias"]["frozen_steps"] = sampled_ * run_.config.umbrella.stride;
        run_.record.metrics["bias"]["ended"] = ended_.empty() ? "all steps are done" : ended_;
    }
    if (run_.histogram.kept()) {
        write_histogram(run_);
        block.first = 0, block.samples = 1;
        check_last_states(run_, ensemble_, block);
    } else {
        run_.samples.blocks.push_back(block);
    }
    run_.samples.open.reset();
    const double steps = force_evaluations() - before_;
    meter_.work(steps, steps + energies_);
    run_.progress.end();
}

std::string SamplingRound::describe_window(index window) const {
    const index w = static_cast<index>(first_window_) + window;
    std::string text = "window " + std::to_string(w) + " at";
    for (int k = 0; k < run_.grid.dims; ++k) {
        const auto i = static_cast<std::size_t>(k);
        text += " " + run_.model.cv_names()[i] + " = " +
                number(run_.windows.center[static_cast<std::size_t>(w)][i]);
    }
    return text;
}

// Of a Metropolis scheme.
void SamplingRound::record_steps(Json& record) {
    const std::vector<uint64> accepted = ensemble_.accepted();
    const double steps =
        static_cast<double>(ensemble_.step()) * static_cast<double>(plan_.replicas);
    double mean = 0, lowest = 1;
    index where = 0;
    for (index w = 0; w < plan_.windows; ++w) {
        const auto first = accepted.begin() + w * plan_.replicas;
        const double of_window =
            static_cast<double>(std::accumulate(first, first + plan_.replicas, uint64{0})) / steps;
        mean += of_window / static_cast<double>(plan_.windows);
        if (of_window < lowest) lowest = of_window, where = w;
    }
    record["step_acceptance"] = mean;
    record["lowest_step_acceptance"] = lowest;
    const Checking check(run_, "acceptance");
    if (lowest < kLowAcceptance)
        run_.warn("mala accepts only " + number(lowest) + " of its steps in " +
                  describe_window(where) + " (" + number(mean) +
                  " over all windows): samples follow each other slowly; choose a smaller "
                  "integrator.dt");
}

void SamplingRound::record_tempering(Json& record) {
    const std::vector<uint64> counters = tempering_->counters();
    const Checking check(run_, "acceptance");
    Json list = Json::array();
    for (std::size_t k = 0; k < run_.config.umbrella.molecule.temperatures.size(); ++k) {
        const double accepted = share(counters[2 * k], counters[2 * k + 1]);
        list.push_back(accepted);
        if (accepted < kLowSwaps)
            run_.warn("of the attempts to swap temperature " + std::to_string(k) + " with the next only " +
                      number(accepted) + " are accepted: give temperatures between "
                      "(umbrella.temperatures)");
    }
    record["tempering_acceptance"] = list;
    record_rungs(record);
}

void SamplingRound::record_rungs(Json& record) {
    const auto both = [](const LadderMean& m) { return Json{{"mean", m.mean}, {"std_error", m.error}}; };
    Json rungs = Json::array(), slopes = Json::array();
    for (const RungMeans& rung : tempering_->means()) {
        Json json{{"temperature", rung.temperature}, {"velocities", both(rung.velocities)},
                  {"energy", both(rung.energy)}};
        for (std::size_t k = 0; k < rung.cv.size(); ++k) json["cv"][run_.model.cv_names()[k]] = both(rung.cv[k]);
        rungs.push_back(json);
    }
    for (const RungSlope& slope : tempering_->slopes()) {
        slopes.push_back({{"expected", slope.expected}, {"mean", slope.found.mean},
                          {"std_error", slope.found.error}});
        if (ensemble_.size() >= kLadders &&
            std::fabs(slope.found.mean - slope.expected) > kSlopeErrors * slope.found.error)
            run_.warn("energies at neighbouring temperatures do not have Boltzmann's ratio (" +
                      number(slope.found.mean) + " ± " + number(slope.found.error) + " for " +
                      number(slope.expected) + " mol/kJ): raise umbrella.equilibrate, or choose a smaller "
                      "integrator.dt");
    }
    record["rungs"] = rungs;
    record["rung_slopes"] = slopes;
}

void SamplingRound::record_jumps(Json& record) {
    const auto a = to_host(run_.stream, Span<const uint64>(jumped_.span()));
    const double accepted = share(a[0] + a[2], a[1] + a[3]);
    run_.coupling.jump_acceptance = accepted;
    record["jump_acceptance"] = accepted;
    const Checking check(run_, "acceptance");
    if (jumps_ && jumps_->exact_density()) {
        record["mixture_jump_acceptance"] = share(a[0], a[1]);
        record["exact_jump_acceptance"] = share(a[2], a[3]);
    }
    if (accepted < kLowJumpAcceptance)
        run_.warn("jumps to lifted states are almost never accepted (" + number(accepted) +
                  " in round " + std::to_string(plan_.round) +
                  "): the generator is far from physics, or there are too many variables for "
                  "jumps; populations behind barriers that the collective variable does not see "
                  "are then the generator's");
}

}  // namespace

void sample(Run& run) {
    SamplingRound round(run);
    round.equilibrate();
    round.collect();
    round.finish();
    note_check(run, "finite", false);  // else the run would have ended
}

}  // namespace microlift
