// The coupling loop: where the next round's windows go, and when to stop.
#include "sampling/run/stages.h"

#include <algorithm>
#include <cmath>

#include "sampling/run/checks.h"
#include "sampling/run/coupling_profile.h"
#include "sampling/run/lifted.h"
#include "sampling/run/places.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

constexpr double kLeastOverlap = 0.1;  // of windows around a place
constexpr index kProposals = 1024;     // reweighted lifted states at a place
constexpr double kLeastEffective = 0.01;  // share of reweighted states that is believed
constexpr double kDoubt = 3;           // standard errors that do not count as disagreement
constexpr double kSeparation = 1.0;    // of a round's windows, in spacings of the umbrella's

// What is good enough: of free energies, and of conditional averages in conditional deviations.
double target_error(const Run& run) {
    const double given = run.config.coupling.target_error;
    return given > 0 ? given : 0.1 * run.model.kt();
}

double target_w1(const Run& run) {
    const double given = run.config.coupling.target_w1;
    return given > 0 ? given : 0.05;
}

// Squared, in spacings of the umbrella's windows.
double distance(const Run& run, const CvValue& a, const double* b) {
    double sum = 0;
    for (int k = 0; k < run.grid.dims; ++k) {
        const auto i = static_cast<std::size_t>(k);
        const double d = run.grid.apart(k, a[i], b[i]) / window_spacing(run, k);
        sum += d * d;
    }
    return sum;
}

// --- what is known at each place ----------------------------------------------------------------

void judge_errors(const Run& run, const ConditionalMoments& m, std::vector<CouplingPlace>& places) {
    for (CouplingPlace& place : places) {
        const std::size_t bin = bin_of(run.grid, place.at);
        if (bin < run.free_energy.error.size()) {
            const double error = run.free_energy.error[bin];
            place.free_energy_error = std::isfinite(error) ? error / target_error(run) : 10.0;
        }
        for (index v = 0; v < m.variables; ++v) {
            const std::size_t i = m.place(v, static_cast<index>(bin));
            const double error = m.mean_error[i] / std::sqrt(m.variance[i]);
            if (std::isfinite(error)) place.spread = std::max(place.spread, error / target_w1(run));
        }
    }
}

// Importance weights of proposals from their logarithms, the greatest 1; returns their sum.
double normalise(const float* log_weight, std::vector<double>& w) {
    double most = -1e300, sum = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
        w[i] = static_cast<double>(log_weight[i]);
        if (std::isfinite(w[i])) most = std::max(most, w[i]);
    }
    for (double& v : w) {
        v = std::isfinite(v) ? std::exp(v - most) : 0.0;
        sum += v;
    }
    return sum;
}

// By how much weighted values y disagree with the samples' mean, beyond doubt and in the larger of both
// deviations: the samples may know only one of two wells.
double apart_from_samples(const std::vector<double>& w, double sum, const float* y, double sample_mean,
                          double sample_variance, double sample_error) {
    double mean = 0, error = 0, spread = 0;
    for (std::size_t j = 0; j < w.size(); ++j) mean += w[j] * static_cast<double>(y[j]);
    mean /= sum;
    for (std::size_t j = 0; j < w.size(); ++j) {
        const double d = static_cast<double>(y[j]) - mean;
        error += w[j] * w[j] * d * d;
        spread += w[j] * d * d;
    }
    const double sigma = std::sqrt(std::max(sample_variance, spread / sum));
    const double joint = std::sqrt(error / (sum * sum) + sample_error * sample_error);
    const double above = std::fabs(mean - sample_mean) - kDoubt * joint;
    return std::isfinite(above) && sigma > 0 ? above / sigma : 0.0;
}

