// Exact milestoning (Bello-Rivas, Elber, J. Chem. Phys. 142 (2015) 094102). Trajectories go from a milestone to one of
// its neighbours, where their states are kept; the next ones begin in those states, in the shares in which the flux
// brings them there. Repeated, that is the law in which a long trajectory first meets a milestone, whatever it was at
// first. The mean first passage time follows from how often each neighbour is met and how long that takes.
#include "engine/launch/lanes.h"
#include "sampling/rates/look.h"

#if !defined(__CUDACC__)
#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/launch/gather.h"
#include "sampling/numerics/statistics.h"
#include "sampling/rates/kept.h"
#include "sampling/rates/method.h"
#include "sampling/rates/methods.h"
#endif

namespace microlift {

struct MilestoneLookBody {
    RateLook look;
    index n;                 // trajectories in all
    int32 last;              // milestone 0 is `from`, milestone k level k − 1; from the last it goes to `to`
    const float* level;
    const int32* milestone;  // by trajectory: where it begins
    double began;            // looks
    int32* ended;            // 0: runs, 1: at the next milestone, −1: at the one before
    float* duration;         // looks
    float* end;              // (numbers, n): the state there
    LANE_FN void operator()(index i) const {
        if (!(look.alive[i] > 0.0f)) return;
        const index r = look.number[i];
        const int32 m = milestone[r];
        int32 where = 0;
        double now = look.now();
        if (m == 1 || m == last) {
            const Passage passage = look.passage(i, m == 1, m == last);
            if (passage.set >= 0) {
                where = passage.set == 1 ? 1 : -1;
                now = look.now(passage.moment);
            }
        }
        if (where == 0 && m < last && look.progress(i) >= level[m]) where = 1;
        if (where == 0 && m >= 2 && look.progress(i) <= level[m - 2]) where = -1;
        look.remember(i);
        if (where == 0) return;
        ended[r] = where;
        duration[r] = static_cast<float>(now - began);
        look.store(i, end, n, r);
        look.alive[i] = 0.0f;
    }
};

HOST_PASS_BEGIN

void look_at_milestones(Stream& stream, const MilestoneLookBody& body) { for_each_index(stream, body.look.columns, body); }

HOST_PASS_END

#if !defined(__CUDACC__)

namespace {

constexpr index kEntrances = 1024;
constexpr index kFewest = 8;  // trajectories from a milestone

// Of trajectories from one milestone: how many, those that met the next one, and their looks.
struct Ways {
    double n = 0, up = 0, looks = 0;
    Ways& operator+=(const Ways& more) {
        n += more.n, up += more.up, looks += more.looks;
        return *this;
    }
};

// Looks to the next milestone for the first time, of a chain that may go back.
std::vector<double> times_up(const std::vector<Ways>& ways) {
    std::vector<double> up;
    for (std::size_t m = 0; m < ways.size(); ++m) {
        const double back = m == 0 ? 0.0 : ways[m].n - ways[m].up;
        up.push_back((ways[m].looks + (m == 0 ? 0.0 : back * up[m - 1])) / (m == 0 ? ways[m].n : ways[m].up));
    }
    return up;
}

double time_to_end(const std::vector<Ways>& ways) {
    double sum = 0;
    for (const double t : times_up(ways)) sum += t;
    return sum;
}

// Of reaching `to` before `from` from each milestone.
std::vector<double> committors(const std::vector<Ways>& ways) {
    double product = 1, sum = 1;
    std::vector<double> q{0.0, 1.0};
    for (std::size_t m = 1; m < ways.size(); ++m) {
        product *= (ways[m].n - ways[m].up) / ways[m].up;
        sum += product;
        q.push_back(sum);
    }
    q.pop_back();
    for (double& v : q) v /= sum;
    return q;
}

// How often each milestone is met while one trajectory reaches the end.
std::vector<double> visits(const std::vector<Ways>& ways) {
    std::vector<double> q(ways.size());
    double back = 0;  // from the milestone beyond
    for (std::size_t m = ways.size(); m-- > 0;) {
        const double up = m == 0 ? 1.0 : ways[m].up / ways[m].n;
        q[m] = (1 + back) / up;
        back = q[m] * (1 - up);
    }
    return q;
}

class Milestoning final : public RateMethod {
public:
    Milestoning(Stream& stream, const RateSetup& setup)
        : Milestoning(stream, setup, std::ssize(ladder_of(setup.rates).levels) + 1) {}

