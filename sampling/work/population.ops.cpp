#include "engine/launch/lanes.h"
#include "kernels/lane/math.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"

#if !defined(__CUDACC__)
#include <algorithm>
#include <cmath>
#include <set>

#include "engine/at.h"
#include "engine/launch/gather.h"
#include "engine/launch/reduce.h"
#include "sampling/numerics/statistics.h"
#include "sampling/work/population.h"
#endif

namespace microlift {

struct LogWeightBody {
    double step;
    const float* energy;
    double* out;
    LANE_FN void operator()(index i) const { out[i] = -step * static_cast<double>(energy[i]); }
};

// Relative to the largest of the island.
struct IslandWeightBody {
    index each;
    const double* largest;
    double* weight;
    LANE_FN void operator()(index i) const { weight[i] = exp<Portable>(weight[i] - largest[i / each]); }
};

// Child j of an island stands at (j + u)/children of its weights, u one number of the island: so each walker has as many
// offspring as its weight asks for, rounded, and they stay side by side.
struct ParentBody {
    static constexpr index kGrain = 256;
    index each;
    uint64 seed, rung;
    const double* sum;  // of weights, so far
    index* parent;
    LANE_FN void operator()(index i) const {
        const index island = i / each, first = island * each;
        uint32 u[4];
        PhiloxStream<float>(seed, kStreamBootstrap, island).draw(rung, u);
        const double before = first > 0 ? sum[first - 1] : 0.0, all = sum[first + each - 1] - before;
        const double place = static_cast<double>(i - first) + (static_cast<double>(u[0]) + 0.5) * 0x1p-32;
        const double aim = before + all * (place / static_cast<double>(each));
        index low = first, high = first + each - 1;
        while (low < high) {
            const index middle = low + (high - low) / 2;
            if (sum[middle] > aim)
                high = middle;
            else
                low = middle + 1;
        }
        parent[i] = low;
    }
};

struct FamilyBody {
    const index *parent, *family;
    index* drawn;
    LANE_FN void operator()(index i) const { drawn[i] = family[parent[i]]; }
};

struct TakeDrawnBody {
    float factor;
    const float* from;
    float* to;
    LANE_FN void operator()(index i) const { to[i] = factor * from[i]; }
};

HOST_PASS_BEGIN

void log_weights(Stream& stream, index n, const LogWeightBody& body) { for_each_index(stream, n, body); }
void island_weights(Stream& stream, index n, const IslandWeightBody& body) { for_each_index(stream, n, body); }
void choose_parents(Stream& stream, index n, const ParentBody& body) { for_each_index(stream, n, body); }
void draw_families(Stream& stream, index n, const FamilyBody& body) { for_each_index(stream, n, body); }
void take_drawn(Stream& stream, index n, const TakeDrawnBody& body) { for_each_index(stream, n, body); }

HOST_PASS_END

#if !defined(__CUDACC__)

index population_islands(index walkers) {
    constexpr index kMost = 32, kLeast = 4, kEach = 8;
    for (index islands = kMost; islands >= kLeast; --islands)
        if (walkers % islands == 0 && walkers / islands >= kEach) return islands;
    return 0;
}

Population::Population(Stream& stream, index walkers, uint64 seed)
    : stream_(stream), walkers_(walkers), islands_(population_islands(walkers)), seed_(seed), log_z_(at(islands_)),
      weight_(stream.device(), walkers), sums_(stream.device(), islands_), largest_(stream.device(), islands_),
      scratch_(stream.device(), reduce_scratch(islands_, walkers)), parent_(stream.device(), walkers),
      family_(stream.device(), walkers), drawn_family_(stream.device(), walkers) {
    if (islands_ == 0) throw InputError("population: no number from 4 to 32 divides the walkers, with 8 for each");
    std::vector<index> own;
    for (index i = 0; i < walkers; ++i) own.push_back(i);
    copy_to_device(stream, family_.span(), own.data());
}

void Population::choose(double step, Span<const float> energy, uint64 rung) {
    const index each = walkers_ / islands_;
    log_weights(stream_, walkers_, {step, energy.data, weight_.data()});
    row_log_sum_exp(stream_, Rows<double>(weight_.data(), islands_, each, each), sums_.span(), largest_.span(),
                    scratch_.span());
    const std::vector<double> sums = to_host(stream_, Span<const double>(sums_.span()));
    for (std::size_t g = 0; g < sums.size(); ++g) log_z_[g] += sums[g] - std::log(static_cast<double>(each));
    choose_among(islands_, rung);
}

void Population::merge(uint64 rung) {
    std::vector<double> weights;
    for (index i = 0; i < walkers_; ++i) weights.push_back(log_z_[at(i / (walkers_ / islands_))]);
    const double most = *std::max_element(log_z_.begin(), log_z_.end());
    copy_to_device(stream_, weight_.span(), weights.data());
    copy_to_device(stream_, largest_.span().subspan(0, 1), &most);
    choose_among(1, rung);
}

void Population::choose_among(index islands, uint64 rung) {
    const index each = walkers_ / islands;
    island_weights(stream_, walkers_, {each, largest_.data(), weight_.data()});
    prefix_sum(stream_, Span<const double>(weight_.span()), weight_.span(), scratch_.span());
    choose_parents(stream_, walkers_, {each, seed_, rung, weight_.data(), parent_.data()});
    draw_families(stream_, walkers_, {parent_.data(), family_.data(), drawn_family_.data()});
    copy(stream_, family_.span(), Span<const index>(drawn_family_.span()));
}

void Population::draw(Span<float> x, index rows, float factor) {
    if (drawn_.size() < rows * walkers_) drawn_ = Buffer<float>(stream_.device(), rows * walkers_);
    gather_columns(stream_, x.data, walkers_, rows, Span<const index>(parent_.span()), drawn_.data());
    take_drawn(stream_, rows * walkers_, {factor, drawn_.data(), x.data});
}

std::vector<long long> Population::family() const {
    const std::vector<index> own = to_host(stream_, Span<const index>(family_.span()));
    return {own.begin(), own.end()};
}

index Population::families() const {
    const std::vector<long long> own = family();
    return std::ssize(std::set<long long>(own.begin(), own.end()));
}

void Population::load(const std::vector<long long>& family, const std::vector<double>& log_z) {
    const bool sound = std::ranges::all_of(family, [&](long long f) { return f >= 0 && f < walkers_; });
    if (std::ssize(family) != walkers_ || std::ssize(log_z) != islands_ || !sound)
        throw InputError("checkpoint.h5: it does not hold the population of this run; begin anew with --force");
    const std::vector<index> own(family.begin(), family.end());
    copy_to_device(stream_, family_.span(), own.data());
    log_z_ = log_z;
}

LogRatio log_ratio(const std::vector<double>& log_z) {
    const auto n = static_cast<double>(log_z.size());
    const double most = *std::max_element(log_z.begin(), log_z.end());
    double sum = 0;
    for (const double z : log_z) sum += std::exp(z - most);
    std::vector<double> without;
    for (const double z : log_z) without.push_back(std::log((sum - std::exp(z - most)) / (n - 1)));
    return {most + std::log(sum / n), jackknife_error(std::move(without))};
}

#endif

}  // namespace microlift
