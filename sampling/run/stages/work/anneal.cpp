// A population of walkers that goes from a high temperature to the system's, drawn anew by its weights at each step down.
#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/files/files.h"
#include "kernels/random/streams.h"
#include "sampling/lift/lifted_moves.h"
#include "sampling/run/biased_runs.h"
#include "sampling/run/checkpoint.h"
#include "sampling/run/checks.h"
#include "sampling/run/config/starts.h"
#include "sampling/run/meter.h"
#include "sampling/run/stages.h"
#include "sampling/work/anneal_config.h"
#include "sampling/work/population.h"

namespace microlift {

namespace {

constexpr double kFewFamilies = 100;  // that walkers at the end come from
constexpr double kIslandsApart = 0.3;        // standard error of ln Z: islands that do not agree

class Annealing {
public:
    explicit Annealing(Run& run);
    void cool();
    void finish();

private:
    void start();
    void resume();
    void save();
    void look_after(bool last);
    void begin_rung(index rung);  // an ensemble at its temperature
    void step_down();             // from the rung at hand to the next
    void record_rung();
    index steps_of(index rung) const { return rung == 0 ? u_.equilibrate : run_.config.bias.anneal; }
    double done() const;

    Run& run_;
    const UmbrellaConfig& u_;
    const std::vector<double> beta_;  // of every rung
    StageMeter meter_;
    Population population_;
    Buffer<float> energy_;
    std::unique_ptr<Ensemble> ensemble_;
    index rung_ = 0;
    double evaluations_ = 0;     // of rungs before
    std::vector<double> table_;  // (rung, 4): ln Z, its error, mean energy, families
    SaveClock saves_;
    uint64 checked_ = 0;
    const StopLater later_;
};

Annealing::Annealing(Run& run)
    : run_(run), u_(run.config.umbrella), beta_(annealed_betas(run.config.bias, run.model.cv_beta()[0])),
      meter_(run.record, "anneal"), population_(run.stream, u_.trajectories(), derived_seed(run.config.seed, 7000)),
      energy_(run.device, u_.trajectories()) {
    if (run.windows.center.empty()) add_windows(run.windows, run, window_centers(u_));
    if (run.sampling.ensemble.empty())
        start();
    else
        resume();
    double steps = 0;
    for (index k = 0; k < std::ssize(beta_); ++k) steps += static_cast<double>(steps_of(k));
    run.progress.begin("anneal", steps * static_cast<double>(u_.trajectories()), "steps", done());
}

// The noise of formulas is part of the system.
std::shared_ptr<const PathKernel> kernel_at(const Run& run, double beta) {
    if (run.model.molecule()) {
        PathSetup setup = run.model.path_setup(run.config.integrator);
        setup.beta = beta;
        return run.model.path_kernel(setup);
    }
    ModelConfig config = run.config;
    config.system.beta = beta;
    const Model model(config);
    return model.path_kernel(model.path_setup(run.config.integrator));
}

void Annealing::begin_rung(index rung) {
    rung_ = rung;
    if (ensemble_) evaluations_ += ensemble_->force_evaluations();
    ensemble_ = std::make_unique<Ensemble>(run_.stream, kernel_at(run_, beta_[at(rung)]), u_.trajectories(),
                                           derived_seed(run_.config.seed, 7001 + static_cast<uint64>(rung)), kStreamNoise);
    checked_ = 0;
}

void Annealing::start() {
    begin_rung(0);
    set_initial(run_, *ensemble_, run_.windows, 0, plan_of(run_, 0));
    if (run_.kernel->has_velocity() && run_.model.molecule()) {
        // Velocities were drawn at the system's temperature.
        std::vector<float> state = ensemble_->save_state();
        const double faster = std::sqrt(beta_.back() / beta_.front());
        for (std::size_t i = at(run_.model.dim() * u_.trajectories()); i < state.size(); ++i)
            state[i] = static_cast<float>(faster * static_cast<double>(state[i]));
        ensemble_->load_state(state, 0);
    }
}

void Annealing::resume() {
    SamplingState& state = run_.sampling;
    begin_rung(std::min<index>(state.sampled, std::ssize(beta_) - 1));
    ensemble_->load_state(state.ensemble, state.step);
    evaluations_ = state.steps - ensemble_->force_evaluations();
    const auto islands = static_cast<std::ptrdiff_t>(population_.islands());
    if (std::ssize(state.rung_sums) < islands)
        throw InputError("checkpoint.h5: it does not hold the population of this run; begin anew with --force");
    population_.load(state.counters, {state.rung_sums.begin(), state.rung_sums.begin() + islands});
    table_.assign(state.rung_sums.begin() + islands, state.rung_sums.end());
    state = {};
}

void Annealing::save() {
    SamplingState& state = run_.sampling;
    state.ensemble = ensemble_->save_state();
    state.step = ensemble_->step();
    state.sampled = rung_;
    state.steps = evaluations_ + ensemble_->force_evaluations();
    state.counters = population_.family();
    state.rung_sums = population_.log_z();
    state.rung_sums.insert(state.rung_sums.end(), table_.begin(), table_.end());
    const std::vector<uint64> accepted = ensemble_->accepted();
    state.accepted.assign(accepted.begin(), accepted.end());
    save_checkpoint(run_);
    state = {};
}

double Annealing::done() const {
    double steps = static_cast<double>(ensemble_->step());
    for (index k = 0; k < rung_; ++k) steps += static_cast<double>(steps_of(k));
    return steps * static_cast<double>(u_.trajectories());
}

void Annealing::look_after(bool last) {
    const auto since = static_cast<index>(ensemble_->step() - checked_);
    if (!last && !stops_alone() && since < static_cast<index>(ensemble_->launch_steps()) / 4) return;
    checked_ = ensemble_->step();
    run_.stream.synchronize();
    ensemble_->check_finite([&](index t) {
        return "walker " + std::to_string(t) + " at kT = " + number(1 / beta_[at(rung_)]);
    });
    run_.progress.update(done());
    if (!saves_.due()) return;
    save();
    throw_if_stopped();
}

void Annealing::record_rung() {
    run_.model.energies(run_.stream, ensemble_->x(), ensemble_->size(), ensemble_->size(), energy_.span());
    double mean = 0;
    for (const float e : to_host(run_.stream, Span<const float>(energy_.span()))) mean += static_cast<double>(e);
    const LogRatio z = log_ratio(population_.log_z());
    table_.insert(table_.end(), {z.value, rung_ == 0 ? 0 : z.error, mean / static_cast<double>(ensemble_->size()),
                                 static_cast<double>(population_.families())});
}

void Annealing::step_down() {
    const index next = rung_ + 1;
    population_.choose(beta_[at(next)] - beta_[at(rung_)], Span<const float>(energy_.span()), static_cast<uint64>(next));
    const std::unique_ptr<Ensemble> before = std::move(ensemble_);
    evaluations_ += before->force_evaluations();
    begin_rung(next);
    copy(run_.stream, ensemble_->x(), Span<const float>(before->x()));
    population_.draw(ensemble_->x(), run_.model.dim());
    if (!ensemble_->kernel().has_velocity()) return;
    copy(run_.stream, ensemble_->v(), Span<const float>(before->v()));
    const double slower = std::sqrt(beta_[at(next - 1)] / beta_[at(next)]);
    population_.draw(ensemble_->v(), run_.model.dim(), static_cast<float>(slower));
    run_.stream.synchronize();  // before the states go
}

void Annealing::cool() {
    for (;;) {
        const index steps = steps_of(rung_);
        while (static_cast<index>(ensemble_->step()) < steps) {
            const auto now = static_cast<index>(ensemble_->step());
            ensemble_->advance(static_cast<uint64>(std::min(steps - now, static_cast<index>(ensemble_->launch_steps()))));
            look_after(static_cast<index>(ensemble_->step()) == steps);
        }
        record_rung();
        if (rung_ + 1 == std::ssize(beta_)) return;
        step_down();
    }
}

void Annealing::finish() {
    // Islands that weigh more have more offspring: from here on all walkers count alike.
    const std::vector<double> log_z = population_.log_z();
    population_.merge(static_cast<uint64>(std::ssize(beta_)));
    population_.draw(ensemble_->x(), run_.model.dim());
    if (ensemble_->kernel().has_velocity()) population_.draw(ensemble_->v(), run_.model.dim());
    CsvWriter csv(run_.dir / "annealing.csv", {"beta", "log_z", "std_error", "mean_energy", "families"});
    for (std::size_t k = 0; k < beta_.size(); ++k)
        csv.row({beta_[k], table_[4 * k], table_[4 * k + 1], table_[4 * k + 2], table_[4 * k + 3]});
    csv.finish();
    const LogRatio z = log_ratio(log_z);
    Json& record = run_.record["annealing"];
    record = {{"walkers", u_.trajectories()}, {"rungs", std::ssize(beta_) - 1}, {"islands", population_.islands()},
              {"log_z", z.value}, {"std_error", z.error}, {"families", population_.families()}};
    {
        const Checking check(run_, "population");
        const double families = static_cast<double>(population_.families());
        if (families < std::min(kFewFamilies, 0.5 * static_cast<double>(u_.trajectories())))
            run_.warn("all walkers at the end come from " + number(families) + " of those at the highest temperature: give "
                      "more bias.walkers, bias.rungs or steps between them (bias.anneal)");
        if (z.error > kIslandsApart)
            run_.warn("islands of the population do not agree on the partition function (a standard error of " +
                      number(z.error) + " of its logarithm): give more bias.walkers, bias.rungs or steps between them "
                      "(bias.anneal)");
    }
    const double work = evaluations_ + ensemble_->force_evaluations();
    meter_.work(work, work);
    // Where sampling goes on.
    SamplingState& state = run_.sampling;
    state.ensemble = ensemble_->save_state();
    state.step = static_cast<uint64>(u_.equilibrate);
    state.counters.assign(2 + LiftedMoves::kCounters, 0);
    state.accepted.assign(run_.kernel->metropolis() ? at(u_.trajectories()) : 0, 0);
    run_.progress.end();
    run_.write_metrics();
}

}  // namespace

void anneal(Run& run) {
    Annealing annealing(run);
    annealing.cool();
    annealing.finish();
}

}  // namespace microlift