// Reweighted lifted states against the samples.
void judge_reweighted(Run& run, const ConditionalMoments& samples,
                      std::vector<CouplingPlace>& places) {
    if (!LiftedMoves::possible(run.model)) return;
    Lifter lifter = make_lifter(run);
    std::vector<CvValue> centers;
    for (const CouplingPlace& place : places) centers.push_back(place.at);
    LiftedMoves moves(run.stream, run.model, lifter, centers,
                      moves_config(run, 600000 + static_cast<uint64>(run.position.round)));
    if (!moves.coordinates()) return;
    StageMeter meter(run.record, "couple");
    const index n = static_cast<index>(places.size()) * kProposals;
    Buffer<float> x(run.device, run.model.dim() * n), log_weight(run.device, n);
    moves.propose(kProposals, 0, x.span(), log_weight.span());
    meter.work(0, static_cast<double>(n));
    const std::vector<float> host = to_host(run.stream, Span<const float>(x.span()));
    const std::vector<float> weight = to_host(run.stream, Span<const float>(log_weight.span()));
    for (std::size_t p = 0; p < places.size(); ++p) {
        const std::size_t bin = bin_of(run.grid, places[p].at);
        const index first = static_cast<index>(p) * kProposals;
        std::vector<double> w(static_cast<std::size_t>(kProposals));
        const double sum = normalise(weight.data() + first, w);
        double squares = 0;
        for (const double v : w) squares += v * v;
        places[p].effective_share = sum * sum / squares / static_cast<double>(kProposals);
        for (std::size_t f = 0; f < run.free.size(); ++f) {
            const std::size_t i = samples.place(static_cast<index>(f), static_cast<index>(bin));
            const double above =
                apart_from_samples(w, sum, host.data() + run.free[f] * n + first, samples.mean[i],
                                   samples.variance[i], samples.mean_error[i]);
            places[p].disagreement = std::max(places[p].disagreement, above / target_w1(run));
        }
    }
}

// Held-out distances, from the nearest judged condition.
void judge_generator(const Run& run, std::vector<CouplingPlace>& places) {
    const TrainedGenerator& g = run.generator;
    for (CouplingPlace& place : places) {
        double nearest = 1e300, found = 0;
        for (std::size_t b = 0; b < g.distances.size(); ++b) {
            const double d = distance(run, place.at, g.conditions[b].data());
            if (d >= nearest) continue;
            nearest = d;
            found = 0;
            for (const double w1 : g.distances[b]) found = std::max(found, w1);
        }
        place.distance = std::max(0.0, found - g.floor) / target_w1(run);
    }
}

// Overlaps of neighbouring windows count where they meet.
void judge_overlaps(const Run& run, std::vector<CouplingPlace>& places) {
    const std::vector<CvValue>& center = run.windows.center;
    for (CouplingPlace& place : places) {
        double nearest = 1e300;
        for (const WindowOverlap& link : run.free_energy.overlaps) {
            const auto a = static_cast<std::size_t>(link.a), b = static_cast<std::size_t>(link.b);
            if (a >= center.size() || b >= center.size()) continue;
            CvValue middle{};
            for (std::size_t k = 0; k < middle.size(); ++k)
                middle[k] =
                    center[a][k] + 0.5 * run.windows.apart(static_cast<int>(k), center[b][k], center[a][k]);
            const double d = distance(run, place.at, middle.data());
            if (d >= nearest) continue;
            nearest = d;
            place.overlap = kLeastOverlap / std::max(1e-6, link.overlap);
            if (place.overlap < 1) place.overlap = 0;
        }
    }
}

// --- what follows --------------------------------------------------------------------------------

double worst(const std::vector<CouplingPlace>& places, double CouplingPlace::* figure) {
    double most = 0;
    for (const CouplingPlace& p : places) most = std::max(most, p.*figure);
    return most;
}

Json describe_round(Run& run, const std::vector<CouplingPlace>& places) {
    Json round;
    round["round"] = run.position.round;
    round["force_evaluations"] = force_evaluations_spent(run);
    round["windows"] = run.windows.size();
    round["samples"] = run.samples.n;
    round["places"] = Json::array();
    for (const CvValue& place : run.coupling.places)
        round["places"].push_back(cv_json(run.grid.dims, place));
    round["discarded_windows"] = run.coupling.discarded;
    round["worst_free_energy_error"] =
        worst(places, &CouplingPlace::free_energy_error) * target_error(run);
    round["worst_w1_above_floor"] = worst(places, &CouplingPlace::distance) * target_w1(run);
    round["worst_conditional_error"] = worst(places, &CouplingPlace::spread) * target_w1(run);
    round["worst_disagreement"] = worst(places, &CouplingPlace::disagreement) * target_w1(run);
    if (run.position.round > 0) round["jump_acceptance"] = run.coupling.jump_acceptance;
    return round;
}

