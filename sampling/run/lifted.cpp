#include "sampling/run/lifted.h"

#include <algorithm>
#include <cmath>

#include "sampling/closure/bursts.h"
#include "sampling/run/checks.h"
#include "sampling/run/places.h"

namespace microlift {

namespace {

constexpr double kSpread = 3;  // of ξ where jumps' proposals are lifted, in spacings
constexpr index kRelaxed = 128;  // states at each value whose relaxation is measured
constexpr index kRelaxedValues = 9;
constexpr double kRelaxationTimes = 5;  // e^−5 of a wrong start is left

// The longest relaxation time, in steps, and where it was not to be seen within heal_limit.
double longest_relaxation(Run& run, std::string& slow) {
    const LiftingConfig& config = run.config.lifting;
    StageMeter meter(run.record, "relax");
    Lifter lifter = make_lifter(run);
    const auto values = some_of(judged_values(run), kRelaxedValues);
    const index n = static_cast<index>(values.size()) * kRelaxed;
    const Buffer<float> s = conditions(run, values, kRelaxed);
    Buffer<float> x(run.device, lifter.dim() * n);
    lifter.lift(s.span(), n, derived_seed(run.config.seed, 4000), 3ull << 40, x.span());
    double work = 0;
    const auto times = relaxation_times(run.stream, run.model, run.config.integrator, s.span(), n,
                                        kRelaxed, x.span(), config.heal_limit,
                                        derived_seed(run.config.seed, 4003), &work);
    meter.work(0, work);
    Json list = Json::array();
    double longest = 0;
    for (std::size_t v = 0; v < times.size(); ++v) {
        list.push_back({{"cv", cv_json(run.grid.dims, values[v])},
                        {"steps", times[v].steps},
                        {"resolved", times[v].resolved}});
        longest = std::max(longest, times[v].steps);
        if (!times[v].resolved) slow += (slow.empty() ? "" : ", ") + number(values[v][0]);
    }
    run.record["lifting"]["relaxation"] = list;
    return longest;
}

}  // namespace

Lifter make_lifter(Run& run) {
    Lifter lifter = make_lifter(run, run.generator.weights);
    if (const std::string refusal = lifter.choose_among(run.config.lifting.candidates); !refusal.empty())
        run.warn("lifting.candidates has no effect: " + refusal);
    return lifter;
}

Lifter make_lifter(Run& run, const SafeTensors& weights) {
    return Lifter(run.stream, run.model, Generator(run.stream, weights), run.config.generator.project,
                  coordinates_of(run.stream, run.model, weights));
}

Buffer<float> conditions(Run& run, const std::vector<CvValue>& values, index each) {
    return repeated_values(run.stream, run.grid.dims, values, each);
}

std::vector<double> residuals(Run& run, const Buffer<float>& x, const Buffer<float>& s, index n,
                              index each) {
    std::vector<double> out(static_cast<std::size_t>(n / each), 0.0);
    if (run.model.observed()) return out;  // ξ is not a function of what is generated
    const int outputs = static_cast<int>(run.model.formulas().cv.outputs.size());
    Buffer<float> cv(run.device, outputs * n);
    run.model.evaluate_cvs(run.stream, x.span(), n, n, cv.span(), n);
    const auto xi =
        to_host(run.stream, Span<const float>(cv.span().subspan(0, run.grid.dims * n)));
    const auto aim = to_host(run.stream, Span<const float>(s.span()));
    for (std::size_t j = 0; j < xi.size(); ++j) {
        const double d = run.grid.apart(static_cast<int>(j / static_cast<std::size_t>(n)),
                                        static_cast<double>(xi[j]), static_cast<double>(aim[j]));
        out[j % static_cast<std::size_t>(n) / static_cast<std::size_t>(each)] += d * d;
    }
    for (double& r : out) r = std::sqrt(r / static_cast<double>(each));
    return out;
}

double residual(Run& run, const Buffer<float>& x, const Buffer<float>& s, index n) {
    return residuals(run, x, s, n, n).front();
}

index healing_steps(Run& run) {
    const LiftingConfig& config = run.config.lifting;
    if (run.model.observed() || run.model.states_alone() || !run.config.generator.enabled) return 0;
    if (const std::string remark = healing_remark(run.config.integrator);
        config.heal_steps != 0 && !remark.empty())
        run.warn(remark);
    if (config.heal_steps >= 0) return config.heal_steps;
    if (run.healing >= 0) return run.healing;
    const Checking check(run, "relaxation");
    std::string slow;
    const double longest = longest_relaxation(run, slow);
    if (!slow.empty())
        run.warn("states do not relax within heal_limit = " + std::to_string(config.heal_limit) +
                 " steps at " + run.model.cv_names()[0] + " = " + slow +
                 ": healing mends the shape of a well there, not how many states each well holds");
    run.healing = slow.empty()
                      ? std::min<index>(config.heal_limit, static_cast<index>(std::ceil(
                                                               kRelaxationTimes * longest)))
                      : config.heal_limit;
    return run.healing;
}

void heal(Run& run, StageMeter& meter, const Buffer<float>& s, index n, index steps, uint64 part,
          Buffer<float>& x) {
    index lost = 0;
    meter.work(0, heal(run.stream, run.model, run.config.integrator, s.span(), n, steps,
                       derived_seed(run.config.seed, part), 0, x.span(), [](index) { throw_if_stopped(); }, &lost));
    if (lost > 0)
        run.warn(std::to_string(lost) + " of " + std::to_string(n) +
                 " lifted states blew up while they were healed, and others at their value stand for them: the "
                 "generator makes overlapping atoms; train longer");
}

LiftedMovesConfig moves_config(const Run& run, uint64 part) {
    LiftedMovesConfig config;
    config.seed = derived_seed(run.config.seed, part);
    for (int k = 0; k < run.grid.dims; ++k) {
        const auto i = static_cast<std::size_t>(k);
        config.spread[i] = kSpread * window_spacing(run, k);
        config.from[i] = run.config.umbrella.from[i];
        config.to[i] = run.config.umbrella.to[i];
        config.round[i] = run.grid.round[i];
    }
    return config;
}

}  // namespace microlift
