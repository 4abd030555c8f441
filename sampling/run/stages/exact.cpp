// exact.csv: the answers by quadrature, where that is possible; and what the run's own answers say to
// them, and to each other.
#include "sampling/run/stages.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/files/files.h"
#include "sampling/estimate/agreement.h"
#include "sampling/numerics/statistics.h"
#include "sampling/run/checks.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

// At every bin; nothing, and a note, where one of them is not sure.
std::vector<ExactConditional> exact_laws(Run& run) {
    std::string why;
    std::vector<ExactConditional> laws;
    const std::optional<ExactModel> exact =
        run.model.observed() ? std::nullopt : run.model.exact(&why);
    for (index b = 0; exact && why.empty() && b < run.grid.size(); ++b) {
        throw_if_stopped();
        std::optional<ExactConditional> law = exact->law(run.grid.centre(0, b), &why);
        if (!law) continue;
        law->y = law->density = law->cdf = {};
        laws.push_back(std::move(*law));
    }
    if (why.empty()) return laws;
    run.record["exact"]["refused"] = why;
    run.progress.note("no exact.csv: the quadrature over the other variable is not sure of its "
                      "answer: " + why);
    return {};
}

// A state's spacing of single-precision numbers beside a step's noise: the largest over the variables.
double precision_loss(Run& run) {
    const HostView<float> x(run.stream, Span<const float>(run.samples.x.span()));
    double most = 0;
    for (index d = 0; d < run.model.dim(); ++d)
        for (const index j : spread_over(run.samples.n, std::min<index>(run.samples.n, 1000)))
            most = std::max(most, std::fabs(static_cast<double>(
                                      x[static_cast<std::size_t>(d * run.samples.row + j)])));
    const double noise = std::sqrt(2 * run.model.kt() * run.config.integrator.dt);
    return most * static_cast<double>(std::numeric_limits<float>::epsilon()) / noise;
}

// Does the mean of the other variable say that windows stay where they began? The bin; −1: no.
index stuck_bin(const Run& run, const std::vector<ExactConditional>& at) {
    if (run.model.dim() != 2 || run.conditional.empty() ||
        run.conditional.front().source != "physics")
        return -1;
    const BinMoments& m = run.conditional.front();
    const double beyond = largest_deviation(static_cast<double>(at.size()), 1e-3);
    index worst = -1;
    double most = beyond;
    for (std::size_t b = 0; b < at.size(); ++b) {
        const double apart = std::fabs(m.mean[b] - at[b].mean) - 0.3 * std::sqrt(at[b].variance);
        if (m.error[b] > 0 && run.free_energy.samples[b] > 50 && apart / m.error[b] > most)
            most = apart / m.error[b], worst = static_cast<index>(b);
    }
    return worst;
}

// What helps where walkers or windows mix too slowly, in keys that the configuration has.
std::string mixing_keys(const Run& run) {
    if (run.config.samples.enabled) return "leave out more of each trajectory (samples.discard), or sample longer";
    if (run.config.bias.enabled) return "give more bias.steps or bias.equilibrate";
    return "raise umbrella.equilibrate or integrator.dt, or use umbrella.exchange";
}

std::string other_starts(const Run& run) {
    if (run.config.samples.enabled) return "sample from other starts";
    return run.config.bias.enabled ? "use [coupling], or other bias.initial"
                                   : "use [coupling] or umbrella.exchange, or other umbrella.initial";
}

// Whether the same estimate of exact counts, in bins as wide, leaves no difference: of samples of the law itself, as
// where no bias is, the density at a bin's centre is taken from its mean and those beside by second differences.
bool bins_explain(Run& run, const std::vector<ExactConditional>& at, std::vector<double> difference, double allowed) {
    const FreeEnergy& f = run.free_energy;
    const std::optional<ExactModel> exact = run.model.exact();
    if (!exact) return false;
    // Gauss and Legendre, over a bin.
    constexpr double kPlace[] = {-0.453089922969332, -0.269234655052841, 0, 0.269234655052841, 0.453089922969332};
    constexpr double kShare[] = {0.118463442528095, 0.239314335249683, 0.284444444444444, 0.239314335249683,
                                 0.118463442528095};
    double most = -std::numeric_limits<double>::infinity();
    for (const ExactConditional& e : at) most = std::max(most, e.log_z);
    std::vector<double> count;  // with a bin before and one after
    for (index b = -1; b <= run.grid.size(); ++b) {
        throw_if_stopped();
        double& mean = count.emplace_back(0.0);
        for (std::size_t i = 0; i < std::size(kPlace); ++i) {
            const std::optional<ExactConditional> law =
                exact->law(run.grid.centre(0, 0) + (static_cast<double>(b) + kPlace[i]) * run.grid.width(0));
            if (!law) return false;
            mean += kShare[i] * std::exp(law->log_z - most);
        }
    }
    for (std::size_t b = 0; b < at.size(); ++b) {
        const double centre = count[b + 1] - (count[b] - 2 * count[b + 1] + count[b + 2]) / 24;
        const bool smooth = centre > 0.5 * count[b + 1] && centre < 2 * count[b + 1];
        difference[b] -= run.model.kt() * (at[b].log_z - most - std::log(smooth ? centre : count[b + 1]));
    }
    return disagreement(difference, f.influence, f.error_blocks.count(), f.samples, run.model.kt(), allowed).bin < 0;
}

