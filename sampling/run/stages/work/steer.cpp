// Walkers begin in equilibrium at both ends of a path, and the centre of their bias takes them to the other.
#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "kernels/random/streams.h"
#include "sampling/run/biased_runs.h"
#include "sampling/run/checkpoint.h"
#include "sampling/run/checks.h"
#include "sampling/run/meter.h"
#include "sampling/run/stages.h"
#include "sampling/run/stages/work/work.h"

namespace microlift {

namespace {

constexpr index kMovesUnseen = 256;  // between looks at signals and states
constexpr double kSettled = 5;       // standard errors

class Pulling {
public:
    explicit Pulling(Run& run);
    void equilibrate();
    void pull();
    void finish();

private:
    void resume();
    void save();
    void look_after(bool last);
    // Mean and variance of ξ at either end, (end, variable, 2).
    std::vector<double> moments();
    void check_ends();
    std::vector<float> values();  // ξ of all walkers, (K, walkers)
    double steps() const { return static_cast<double>(ensemble_.step()) * static_cast<double>(ensemble_.size()); }

    Run& run_;
    const UmbrellaConfig& u_;
    Steered& bias_;
    StageMeter meter_;
    Ensemble ensemble_;
    const index launch_;
    double before_ = 0;
    std::vector<double> half_;  // moments() halfway through equilibration
    SaveClock saves_;
    uint64 checked_ = 0;
    const StopLater later_;
};

Pulling::Pulling(Run& run)
    : run_(run), u_(run.config.umbrella), bias_(*run.bias.steered), meter_(run.record, "steer"),
      ensemble_(run.stream, run.kernel, u_.trajectories(), derived_seed(run.config.seed, 0), kStreamNoise),
      launch_(static_cast<index>(ensemble_.launch_steps())) {
    bias_.begin(ensemble_);
    if (run.windows.center.empty()) add_windows(run.windows, run, u_.centers);
    if (!run.sampling.ensemble.empty()) {
        resume();
    } else {
        before_ = ensemble_.force_evaluations();
        set_initial(run, ensemble_, run.windows, 0, plan_of(run, 0));
    }
    run.progress.begin("steer", static_cast<double>(u_.equilibrate + u_.steps) * static_cast<double>(ensemble_.size()),
                       "steps", steps());
    checked_ = ensemble_.step();
}

void Pulling::resume() {
    SamplingState& state = run_.sampling;
    ensemble_.load_state(state.ensemble, state.step);
    half_ = state.rung_sums;
    before_ = ensemble_.force_evaluations() - state.steps;
    if (run_.kernel->metropolis()) ensemble_.load_accepted({state.accepted.begin(), state.accepted.end()});
    state = {};
}

void Pulling::save() {
    SamplingState& state = run_.sampling;
    state.ensemble = ensemble_.save_state();
    state.step = ensemble_.step();
    state.steps = ensemble_.force_evaluations() - before_;
    state.rung_sums = half_;
    const std::vector<uint64> accepted = ensemble_.accepted();
    state.accepted.assign(accepted.begin(), accepted.end());
    save_checkpoint(run_);
    state = {};
}

void Pulling::look_after(bool last) {
    const auto since = static_cast<index>(ensemble_.step() - checked_);
    if (!last && !stops_alone() && since < std::min(launch_ / 4, kMovesUnseen * bias_.options().move)) return;
    checked_ = ensemble_.step();
    run_.stream.synchronize();
    ensemble_.check_finite([&](index t) {
        return "walker " + std::to_string(t % u_.replicas) + (t < u_.replicas ? " on its way forward" : " on its way back");
    });
    run_.progress.update(steps());
    if (!saves_.due()) return;
    save();
    throw_if_stopped();
}

std::vector<float> Pulling::values() {
    const Span<const float> xi = bias_values(run_, ensemble_);
    return to_host(run_.stream, xi.subspan(0, run_.grid.dims * ensemble_.size()));
}

std::vector<double> Pulling::moments() {
    const std::vector<float> xi = values();
    const auto n = at(u_.replicas);
    std::vector<double> all;
    for (std::size_t end = 0; end < 2; ++end)
        for (std::size_t k = 0; k < at(run_.grid.dims); ++k) {
            double mean = 0, square = 0;
            for (std::size_t i = 0; i < n; ++i) {
                const double off = nearest_image(static_cast<double>(xi[(2 * k + end) * n + i]) - u_.centers[end][k],
                                                 run_.model.period(static_cast<int>(k)));
                const double count = static_cast<double>(i + 1);
                square += (off - mean) * (off - mean) * (count - 1) / count;
                mean += (off - mean) / count;
            }
            all.insert(all.end(), {mean, square / static_cast<double>(n - 1)});
        }
    return all;
}

void Pulling::equilibrate() {
    const index half = u_.equilibrate / 2;
    while (static_cast<index>(ensemble_.step()) < u_.equilibrate) {
        const auto done = static_cast<index>(ensemble_.step());
        if (done == half && half_.empty() && half > 0) half_ = moments();
        const index to = done < half ? half : u_.equilibrate;
        ensemble_.advance(static_cast<uint64>(std::min(to - done, launch_)));
        look_after(false);
    }
    if (bias_.moved() == 0) check_ends();
}

// What moves on while nothing pulls was not in equilibrium.
void Pulling::check_ends() {
    if (half_.empty()) return;
    const Checking check(run_, "ends_settled");
    const std::vector<double> now = moments();
    const auto n = static_cast<double>(u_.replicas);
    for (std::size_t end = 0; end < 2; ++end)
        for (std::size_t k = 0; k < at(run_.grid.dims); ++k) {
            const auto i = (end * at(run_.grid.dims) + k) * 2;
            const double both = now[i + 1] + half_[i + 1];
            const double mean = std::fabs(now[i] - half_[i]) / std::sqrt(both / n);
            const double spread = std::fabs(now[i + 1] - half_[i + 1]) / (both * std::sqrt(1 / n));
            if (!(std::max(mean, spread) > kSettled)) continue;
            run_.warn("at the " + std::string(end == 0 ? "beginning" : "end") + " of the path walkers still move: " +
                      run_.model.cv_names()[k] + " changes by " + number(std::max(mean, spread)) +
                      " standard errors in the second half of bias.equilibrate; give more of it, for work is told from "
                      "equilibrium on");
        }
}

void Pulling::pull() {
    const index move = bias_.options().move;
    for (const index end = u_.equilibrate + u_.steps; static_cast<index>(ensemble_.step()) < end;) {
        const auto now = static_cast<index>(ensemble_.step());
        if (now == u_.equilibrate + bias_.moved() * move) step_bias(run_, ensemble_, bias_);
        ensemble_.advance(static_cast<uint64>(std::min(u_.equilibrate + bias_.moved() * move - now, launch_)));
        look_after(static_cast<index>(ensemble_.step()) == end);
    }
}

void Pulling::finish() {
    if (run_.model.molecule()) check_temperature(run_, ensemble_, run_.record.stage("steer"));
    const double work = ensemble_.force_evaluations() - before_;
    meter_.work(work, work);
    run_.progress.end();
    write_work(run_, bias_.path(), values());
}

}  // namespace

void steer(Run& run) {
    Pulling pulling(run);
    pulling.equilibrate();
    pulling.pull();
    pulling.finish();
    note_check(run, "finite", false);
}

}  // namespace microlift
