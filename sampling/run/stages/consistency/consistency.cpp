// May the generator be used, and where not? At a few values of ξ: how far lifted states are from
// physics, and how long short runs held on ξ take to forget where they started: from lifted states,
// from reweighted ones, from the nearest stored sample, from a minimised state.
//
// "Within error": at that time and all later ones, mean, variance and the shares below the reference's
// quartiles, of every generated variable over all states of a source, differ from the reference by
// less than z joint standard errors (of as many independent states, and of the reference), where z is
// such that perfect states would fail somewhere in the run in one of a hundred cases at most.
#include "sampling/numerics/statistics.h"
#include "sampling/run/stages/consistency/consistency.h"

#include <algorithm>
#include <cmath>

#include "kernels/random/streams.h"
#include "sampling/numerics/distances.h"
#include "sampling/run/coupling_profile.h"
#include "sampling/run/lifted.h"
#include "sampling/run/places.h"
#include "sampling/run/stages.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

constexpr index kValues = 9, kEach = kConsistencyEach;
constexpr double kWork = 3e8;      // trajectory-steps in all, and no more than twice what was sampled
constexpr double kFalseAlarm = 0.01;
// Runs take a fraction of the integrator's steps: one that starts from an exact sample is off by a
// fraction k dt of the variance of a mode of stiffness k in its first steps (Leimkuhler-Matthews).
constexpr index kFraction = 4;
constexpr index kLeastCompared = 200;  // states for distances
constexpr int kProjections = 32;

// The worst of the moments of kEach states beside a reference, in joint standard errors.
double worst_deviation(const float* states, const LocalReference& reference, double worst) {
    const WithError &mean = reference.mean, &variance = reference.variance;
    double a = 0, b = 0, below[3] = {0, 0, 0};
    for (index i = 0; i < kEach; ++i) {
        const double d = static_cast<double>(states[i]) - mean.value;
        a += d;
        b += d * d;
        for (std::size_t q = 0; q < 3; ++q)
            below[q] += static_cast<double>(states[i]) < reference.quartiles[q].value;
    }
    const double size = static_cast<double>(kEach);
    const double a_z =
        std::fabs(a / size) / std::hypot(std::sqrt(variance.value / size), mean.error);
    const double b_z =
        std::fabs(b / size - variance.value) /
        std::hypot(variance.value * std::sqrt(reference.excess / size), variance.error);
    // A state that blew up is as far off as can be; a reference that is not known says nothing.
    if (!std::isfinite(a) || !std::isfinite(b)) worst = 1e30;
    for (double v : {a_z, b_z})
        if (std::isfinite(v)) worst = std::max(worst, v);
    for (std::size_t q = 0; q < 3; ++q) {
        const WithError& bound = reference.quartiles[q];
        const double p = 0.25 * static_cast<double>(q + 1);
        const double z = std::fabs(below[q] / size - p) /
                         std::hypot(std::sqrt(p * (1 - p) / size), bound.error);
        if (std::isfinite(bound.value) && std::isfinite(z)) worst = std::max(worst, z);
    }
    return worst;
}

class Consistency {
public:
    explicit Consistency(Run& run);
    void relax(StageMeter& meter);
    void report();

private:
    void choose_times();
    std::vector<double> deviations(Ensemble& ensemble) const;
    void describe_relaxation(std::size_t value, Json& j) const;
    void compare(std::size_t value, Json& j);

    Run& run_;
    const std::vector<CvValue> values_;
    const StoredCvs xi_;
    const std::optional<ExactModel> exact_;
    const std::vector<LocalReference> references_;  // (value, variable)
    Lifter lifter_;
    const StartingStates starts_;
    const std::size_t S_, V_, F_, n_;  // sources, values, variables; states in all
    std::vector<index> times_;  // steps of the integrator
    double within_ = 0;
    std::vector<std::vector<double>> z_;  // (time, (source, value)): the worst moment
};

