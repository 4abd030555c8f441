// Importance weights and Metropolis averages at every bin, of a generator with a density.
#include "sampling/run/stages.h"

#include <algorithm>
#include <cmath>

#include "kernels/random/streams.h"
#include "sampling/lift/proposals.h"
#include "sampling/run/checks.h"
#include "sampling/run/lifted.h"
#include "sampling/run/places.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

constexpr index kProposals = 4000000;  // at all bins, at most
constexpr double kIntegralError = 0.01;  // of a density that is believed
constexpr double kLeastAcceptance = 0.05, kLeastEffective = 0.01;

struct Weighed {
    std::vector<CvValue> centres;
    index each = 0;
    ConditionalAverages importance;
    std::vector<double> acceptance;  // of Metropolis chains; empty: too short
};

Weighed weigh(Run& run, Generator& generator) {
    Weighed out;
    out.centres = bin_centres(run.grid);
    const index bins = run.grid.size(), F = static_cast<index>(run.free.size());
    out.each = std::max<index>(16, std::min(run.config.lifting.proposals, kProposals / bins));
    const index n = bins * out.each;
    const Buffer<float> s = conditions(run, out.centres, out.each);
    Buffer<float> x(run.device, run.model.dim() * n), f(run.device, F * n), weight(run.device, n);
    Proposer proposer(run.stream, run.model, generator);
    proposer.propose(s.span(), n, derived_seed(run.config.seed, 4004), kStreamProposal, 0, x.span(),
                     weight.span());
    for (index k = 0; k < F; ++k)
        copy(run.stream, f.span().subspan(k * n, n),
             Span<const float>(
                 x.span().subspan(run.free[static_cast<std::size_t>(k)] * n, n)));
    const WeightedColumns columns{f.span(), n, F, weight.span(), bins, out.each};
    const auto keep = [&](const char* source, const ConditionalAverages& a) {
        run.conditional.push_back({source, a.mean, a.error, a.variance});
    };
    out.importance = importance_averages(run.stream, columns);
    keep("importance", out.importance);
    const index length = out.each / 32;
    if (length >= 8) {
        const ConditionalAverages metropolis = metropolis_averages(
            run.stream, columns, length, derived_seed(run.config.seed, 4005));
        keep("metropolis", metropolis);
        out.acceptance = metropolis.quality;
    }
    return out;
}

// Of values of which a small one is bad.
void summarise(Json& record, const char* name, std::vector<double> values) {
    if (values.empty()) return;
    std::sort(values.begin(), values.end());
    record[name] = {{"median", values[values.size() / 2]}, {"worst", values.front()}};
}

void record_weights(Run& run, const Weighed& w) {
    Json list = Json::array();
    double greatest = -1e300;
    for (const double z : w.importance.log_z)
        if (z > greatest) greatest = z;
    for (std::size_t i = 0; i < w.centres.size(); ++i) {
        Json entry;
        entry["cv"] = cv_json(run.grid.dims, w.centres[i]);
        entry["effective"] = w.importance.quality[i];
        if (!w.acceptance.empty()) entry["acceptance"] = w.acceptance[i];
        entry["unusable"] = w.importance.unusable[i];
        entry["free_energy"] = run.model.kt() * (greatest - w.importance.log_z[i]);
        entry["free_energy_se"] = run.model.kt() * w.importance.log_z_error[i];
        list.push_back(entry);
    }
    Json& record = run.record["proposals"];
    record["each"] = w.each;
    record["values"] = list;
    summarise(record, "acceptance", w.acceptance);
    summarise(record, "effective", w.importance.quality);
}

// Is the density one? At some of the bins, the ends of the range among them.
void check_integrals(Run& run, Generator& generator, const std::vector<CvValue>& centres) {
    constexpr index kIntegrals = 9;
    const index points = run.free.size() == 1 ? 2000 : 160;
    const auto some = some_of(centres, kIntegrals);
    const std::vector<double> integrals =
        density_integrals(run.stream, generator, run.grid.dims, some, points,
                          derived_seed(run.config.seed, 4006));
    Json& record = run.record["proposals"];
    double farthest = 0;
    for (std::size_t i = 0; i < integrals.size(); ++i) {
        record["integrals"].push_back(
            {{"cv", cv_json(run.grid.dims, some[i])}, {"integral", integrals[i]}});
        farthest = std::max(farthest, std::fabs(integrals[i] - 1));
    }
    if (!integrals.empty()) record["worst_integral_error"] = farthest;
    if (farthest > kIntegralError)
        run.warn("the generator's density integrates to 1 only within " + number(100 * farthest) +
                 " %: its steps fold somewhere, and weights are off by as much; raise "
                 "generator.flow_steps or train longer");
}

void warn_uneven(Run& run, const Weighed& w) {
    const auto worst = [](const std::vector<double>& values) {
        return static_cast<std::size_t>(std::min_element(values.begin(), values.end()) -
                                        values.begin());
    };
    const auto place = [&](std::size_t i) {
        return run.model.cv_names()[0] + " = " + number(w.centres[i][0]);
    };
    if (!w.acceptance.empty())
        if (const auto i = worst(w.acceptance); w.acceptance[i] < kLeastAcceptance)
            run.warn("hardly any of the generator's proposals is accepted at " + place(i) + " (" +
                     number(w.acceptance[i]) +
                     "): the Metropolis averages there rest on few states");
    const std::vector<double>& effective = w.importance.quality;
    if (const auto i = worst(effective); effective[i] < kLeastEffective)
        run.warn("importance weights are uneven at " + place(i) + ": " +
                 number(effective[i] * static_cast<double>(w.each)) + " effective of " +
                 std::to_string(w.each) + " proposals, their error bars cannot be trusted there");
}

}  // namespace

void weigh_proposals(Run& run) {
    const Checking check(run, "weights");
    Generator generator = run.generator.make(run.stream);
    const std::string refusal = proposals_refusal(run.model, generator);
    if (!refusal.empty())
        return run.warn("no importance weights and no Metropolis averages: " + refusal);
    run.progress.begin("weigh proposals", 1, "pass");
    StageMeter meter(run.record, "weigh");
    const Weighed weighed = weigh(run, generator);
    record_weights(run, weighed);
    check_integrals(run, generator, weighed.centres);
    warn_uneven(run, weighed);
    run.progress.update(1);
    run.progress.end();
}

}  // namespace microlift
