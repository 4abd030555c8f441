// Adaptive multilevel splitting (Cérou, Guyader, Stoch. Anal. Appl. 25 (2007) 417; of paths in discrete time: Bréhier
// et al., Ann. Appl. Probab. 26 (2016) 3559). Replicas leave the first level and end in either state. Those that came
// least far end there, and begin anew where others, picked at random, first came further, until few are left that did
// not come to `to`. With the shares that were left at each level, P = Π (1 − K/N) · (those in `to`)/N has no bias,
// whatever the levels. The mean first passage time is that of a way out of `from` and back, over P (Hill).
#include "engine/launch/lanes.h"
#include "sampling/rates/look.h"

#if !defined(__CUDACC__)
#include <algorithm>
#include <cmath>
#include <set>
#include <span>

#include "engine/at.h"
#include "engine/launch/gather.h"
#include "engine/launch/reduce.h"
#include "engine/launch/sort.h"
#include "sampling/numerics/statistics.h"
#include "sampling/rates/kept.h"
#include "sampling/rates/method.h"
#include "sampling/rates/methods.h"
#endif

namespace microlift {

// What is known of replicas, by their numbers.
struct ReplicaView {
    index n, each;  // in all, and of a repeat
    int32 levels;
    const float* level;
    int32* reached;    // the highest level
    int32* over;       // 0: runs, 1: in `from`, 2: in `to`
    int32* ancestor;   // the replica that it stems from
    double *began, *ended;  // looks
    float* kept;       // (level, number, replica): the state in which it first was there
    float* kept_time;  // (level, replica): looks since it began

