// States lifted at every bin and at chosen values, as the generator makes them and healed.
#include "sampling/run/stages.h"

#include <algorithm>
#include <cmath>

#include "sampling/molecule/files/dcd.h"
#include "sampling/run/checks.h"
#include "sampling/run/lifted.h"
#include "sampling/run/places.h"
#include "sampling/run/stages/distributions.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

// Moments over the states lifted at every bin: x (dims, n), `per_bin` consecutive columns a bin.
BinMoments bin_moments(const Run& run, const std::string& source, const std::vector<float>& x,
                       index n, index per_bin) {
    BinMoments out{source, {}, {}, {}};
    for (int d : generated_rows(run))
        for (index b = 0; b < run.grid.size(); ++b) {
            double sum = 0, squares = 0;
            const float* first = x.data() + d * n + b * per_bin;
            const double shift = static_cast<double>(first[0]);
            for (index i = 0; i < per_bin; ++i) {
                const double v = static_cast<double>(first[i]) - shift;
                sum += v;
                squares += v * v;
            }
            const double count = static_cast<double>(per_bin);
            const double variance = (squares - sum * sum / count) / (count - 1);
            out.mean.push_back(shift + sum / count);
            out.variance.push_back(variance);
            out.error.push_back(std::sqrt(std::max(variance, 0.0) / count));
        }
    return out;
}

// Runs of neighbouring bins without a sample.
void warn_outside_data(Run& run, const std::vector<double>& mean) {
    const Checking check(run, "outside");
    const Grid& grid = run.grid;
    std::string where;
    index missing = 0;
    const auto known = [&](index b) { return std::isfinite(mean[static_cast<std::size_t>(b)]); };
    for (index b = 0; b < grid.size(); ++b) {
        if (known(b)) continue;
        ++missing;
        if (grid.dims == 2 || (b > 0 && !known(b - 1))) continue;
        index last = b;
        while (last + 1 < grid.size() && !known(last + 1)) ++last;
        where += (where.empty() ? " at " : ", ") + run.model.cv_names()[0] + " = " +
                 number(grid.centre(0, b)) +
                 (last > b ? " to " + number(grid.centre(0, last)) : std::string());
    }
    if (missing > 0)
        run.warn("the generator was asked outside its data: " + std::to_string(missing) + " of " +
                 std::to_string(grid.size()) + " bins hold no samples" + where +
                 "; lifted states there are extrapolated: " +
                 (run.config.samples.enabled ? "give samples from there, or a range without it by samples.from and samples.to"
                  : run.config.bias.enabled ? "sample longer (bias.steps), or leave it out by bias.from and bias.to"
                                            : "add windows (umbrella.windows), or leave it out by umbrella.from and "
                                              "umbrella.to"));
}

// `each` states at every bin, healed for some steps or not.
BinMoments lift_at_bins(Run& run, StageMeter& meter, Lifter& lifter, index each, index heal_steps) {
    const index n = run.grid.size() * each;
    const Buffer<float> s = conditions(run, bin_centres(run.grid), each);
    Buffer<float> x(run.device, lifter.dim() * n);
    lifter.lift(s.span(), n, derived_seed(run.config.seed, 4000), heal_steps > 0 ? 1ull << 40 : 0,
                x.span());
    if (heal_steps > 0) heal(run, meter, s, n, heal_steps, 4001, x);
    return bin_moments(run, heal_steps > 0 ? "healed" : "generator",
                       as_targets(run, x, n), n, each);
}

void average_lifted(Run& run, StageMeter& meter, Lifter& lifter, index heal_steps) {
    const AveragedStates each = averaged_states(run.grid.size(), run.model.dim());
    run.conditional.push_back(lift_at_bins(run, meter, lifter, each.generated, 0));
    if (run.conditional.front().source == "physics")
        warn_outside_data(run, run.conditional.front().mean);
    if (heal_steps > 0)
        run.conditional.push_back(lift_at_bins(run, meter, lifter, each.healed, heal_steps));
}

// Some states at each value, for viewers.
void write_trajectory(Run& run, const Buffer<float>& x, index values, index each) {
    constexpr index kFrames = 20;  // of each value
    const index n = values * each, frames = std::min(each, kFrames), D = run.model.dim();
    const std::vector<float> host = to_host(run.stream, Span<const float>(x.span()));
    DcdWriter file(run.dir / "lifted.dcd", D / 3, values * frames);
    std::vector<float> position(static_cast<std::size_t>(D));
    for (index value = 0; value < values; ++value)
        for (index f = 0; f < frames; ++f) {
            for (index d = 0; d < D; ++d)
                position[static_cast<std::size_t>(d)] =
                    host[static_cast<std::size_t>(d * n + value * each + f)];
            file.append(position.data());
        }
    file.finish();
}

LiftedSets lift_at_values(Run& run, StageMeter& meter, Lifter& lifter, index heal_steps) {
    LiftedSets sets;
    sets.values = judged_values(run);
    sets.each = run.config.lifting.states;
    const index n = sets.count();
    const Buffer<float> s = conditions(run, sets.values, sets.each);
    Buffer<float> x(run.device, lifter.dim() * n);
    const auto host = [&] { return as_targets(run, x, n); };
    // A kind's rate of lifting, for the comparison.
    const auto timed = [&](Lifter& from, std::size_t kind) {
        const auto start = Clock::now();
        from.lift(s.span(), n, derived_seed(run.config.seed, 4000), 2ull << 40, x.span());
        run.stream.synchronize();
        if (kind < run.compared.size())
            run.record["compare"][kind]["states_per_second"] =
                static_cast<double>(n) / seconds_since(start);
    };
    timed(lifter, 0);
    sets.generated = host();
    Json& record = run.record["lifting"];
    record["constraint_residual"] = residual(run, x, s, n);
    if (heal_steps > 0) {
        heal(run, meter, s, n, heal_steps, 4002, x);
        sets.healed = host();
        record["healed_constraint_residual"] = residual(run, x, s, n);
    }
    if (run.model.molecule()) write_trajectory(run, x, std::ssize(sets.values), sets.each);
    record["heal_steps"] = heal_steps;
    record["states"] = sets.each;
    for (std::size_t kind = 1; kind < run.compared.size(); ++kind) {
        Lifter other = make_lifter(run, run.compared[kind].weights);
        timed(other, kind);
        sets.others.push_back(host());
    }
    return sets;
}

}  // namespace

void lift(Run& run) {
    StageMeter meter(run.record, "lift");
    Lifter lifter = make_lifter(run);
    const index heal_steps = healing_steps(run);
    run.progress.begin("lift", 2, "passes");
    average_lifted(run, meter, lifter, heal_steps);
    run.progress.update(1);
    judge_distributions(run, lift_at_values(run, meter, lifter, heal_steps));
    run.progress.end();
}

}  // namespace microlift
