// The closure from bursts: where they start, how long they last, which lag is taken.
#include <algorithm>

#include "sampling/closure/lag_bias.h"
#include "sampling/run/stages/close/close.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

constexpr double kBurstWork = 1.5e9;  // trajectory-steps of bursts whose length is chosen
constexpr double kMoleculeLag = 4;    // ps: several memories of a torsion's velocity
constexpr double kReach = 0.15;       // of the range that the longest lag of a closure diffuses
constexpr index kShortLags = 6;       // halvings below the longest lag
constexpr index kStartsNear = 16;     // samples that a value needs for bursts to start there

}  // namespace

std::vector<CvValue> ClosureStage::burst_values() {
    CvValue from = grid_.from, to = grid_.to;
    if (c_.start == "physics" && K_ == 1) covered(from[0], to[0]);
    std::vector<CvValue> values;
    const index side =
        K_ == 1 ? c_.values
                : std::max<index>(4, static_cast<index>(
                                         std::sqrt(static_cast<double>(c_.values))));
    // As states know them: a start that is a value up to rounding has the drift of another one.
    const auto at = [&](std::size_t k, index i) {
        return static_cast<double>(static_cast<float>(
            from[k] + (to[k] - from[k]) * static_cast<double>(i) / static_cast<double>(side - 1)));
    };
    for (index i = 0; i < side; ++i)
        for (index j = 0; j < (K_ == 2 ? side : 1); ++j)
            values.push_back({at(0, i), K_ == 2 ? at(1, j) : 0.0});
    spacing_[0] = (to[0] - from[0]) / static_cast<double>(side - 1);
    spacing_[1] = K_ == 2 ? (to[1] - from[1]) / static_cast<double>(side - 1) : 1.0;
    if (K_ == 2 && c_.start == "physics") leave_out_bare(values, side);
    return values;
}

// Of a square grid of values, those with samples near them.
void ClosureStage::leave_out_bare(std::vector<CvValue>& values, index side) {
    const StoredCvs xi(run_);
    std::vector<index> near(values.size(), 0);
    for (index j = 0; j < samples_.n; ++j) {
        const double t = (xi(0, j) - values[0][0]) / spacing_[0] + 0.5;
        const double u = (xi(1, j) - values[0][1]) / spacing_[1] + 0.5;
        if (t >= 0 && u >= 0 && t < static_cast<double>(side) && u < static_cast<double>(side))
            ++near[static_cast<std::size_t>(static_cast<index>(t) * side + static_cast<index>(u))];
    }
    // All round the last value of a line is the first.
    for (int k = 0; k < 2; ++k)
        for (index i = 0; ring(k) && i < side; ++i) {
            const index first = k == 0 ? i : i * side, apart = (side - 1) * (k == 0 ? side : 1);
            index &one = near[static_cast<std::size_t>(first)],
                  &other = near[static_cast<std::size_t>(first + apart)];
            one = other = one + other;
        }
    std::vector<CvValue> kept;
    for (std::size_t v = 0; v < values.size(); ++v)
        if (near[v] >= kStartsNear) kept.push_back(values[v]);
    if (kept.size() == values.size() || kept.size() < 8) return;
    add_warning("closure: bursts start at " + std::to_string(kept.size()) + " of " +
                std::to_string(values.size()) + " values; near the others lie fewer than " +
                std::to_string(kStartsNear) + " stored samples");
    values = std::move(kept);
}

void ClosureStage::covered(double& from, double& to) {
    const HostView<float> xi(stream_, Span<const float>(samples_.xi.span().subspan(0, samples_.n)));
    const index cells = c_.values - 1;
    const double width = (to - from) / static_cast<double>(cells);
    std::vector<index> near(static_cast<std::size_t>(c_.values), 0);
    for (const float value : xi) {
        const double t = (static_cast<double>(value) - from) / width + 0.5;
        if (t >= 0 && t < static_cast<double>(c_.values)) ++near[static_cast<std::size_t>(t)];
    }
    if (ring(0)) near.front() = near.back() = near.front() + near.back();  // the same place
    index best = 0, end = -1, length = 0;
    for (index v = 0; v < c_.values; ++v) {
        length = near[static_cast<std::size_t>(v)] >= kStartsNear ? length + 1 : 0;
        if (length > best) {
            best = length;
            end = v;
        }
    }
    if (best == c_.values) return;
    const double whole[2] = {from, to};
    if (best >= 8) {
        to = whole[0] + width * static_cast<double>(end);
        from = whole[0] + width * static_cast<double>(end - best + 1);
    }
    add_warning("closure: bursts start between " + number(from) + " and " + number(to) +
                " only: elsewhere between " + number(whole[0]) + " and " + number(whole[1]) +
                " fewer than " + std::to_string(kStartsNear) +
                " stored samples lie near a value; the closure from bursts takes those ends "
                "for walls");
}