    LANE_FN float score(index r) const { return static_cast<float>(over[r] == 2 ? levels : reached[r]); }
    // Keeps the state of trajectory i at the levels that are new to it.
    LANE_FN void climb(const RateLook& look, index i, index r, double now) const {
        int32 at = reached[r];
        while (at + 1 < levels && look.progress(i) >= level[at + 1]) {
            ++at;
            look.store(i, kept + index{at} * look.numbers * n, n, r);
            kept_time[at * n + r] = static_cast<float>(now - began[r]);
        }
        reached[r] = at;
    }
};

struct FirstReplicasBody {
    ReplicaView replicas;
    RateLook look;
    LANE_FN void operator()(index i) const {
        replicas.began[i] = static_cast<double>(look.look);
        replicas.over[i] = 0;
        replicas.ancestor[i] = static_cast<int32>(i);
        replicas.reached[i] = 0;
        look.store(i, replicas.kept, replicas.n, i);
        replicas.kept_time[i] = 0.0f;
        replicas.climb(look, i, i, replicas.began[i]);
    }
};

struct ClimbBody {
    ReplicaView replicas;
    RateLook look;
    LANE_FN void operator()(index i) const {
        if (look.alive[i] > 0.0f)
            replicas.climb(look, i, look.number[i], static_cast<double>(look.look));
    }
};

struct SplittingLookBody {
    ReplicaView replicas;
    RateLook look;
    LANE_FN void operator()(index i) const {
        if (!(look.alive[i] > 0.0f)) return;
        const index r = look.number[i];
        const Passage passage = look.passage(i, true, true);
        if (passage.set >= 0) {
            replicas.over[r] = passage.set + 1;
            replicas.ended[r] = look.now(passage.moment);
            look.alive[i] = 0.0f;
        } else {
            replicas.climb(look, i, r, look.now());
        }
        look.remember(i);
    }
};

struct ScoreBody {
    ReplicaView replicas;
    float* score;
    LANE_FN void operator()(index r) const { score[r] = replicas.score(r); }
};

// Of sorted scores (repeat, replica): who ends, and who goes on in the repeats where someone does.
struct MarkBody {
    ReplicaView replicas;
    const float* sorted;
    index discard;
    float *ends, *stays;
    LANE_FN void operator()(index r) const {
        const float* own = sorted + r / replicas.each * replicas.each;
        const float least = own[discard - 1];
        const bool splits = least < static_cast<float>(replicas.levels) && own[replicas.each - 1] > least;
        const bool low = replicas.score(r) <= least;
        ends[r] = splits && low ? 1.0f : 0.0f;
        stays[r] = splits && !low ? 1.0f : 0.0f;
    }
};

// Both in lists, by their ranks.
struct ListBody {
    const float *ends, *stays;
    const double *end_rank, *stay_rank;
    uint32 *ended, *stayed;
    LANE_FN void operator()(index r) const {
        if (ends[r] > 0.0f) ended[static_cast<index>(end_rank[r]) - 1] = static_cast<uint32>(r);
        if (stays[r] > 0.0f) stayed[static_cast<index>(stay_rank[r]) - 1] = static_cast<uint32>(r);
    }
};

// Trajectory i is the replica that ended as the i-th; it becomes a copy of one that stayed, from where that came
// beyond the level. Those that stay are taken at even distances from a random place on, as many times each as may be.
struct SplitBody {
    ReplicaView replicas;
    RateLook look;
    const float* sorted;
    index discard;
    const double *end_rank, *stay_rank;
    const uint32* stayed;
    uint64 seed, round;
    LANE_FN void operator()(index i) const {
        const index r = look.number[i], g = r / replicas.each, first = g * replicas.each, last = first + replicas.each - 1;
        const double ends_before = g > 0 ? end_rank[first - 1] : 0.0, stays_before = g > 0 ? stay_rank[first - 1] : 0.0;
        const double ends = end_rank[last] - ends_before, stays = stay_rank[last] - stays_before;
        const PhiloxStream<float> rng(seed, kStreamRatePick, g);
        uint32 u[4];
        rng.draw(round, u);
        const double rank = end_rank[r] - 1.0 - ends_before;
        const double place = (rank + static_cast<double>(u[0]) * 0x1p-32) * stays / ends;
        index pick = static_cast<index>(place);
        if (pick >= static_cast<index>(stays)) pick = static_cast<index>(stays) - 1;
        const index parent = stayed[static_cast<index>(stays_before) + pick];
        const int32 next = static_cast<int32>(sorted[first + discard - 1]) + 1;
        const int32 reached = replicas.reached[parent];
        const int32 top = next <= reached ? next : reached;
        replicas.ancestor[r] = replicas.ancestor[parent];
        replicas.reached[r] = top;
        for (int32 l = 0; l <= top; ++l) {
            replicas.kept_time[l * replicas.n + r] = replicas.kept_time[l * replicas.n + parent];
            for (int d = 0; d < look.numbers; ++d) {
                float* const row = replicas.kept + (index{l} * look.numbers + d) * replicas.n;
                row[r] = row[parent];
            }
        }
        if (next > reached) {  // it came further by its end in `to` alone, between two looks: that is what is copied
            replicas.over[r] = 2;
            replicas.began[r] = replicas.began[parent];
            replicas.ended[r] = replicas.ended[parent];
            look.alive[i] = 0.0f;
            look.load(i, replicas.kept + index{top} * look.numbers * replicas.n, replicas.n, r);
            return;
        }
        replicas.over[r] = 0;
        replicas.began[r] = static_cast<double>(look.look) - static_cast<double>(replicas.kept_time[next * replicas.n + r]);
        look.load(i, replicas.kept + index{next} * look.numbers * replicas.n, replicas.n, r);
    }
};

HOST_PASS_BEGIN

void start_replicas(Stream& stream, const FirstReplicasBody& body) { for_each_index(stream, body.replicas.n, body); }
void climb_levels(Stream& stream, const ClimbBody& body) { for_each_index(stream, body.look.columns, body); }
void look_at_replicas(Stream& stream, const SplittingLookBody& body) { for_each_index(stream, body.look.columns, body); }
void score_replicas(Stream& stream, const ScoreBody& body) { for_each_index(stream, body.replicas.n, body); }
void mark_replicas(Stream& stream, const MarkBody& body) { for_each_index(stream, body.replicas.n, body); }
void list_replicas(Stream& stream, index n, const ListBody& body) { for_each_index(stream, n, body); }
void split_replicas(Stream& stream, const SplitBody& body) { for_each_index(stream, body.look.columns, body); }

HOST_PASS_END

#if !defined(__CUDACC__)

namespace {

constexpr index kPaths = 8;  // that are kept

// Each gives as many replicas their start as it has ways.
index walkers_of(const RatesConfig& rates) { return (replicas_of(rates) + rates.loops - 1) / rates.loops; }

class Splitting final : public RateMethod {
public:
    Splitting(Stream& stream, const RateSetup& setup)
        : Splitting(stream, setup, replicas_of(setup.rates), setup.rates.repeats) {}