bool asks_for_targets(const CouplingConfig& c) { return c.target_error > 0 || c.target_w1 > 0; }

bool targets_met(const Run& run, const std::vector<CouplingPlace>& places) {
    const CouplingConfig& c = run.config.coupling;
    const auto good = [&](double CouplingPlace::* figure) { return worst(places, figure) <= 1; };
    return (!(c.target_error > 0) || good(&CouplingPlace::free_energy_error)) &&
           (!(c.target_w1 > 0) ||
            (good(&CouplingPlace::distance) && good(&CouplingPlace::spread) &&
             good(&CouplingPlace::disagreement))) &&
           run.coupling.discarded == 0 && run.position.round > 0;
}

// Why no other round follows; empty: one does.
std::string reason_to_stop(const Run& run, bool met) {
    const CouplingConfig& c = run.config.coupling;
    const double cost = static_cast<double>(c.windows * c.replicas) *
                        static_cast<double>(c.equilibrate + c.steps);
    if (asks_for_targets(c) && met) return "targets met";
    if (run.position.round >= c.rounds) return "all rounds done";
    if (c.budget > 0 && force_evaluations_spent(run) + cost > c.budget) return "budget spent";
    return {};
}

Json choose_next(Run& run, const std::vector<CouplingPlace>& places) {
    CvValue unit{};
    for (int k = 0; k < run.grid.dims; ++k)
        unit[static_cast<std::size_t>(k)] = window_spacing(run, k);
    Json list = Json::array();
    for (std::size_t i : choose_places(places, run.config.coupling.windows, unit, kSeparation,
                                       run.windows.period)) {
        run.coupling.places.push_back(places[i].at);
        list.push_back({{"cv", cv_json(run.grid.dims, places[i].at)},
                        {"reason", places[i].reason()},
                        {"score", places[i].score()}});
    }
    return list;
}

void warn_unsettled(Run& run, const std::vector<CouplingPlace>& places) {
    std::string unsettled;
    for (const CouplingPlace& p : places)
        if (p.disagreement > 1 && p.effective_share > kLeastEffective)
            unsettled += (unsettled.empty() ? "" : ", ") + number(p.at[0]) +
                         (run.grid.dims == 2 ? "/" + number(p.at[1]) : "");
    if (!unsettled.empty())
        run.warn("the samples still disagree with reweighted lifted states at xi = " + unsettled +
                 ": part of the states is missing there; raise coupling.rounds or "
                 "coupling.windows");
}

}  // namespace

void plan_round(Run& run) {
    std::vector<CouplingPlace> places = coupling_places(run);
    const ConditionalMoments m = target_moments(run);
    judge_errors(run, m, places);
    judge_reweighted(run, m, places);
    judge_generator(run, places);
    judge_overlaps(run, places);

    Json& record = run.record["coupling"];
    if (!record.contains("rounds")) record["rounds"] = Json::array();
    Json round = describe_round(run, places);
    if (run.config.coupling.ablation) {
        run.coupling.profiles.push_back(
            coupling_profile(run, force_evaluations_spent(run), &m, run.free_energy.profile));
        round["profile"] = profile_json(run.coupling.profiles.back());
    }
    const bool met = targets_met(run, places);
    const std::string stopped = reason_to_stop(run, met);
    run.coupling.places.clear();
    if (stopped.empty()) {
        round["next"] = choose_next(run, places);
    } else {
        record["stopped"] = stopped;
        const Checking check(run, "coupled");
        warn_unsettled(run, places);
        if (asks_for_targets(run.config.coupling) && !met)
            run.warn("coupling ended (" + stopped +
                     ") before its targets were met: free-energy error " +
                     number(worst(places, &CouplingPlace::free_energy_error) * target_error(run)) +
                     ", W1/sigma above its floor " +
                     number(worst(places, &CouplingPlace::distance) * target_w1(run)));
    }
    record["rounds"].push_back(round);
    run.write_metrics();
}

}  // namespace microlift
