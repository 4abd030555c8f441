// Weighted ensemble (Huber, Kim, Biophys. J. 70 (1996) 97) in a steady state: walkers with weights, which at intervals
// are split and merged within bins of the progress coordinate, so that every bin that is not empty has as many. Which
// go on is drawn by their weights, evenly along the progress coordinate, so that bins change no mean. What enters `to`
// begins anew where `from` is entered, and the flux of weight there is one over the mean first passage time (Hill).
#include "engine/launch/lanes.h"
#include "sampling/rates/look.h"

#if !defined(__CUDACC__)
#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/launch/gather.h"
#include "engine/launch/reduce.h"
#include "engine/launch/sort.h"
#include "engine/text.h"
#include "sampling/rates/kept.h"
#include "sampling/rates/method.h"
#include "sampling/rates/methods.h"
#endif

namespace microlift {

struct EnsembleView {
    index each, bins;  // walkers in a bin, and bins of a repeat
    const float* level;
    double *weight, *flux;

    LANE_FN index walkers() const { return each * bins; }
    LANE_FN index bin(float progress) const {
        index low = 0, high = bins - 1;  // levels that lie not above
        while (low < high) {
            const index middle = (low + high) / 2;
            if (progress >= level[middle])
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }
};

struct EnsembleLookBody {
    EnsembleView ensemble;
    RateLook look;
    const float* entrance;
    index entrances;
    LANE_FN void operator()(index i) const {
        const bool entered = ensemble.weight[i] > 0.0 && look.passage(i, false, true).set == 1;
        look.remember(i);
        if (!entered) return;
        ensemble.flux[i] += ensemble.weight[i];
        const PhiloxStream<float> rng(look.seed, kStreamRatePick, i);
        uint32 u[4];
        rng.draw(look.look, u);
        look.load(i, entrance, entrances, static_cast<index>(u[0]) % entrances);
        constexpr float kFar = 1e30f;
        look.q[i] = -kFar;  // in the first bin, far from the end
        look.before[look.columns + i] = kFar;
    }
};

// Walkers by the progress coordinate, those without a weight behind all others.
struct PlaceKeyBody {
    EnsembleView ensemble;
    const float* progress;
    float* key;
    uint32* order;
    LANE_FN void operator()(index i) const {
        key[i] = ensemble.weight[i] > 0.0 ? progress[i] : 3e38f;
        order[i] = static_cast<uint32>(i);
    }
};

// By repeat and bin.
struct BinKeyBody {
    EnsembleView ensemble;
    const float* progress;
    const uint32* order;
    float* key;
    LANE_FN void operator()(index j) const {
        const index i = order[j], repeat = i / ensemble.walkers();
        const index bin = ensemble.weight[i] > 0.0 ? ensemble.bin(progress[i]) : ensemble.bins;
        key[j] = static_cast<float>(repeat * (ensemble.bins + 1) + bin);
    }
};

// The walkers of a bin: as many as it has room for, at even distances in their weight.
struct ResampleBody {
    static constexpr index kGrain = 8;
    EnsembleView ensemble;
    index n;
    const float* key;
    const uint32* order;
    uint64 seed, round;
    index* parent;
    double *weight, *occupied;
    bool counted;
    LANE_FN index first_of(float bin) const {
        index low = 0, high = n;
        while (low < high) {
            const index middle = (low + high) / 2;
            if (key[middle] < bin)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }
    LANE_FN void operator()(index b) const {
        const index repeat = b / ensemble.bins, bin = b - repeat * ensemble.bins;
        const index number = repeat * (ensemble.bins + 1) + bin, slots = b * ensemble.each;
        const index from = first_of(static_cast<float>(number)), to = first_of(static_cast<float>(number + 1));
        double all = 0.0;
        for (index j = from; j < to; ++j) all += ensemble.weight[order[j]];
        const double part = all / static_cast<double>(ensemble.each);
        if (counted) occupied[b] += all;
        const PhiloxStream<float> rng(seed, kStreamRatePick, b);
        uint32 u[4];
        rng.draw(~round, u);
        const double shift = (static_cast<double>(u[0]) + 0.5) * 0x1p-32;
        double passed = 0.0;
        index j = from;
        for (index s = 0; s < ensemble.each; ++s) {
            weight[slots + s] = to > from ? part : 0.0;
            if (to == from) {
                parent[slots + s] = slots + s;
                continue;
            }
            const double place = (static_cast<double>(s) + shift) * part;
            while (j + 1 < to && passed + ensemble.weight[order[j]] <= place) passed += ensemble.weight[order[j++]];
            parent[slots + s] = order[j];
        }
    }
};

// Before the first step every repeat is in its first bin.
struct FirstWalkersBody {
    EnsembleView ensemble;
    index entrances;
    index* parent;
    LANE_FN void operator()(index i) const {
        const index repeat = i / ensemble.walkers(), slot = i - repeat * ensemble.walkers();
        ensemble.weight[i] = slot < ensemble.each ? 1.0 / static_cast<double>(ensemble.each) : 0.0;
        parent[i] = (repeat * ensemble.each + slot) % entrances;
    }
};

HOST_PASS_BEGIN

void first_walkers(Stream& stream, index n, const FirstWalkersBody& body) { for_each_index(stream, n, body); }
void look_at_walkers(Stream& stream, const EnsembleLookBody& body) { for_each_index(stream, body.look.columns, body); }
void key_by_place(Stream& stream, index n, const PlaceKeyBody& body) { for_each_index(stream, n, body); }
void key_by_bin(Stream& stream, index n, const BinKeyBody& body) { for_each_index(stream, n, body); }
void resample_bins(Stream& stream, index bins, const ResampleBody& body) { for_each_index(stream, bins, body); }

HOST_PASS_END

#if !defined(__CUDACC__)

namespace {

constexpr index kEntrances = 1024;  // states at most that walkers begin anew in
constexpr index kShown = 200;       // parts of the time that the report draws

class WeightedEnsemble final : public RateMethod {
public:
    WeightedEnsemble(Stream& stream, const RateSetup& setup)
        : WeightedEnsemble(stream, setup, replicas_of(setup.rates), std::ssize(ladder_of(setup.rates).levels) + 1) {}