Buffer<float> ClosureStage::starts(const std::vector<CvValue>& values, index replicas,
                                   uint64 part) {
    const CvValue reach{0.5 * spacing_[0], 0.5 * spacing_[1]};
    const uint64 seed = derived_seed(config_.seed, part);
    if (c_.start == "constrained")
        return constrained_starts(stream_, model_, config_.integrator, config_.umbrella.initial_state,
                                  values, replicas, c_.equilibrate, seed);
    if (c_.start == "physics" || model_.observed())
        return physics_starts(stream_, model_, samples_, values, reach, replicas);
    const index n = static_cast<index>(values.size()) * replicas;
    Lifter lifter = make_lifter(run_);
    const Buffer<float> s = conditions(run_, values, replicas);
    Buffer<float> x(stream_.device(), model_.dim() * n);
    lifter.lift(s.span(), n, seed, 0, x.span());
    if (c_.start == "healed" && heal_steps_ > 0)
        heal(run_, meter_, s, n, heal_steps_, part + 1, x);
    return x;
}

// Lags of the closure, doubling.
std::vector<index> ClosureStage::burst_lags(index bursts) const {
    if (!c_.burst_lags.empty()) return c_.burst_lags;
    index longest = c_.burst_steps;
    if (longest == 0 && model_.molecule()) {
        longest = static_cast<index>(std::clamp(kMoleculeLag / dt_, 8.0,
                                                std::max(8.0, kBurstWork / static_cast<double>(bursts))));
    } else if (longest == 0) {
        const double range = kReach * (grid_.to[0] - grid_.from[0]);
        const double steps = range * range / (2 * std::max(typical_diffusion_, 1e-300) * dt_);
        longest = static_cast<index>(
            std::clamp(steps, 8.0, std::max(8.0, kBurstWork / static_cast<double>(bursts))));
    }
    std::vector<index> lags;
    for (index h = kShortLags; h >= 0; --h)
        if (const index lag = longest >> h; lag > 0 && (lags.empty() || lag > lags.back()))
            lags.push_back(lag);
    return lags;
}

void ClosureStage::bursts() {
    const std::vector<CvValue> values = burst_values();
    const index replicas =
        std::max<index>(1, c_.replicas / kBurstBlocks) * kBurstBlocks;
    const index n = static_cast<index>(values.size()) * replicas;
    BurstOptions options;
    options.dt = dt_;
    options.seed = derived_seed(config_.seed, 5020);
    options.lags = burst_lags(n);
    progress_.begin("bursts", static_cast<double>(options.lags.back()) * static_cast<double>(n),
                    "steps");
    options.after = [&](double done) {
        progress_.update(done);
        throw_if_stopped();
    };
    starts_ = starts(values, replicas, 5021);
    if (c_.start == "constrained" && !model_.molecule())
        average("held", values, starts_.span(), replicas);
    burst_values_ = values;
    burst_replicas_ = replicas;
    for (std::size_t k = 0; k < static_cast<std::size_t>(K_); ++k)
        options.periods[k] = config_.cv.variables[k].period;
    BurstMoments m = run_bursts(stream_, model_, config_.integrator, values, starts_.span(),
                                      replicas, options);
    meter_.work(m.steps, m.force_evaluations);
    progress_.end();
    count_starts(m);
    if (K_ == 1)
        bursts_of_one(m);
    else
        bursts_of_two(m);
}

