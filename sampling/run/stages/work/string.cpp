// A string through the collective variables by swarms of trajectories (Pan, Sezer, Roux, J. Phys. Chem. B 112 (2008)
// 3432): walkers are held at its points and let go, the points follow their mean, and are set in equal distances again.
#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/files/files.h"
#include "engine/launch/reduce.h"
#include "kernels/random/streams.h"
#include "sampling/numerics/statistics.h"
#include "sampling/run/biased_runs.h"
#include "sampling/run/checkpoint.h"
#include "sampling/run/checks.h"
#include "sampling/run/meter.h"
#include "sampling/run/places.h"
#include "sampling/run/stages.h"
#include "sampling/work/string_path.h"
#include "sampling/work/swarms.h"

namespace microlift {

namespace {

constexpr std::size_t kLeastForErrors = kLeastBlocks;
constexpr index kIterationsForErrors = 2 * kLeastBlocks - 1;  // whose last half has so many
constexpr double kStillMoves = 5;       // standard errors
constexpr double kMovesAlong = 0.25;    // of the distance of neighbours
constexpr std::size_t kLeastStrings = 8;
constexpr double kRises = 3;            // standard errors: what counts as a peak

// Iterations remember the ones before: less than 1, and even less than 0, is chance in a short series.
double inefficiency(const std::vector<double>& series) { return std::max(1.0, statistical_inefficiency(series)); }

// Points between the ends from which F falls both ways by more than its error before it rises higher.
std::vector<std::size_t> peaks(const StringProfile& profile) {
    const std::vector<double>& f = profile.free_energy;
    const auto fall = [&](std::size_t p, std::ptrdiff_t way) {
        double lowest = f[p];
        for (auto q = static_cast<std::ptrdiff_t>(p) + way; q >= 0 && q < std::ssize(f); q += way) {
            const double here = f[static_cast<std::size_t>(q)];
            if (here > f[p] || (here == f[p] && way < 0)) break;
            lowest = std::min(lowest, here);
        }
        return f[p] - lowest;
    };
    std::vector<std::size_t> found;
    for (std::size_t p = 1; p + 1 < f.size(); ++p)
        if (std::min(fall(p, -1), fall(p, 1)) > kRises * profile.error[p]) found.push_back(p);
    return found;
}

class StringOfSwarms {
public:
    explicit StringOfSwarms(Run& run);
    void evolve();
    void sample();
    void finish();

private:
    void resume();
    void save();
    void look_after(bool last);
    void advance(index steps);
    void hold();  // at the points
    void release();
    // Mean over the walkers of each point, (K, point).
    std::vector<double> means(Span<const double> of);
    std::vector<StringPoints> last_half() const;
    StringPoints mean_string() const;
    std::vector<CvValue> point_errors() const;
    void check_string();
    index points() const { return std::ssize(u_.centers); }
    index cvs() const { return run_.grid.dims; }