std::optional<ExactModel> exact_law(const Run& run, const std::vector<CvValue>& values) {
    if (run.model.dim() != 2 || run.free.size() != 1) return std::nullopt;
    const std::optional<ExactModel> exact = run.model.exact();
    for (const CvValue& value : values)
        if (exact && !exact->law(value[0])) return std::nullopt;
    return exact;
}

Consistency::Consistency(Run& run)
    : run_(run), values_(some_of(judged_values(run), kValues)), xi_(run),
      exact_(exact_law(run, values_)), references_(local_references(run, values_, xi_, exact_)),
      lifter_(make_lifter(run)), starts_(starting_states(run, lifter_, values_, xi_)),
      S_(starts_.sources.size()), V_(values_.size()), F_(run.free.size()),
      n_(S_ * V_ * static_cast<std::size_t>(kEach)) {
    choose_times();
    within_ = largest_deviation(static_cast<double>(5 * F_ * times_.size()), kFalseAlarm);
}

// 0, 1, 2, 3, 4, 6, 9, … steps.
void Consistency::choose_times() {
    const double work = std::min(kWork, 2 * force_evaluations_spent(run_));
    const index affordable = static_cast<index>(
        work / static_cast<double>(kFraction * static_cast<index>(n_)));
    // As the file has it, not as it was chosen.
    const index healing = run_.config.lifting.heal_steps;
    const index most = std::clamp<index>(affordable, 200, std::max<index>(10000, 5 * healing));
    times_ = {0};
    for (index t = 1; t < most; t = std::max(t + 1, t * 3 / 2)) times_.push_back(t);
    times_.push_back(most);
}

std::vector<double> Consistency::deviations(Ensemble& ensemble) const {
    const std::vector<float> now = to_host(run_.stream, Span<const float>(ensemble.x()));
    std::vector<double> worst(S_ * V_, 0.0);
    for (std::size_t group = 0; group < S_ * V_; ++group)
        for (std::size_t f = 0; f < F_; ++f) {
            const float* states = now.data() + static_cast<std::size_t>(run_.free[f]) * n_ +
                                  group * static_cast<std::size_t>(kEach);
            worst[group] =
                worst_deviation(states, references_[group % V_ * F_ + f], worst[group]);
        }
    return worst;
}

// Runs held on ξ, all sources at once.
void Consistency::relax(StageMeter& meter) {
    IntegratorConfig integrator = run_.config.integrator;
    integrator.dt /= static_cast<double>(kFraction);
    PathSetup setup = run_.model.path_setup(integrator);
    setup.bias = BiasKind::level_set;
    Ensemble ensemble(run_.stream, run_.model.path_kernel(setup), static_cast<index>(n_),
                      derived_seed(run_.config.seed, 9002), kStreamHeal);
    copy_to_device(run_.stream, ensemble.x(), starts_.x.data());
    std::vector<CvValue> aims;
    for (std::size_t source = 0; source < S_; ++source)
        aims.insert(aims.end(), values_.begin(), values_.end());
    copy(run_.stream, ensemble.center(), Span<const float>(conditions(run_, aims, kEach).span()));
    for (index t : times_) {
        ensemble.advance(static_cast<uint64>(kFraction * t) - ensemble.step());
        throw_if_stopped();
        z_.push_back(deviations(ensemble));
    }
    meter.work(0, ensemble.force_evaluations());
}

void Consistency::describe_relaxation(std::size_t value, Json& j) const {
    std::vector<double> settled(S_);
    for (std::size_t source = 0; source < S_; ++source) {
        // After the last time outside.
        index steps = 0;
        bool never = false;
        Json curve = Json::array();
        for (std::size_t t = 0; t < times_.size(); ++t) {
            const double z = z_[t][source * V_ + value];
            curve.push_back(z);
            if (z > within_) {
                never = t + 1 == times_.size();
                if (!never) steps = times_[t + 1];
            }
        }
        j["relaxation"][starts_.sources[source]] = never ? Json() : Json(steps);
        j["curve"][starts_.sources[source]] = curve;
        settled[source] = never ? 1e300 : static_cast<double>(steps);
    }
    const double after = S_ == 4 ? std::min(settled[0], settled[1]) : settled[0];
    const double naive =
        std::min({settled[S_ - 2], settled[S_ - 1], static_cast<double>(times_.back())});
    j["share_of_naive"] = after > 1e200 ? Json() : Json(naive > 0 ? after / naive : 1.0);
}