void ClosureStage::bursts_of_one(const BurstMoments& m) {
    const BurstClosure closure = burst_closure(m, m.lags.size(), c_.tolerance);
    write_lags(closure);
    const BurstLag& lag = closure.lags[closure.chosen];
    const BurstLag* other = beside(closure);
    const BurstBias curves = curve_bias(lag), lags = other ? lag_bias(lag, *other) : BurstBias{};
    std::vector<Inverted> replicates = inverted(lag, m.period);
    const ReducedModel free = lag.model.beyond_ends();  // as the full model, which has no walls
    relax(slow_motion(free), m.lags.back(), burst_rates(m, 2));
    describe_lags(closure);
    const ClosureEstimate& e = lag.corrected;
    ClosureSource source = burst_source(lag, replicates);
    ClosureEstimate told = e;
    raise_errors(told, replicates);
    if (unresolved(e.x)) {
        count_structure(lag, told, source);
    } else {
        add_variants(source, shifted(e, curves));
        if (other) source.variants.push_back({source.model.with(shifted(e, lags)), 1.0, true});
        const auto add_bias = [](double& error, const std::vector<double>& a,
                                 const std::vector<double>& b, std::size_t i) {
            error = std::hypot(error, a[i], b.empty() ? 0.0 : b[i]);
        };
        for (std::size_t i = 0; i < told.size(); ++i) {
            add_bias(told.drift_error[i], curves.drift, lags.drift, i);
            add_bias(told.diffusion_error[i], curves.diffusion, lags.diffusion, i);
        }
    }
    rows_of(told, source.name);
    if (model_.molecule()) free_energy_and_bursts(source);
    sources_.push_back(std::move(source));
}

// The diffusion of the bursts at every bin, between their values by lines of its logarithm.
void ClosureStage::free_energy_and_bursts(const ClosureSource& bursts) {
    const ClosureEstimate& e = bursts.estimate;
    ClosureSource at_bins;
    at_bins.estimate.period = e.period;
    for (index b = 0; b < grid_.size(); ++b) {
        const double x = grid_.centre(0, b);
        const auto above = std::upper_bound(e.x.begin(), e.x.end(), x) - e.x.begin();
        const auto i = static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(above - 1, 0, std::ssize(e.x) - 2));
        const double part = std::clamp((x - e.x[i]) / (e.x[i + 1] - e.x[i]), 0.0, 1.0);
        const auto between = [&](const std::vector<double>& v) { return (1 - part) * v[i] + part * v[i + 1]; };
        at_bins.estimate.x.push_back(x);
        at_bins.estimate.drift.push_back(between(e.drift));
        at_bins.estimate.drift_error.push_back(between(e.drift_error));
        at_bins.estimate.diffusion.push_back(
            std::exp((1 - part) * std::log(e.diffusion[i]) + part * std::log(e.diffusion[i + 1])));
        at_bins.estimate.diffusion_error.push_back(between(e.diffusion_error));
    }
    reversible(at_bins);
}

void ClosureStage::describe_lags(const BurstClosure& closure) {
    metrics_["lag"] = closure.lags[closure.chosen].tau;
    metrics_["plateau"] = closure.plateau;
    metrics_["start"] = c_.start;
    Json list = Json::array();
    for (const BurstLag& l : closure.lags) {
        Json j{{"lag", l.tau}, {"rate", l.rate}, {"rate_error", l.rate_error},
               {"plateau", l.plateau}};
        Json times = Json::array();
        for (double to : c_.passage_to)
            times.push_back(covers(l.model, to) ? l.model.mean_time(c_.passage_from[0], to)
                                                : kUnknown);
        if (!times.empty()) j["passages"] = times;
        list.push_back(j);
    }
    metrics_["lags"] = list;
    if (closure.plateau || closure.lags.size() < 2) return;
    const BurstLag& last = closure.lags.back();
    const BurstLag& before = closure.lags[closure.lags.size() - 2];
    add_warning("the bursts show no plateau: from the lag " + number(before.tau) + " to " +
                number(last.tau) + " the slowest rate of their closure goes from " +
                number(before.rate) + " to " + number(last.rate) +
                "; do not trust it, and give longer bursts (closure.burst_steps)");
}