    bool advance() override;
    double share() const override;
    RateResult result() override;
    void save(Store& store) const override;
    void load(const Store& store) override;

private:
    // By name, what a checkpoint has of the device.
    template <class Self, class Each>
    static void each_kept(Self& self, const Each& each) {
        each("rates.end", self.end_);
        each("rates.duration", self.duration_);
        each("rates.milestone", self.milestone_);
        each("rates.ended", self.ended_);
    }

    enum Phase : long long { leaving, climbing, repeating, done };
    Milestoning(Stream& stream, const RateSetup& setup, index milestones);
    index each() const { return own_ / milestones_; }
    index first_of(index repeat, index milestone) const { return repeat * own_ + first_[at(milestone)]; }
    index count(index milestone) const { return first_[at(milestone + 1)] - first_[at(milestone)]; }
    void divide(const std::vector<double>& shares);
    void allocate();
    void run_milestone(index milestone, const std::vector<index>& which, bool entrances);
    void run_all();
    void begin();
    void take_in(index from, index to);  // what trajectories of these milestones did
    std::vector<index> sources(index repeat, index milestone, double shift, bool below_alone);
    double random(index what);
    std::vector<Ways> sum(index from, index to, index without) const;  // of iterations
    std::vector<index> climbers(index milestone);
    index relaxed() const { return static_cast<index>(setup_.rates.relax * static_cast<double>(setup_.rates.iterations)); }

