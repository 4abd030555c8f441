// The coupling loop: what each round's samples say about the earlier ones, where the next round's
// windows go, and when to stop.
#include "sampling/run/run.h"

#include <algorithm>
#include <cmath>

namespace microlift {

namespace {

constexpr double kReach = 3;          // windows further apart than this many widths do not compare
constexpr double kLeastOverlap = 0.1; // of windows around a place
constexpr double kSpread = 3;         // of ξ where jumps' proposals are lifted, in spacings
constexpr index kProposals = 1024;    // reweighted lifted states at a place
constexpr double kLeastEffective = 0.01;  // share of reweighted states that is believed
constexpr double kDoubt = 3;          // standard errors that do not count as disagreement
constexpr double kSeparation = 1.0;   // of a round's windows, in spacings of the umbrella's

}  // namespace

double Pipeline::force_evaluations_spent() const {
    double sum = 0;
    if (!metrics_.contains("stages")) return 0;
    for (const char* stage : {"sample", "couple"})
        if (metrics_["stages"].contains(stage))
            sum += metrics_["stages"][stage].value("force_evaluations", 0.0);
    return sum;
}

double Pipeline::window_spacing(int k) const {
    const auto i = static_cast<std::size_t>(k);
    const UmbrellaConfig& u = run_.umbrella;
    return u.windows[i] > 1 ? (u.to[i] - u.from[i]) / static_cast<double>(u.windows[i] - 1)
                            : u.to[i] - u.from[i];
}

std::vector<CouplingPlace> Pipeline::coupling_places() const {
    const UmbrellaConfig& u = run_.umbrella;
    std::vector<CouplingPlace> places;
    const auto at = [&](std::size_t k, index half) {
        return u.from[k] + 0.5 * static_cast<double>(half) * window_spacing(static_cast<int>(k));
    };
    // Centres of the umbrella's windows and the points midway between them.
    for (index i = 0; i < 2 * u.windows[0] - 1; ++i)
        for (index j = 0; j < (grid_.dims == 2 ? 2 * u.windows[1] - 1 : 1); ++j) {
            CouplingPlace place;
            place.at = {at(0, i), grid_.dims == 2 ? at(1, j) : 0.0};
            places.push_back(place);
        }
    return places;
}

LiftedMovesConfig Pipeline::moves_config(uint64 seed) const {
    LiftedMovesConfig config;
    config.seed = seed;
    for (int k = 0; k < grid_.dims; ++k) {
        const auto i = static_cast<std::size_t>(k);
        config.spread[i] = kSpread * window_spacing(k);
        config.from[i] = run_.umbrella.from[i];
        config.to[i] = run_.umbrella.to[i];
    }
    return config;
}

void Pipeline::judge_reweighted(std::vector<CouplingPlace>& places,
                                const ConditionalMoments& samples, double target_w1) {
    if (!LiftedMoves::possible(model_)) return;
    Lifter lifter(stream_, model_, Generator(stream_, dir_ / "generator.safetensors"),
                  run_.generator.project);
    std::vector<std::array<double, kMaxCvs>> centers;
    for (const CouplingPlace& place : places) centers.push_back(place.at);
    LiftedMoves moves(stream_, model_, lifter, centers,
                      moves_config(derived_seed(run_.seed, 600000 + static_cast<uint64>(round_))));
    if (!moves.coordinates()) return;
    StageMeter meter(metrics_["stages"], "couple");
    const index n = static_cast<index>(places.size()) * kProposals;
    Buffer<float> x(device_, model_.dim() * n), log_weight(device_, n);
    moves.propose(kProposals, 0, x.span(), log_weight.span());
    meter.work(0, static_cast<double>(n));
    const std::vector<float> host = to_host(stream_, Span<const float>(x.span()));
    const std::vector<float> weight = to_host(stream_, Span<const float>(log_weight.span()));
    for (std::size_t p = 0; p < places.size(); ++p) {
        const std::size_t bin = place_bin(places[p].at);
        const std::size_t first = p * static_cast<std::size_t>(kProposals);
        std::vector<double> w(static_cast<std::size_t>(kProposals));
        double most = -1e300, sum = 0, squares = 0;
        for (std::size_t i = 0; i < w.size(); ++i) {
            w[i] = static_cast<double>(weight[first + i]);
            if (std::isfinite(w[i])) most = std::max(most, w[i]);
        }
        for (double& v : w) {
            v = std::isfinite(v) ? std::exp(v - most) : 0.0;
            sum += v;
            squares += v * v;
        }
        places[p].effective_share = sum * sum / squares / static_cast<double>(kProposals);
        for (std::size_t f = 0; f < free_.size(); ++f) {
            const std::size_t i = samples.place(static_cast<index>(f), static_cast<index>(bin));
            const float* y = host.data() + static_cast<std::size_t>(free_[f]) *
                                               static_cast<std::size_t>(n) + first;
            double mean = 0, error = 0, spread = 0;
            for (std::size_t j = 0; j < w.size(); ++j) mean += w[j] * static_cast<double>(y[j]);
            mean /= sum;
            for (std::size_t j = 0; j < w.size(); ++j) {
                const double d = static_cast<double>(y[j]) - mean;
                error += w[j] * w[j] * d * d;
                spread += w[j] * d * d;
            }
            // In the larger of both deviations: the samples may know only one of two wells.
            const double sigma = std::sqrt(std::max(samples.variance[i], spread / sum));
            const double joint =
                std::sqrt(error / (sum * sum) + samples.mean_error[i] * samples.mean_error[i]);
            const double above = std::fabs(mean - samples.mean[i]) - kDoubt * joint;
            if (std::isfinite(above) && sigma > 0)
                places[p].disagreement =
                    std::max(places[p].disagreement, above / sigma / target_w1);
        }
    }
}

std::size_t Pipeline::place_bin(const std::array<double, kMaxCvs>& a) const {
    index bin = 0;
    for (int k = 0; k < grid_.dims; ++k) {
        const auto i = static_cast<std::size_t>(k);
        const index b = std::clamp<index>(
            static_cast<index>((a[i] - grid_.from[i]) / grid_.width(k)), 0, grid_.bins[i] - 1);
        bin = bin * grid_.bins[i] + b;
    }
    return static_cast<std::size_t>(bin);
}

std::vector<CouplingPlace> Pipeline::judged_places(ConditionalMoments& m) {
    std::vector<CouplingPlace> places = coupling_places();
    const auto apart = [&](const std::array<double, kMaxCvs>& a, const double* b) {
        double sum = 0;
        for (int k = 0; k < grid_.dims; ++k) {
            const auto i = static_cast<std::size_t>(k);
            const double d = (a[i] - b[i]) / window_spacing(k);
            sum += d * d;
        }
        return sum;
    };

    // Errors of the free energy, and of conditional averages in conditional deviations.
    const double target_error =
        run_.coupling.target_error > 0 ? run_.coupling.target_error : 0.1 * model_.kt();
    const double target_w1 = run_.coupling.target_w1 > 0 ? run_.coupling.target_w1 : 0.05;
    index row = 0;
    const std::vector<std::string> names = target_names();
    if (error_blocks_.count() <= 1) error_blocks_ = choose_error_blocks(samples_.biased(), 1.0);
    const Span<const float> y = targets(row);
    const auto variables = static_cast<index>(names.size());
    m = conditional_moments(stream_, samples_.biased(), y, row, variables, grid_, error_blocks_);
    for (CouplingPlace& place : places) {
        const std::size_t bin = place_bin(place.at);
        if (bin < profile_error_.size()) {
            const double error = profile_error_[bin];
            place.free_energy_error = std::isfinite(error) ? error / target_error : 10.0;
        }
        for (index v = 0; v < variables; ++v) {
            const std::size_t i = m.place(v, static_cast<index>(bin));
            const double error = m.mean_error[i] / std::sqrt(m.variance[i]);
            if (std::isfinite(error)) place.spread = std::max(place.spread, error / target_w1);
        }
    }
    judge_reweighted(places, m, target_w1);
    // Held-out distances, from the nearest judged condition.
    const Json& train = metrics_["stages"]["train"];
    const double floor = train.value("w1_floor", 0.0);
    if (train.contains("held_out"))
        for (CouplingPlace& place : places) {
            double nearest = 1e300, distance = 0;
            for (const Json& held : train["held_out"]) {
                const auto cv = held["cv"].get<std::vector<double>>();
                const double d = apart(place.at, cv.data());
                if (d >= nearest) continue;
                nearest = d;
                distance = 0;
                for (const Json& w1 : held["w1_over_sigma"])
                    if (w1.is_number()) distance = std::max(distance, w1.get<double>());
            }
            place.distance = std::max(0.0, distance - floor) / target_w1;
        }
    // Overlaps of neighbouring windows count where they meet.
    if (metrics_["stages"].contains("estimate") &&
        metrics_["stages"]["estimate"].contains("overlaps"))
        for (CouplingPlace& place : places) {
            double nearest = 1e300;
            for (const Json& link : metrics_["stages"]["estimate"]["overlaps"]) {
                const auto a = link[0].get<std::size_t>(), b = link[1].get<std::size_t>();
                if (a >= windows_.center.size() || b >= windows_.center.size()) continue;
                std::array<double, kMaxCvs> middle{};
                for (std::size_t k = 0; k < middle.size(); ++k)
                    middle[k] = 0.5 * (windows_.center[a][k] + windows_.center[b][k]);
                const double d = apart(place.at, middle.data());
                if (d >= nearest) continue;
                nearest = d;
                place.overlap = kLeastOverlap / std::max(1e-6, link[2].get<double>());
                if (place.overlap < 1) place.overlap = 0;
            }
        }
    return places;
}

bool Pipeline::plan_round() {
    const CouplingConfig& c = run_.coupling;
    ConditionalMoments m;
    std::vector<CouplingPlace> places = judged_places(m);
    Json& record = metrics_["coupling"];
    if (!record.contains("rounds")) record["rounds"] = Json::array();
    Json round;
    round["round"] = round_;
    round["force_evaluations"] = force_evaluations_spent();
    round["windows"] = windows_.size();
    round["samples"] = samples_.n;
    round["places"] = Json::array();
    for (const auto& place : round_places_) round["places"].push_back(place);
    round["discarded_windows"] = discarded_;
    const auto worst = [&](double CouplingPlace::* figure) {
        double most = 0;
        for (const CouplingPlace& p : places) most = std::max(most, p.*figure);
        return most;
    };
    const double target_error = c.target_error > 0 ? c.target_error : 0.1 * model_.kt();
    const double target_w1 = c.target_w1 > 0 ? c.target_w1 : 0.05;
    round["worst_free_energy_error"] = worst(&CouplingPlace::free_energy_error) * target_error;
    round["worst_w1_above_floor"] = worst(&CouplingPlace::distance) * target_w1;
    round["worst_conditional_error"] = worst(&CouplingPlace::spread) * target_w1;
    round["worst_disagreement"] = worst(&CouplingPlace::disagreement) * target_w1;
    if (round_ > 0) round["jump_acceptance"] = jump_acceptance_;

    if (c.ablation)
        round["profile"] = coupling_profile(force_evaluations_spent(), &m, profile_);

    std::string stopped;
    const bool asked = c.target_error > 0 || c.target_w1 > 0;
    const bool met =
        (!(c.target_error > 0) || worst(&CouplingPlace::free_energy_error) <= 1) &&
        (!(c.target_w1 > 0) ||
         (worst(&CouplingPlace::distance) <= 1 && worst(&CouplingPlace::spread) <= 1 &&
          worst(&CouplingPlace::disagreement) <= 1)) &&
        discarded_ == 0 && round_ > 0;
    const double cost = static_cast<double>(c.windows * c.replicas) *
                        static_cast<double>(c.equilibrate + c.steps);
    if (asked && met)
        stopped = "targets met";
    else if (round_ >= c.rounds)
        stopped = "all rounds done";
    else if (c.budget > 0 && force_evaluations_spent() + cost > c.budget)
        stopped = "budget spent";
    next_centers_.clear();
    round_places_.clear();
    if (stopped.empty()) {
        std::array<double, kMaxCvs> unit{};
        for (int k = 0; k < grid_.dims; ++k) unit[static_cast<std::size_t>(k)] = window_spacing(k);
        round["next"] = Json::array();
        for (std::size_t i : choose_places(places, c.windows, unit, kSeparation)) {
            next_centers_.push_back(places[i].at);
            Json next;
            for (int k = 0; k < grid_.dims; ++k)
                next["cv"].push_back(places[i].at[static_cast<std::size_t>(k)]);
            next["reason"] = places[i].reason();
            next["score"] = places[i].score();
            round["next"].push_back(next);
            round_places_.push_back(next["cv"].get<std::vector<double>>());
        }
    } else {
        record["stopped"] = stopped;
        std::string unsettled;
        for (const CouplingPlace& p : places)
            if (p.disagreement > 1 && p.effective_share > kLeastEffective)
                unsettled += (unsettled.empty() ? "" : ", ") + number(p.at[0]) +
                             (grid_.dims == 2 ? "/" + number(p.at[1]) : "");
        if (!unsettled.empty())
            warn("the samples still disagree with reweighted lifted states at xi = " + unsettled +
                 ": part of the states is missing there; raise coupling.rounds or "
                 "coupling.windows");
        if (asked && !met)
            warn("coupling ended (" + stopped + ") before its targets were met: free-energy error " +
                 number(round["worst_free_energy_error"].get<double>()) + ", W1/sigma above its floor " +
                 number(round["worst_w1_above_floor"].get<double>()));
    }
    record["rounds"].push_back(round);
    write_metrics();
    return stopped.empty();
}

void Pipeline::discard_outdated() {
    discarded_ = 0;
    if (!(run_.coupling.discard > 0) || samples_.blocks.size() < 2) return;
    StageMeter meter(metrics_["stages"], "couple");
    const SampleBlock& last = samples_.blocks.back();
    index row = 0;
    const Span<const float> y = targets(row);
    const int variables = static_cast<int>(target_names().size());
    std::vector<bool> remove(static_cast<std::size_t>(windows_.size()), false);
    std::vector<WindowData> later;
    for (index w = 0; w < last.windows; ++w)
        later.push_back(
            window_data(stream_, samples_, windows_, last.first_window + w, y, row, variables));
    for (index w = 0; w < last.first_window; ++w) {
        const auto i = static_cast<std::size_t>(w);
        WindowData earlier;
        for (const WindowData& now : later) {
            double apart = 0;
            for (int k = 0; k < grid_.dims; ++k) {
                const auto d = static_cast<std::size_t>(k);
                const double gap = windows_.center[i][d] - now.center[d];
                apart += windows_.beta[d] * now.stiffness[d] * gap * gap;
            }
            if (apart > kReach * kReach) continue;
            if (earlier.samples == 0)
                earlier = window_data(stream_, samples_, windows_, w, y, row, variables);
            if (window_disagreement(earlier, now, windows_.beta) > run_.coupling.discard) {
                remove[i] = true;
                ++discarded_;
                break;
            }
        }
    }
    if (discarded_ > 0) {
        remove_windows(stream_, samples_, windows_, remove);
        progress_.note("discarded the samples of " + std::to_string(discarded_) +
                       " earlier windows: later runs at the same place disagree");
    }
}

}  // namespace microlift