// Distances in conditional deviations, and the floor between two halves of the physics samples.
void Consistency::compare(std::size_t value, Json& j) {
    const std::vector<index> close =
        samples_near(run_, xi_, values_[value], 0.5, 2 * kConsistencyCompared);
    const auto half = static_cast<index>(close.size() / 2);
    if (half < kLeastCompared) return;
    const index D = run_.model.dim(), size = static_cast<index>(F_) * half;
    const Buffer<float> at = conditions(run_, {values_[value]}, half);
    Buffer<float> lifted(run_.device, D * half);
    lifter_.lift(at.span(), half, derived_seed(run_.config.seed, 9100 + value), 0, lifted.span());
    const std::vector<float> states = to_host(run_.stream, Span<const float>(lifted.span()));
    // Even and odd samples, (half, variable, sample); and lifted ones.
    std::vector<float> halves(static_cast<std::size_t>(2 * size)), made(static_cast<std::size_t>(size));
    const Targets y = targets(run_);
    for (std::size_t f = 0; f < F_; ++f) {
        const HostView<float> column = host_column(run_, y, static_cast<index>(f));
        const LocalReference& reference = references_[value * F_ + f];
        const double unit = 1 / std::sqrt(reference.variance.value);
        const auto scaled = [&](float v) {
            return static_cast<float>((static_cast<double>(v) - reference.mean.value) * unit);
        };
        const index first = static_cast<index>(f) * half;
        for (index i = 0; i < half; ++i) {
            for (index h = 0; h < 2; ++h)
                halves[static_cast<std::size_t>(h * size + first + i)] = scaled(
                    column[static_cast<std::size_t>(close[static_cast<std::size_t>(2 * i + h)])]);
            made[static_cast<std::size_t>(first + i)] =
                scaled(states[static_cast<std::size_t>(run_.free[f] * half + i)]);
        }
    }
    Buffer<float> physics(run_.device, 2 * size), generated(run_.device, size);
    copy_to_device(run_.stream, physics.span(), halves.data());
    copy_to_device(run_.stream, generated.span(), made.data());
    const SampleView a{physics.span().subspan(0, size), half, half},
        b{physics.span().subspan(size, size), half, half}, g{generated.span(), half, half};
    Stream& stream = run_.stream;
    const int variables = static_cast<int>(F_);
    j["compared"] = half;
    j["energy_distance"] = energy_distance(stream, variables, g, a);
    j["energy_floor"] = std::fabs(energy_distance(stream, variables, b, a));
    j["sliced_w1"] = sliced_wasserstein(stream, variables, g, a, kProjections, 1, 1);
    j["sliced_floor"] = sliced_wasserstein(stream, variables, b, a, kProjections, 1, 1);
}

void Consistency::report() {
    Json& record = run_.record["consistency"];
    record = Json::object();
    record["against"] = exact_ ? "exact" : "physics";
    record["steps"] = times_;
    record["most_steps"] = times_.back();
    record["states"] = kEach;
    record["within"] = within_;  // standard errors
    record["outliers"] = static_cast<double>(starts_.outliers) /
                         static_cast<double>(V_ * static_cast<std::size_t>(kEach));
    record["constraint_residual"] = starts_.lifted_residual;
    for (std::size_t value = 0; value < V_; ++value) {
        Json j;
        j["cv"] = cv_json(run_.grid.dims, values_[value]);
        describe_relaxation(value, j);
        compare(value, j);
        record["values"].push_back(j);
    }
}

}  // namespace

void check_consistency(Run& run) {
    StageMeter meter(run.record, "consistency");
    run.progress.begin("consistency", 1, "pass");
    Consistency consistency(run);
    consistency.relax(meter);
    consistency.report();
    run.progress.end();
}

}  // namespace microlift