std::string likely_cause(Run& run, const std::vector<ExactConditional>& at) {
    if (const index b = stuck_bin(run, at); b >= 0)
        return "windows stay in one of several states of " + run.model.variables().back() +
               " that they began in (its mean at " + number(run.grid.centre(0, b)) + " is " +
               number(run.conditional.front().mean[static_cast<std::size_t>(b)]) + ", exactly " +
               number(at[static_cast<std::size_t>(b)].mean) +
               "); " + other_starts(run);
    if (!run.histogram.kept() && precision_loss(run) > 0.05)
        return "single precision: the coordinates are so large that a step's noise is lost in "
               "rounding; move the origin of the variables nearer to the samples";
    if (run.free_energy.start_shows)
        return "the start still shows; " + mixing_keys(run);
    if (run.config.integrator.scheme != "mala")
        return "a time step too large for the steepest parts of the potential (lower integrator.dt, "
               "or use integrator.scheme = \"mala\"), or a formula that leaves the range of single "
               "precision";
    return "windows that are not in equilibrium, or a potential beyond the range of single precision";
}

void compare_with_exact(Run& run, const std::vector<ExactConditional>& at) {
    const FreeEnergy& f = run.free_energy;
    if (f.profile.size() != at.size()) return;
    const Checking check(run, "exact");
    const double kt = run.model.kt();
    constexpr double kAllowed = 0.05;  // kT: what a step that is not too large may leave
    std::vector<double> difference;
    for (std::size_t b = 0; b < at.size(); ++b)
        difference.push_back(f.profile[b] + kt * at[b].log_z);
    const Disagreement d = disagreement(difference, f.influence, f.error_blocks.count(), f.samples,
                                        kt, kAllowed * kt);
    if (d.bin >= 0)
        run.warn("the free energy is not the exact one: at " + number(run.grid.centre(0, d.bin)) +
                 " it is off by " + number(d.difference / kt) + " kT, " + number(d.errors) +
                 " standard errors; the likely cause: " +
                 (bins_explain(run, at, difference, kAllowed * kt)
                      ? "bins so wide, where it is steep, that the mean over one says little of the value at its centre; give more "
                        "estimate.bins"
                      : likely_cause(run, at)));
    else if (const index b = stuck_bin(run, at); b >= 0)
        run.warn("the conditional averages are not the exact ones; the likely cause: " +
                 likely_cause(run, at));
}

}  // namespace

void write_exact(Run& run) {
    for (const std::string& doubt : run.free_energy.doubts) run.warn(doubt);
    const std::vector<ExactConditional> at = exact_laws(run);
    if (at.empty()) return;
    compare_with_exact(run, at);
    std::vector<std::string> columns{"cv_1", "free_energy"};
    const bool other = run.model.dim() == 2;
    if (other) {
        const std::string name = target_names(run).at(0);
        columns.insert(columns.end(), {"mean_" + name, "variance_" + name});
    }
    const double kt = run.model.kt();
    double least = std::numeric_limits<double>::infinity();
    for (const ExactConditional& e : at) least = std::min(least, -e.log_z * kt);
    CsvWriter csv(run.dir / "exact.csv", columns);
    for (index b = 0; b < run.grid.size(); ++b) {
        const ExactConditional& e = at[static_cast<std::size_t>(b)];
        std::vector<CsvWriter::Cell> cells{run.grid.centre(0, b), -e.log_z * kt - least};
        if (other) cells.insert(cells.end(), {e.mean, e.variance});
        csv.row(cells);
    }
    csv.finish();
}

}  // namespace microlift