    Run& run_;
    const UmbrellaConfig& u_;
    const BiasConfig& config_;
    CvValue stiffness_{};
    StageMeter meter_;
    Ensemble ensemble_;
    const index launch_;
    StringPoints string_;
    std::vector<double> history_;  // (iteration, point, 2): every string
    index iteration_ = 0, samples_ = 0;
    Buffer<float> before_, kept_x_, kept_v_;
    Buffer<double> offset_, sum_, mean_, scratch_;
    double evaluations_ = 0;
    SaveClock saves_;
    uint64 checked_ = 0;
    const StopLater later_;
};

StringOfSwarms::StringOfSwarms(Run& run)
    : run_(run), u_(run.config.umbrella), config_(run.config.bias), meter_(run.record, "string"),
      ensemble_(run.stream, run.kernel, u_.trajectories(), derived_seed(run.config.seed, 0), kStreamNoise),
      launch_(static_cast<index>(ensemble_.launch_steps())), string_(u_.centers),
      before_(run.device, cvs() * u_.trajectories()), kept_x_(run.device, run.model.dim() * u_.trajectories()),
      kept_v_(run.device, run.kernel->has_velocity() ? run.model.dim() * u_.trajectories() : 0),
      offset_(run.device, cvs() * u_.trajectories()), sum_(run.device, cvs() * u_.trajectories()),
      mean_(run.device, cvs() * points()), scratch_(run.device, reduce_scratch(cvs() * points(), u_.replicas)) {
    for (std::size_t k = 0; k < at(cvs()); ++k) stiffness_[k] = u_.stiffness[k];
    if (run.windows.center.empty()) add_windows(run.windows, run, u_.centers);
    fill_zero(run.stream, sum_.span());
    hold();
    if (run.sampling.ensemble.empty())
        set_initial(run, ensemble_, run.windows, 0, plan_of(run, 0));
    else
        resume();
    hold();
    const index steps = config_.iterations * (u_.equilibrate + config_.lag) + u_.equilibrate + u_.steps;
    run.progress.begin("string", static_cast<double>(steps) * static_cast<double>(ensemble_.size()), "steps",
                       static_cast<double>(ensemble_.step()) * static_cast<double>(ensemble_.size()));
    checked_ = ensemble_.step();
}

void StringOfSwarms::hold() {
    std::vector<float> center, stiffness;
    for (std::size_t k = 0; k < at(cvs()); ++k)
        for (const CvValue& point : string_) {
            center.insert(center.end(), at(u_.replicas), static_cast<float>(point[k]));
            stiffness.insert(stiffness.end(), at(u_.replicas), static_cast<float>(stiffness_[k]));
        }
    copy_to_device(run_.stream, ensemble_.center(), center.data());
    copy_to_device(run_.stream, ensemble_.stiffness(), stiffness.data());
}

void StringOfSwarms::resume() {
    SamplingState& state = run_.sampling;
    ensemble_.load_state(state.ensemble, state.step);
    evaluations_ = state.steps - ensemble_.force_evaluations();
    if (run_.kernel->metropolis()) ensemble_.load_accepted({state.accepted.begin(), state.accepted.end()});
    iteration_ = state.sampled;
    const auto each = at(2 * points());
    const bool sound = state.counters.size() == 1 && iteration_ >= 0 && iteration_ <= config_.iterations &&
                       state.rung_sums.size() == at(iteration_ + 1) * each + at(sum_.size());
    if (!sound) throw InputError("checkpoint.h5: it does not hold the string of this run; begin anew with --force");
    samples_ = state.counters[0];
    const double* from = state.rung_sums.data();
    history_.assign(from, from + at(iteration_) * each);
    from += at(iteration_) * each;
    for (std::size_t p = 0; p < string_.size(); ++p) string_[p] = {from[2 * p], from[2 * p + 1]};
    copy_to_device(run_.stream, sum_.span(), from + each);
    state = {};
}

void StringOfSwarms::save() {
    SamplingState& state = run_.sampling;
    state.ensemble = ensemble_.save_state();
    state.step = ensemble_.step();
    state.steps = evaluations_ + ensemble_.force_evaluations();
    state.sampled = iteration_;
    state.counters = {samples_};
    state.rung_sums = history_;
    for (const CvValue& point : string_) state.rung_sums.insert(state.rung_sums.end(), point.begin(), point.end());
    const std::vector<double> sums = to_host(run_.stream, Span<const double>(sum_.span()));
    state.rung_sums.insert(state.rung_sums.end(), sums.begin(), sums.end());
    const std::vector<uint64> accepted = ensemble_.accepted();
    state.accepted.assign(accepted.begin(), accepted.end());
    save_checkpoint(run_);
    state = {};
}

// Between iterations and samples alone: there a state is all that a run goes on from.
void StringOfSwarms::look_after(bool last) {
    const auto since = static_cast<index>(ensemble_.step() - checked_);
    if (!last && !stops_alone() && since < launch_ / 4) return;
    checked_ = ensemble_.step();
    run_.stream.synchronize();
    ensemble_.check_finite([&](index t) {
        return "walker " + std::to_string(t % u_.replicas) + " of point " + std::to_string(t / u_.replicas);
    });
    run_.progress.update(static_cast<double>(ensemble_.step()) * static_cast<double>(ensemble_.size()));
    if (!saves_.due()) return;
    save();
    throw_if_stopped();
}

void StringOfSwarms::advance(index steps) { ensemble_.advance(static_cast<uint64>(steps)); }

std::vector<double> StringOfSwarms::means(Span<const double> of) {
    row_sum(run_.stream, Rows<double>(of.data, cvs() * points(), u_.replicas, u_.replicas), mean_.span(), scratch_.span());
    std::vector<double> found = to_host(run_.stream, Span<const double>(mean_.span()));
    for (double& v : found) v /= static_cast<double>(u_.replicas);
    return found;
}

// Each walker goes on alone for a while, and then back to where it was.
void StringOfSwarms::release() {
    copy(run_.stream, before_.span(), bias_values(run_, ensemble_).subspan(0, before_.size()));
    copy(run_.stream, kept_x_.span(), Span<const float>(ensemble_.x()));
    if (kept_v_.size() > 0) copy(run_.stream, kept_v_.span(), Span<const float>(ensemble_.v()));
    fill_zero(run_.stream, ensemble_.stiffness());
    advance(config_.lag);
    swarm_offsets(run_.stream, static_cast<int>(cvs()), run_.model.periods(), bias_values(run_, ensemble_),
                  Span<const float>(before_.span()), offset_.span());
    copy(run_.stream, ensemble_.x(), Span<const float>(kept_x_.span()));
    if (kept_v_.size() > 0) copy(run_.stream, ensemble_.v(), Span<const float>(kept_v_.span()));
}

void StringOfSwarms::evolve() {
    while (iteration_ < config_.iterations) {
        advance(u_.equilibrate);
        release();
        const std::vector<double> drift = means(Span<const double>(offset_.span()));
        StringPoints moved = string_;
        for (std::size_t p = 0; p < moved.size(); ++p)
            for (std::size_t k = 0; k < at(cvs()); ++k) moved[p][k] += drift[k * moved.size() + p];
        for (const CvValue& point : moved)
            for (const double v : point)
                if (!std::isfinite(v)) throw NumericError("the string is no longer finite; choose a smaller bias.lag");
        string_ = respaced(smoothed(moved, config_.smooth), stiffness_);
        for (const CvValue& point : string_) history_.insert(history_.end(), point.begin(), point.end());
        ++iteration_;
        hold();
        look_after(iteration_ == config_.iterations);
    }
}

std::vector<StringPoints> StringOfSwarms::last_half() const {
    std::vector<StringPoints> all;
    for (index i = config_.iterations / 2; i < config_.iterations; ++i) {
        StringPoints one;
        for (index p = 0; p < points(); ++p) {
            const auto from = at((i * points() + p) * 2);
            one.push_back({history_[from], history_[from + 1]});
        }
        all.push_back(one);
    }
    return all;
}

StringPoints StringOfSwarms::mean_string() const {
    const std::vector<StringPoints> all = last_half();
    StringPoints mean(all.front().size(), CvValue{});
    for (const StringPoints& one : all)
        for (std::size_t p = 0; p < mean.size(); ++p)
            for (std::size_t k = 0; k < kMaxCvs; ++k) mean[p][k] += one[p][k] / static_cast<double>(all.size());
    return mean;
}

// Of means over iterations that remember the ones before.
std::vector<CvValue> StringOfSwarms::point_errors() const {
    const std::vector<StringPoints> all = last_half();
    std::vector<CvValue> errors(all.front().size(), CvValue{});
    for (std::size_t p = 0; p < errors.size(); ++p)
        for (std::size_t k = 0; k < at(cvs()); ++k) {
            std::vector<double> series;
            double mean = 0, square = 0;
            for (const StringPoints& one : all) series.push_back(one[p][k]), mean += one[p][k] / static_cast<double>(all.size());
            for (const double v : series) square += (v - mean) * (v - mean);
            const double n = static_cast<double>(series.size());
            errors[p][k] = series.size() >= kLeastForErrors ? std::sqrt(square / (n - 1) * inefficiency(series) / n) : kNaN;
        }
    return errors;
}

// Along the mean of the last half: mean forces of the restraints.
void StringOfSwarms::sample() {
    if (samples_ == 0) {
        string_ = respaced(mean_string(), stiffness_);
        hold();
        fill_zero(run_.stream, sum_.span());
        advance(u_.equilibrate);
    } else {
        hold();
    }
    for (const index all = u_.samples_per_trajectory(); samples_ < all;) {
        advance(u_.stride);
        swarm_offsets(run_.stream, static_cast<int>(cvs()), run_.model.periods(), bias_values(run_, ensemble_),
                      Span<const float>(ensemble_.center()), sum_.span(), true);
        ++samples_;
        look_after(samples_ == all);
    }
}

// Whether points go on along a line, in what the string is the mean of, beyond what they do about it.
void StringOfSwarms::check_string() {
    const Checking check(run_, "string");
    const std::vector<StringPoints> all = last_half();
    const auto n = static_cast<double>(all.size());
    if (all.size() < kLeastStrings) return;
    const double apart = string_length(string_, stiffness_) / static_cast<double>(points() - 1);
    const double tests = static_cast<double>(all.front().size()) * static_cast<double>(cvs());
    const double sure = std::max(kStillMoves, largest_deviation(tests, 1e-4));
    double most = 0;  // of what a point goes on, in distances of neighbours
    for (std::size_t p = 0; p < all.front().size(); ++p)
        for (std::size_t k = 0; k < at(cvs()); ++k) {
            double mean = 0, slope = 0, square = 0;
            const double middle = 0.5 * (n - 1), times = n * (n * n - 1) / 12;
            for (const StringPoints& one : all) mean += one[p][k] / n;
            for (std::size_t i = 0; i < all.size(); ++i)
                slope += (static_cast<double>(i) - middle) * (all[i][p][k] - mean) / times;
            std::vector<double> rest;
            for (std::size_t i = 0; i < all.size(); ++i) {
                rest.push_back(all[i][p][k] - mean - slope * (static_cast<double>(i) - middle));
                square += rest.back() * rest.back();
            }
            const double error = std::sqrt(square / (n - 2) * inefficiency(rest) / times);
            if (std::fabs(slope) > sure * error) most = std::max(most, std::fabs(slope) * n * std::sqrt(stiffness_[k]) / apart);
        }
    if (most > kMovesAlong)
        run_.warn("the string still moves: over the iterations that it is the mean of a point went " + number(most) +
                  " times the distance of its neighbours; give more bias.iterations");
}

void StringOfSwarms::finish() {
    if (run_.model.molecule()) check_temperature(run_, ensemble_, run_.record.stage("string"));
    check_string();
    const std::vector<double> sums = to_host(run_.stream, Span<const double>(sum_.span()));
    const auto n = at(u_.replicas);
    std::vector<CvValue> gradient(string_.size(), CvValue{}), error = gradient;
    for (std::size_t k = 0; k < at(cvs()); ++k)
        for (std::size_t p = 0; p < string_.size(); ++p) {
            double mean = 0, square = 0;
            for (std::size_t i = 0; i < n; ++i) {
                const double own = sums[(k * string_.size() + p) * n + i] / static_cast<double>(samples_);
                const double count = static_cast<double>(i + 1);
                square += (own - mean) * (own - mean) * (count - 1) / count;
                mean += (own - mean) / count;
            }
            gradient[p][k] = -stiffness_[k] * mean;  // of the free energy with the restraint
            error[p][k] = stiffness_[k] * std::sqrt(square / static_cast<double>(n - 1) / static_cast<double>(n));
        }
    const StringProfile profile = integrate_along(string_, gradient, error);
    const std::vector<CvValue> errors = point_errors();
    if (config_.iterations < kIterationsForErrors)
        run_.warn("string.csv has no errors of its points: they are of the last half of " +
                  std::to_string(config_.iterations) + " iterations, too few to tell; give " +
                  std::to_string(kIterationsForErrors) + " bias.iterations or more");
    std::vector<std::string> more;
    for (index k = 0; k < cvs(); ++k) more.push_back("error_" + std::to_string(k + 1));
    more.insert(more.end(), {"free_energy", "std_error"});
    CsvWriter csv(run_.dir / "string.csv", cv_columns(static_cast<int>(cvs()), more));
    for (std::size_t p = 0; p < string_.size(); ++p) {
        std::vector<CsvWriter::Cell> cells = cv_cells(static_cast<int>(cvs()), string_[p]);
        for (std::size_t k = 0; k < at(cvs()); ++k) cells.emplace_back(errors[p][k]);
        cells.emplace_back(profile.free_energy[p]);
        cells.emplace_back(profile.error[p]);
        csv.row(cells);
    }
    csv.finish();
    Json& record = run_.record["string"];
    record = {{"points", points()}, {"walkers", u_.replicas}, {"iterations", config_.iterations},
              {"length", string_length(string_, stiffness_)}};
    for (const std::size_t p : peaks(profile))
        record["highest"].push_back({{"point", p}, {"at", cv_json(static_cast<int>(cvs()), string_[p])},
                                     {"free_energy", profile.free_energy[p]}, {"std_error", profile.error[p]}});
    const auto every = std::max<index>(1, config_.iterations / 8);
    for (index i = 0; i < config_.iterations; i += every) {
        StringPoints one;
        Json shown = Json::array();
        for (index p = 0; p < points(); ++p) {
            const auto from = at((i * points() + p) * 2);
            one.push_back({history_[from], history_[from + 1]});
            shown.push_back(cv_json(static_cast<int>(cvs()), one.back()));
        }
        record["looks"].push_back({{"iteration", i + 1}, {"points", shown},
                                   {"from_the_end", string_change(one, string_, stiffness_)}});
    }
    const double work = evaluations_ + ensemble_.force_evaluations();
    meter_.work(work, work);
    run_.write_metrics();
    run_.progress.end();
}

}  // namespace

void find_string(Run& run) {
    StringOfSwarms string(run);
    string.evolve();
    string.sample();
    string.finish();
    note_check(run, "finite", false);
}

}  // namespace microlift
