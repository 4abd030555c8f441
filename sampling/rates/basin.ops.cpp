#include "engine/launch/lanes.h"
#include "sampling/rates/look.h"

#if !defined(__CUDACC__)
#include <algorithm>

#include "engine/at.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/rates/basin.h"
#include "sampling/rates/kept.h"
#endif

namespace microlift {

struct BasinView {
    // To `from` for the first time; inside, on the way to the first level; outside.
    enum Phase : int { before = 0, inside = 1, outside = 2 };
    static constexpr int32 kEntered = 4;  // added to the phase: the state at the entrance is this way's
    // What becomes of the state: it is a way's end, it is replaced by that at the entrance, or kept there.
    enum Action : int { way = 1, anew = 2, enter = 4 };
    RateLook look;
    index row;
    float level;
    double settled;  // looks before ways count
    int32 loops;
    float *entrance, *start;
    int32 *phase, *ways, *action;  // actions by lane, all else by number
    double *since, *out;
    uint64* wrong;  // how often in both states; in `to` short of the first level
};

struct BasinBody {
    BasinView b;
    LANE_FN void operator()(index i) const {
        if (!(b.look.alive[i] > 0.0f)) return;
        const index r = b.look.number[i];
        const int32 now = b.phase[r] & 3;
        const bool here = b.look.to_from(i) <= 0.0f;
        bool entered = (b.phase[r] & BasinView::kEntered) != 0;
        int32 next = now, action = 0;
        if (here && b.look.to_to(i) <= 0.0f) atomic_add(b.wrong, 1);
        if (now == BasinView::before && here) {
            next = BasinView::inside;
            b.since[r] = b.look.now();
        } else if (now == BasinView::inside && b.look.progress(i) >= b.level) {
            next = BasinView::outside;
            entered = false;
            if (b.since[r] >= b.settled) {
                b.out[r] += b.look.now() - b.since[r];
                action |= BasinView::way;
            }
        } else if (now == BasinView::inside && !here && b.look.to_to(i) <= 0.0f) {
            atomic_add(b.wrong + 1, 1);
        } else if (now == BasinView::outside) {
            const Passage passage = b.look.passage(i, true, true);
            if (passage.set >= 0) {
                next = BasinView::inside;
                b.since[r] = b.look.now(passage.moment);
                entered = passage.set == 1;  // it begins anew where it entered
                if (entered) action |= BasinView::anew;
            }
        }
        if (next == BasinView::inside && !entered && here) {
            action |= BasinView::enter;
            entered = true;
        }
        b.look.remember(i);
        b.phase[r] = next + (entered ? BasinView::kEntered : 0);
        b.action[i] = action;
    }
};

// Apart from what decides: both together would need more registers than there are.
struct BasinStateBody {
    BasinView b;
    LANE_FN void operator()(index i) const {
        if (!(b.look.alive[i] > 0.0f)) return;
        const index r = b.look.number[i];
        const int32 action = b.action[i];
        if (action & BasinView::way) {
            b.look.store(i, b.start, b.row * b.loops, r * b.loops + b.ways[r]);
            if (++b.ways[r] >= b.loops) b.look.alive[i] = 0.0f;
        }
        if (action & BasinView::anew) b.look.load(i, b.entrance, b.row, r);
        if (action & BasinView::enter) b.look.store(i, b.entrance, b.row, r);
    }
};

HOST_PASS_BEGIN

void look_at_basin(Stream& stream, const BasinView& view) {
    for_each_index(stream, view.look.columns, BasinBody{view});
    for_each_index(stream, view.look.columns, BasinStateBody{view});
}

HOST_PASS_END

#if !defined(__CUDACC__)

Basin::Basin(Stream& stream, const RateSetup& setup, RateLanes& lanes, index n, index loops)
    : stream_(stream), setup_(setup), lanes_(lanes), n_(n), loops_(loops), left_(n), ladder_(ladder_of(setup.rates)) {
    const Device& device = stream.device();
    entrance_ = Buffer<float>(device, lanes.numbers() * n);
    start_ = Buffer<float>(device, lanes.numbers() * n * loops);
    phase_ = Buffer<int32>(device, n);
    ways_ = Buffer<int32>(device, n);
    action_ = Buffer<int32>(device, n);
    since_ = Buffer<double>(device, n);
    out_ = Buffer<double>(device, n);
    both_ = Buffer<uint64>(device, 2);
}

void Basin::begin() {
    const Model& model = setup_.model;
    const RatesConfig& rates = setup_.rates;
    const index D = model.dim();
    lanes_.begin(n_);
    std::vector<double> state = rates.initial;
    if (state.empty() && model.molecule()) state = model.molecule()->position;
    const bool line = state.empty();
    state.resize(static_cast<std::size_t>(D), 0.0);
    std::vector<float> all;
    for (const double x : state) all.insert(all.end(), static_cast<std::size_t>(n_), static_cast<float>(x));
    all.resize(static_cast<std::size_t>(lanes_.numbers() * n_), 0.0f);
    copy_to_device(stream_, lanes_.state(), all.data());
    if (line && rates.from.value && rates.progress.empty() && model.n_cvs() == 1) {
        constexpr int kSteps = 10;
        const std::vector<float> value(static_cast<std::size_t>(n_), static_cast<float>(*rates.from.value));
        Buffer<float> target(stream_.device(), n_);
        copy_to_device(stream_, target.span(), value.data());
        model.project(stream_, target.span(), n_, n_, lanes_.state(), n_, kSteps);
    }
    lanes_.draw_velocities(setup_.seed);
    lanes_.look_at_start();
}

bool Basin::advance() {
    const double settled = static_cast<double>(setup_.rates.equilibrate / setup_.rates.stride);
    lanes_.advance();
    look_at_basin(stream_, {lanes_.view(), n_, static_cast<float>(ladder_.levels[at(ladder_.first)]), settled,
                            static_cast<int32>(loops_), entrance_.data(), start_.data(), phase_.data(), ways_.data(), action_.data(),
                            since_.data(), out_.data(), both_.data()});
    if (!lanes_.piece_ends()) return true;
    left_ = lanes_.keep();
    const std::vector<uint64> wrong = to_host(stream_, Span<const uint64>(both_.span()));
    if (wrong[0] > 0)
        throw InputError("rates.from and rates.to overlap: a trajectory was in both; give states that have nothing in common");
    if (wrong[1] > 0)
        throw InputError("a trajectory came from rates.from to rates.to and not to the first of rates.levels: give levels that "
                         "lie between the two, and a progress coordinate that grows from one to the other");
    // A state that nothing ever is in is not waited for.
    const index patience = 10 * std::max<index>(setup_.rates.equilibrate, 1000);
    if (left_ == n_ && lanes_.looks() * setup_.rates.stride >= patience &&
        std::ranges::all_of(to_host(stream_, Span<const int32>(phase_.span())),
                            [](int32 phase) { return (phase & 3) == BasinView::before; }))
        throw NumericError("none of " + std::to_string(n_) + " trajectories came to rates.from within " +
                           std::to_string(patience) + " steps, ten times rates.equilibrate or 10000: check that it can be "
                           "true, begin inside it (rates.initial), or raise rates.equilibrate");
    if (left_ > 0 && lanes_.looks() > setup_.rates.longest / setup_.rates.stride)
        throw NumericError(std::to_string(left_) + " of " + std::to_string(n_) + " trajectories did not come from rates.from to the first "
                           "level " + std::to_string(loops_) + " times within " + std::to_string(setup_.rates.longest) +
                           " steps: begin inside it (rates.initial), give a first level that is nearer, or raise rates.longest");
    return left_ > 0;
}

std::vector<double> Basin::way_out() const {
    std::vector<double> mean = to_host(stream_, out_.span());
    for (double& m : mean) m /= static_cast<double>(loops_);
    return mean;
}

void Basin::save(Store& store) const {
    each_kept(*this, [&](const char* name, const auto& values) { keep(stream_, store, name, values); });
    store.put_scalar("rates.basin.left", static_cast<long long>(left_));
}

void Basin::load(const Store& store) {
    each_kept(*this, [&](const char* name, auto& values) { restore(stream_, store, name, values); });
    left_ = store.scalar<long long>("rates.basin.left");
}

#endif

}  // namespace microlift