    bool advance() override;
    double share() const override;
    RateResult result() override;
    void save(Store& store) const override;
    void load(const Store& store) override;

private:
    // By name, what a checkpoint has of the device.
    template <class Self, class Each>
    static void each_kept(Self& self, const Each& each) {
        each("rates.kept", self.kept_);
        each("rates.kept_time", self.kept_time_);
        each("rates.reached", self.reached_);
        each("rates.over", self.over_);
        each("rates.ancestor", self.ancestor_);
        each("rates.began", self.began_);
        each("rates.ended", self.ended_);
    }

    enum Phase : long long { leaving, running, done };
    Splitting(Stream& stream, const RateSetup& setup, index each, index repeats);
    ReplicaView view() {
        return {n_, each_, static_cast<int32>(levels()), level_.data(), reached_.data(), over_.data(), ancestor_.data(),
                began_.data(), ended_.data(), kept_.data(), kept_time_.data()};
    }
    void start();
    void first_ways();
    bool split();
    void count_ancestors();
    index take_level(index repeat, std::span<const float> sorted);
    void add_profile(RateResult& result);
    void add_paths(RateResult& result, const std::vector<int32>& over);

    index each_, walkers_, repeats_, n_, discard_;  // walkers that leave `from`, of a repeat
    long long phase_ = leaving, round_ = 0;
    Buffer<float> level_, kept_, kept_time_, score_, ends_, stays_;
    Buffer<int32> reached_, over_, ancestor_;
    Buffer<double> began_, ended_, end_rank_, stay_rank_, scratch_;
    Buffer<uint32> ended_list_, stayed_list_;
    Buffer<unsigned char> sort_scratch_;
    // Of each repeat: looks of a first way from the first level to either state; the share that came to each level.
    std::vector<double> first_way_, weight_, reached_share_;
    std::vector<double> ancestors_;  // of the first repeat's replicas, by round
};

Splitting::Splitting(Stream& stream, const RateSetup& setup, index each, index repeats)
    : RateMethod(stream, setup, each * repeats, walkers_of(setup.rates) * repeats, setup.rates.loops), each_(each),
      walkers_(walkers_of(setup.rates)), repeats_(repeats), n_(each * repeats), discard_(std::max<index>(1, static_cast<index>(setup.rates.discard * static_cast<double>(each)))) {
    const Device& device = stream.device();
    const index G = levels();
    level_ = Buffer<float>(device, G);
    const std::vector<float> values(ladder_.levels.begin(), ladder_.levels.end());
    copy_to_device(stream, level_.span(), values.data());
    kept_ = Buffer<float>(device, G * lanes_.numbers() * n_);
    kept_time_ = Buffer<float>(device, G * n_);
    for (Buffer<float>* buffer : {&score_, &ends_, &stays_}) *buffer = Buffer<float>(device, n_);
    for (Buffer<int32>* buffer : {&reached_, &over_, &ancestor_}) *buffer = Buffer<int32>(device, n_);
    for (Buffer<double>* buffer : {&began_, &ended_, &end_rank_, &stay_rank_}) *buffer = Buffer<double>(device, n_);
    for (Buffer<uint32>* buffer : {&ended_list_, &stayed_list_}) *buffer = Buffer<uint32>(device, n_);
    scratch_ = Buffer<double>(device, reduce_scratch(1, n_));
    sort_scratch_ = Buffer<unsigned char>(device, sort_scratch_rows(device, repeats, each, each));
    weight_.assign(at(repeats), 1.0);
    reached_share_.assign(at(repeats * (G + 1)), kNaN);
    basin_.begin();
}

void Splitting::start() {
    lanes_.begin(n_);
    std::vector<index> which;  // of the ways of a repeat
    for (index g = 0; g < repeats_; ++g)
        for (index r = 0; r < each_; ++r) which.push_back(g * walkers_ * setup_.rates.loops + r);
    Buffer<index> from(stream_.device(), n_);
    copy_to_device(stream_, from.span(), which.data());
    gather_columns(stream_, basin_.start().data, basin_.start().size / lanes_.numbers(), lanes_.numbers(), from.span(),
                   lanes_.state().data);
    lanes_.look_at_start();
    start_replicas(stream_, {view(), lanes_.view()});
    phase_ = running;
}

bool Splitting::advance() {
    if (phase_ == leaving) {
        if (!basin_.advance()) start();
        return true;
    }
    if (phase_ == done) return false;
    lanes_.advance();
    look_at_replicas(stream_, {view(), lanes_.view()});
    if (!lanes_.piece_ends()) return true;
    if (lanes_.keep() > 0) {
        if (lanes_.looks() > 1000 * (setup_.rates.longest / setup_.rates.stride))
            throw NumericError("replicas of [rates] do not come back to rates.from: raise rates.longest, or give "
                               "another state");
        return true;
    }
    if (round_ == 0) first_ways();
    if (!split()) phase_ = done;
    return phase_ != done;
}

void Splitting::first_ways() {
    const std::vector<double> began = to_host(stream_, began_.span()), ended = to_host(stream_, ended_.span());
    for (index g = 0; g < repeats_; ++g) {
        double sum = 0;
        for (index r = g * each_; r < (g + 1) * each_; ++r) sum += ended[at(r)] - began[at(r)];
        first_way_.push_back(sum / static_cast<double>(each_));
    }
}

void Splitting::count_ancestors() {
    std::vector<int32> own(at(each_));
    copy_to_host(stream_, own.data(), Span<const int32>(ancestor_.data(), each_));
    ancestors_.push_back(static_cast<double>(std::set<int32>(own.begin(), own.end()).size()));
}

// Of the sorted scores of a repeat: which share came to each level, as far as it is known. How many end.
index Splitting::take_level(index repeat, std::span<const float> sorted) {
    const auto G = static_cast<float>(levels());
    const float least = sorted[at(discard_ - 1)];
    const bool splits = least < G && sorted.back() > least;
    const auto from = [&](float score) {  // this score on
        return static_cast<double>(sorted.end() - std::ranges::lower_bound(sorted, score)) / static_cast<double>(each_);
    };
    for (index l = 0; l <= (splits ? static_cast<index>(least) + 1 : levels()); ++l) {
        double& share = reached_share_[at(repeat * (levels() + 1) + l)];
        if (std::isnan(share)) share = weight_[at(repeat)] * from(static_cast<float>(l));
    }
    if (!splits) return 0;
    weight_[at(repeat)] *= from(least + 1);
    return static_cast<index>(std::ranges::upper_bound(sorted, least) - sorted.begin());
}

// False where no repeat has anything to split.
bool Splitting::split() {
    count_ancestors();
    score_replicas(stream_, {view(), score_.data()});
    sort_rows(stream_, score_.data(), repeats_, each_, each_, sort_scratch_.span());
    mark_replicas(stream_, {view(), score_.data(), discard_, ends_.data(), stays_.data()});
    prefix_sum(stream_, Span<const float>(ends_.span()), end_rank_.span(), scratch_.span());
    prefix_sum(stream_, Span<const float>(stays_.span()), stay_rank_.span(), scratch_.span());
    list_replicas(stream_, n_, {ends_.data(), stays_.data(), end_rank_.data(), stay_rank_.data(), ended_list_.data(),
                                stayed_list_.data()});
    const std::vector<float> sorted = to_host(stream_, Span<const float>(score_.span()));
    index all = 0;
    for (index g = 0; g < repeats_; ++g) all += take_level(g, std::span(sorted).subspan(at(g * each_), at(each_)));
    if (all == 0) return false;
    lanes_.begin(all, ended_list_.span());
    split_replicas(stream_, {view(), lanes_.view(), score_.data(), discard_, end_rank_.data(), stay_rank_.data(),
                             stayed_list_.data(), setup_.seed, static_cast<uint64>(round_)});
    lanes_.look_at_start();
    climb_levels(stream_, {view(), lanes_.view()});
    ++round_;
    return true;
}

double Splitting::share() const {
    if (phase_ == leaving) return 0.2 * basin_.share();
    double mean = 0;
    for (const double w : weight_) mean -= std::log(std::max(w, 1e-300)) / static_cast<double>(repeats_);
    return 0.2 + 0.8 * mean / (mean + 3);
}

RateResult Splitting::result() {
    RateResult result;
    std::vector<double> p;
    for (index g = 0; g < repeats_; ++g) p.push_back(reached_share_[at((g + 1) * (levels() + 1) - 1)]);
    const std::vector<double> way_out = basin_.way_out();
    std::vector<double> time;
    for (index g = 0; g < repeats_; ++g) {
        double out = 0;
        for (index w = g * walkers_; w < (g + 1) * walkers_; ++w) out += way_out[at(w)];
        time.push_back(out / static_cast<double>(walkers_) + first_way_[at(g)]);
    }
    const auto mean_without = [&](const std::vector<double>& values, index without) {
        double sum = 0, n = 0;
        for (index g = 0; g < repeats_; ++g)
            if (g != without) sum += values[at(g)], n += 1;
        return sum / n;
    };
    add_times(result, [&](index without) { return std::log(mean_without(time, without) / mean_without(p, without)); });
    RateFigure probability = jackknife(repeats_, [&](index without) { return mean_without(p, without); });
    probability.quantity = "probability";
    result.figures.push_back(probability);
    const auto extinct = std::ranges::count(p, 0.0);
    if (extinct > 0)
        result.warnings.push_back("in " + std::to_string(extinct) + " of " + std::to_string(repeats_) +
                                  " repeats no replica came to rates.to: the error is too small; give more replicas or "
                                  "more levels");
    const std::vector<int32> over = to_host(stream_, Span<const int32>(over_.span()));
    result.metrics["rounds"] = round_;
    result.metrics["replicas"] = each_;
    result.metrics["loop_time"] = mean_without(time, -1) * lanes_.dt();
    add_profile(result);
    add_paths(result, over);
    return result;
}

// Share of the replicas that came to each level, and the share of those that went on to `to`.
void Splitting::add_profile(RateResult& result) {
    const index G = levels();
    Json& list = result.metrics["levels"] = Json::array();
    for (index l = 0; l < G; ++l) {
        const auto of = [&](index level, index without) {
            double sum = 0;
            for (index g = 0; g < repeats_; ++g)
                if (g != without) sum += reached_share_[at(g * (G + 1) + level)];
            return sum;
        };
        const RateFigure share = jackknife(repeats_, [&](index without) {
            return of(l, without) / static_cast<double>(repeats_ - (without >= 0 ? 1 : 0));
        });
        const RateFigure committor = jackknife(repeats_, [&](index without) { return of(G, without) / of(l, without); });
        list.push_back({{"progress", ladder_.sign * ladder_.levels[at(l)]}, {"probability", share.value},
                        {"probability_error", share.error}, {"committor", committor.value},
                        {"committor_error", committor.error}});
    }
    result.metrics["ancestors"] = ancestors_;
}

// A few that came to `to`, of as many repeats: their states at the levels, and when.
void Splitting::add_paths(RateResult& result, const std::vector<int32>& over) {
    const index G = levels(), D = setup_.model.dim();
    std::vector<index> which;
    double sum = 0, count = 0;
    const std::vector<double> began = to_host(stream_, began_.span()), ended = to_host(stream_, ended_.span());
    for (index g = 0; g < repeats_; ++g) {
        bool taken = std::ssize(which) >= kPaths;
        for (index r = g * each_; r < (g + 1) * each_; ++r) {
            if (over[at(r)] != 2) continue;
            sum += ended[at(r)] - began[at(r)], count += 1;
            if (!taken) which.push_back(r);
            taken = true;
        }
    }
    if (which.empty()) return;
    result.metrics["reactive_time"] = sum / count * lanes_.dt();
    const index n = std::ssize(which);
    Buffer<index> chosen(stream_.device(), n);
    copy_to_device(stream_, chosen.span(), which.data());
    Buffer<float> states(stream_.device(), G * lanes_.numbers() * n), times(stream_.device(), G * n);
    gather_columns(stream_, kept_.data(), n_, G * lanes_.numbers(), chosen.span(), states.data());
    gather_columns(stream_, kept_time_.data(), n_, G, chosen.span(), times.data());
    const std::vector<float> x = to_host(stream_, states.span()), t = to_host(stream_, times.span());
    std::vector<float> state;
    std::vector<double> time, end;
    for (index i = 0; i < n; ++i) {
        end.push_back((ended[at(which[at(i)])] - began[at(which[at(i)])]) * lanes_.dt());
        for (index l = 0; l < G; ++l) {
            time.push_back(static_cast<double>(t[at(l * n + i)]) * lanes_.dt());
            for (index d = 0; d < D; ++d) state.push_back(x[at((l * lanes_.numbers() + d) * n + i)]);
        }
    }
    result.paths.put("state", std::move(state), {n, G, D});
    result.paths.put("time", std::move(time), {n, G});
    result.paths.put("end", std::move(end));
}

void Splitting::save(Store& store) const {
    RateMethod::save(store);
    each_kept(*this, [&](const char* name, const auto& values) { keep(stream_, store, name, values); });
    store.put("rates.splitting", std::vector<long long>{phase_, round_});
    store.put("rates.first_way", first_way_);
    store.put("rates.weight", weight_);
    store.put("rates.reached_share", reached_share_);
    store.put("rates.ancestors", ancestors_);
}

void Splitting::load(const Store& store) {
    RateMethod::load(store);
    each_kept(*this, [&](const char* name, auto& values) { restore(stream_, store, name, values); });
    const auto numbers = store.get<long long>("rates.splitting", 2);
    phase_ = numbers[0], round_ = numbers[1];
    const auto host = [&](const char* name, std::vector<double>& to, index count) {
        const auto values = store.get<double>(name, count);
        to.assign(values.begin(), values.end());
    };
    host("rates.first_way", first_way_, round_ > 0 || phase_ == done ? repeats_ : -1);
    host("rates.weight", weight_, repeats_);
    host("rates.reached_share", reached_share_, repeats_ * (levels() + 1));
    host("rates.ancestors", ancestors_, -1);
}

}  // namespace

std::unique_ptr<RateMethod> make_splitting(Stream& stream, const RateSetup& setup) {
    return std::make_unique<Splitting>(stream, setup);
}

#endif

}  // namespace microlift