    bool advance() override;
    double share() const override {
        return leaving_ ? 0.1 * basin_.share() : 0.1 + 0.9 * static_cast<double>(round_) / static_cast<double>(rounds_);
    }
    RateResult result() override;
    void save(Store& store) const override;
    void load(const Store& store) override;

private:
    // By name, what a checkpoint has of the device.
    template <class Self, class Each>
    static void each_kept(Self& self, const Each& each) {
        each("rates.weight", self.weight_);
        each("rates.flux", self.flux_);
        each("rates.series", self.series_);
        each("rates.occupied", self.occupied_);
    }

    WeightedEnsemble(Stream& stream, const RateSetup& setup, index each, index bins);
    EnsembleView view() { return {each_, bins_, level_.data(), weight_.data(), flux_.data()}; }
    index relaxed() const { return static_cast<index>(setup_.rates.relax * static_cast<double>(rounds_)); }
    void start();
    void split();
    // Σ of the flux of rounds [from, to) of all repeats but one, per repeat and round.
    double flux(const std::vector<double>& series, index from, index to, index without) const;
    void add_pictures(RateResult& result, const std::vector<double>& series);

    index each_, bins_, repeats_, n_, rounds_, looks_;  // looks of an interval
    bool leaving_ = true;
    index round_ = 0, look_ = 0;
    Buffer<float> level_, key_, next_;
    Buffer<uint32> order_;
    Buffer<index> parent_;
    Buffer<double> weight_, next_weight_, flux_, series_, occupied_, scratch_;
    Buffer<unsigned char> sort_scratch_;
};

WeightedEnsemble::WeightedEnsemble(Stream& stream, const RateSetup& setup, index each, index bins)
    : RateMethod(stream, setup, std::max(each * bins * setup.rates.repeats, kEntrances), kEntrances, 1), each_(each),
      bins_(bins), repeats_(setup.rates.repeats), n_(each * bins * setup.rates.repeats),
      rounds_(setup.rates.steps / setup.rates.interval), looks_(setup.rates.interval / setup.rates.stride) {
    const Device& device = stream.device();
    level_ = Buffer<float>(device, levels());
    const std::vector<float> values(ladder_.levels.begin(), ladder_.levels.end());
    copy_to_device(stream, level_.span(), values.data());
    key_ = Buffer<float>(device, n_);
    next_ = Buffer<float>(device, std::max(lanes_.numbers(), 2) * n_);
    order_ = Buffer<uint32>(device, n_);
    parent_ = Buffer<index>(device, n_);
    for (Buffer<double>* buffer : {&weight_, &next_weight_, &flux_}) *buffer = Buffer<double>(device, n_);
    series_ = Buffer<double>(device, rounds_ * repeats_);
    occupied_ = Buffer<double>(device, repeats_ * bins);
    scratch_ = Buffer<double>(device, reduce_scratch(repeats_, each * bins));
    sort_scratch_ = Buffer<unsigned char>(device, sort_scratch(device, n_));
    basin_.begin();
}

void WeightedEnsemble::start() {
    lanes_.begin(n_);
    first_walkers(stream_, n_, {view(), basin_.size(), parent_.data()});
    gather_columns(stream_, basin_.entrance().data, basin_.size(), lanes_.numbers(), parent_.span(), lanes_.state().data);
    lanes_.look_at_start();
    leaving_ = false;
}

bool WeightedEnsemble::advance() {
    if (leaving_) {
        if (!basin_.advance()) start();
        return true;
    }
    if (round_ == rounds_) return false;
    lanes_.advance();
    look_at_walkers(stream_, {view(), lanes_.view(), basin_.entrance().data, basin_.size()});
    if (++look_ < looks_) return true;
    look_ = 0;
    split();
    lanes_.keep();
    return ++round_ < rounds_;
}

void WeightedEnsemble::split() {
    row_sum(stream_, Rows<double>(flux_.data(), repeats_, each_ * bins_, each_ * bins_),
            series_.span().subspan(round_ * repeats_, repeats_), scratch_.span());
    fill_zero(stream_, flux_.span());
    key_by_place(stream_, n_, {view(), lanes_.progress().data, key_.data(), order_.data()});
    sort_pairs(stream_, key_.span(), order_.span(), sort_scratch_.span());
    key_by_bin(stream_, n_, {view(), lanes_.progress().data, order_.data(), key_.data()});
    sort_pairs(stream_, key_.span(), order_.span(), sort_scratch_.span());
    resample_bins(stream_, repeats_ * bins_,
                  {view(), n_, key_.data(), order_.data(), setup_.seed, static_cast<uint64>(round_), parent_.data(),
                   next_weight_.data(), occupied_.data(), round_ >= relaxed()});
    std::swap(weight_, next_weight_);
    gather_columns(stream_, lanes_.state().data, n_, lanes_.numbers(), parent_.span(), next_.data());
    copy(stream_, lanes_.state(), Span<const float>(next_.data(), lanes_.numbers() * n_));
    gather_columns(stream_, lanes_.before().data, n_, 2, parent_.span(), next_.data());
    copy(stream_, lanes_.before(), Span<const float>(next_.data(), 2 * n_));
}

double WeightedEnsemble::flux(const std::vector<double>& series, index from, index to, index without) const {
    double sum = 0;
    for (index t = from; t < to; ++t)
        for (index g = 0; g < repeats_; ++g)
            if (g != without) sum += series[at(t * repeats_ + g)];
    return sum / static_cast<double>((to - from) * (repeats_ - (without >= 0 ? 1 : 0)));
}

RateResult WeightedEnsemble::result() {
    constexpr double kUnsteady = 4;  // standard errors
    RateResult result;
    const std::vector<double> series = to_host(stream_, Span<const double>(series_.span()));
    const index from = relaxed(), middle = (from + rounds_) / 2;
    add_times(result, [&](index without) {
        return std::log(static_cast<double>(looks_) / flux(series, from, rounds_, without));
    });
    const RateFigure drift = jackknife(repeats_, [&](index without) {
        return std::log(flux(series, middle, rounds_, without) / flux(series, from, middle, without));
    });
    result.metrics["drift"] = drift.value;
    result.metrics["drift_error"] = drift.error;
    if (std::isfinite(drift.value) && std::fabs(drift.value) > kUnsteady * drift.error)
        result.warnings.push_back("the flux into rates.to is not steady: its logarithm changes by " +
                                  number(drift.value, 2) + " +- " + number(drift.error, 1) +
                                  " between the halves that count; give more rates.steps, or a larger rates.relax");
    result.metrics["walkers"] = each_;
    add_pictures(result, series);
    return result;
}

void WeightedEnsemble::add_pictures(RateResult& result, const std::vector<double>& series) {
    const double round_time = static_cast<double>(looks_) * lanes_.dt();
    Json& shown = result.metrics["flux"] = Json::array();
    const index parts = std::min(kShown, rounds_);
    for (index k = 0; k < parts; ++k) {
        const index a = k * rounds_ / parts, b = (k + 1) * rounds_ / parts;
        shown.push_back({{"time", static_cast<double>(b) * round_time}, {"flux", flux(series, a, b, -1) / round_time}});
    }
    // Of blocks of time, beside that of repeats: what memory is longer than a block is in neither.
    constexpr index kBlocks = 10;
    const index from = relaxed();
    if (rounds_ - from >= 2 * kBlocks) {
        const auto block = [&](index k) { return from + k * (rounds_ - from) / kBlocks; };
        const RateFigure blocks = jackknife(kBlocks, [&](index without) {
            double sum = 0, n = 0;
            for (index k = 0; k < kBlocks; ++k)
                if (k != without) sum += flux(series, block(k), block(k + 1), -1), n += 1;
            return std::log(sum / n);
        });
        result.metrics["block_error"] = blocks.error;
    }
    const std::vector<double> occupied = to_host(stream_, Span<const double>(occupied_.span()));
    Json& list = result.metrics["bins"] = Json::array();
    for (index b = 0; b < bins_; ++b) {
        double sum = 0;
        for (index g = 0; g < repeats_; ++g) sum += occupied[at(g * bins_ + b)];
        Json bin{{"probability", sum / static_cast<double>(repeats_ * (rounds_ - from))}};
        if (b > 0) bin["from"] = ladder_.sign * ladder_.levels[at(b - 1)];
        if (b + 1 < bins_) bin["to"] = ladder_.sign * ladder_.levels[at(b)];
        list.push_back(bin);
    }
}

void WeightedEnsemble::save(Store& store) const {
    RateMethod::save(store);
    each_kept(*this, [&](const char* name, const auto& values) { keep(stream_, store, name, values); });
    store.put("rates.ensemble", std::vector<long long>{leaving_, round_, look_});
}

void WeightedEnsemble::load(const Store& store) {
    RateMethod::load(store);
    each_kept(*this, [&](const char* name, auto& values) { restore(stream_, store, name, values); });
    const auto numbers = store.get<long long>("rates.ensemble", 3);
    leaving_ = numbers[0] != 0;
    round_ = numbers[1], look_ = numbers[2];
    if (round_ < 0 || round_ > rounds_ || look_ < 0 || look_ >= looks_)
        throw InputError("checkpoint.h5: its rounds are not those of [rates]; begin anew with --force");
}

}  // namespace

std::unique_ptr<RateMethod> make_weighted_ensemble(Stream& stream, const RateSetup& setup) {
    return std::make_unique<WeightedEnsemble>(stream, setup);
}

#endif

}  // namespace microlift