    index milestones_, repeats_, own_, n_;
    long long phase_ = leaving;
    index at_ = 0;  // milestone, while they are climbed, then iteration
    double began_ = 0;
    // The first trajectory of a repeat from each milestone: of those that run, and of those that ended before.
    std::vector<long long> first_, ended_first_;
    Buffer<float> level_, end_, duration_;
    Buffer<int32> milestone_, ended_;
    std::vector<int32> where_;               // on the host, after each iteration
    std::vector<Ways> climbed_;              // (repeat, milestone)
    std::vector<Ways> ways_;                 // (iteration, repeat, milestone)
    index drawn_ = 0;
};

Milestoning::Milestoning(Stream& stream, const RateSetup& setup, index milestones)
    : RateMethod(stream, setup, std::max(milestones * replicas_of(setup.rates) * setup.rates.repeats, kEntrances),
                 kEntrances, 1),
      milestones_(milestones), repeats_(setup.rates.repeats),
      own_(milestones * std::max(replicas_of(setup.rates), kFewest)), n_(own_ * setup.rates.repeats) {
    const Device& device = stream.device();
    level_ = Buffer<float>(device, levels());
    const std::vector<float> values(ladder_.levels.begin(), ladder_.levels.end());
    copy_to_device(stream, level_.span(), values.data());
    end_ = Buffer<float>(device, lanes_.numbers() * n_);
    duration_ = Buffer<float>(device, n_);
    milestone_ = Buffer<int32>(device, n_);
    ended_ = Buffer<int32>(device, n_);
    climbed_.resize(at(repeats_ * milestones_));
    divide(std::vector<double>(at(milestones_), 1.0));
    basin_.begin();
}

// The trajectories of a repeat among its milestones, in these shares.
void Milestoning::divide(const std::vector<double>& shares) {
    double all = 0, passed = 0;
    for (const double s : shares) all += s;
    first_ = {0};
    const index free = own_ - kFewest * milestones_;
    for (index m = 0; m < milestones_; ++m) {
        passed += shares[at(m)];
        first_.push_back(kFewest * (m + 1) + static_cast<index>(std::floor(passed / all * static_cast<double>(free) + 1e-9)));
    }
    first_.back() = own_;
    std::vector<int32> of(at(n_));
    for (index g = 0; g < repeats_; ++g)
        for (index m = 0; m < milestones_; ++m)
            std::fill(of.begin() + first_of(g, m), of.begin() + first_of(g, m) + count(m), static_cast<int32>(m));
    copy_to_device(stream_, milestone_.span(), of.data());
}

// So that the same number of steps makes the least error: by how often a milestone is met, how much what is left to do
// varies from there, and how long a trajectory takes.
void Milestoning::allocate() {
    std::vector<Ways> ways(at(milestones_));
    for (index g = 0; g < repeats_; ++g)
        for (index m = 0; m < milestones_; ++m) ways[at(m)] += climbed_[at(g * milestones_ + m)];
    const std::vector<double> up = times_up(ways), met = visits(ways);
    std::vector<double> left(at(milestones_ + 1), 0.0), shares;  // looks to the end
    for (index m = milestones_ - 1; m >= 0; --m) left[at(m)] = left[at(m + 1)] + up[at(m)];
    for (index m = 0; m < milestones_; ++m) {
        const double p = m == 0 ? 1.0 : ways[at(m)].up / ways[at(m)].n, looks = ways[at(m)].looks / ways[at(m)].n;
        const double jump = m == 0 ? 0.0 : left[at(m - 1)] - left[at(m + 1)];
        shares.push_back(met[at(m)] * std::sqrt((p * (1 - p) * jump * jump + looks * looks) / looks));
    }
    for (const double s : shares)
        if (!std::isfinite(s))
            throw NumericError("milestoning: no trajectory came from one of rates.levels to the next; give levels that lie "
                               "closer, or more rates.replicas");
    divide(shares);
}

double Milestoning::random(index what) {
    const PhiloxStream<float> rng(setup_.seed, kStreamRatePick, what);
    uint32 u[4];
    rng.draw(static_cast<uint64>(drawn_), u);
    return (static_cast<double>(u[0]) + 0.5) * 0x1p-32;
}

void Milestoning::begin() {
    lanes_.look_at_start();
    began_ = static_cast<double>(lanes_.looks());
    ++drawn_;
}

// From states of the basin, or of trajectories that ended.
void Milestoning::run_milestone(index milestone, const std::vector<index>& which, bool entrances) {
    std::vector<uint32> numbers;
    for (index g = 0; g < repeats_; ++g)
        for (index j = 0; j < count(milestone); ++j)
            numbers.push_back(static_cast<uint32>(first_of(g, milestone) + j));
    const index n = std::ssize(numbers);
    Buffer<uint32> list(stream_.device(), n);
    Buffer<index> from(stream_.device(), n);
    copy_to_device(stream_, list.span(), numbers.data());
    copy_to_device(stream_, from.span(), which.data());
    lanes_.begin(n, list.span());
    const Span<const float> states = entrances ? basin_.entrance() : Span<const float>(end_.span());
    gather_columns(stream_, states.data, entrances ? basin_.size() : n_, lanes_.numbers(), from.span(), lanes_.state().data);
    begin();
}

void Milestoning::run_all() {
    std::vector<index> which;
    for (index g = 0; g < repeats_; ++g)
        for (index m = 0; m < milestones_; ++m) {
            const std::vector<index> own = sources(g, m, random(g * milestones_ + m), false);
            which.insert(which.end(), own.begin(), own.end());
        }
    Buffer<index> from(stream_.device(), n_);
    copy_to_device(stream_, from.span(), which.data());
    lanes_.begin(n_);
    gather_columns(stream_, end_.data(), n_, lanes_.numbers(), from.span(), lanes_.state().data);
    fill_zero(stream_, ended_.span());
    begin();
}

// Where the trajectories of a milestone begin: those that ended there, by the flux that they stand for.
std::vector<index> Milestoning::sources(index repeat, index milestone, double shift, bool below_alone) {
    const auto collect = [&](index g, std::vector<index>& found, std::vector<double>& weight) {
        std::vector<Ways> ways(climbed_.begin() + g * milestones_, climbed_.begin() + (g + 1) * milestones_);
        if (!below_alone && !ways_.empty())
            ways.assign(ways_.end() - (repeats_ - g) * milestones_, ways_.end() - (repeats_ - g - 1) * milestones_);
        for (Ways& w : ways) w = {std::max(w.n, 1.0), std::max(w.up, 0.5), w.looks};  // none came further: not known
        const std::vector<double> met = below_alone ? std::vector<double>(ways.size(), 1.0) : visits(ways);
        for (const index m : {milestone - 1, milestone + 1}) {
            if (m < 0 || m >= milestones_ || (below_alone && m > milestone)) continue;
            for (index j = ended_first_[at(m)]; j < ended_first_[at(m + 1)]; ++j)
                if (where_[at(g * own_ + j)] == (m < milestone ? 1 : -1)) {
                    found.push_back(g * own_ + j);
                    weight.push_back(met[at(m)] / ways[at(m)].n);
                }
        }
    };
    std::vector<index> found;
    std::vector<double> weight;
    collect(repeat, found, weight);
    for (index g = 0; found.empty() && g < repeats_; ++g) collect((repeat + g) % repeats_, found, weight);
    if (found.empty())
        throw NumericError("milestoning: no trajectory came to level " + std::to_string(milestone) +
                           "; give levels that lie closer, or more rates.replicas");
    double all = 0, passed = 0;
    for (const double w : weight) all += w;
    std::vector<index> which;
    std::size_t j = 0;
    const index n = count(milestone);
    for (index i = 0; i < n; ++i) {
        const double place = (static_cast<double>(i) + shift) * all / static_cast<double>(n);
        while (j + 1 < found.size() && passed + weight[j] <= place) passed += weight[j++];
        which.push_back(found[j]);
    }
    return which;
}

void Milestoning::take_in(index from, index to) {
    where_ = to_host(stream_, Span<const int32>(ended_.span()));
    ended_first_ = first_;
    const std::vector<float> looks = to_host(stream_, Span<const float>(duration_.span()));
    std::vector<Ways> now(at(repeats_ * milestones_));
    for (index g = 0; g < repeats_; ++g)
        for (index m = from; m < to; ++m)
            for (index j = first_of(g, m); j < first_of(g, m) + count(m); ++j)
                now[at(g * milestones_ + m)] += {1.0, where_[at(j)] > 0 ? 1.0 : 0.0, static_cast<double>(looks[at(j)])};
    if (to - from == milestones_) {
        ways_.insert(ways_.end(), now.begin(), now.end());
    } else {
        for (index g = 0; g < repeats_; ++g) climbed_[at(g * milestones_ + from)] = now[at(g * milestones_ + from)];
    }
}

std::vector<index> Milestoning::climbers(index milestone) {
    std::vector<index> which;
    for (index g = 0; g < repeats_; ++g)
        for (const index from : sources(g, milestone, random(g * milestones_ + milestone), true)) which.push_back(from);
    return which;
}

bool Milestoning::advance() {
    if (phase_ == leaving) {
        if (basin_.advance()) return true;
        std::vector<index> which;
        for (index i = 0; i < repeats_ * count(0); ++i) which.push_back(i % basin_.size());
        phase_ = climbing;
        run_milestone(0, which, true);
        return true;
    }
    if (phase_ == done) return false;
    lanes_.advance();
    look_at_milestones(stream_, {lanes_.view(), n_, static_cast<int32>(milestones_ - 1), level_.data(), milestone_.data(),
                                 began_, ended_.data(), duration_.data(), end_.data()});
    if (!lanes_.piece_ends()) return true;
    if (lanes_.keep() > 0) {
        if (static_cast<double>(lanes_.looks()) - began_ > static_cast<double>(setup_.rates.longest / setup_.rates.stride))
            throw NumericError("trajectories between milestones did not end within " + std::to_string(setup_.rates.longest) +
                               " steps: give levels that lie closer, or raise rates.longest");
        return true;
    }
    if (phase_ == climbing) {
        take_in(at_, at_ + 1);
        if (++at_ < milestones_) {
            run_milestone(at_, climbers(at_), false);
            return true;
        }
        allocate();
        phase_ = repeating;
        at_ = 0;
        run_all();
        return true;
    }
    take_in(0, milestones_);
    if (++at_ == setup_.rates.iterations)
        phase_ = done;
    else
        run_all();
    return phase_ != done;
}

double Milestoning::share() const {
    if (phase_ == leaving) return 0.05 * basin_.share();
    if (phase_ == climbing) return 0.05 + 0.05 * static_cast<double>(at_) / static_cast<double>(milestones_);
    return 0.1 + 0.9 * static_cast<double>(at_) / static_cast<double>(setup_.rates.iterations);
}

std::vector<Ways> Milestoning::sum(index from, index to, index without) const {
    std::vector<Ways> all(at(milestones_));
    for (index k = from; k < to; ++k)
        for (index g = 0; g < repeats_; ++g)
            for (index m = 0; m < milestones_ && g != without; ++m)
                all[at(m)] += ways_[at((k * repeats_ + g) * milestones_ + m)];
    return all;
}

RateResult Milestoning::result() {
    constexpr double kUnsteady = 4;  // standard errors
    RateResult result;
    const index iterations = setup_.rates.iterations, from = std::min(relaxed(), iterations - 1);
    add_times(result, [&](index without) { return std::log(time_to_end(sum(from, iterations, without))); });
    RateFigure probability = jackknife(repeats_, [&](index without) { return committors(sum(from, iterations, without))[1]; });
    probability.quantity = "probability";
    result.figures.push_back(probability);
    Json& list = result.metrics["iterations"] = Json::array();
    for (index k = 0; k < iterations; ++k) {
        const RateFigure log = jackknife(repeats_, [&](index without) { return std::log(time_to_end(sum(k, k + 1, without))); });
        const double mfpt = std::exp(log.value) * lanes_.dt();
        list.push_back({{"mfpt", mfpt}, {"error", mfpt * log.error}});
    }
    if (const index middle = (from + iterations) / 2; middle > from) {
        const RateFigure drift = jackknife(repeats_, [&](index without) {
            return std::log(time_to_end(sum(middle, iterations, without)) / time_to_end(sum(from, middle, without)));
        });
        result.metrics["drift"] = drift.value;
        result.metrics["drift_error"] = drift.error;
        if (std::fabs(drift.value) > kUnsteady * drift.error)
            result.warnings.push_back("milestoning has not converged: the logarithm of the time changes by " +
                                      std::to_string(drift.value) + " +- " + std::to_string(drift.error) +
                                      " between the iterations that count; give more rates.iterations, or a larger "
                                      "rates.relax");
    }
    const std::vector<Ways> all = sum(from, iterations, -1);
    const std::vector<double> up = times_up(all);
    Json& milestones = result.metrics["levels"] = Json::array();
    for (index m = 1; m < milestones_; ++m) {
        const RateFigure q = jackknife(repeats_, [&](index without) { return committors(sum(from, iterations, without))[at(m)]; });
        milestones.push_back({{"progress", ladder_.sign * ladder_.levels[at(m - 1)]}, {"committor", q.value},
                              {"committor_error", q.error}, {"trajectories", count(m)},
                              {"lifetime", all[at(m)].looks / all[at(m)].n * lanes_.dt()},
                              {"time_to_next", up[at(m)] * lanes_.dt()}});
    }
    return result;
}

namespace {

std::vector<double> flat(const std::vector<Ways>& ways) {
    std::vector<double> values;
    for (const Ways& w : ways) values.insert(values.end(), {w.n, w.up, w.looks});
    return values;
}

std::vector<Ways> ways_of(std::span<const double> values) {
    std::vector<Ways> ways;
    for (std::size_t i = 0; i + 2 < values.size(); i += 3) ways.push_back({values[i], values[i + 1], values[i + 2]});
    return ways;
}

}  // namespace

void Milestoning::save(Store& store) const {
    RateMethod::save(store);
    each_kept(*this, [&](const char* name, const auto& values) { keep(stream_, store, name, values); });
    store.put("rates.milestones", std::vector<long long>{phase_, at_, drawn_});
    store.put("rates.first", first_);
    store.put("rates.climbed", flat(climbed_));
    store.put("rates.ways", flat(ways_));
    store.put_scalar("rates.iteration_began", began_);
}

void Milestoning::load(const Store& store) {
    RateMethod::load(store);
    each_kept(*this, [&](const char* name, auto& values) { restore(stream_, store, name, values); });
    const auto numbers = store.get<long long>("rates.milestones", 3);
    phase_ = numbers[0], at_ = numbers[1], drawn_ = numbers[2];
    const auto first = store.get<long long>("rates.first", milestones_ + 1);
    first_.assign(first.begin(), first.end());
    climbed_ = ways_of(store.get<double>("rates.climbed", 3 * repeats_ * milestones_));
    ways_ = ways_of(store.get<double>("rates.ways"));
    began_ = store.scalar<double>("rates.iteration_began");
    bool sound = at_ >= 0 && at_ <= std::max(milestones_, setup_.rates.iterations) && first_.back() == own_ &&
                 std::ranges::is_sorted(first_) && std::ssize(ways_) <= setup_.rates.iterations * repeats_ * milestones_;
    if (phase_ == repeating) sound = sound && std::ssize(ways_) == at_ * repeats_ * milestones_;
    if (!sound) throw InputError("checkpoint.h5: its milestones are not those of [rates]; begin anew with --force");
}

}  // namespace

std::unique_ptr<RateMethod> make_milestoning(Stream& stream, const RateSetup& setup) {
    return std::make_unique<Milestoning>(stream, setup);
}

#endif

}  // namespace microlift