// Replicates of the measured displacements, each inverted anew.
std::vector<ClosureStage::Inverted> ClosureStage::inverted(const BurstLag& lag, double period) const {
    std::vector<Inverted> result;
    for (uint64 r = 0; r < static_cast<uint64>(ClosureSource::kReplicates); ++r) {
        const ClosureEstimate e = perturbed(lag.apparent, derived_seed(config_.seed, 5022), r);
        std::vector<double> mean, mean_error, variance, variance_error;
        for (std::size_t i = 0; i < e.x.size(); ++i) {
            mean.push_back(e.drift[i] * lag.tau);
            mean_error.push_back(e.drift_error[i] * lag.tau);
            variance.push_back(e.diffusion[i] * 2 * lag.tau);
            variance_error.push_back(e.diffusion_error[i] * 2 * lag.tau);
        }
        ReducedModel model;
        ClosureEstimate estimate = invert_displacements(
            e.x, lag.tau, mean, mean_error, variance, variance_error, model, &lag.model,
            lag.model.drift_lambda(), lag.model.diffusion_lambda(), period, lag.steps);
        result.push_back({std::move(estimate), std::move(model)});
    }
    return result;
}

// Neighbours blur into each other during a burst, and taking that out raises the noise.
void ClosureStage::raise_errors(ClosureEstimate& e, const std::vector<Inverted>& replicates) {
    const auto raise = [&](std::vector<double> ClosureEstimate::*value,
                           std::vector<double>& error) {
        for (std::size_t i = 0; i < e.size(); ++i) {
            double square = 0;
            for (const Inverted& r : replicates)
                square += std::pow((r.estimate.*value)[i] - (e.*value)[i], 2);
            error[i] = std::max(error[i], std::sqrt(square / ClosureSource::kDivisor));
        }
    };
    raise(&ClosureEstimate::drift, e.drift_error);
    raise(&ClosureEstimate::diffusion, e.diffusion_error);
}

ClosureSource ClosureStage::burst_source(const BurstLag& lag, std::vector<Inverted> replicates) const {
    ClosureSource source;
    source.name = "burst";
    source.lag = lag.tau;
    source.estimate = lag.corrected;
    source.model = lag.model;
    for (Inverted& r : replicates) source.replicates.push_back(std::move(r.model));
    return source;
}

void ClosureStage::relax(const SlowMotion& motion, index lag,
                         const std::vector<Figure>& from_bursts) {
    if (c_.relaxation == 0) return;
    SlowestRateOptions options;
    options.dt = dt_;
    options.seed = derived_seed(config_.seed, 5025);
    options.lag = 2 * lag;
    options.work = c_.relaxation;
    options.after = [&](double done) {
        progress_.update(done);
        throw_if_stopped();
    };
    progress_.begin("relaxation of the full model", options.work, "steps");
    const SlowestRate r = slowest_rate(stream_, model_, config_.integrator, burst_values_,
                                      starts_.span(), burst_replicas_, motion, options);
    progress_.end();
    meter_.work(r.steps, r.force_evaluations);
    if (!(r.rate.error < 0.3 * r.rate.value)) return;
    full_rates_.push_back(r.rate);
    metrics_["relaxation"] = {{"first", r.first}, {"second", r.second},
                              {"trajectories", r.trajectories}};
    if (from_bursts.size() > 1 && from_bursts[1].error < 0.3 * from_bursts[1].value)
        full_rates_.push_back(from_bursts[1]);
}

void ClosureStage::write_lags(const BurstClosure& closure) {
    CsvWriter csv(run_.dir / "bursts.csv",
                  {"cv_1", "lag", "drift", "drift_se", "diffusion", "diffusion_se",
                   "apparent_drift", "apparent_diffusion"});
    for (const BurstLag& l : closure.lags)
        for (std::size_t i = 0; i < l.corrected.x.size(); ++i)
            csv.row({l.corrected.x[i], l.tau, l.corrected.drift[i], l.corrected.drift_error[i],
                     l.corrected.diffusion[i], l.corrected.diffusion_error[i],
                     l.apparent.drift[i], l.apparent.diffusion[i]});
    csv.finish();
}

}  // namespace microlift
