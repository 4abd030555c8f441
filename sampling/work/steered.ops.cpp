#include "engine/launch/lanes.h"
#include "kernels/dynamics/period.h"

#if !defined(__CUDACC__)
#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/files/store.h"
#include "sampling/bias/energy.h"
#include "sampling/bias/methods.h"
#include "sampling/work/steered.h"
#endif

namespace microlift {

// What is kept of a moment: work so far and ξ, where there is room for it.
struct PullFrame {
    double* work = nullptr;
    float* xi = nullptr;
};
// Of the walkers that go one way.
struct PullMove {
    float next[kMaxCvs] = {};
    PullFrame before, after;
};

// A move of every walker's centre, and the work of it, in double precision of the numbers that the time loop pulls by.
struct PullBody {
    static constexpr index kGrain = 1024;
    PullMove forward, back;
    CvPeriods periods;
    int cvs;
    index walkers, row;
    const float *xi, *stiffness;
    float* center;
    double* work;

    LANE_FN void keep(const PullFrame& frame, index i, double done) const {
        if (!frame.work) return;
        frame.work[i] = done;
        for (int k = 0; k < cvs; ++k) frame.xi[k * row + i] = xi[k * row + i];
    }
    LANE_FN void operator()(index i) const {
        const bool ahead = i < walkers;
        const PullFrame before{ahead ? forward.before.work : back.before.work,
                               ahead ? forward.before.xi : back.before.xi};
        const PullFrame after{ahead ? forward.after.work : back.after.work,
                              ahead ? forward.after.xi : back.after.xi};
        double done = work[i];
        keep(before, i, done);
LANE_UNROLL
        for (int k = 0; k < kMaxCvs; ++k) {
            if (k >= cvs) break;
            const float next = ahead ? forward.next[k] : back.next[k];
            const double at = static_cast<double>(xi[k * row + i]), period = static_cast<double>(periods.period[k]);
            const double from = nearest_image(at - static_cast<double>(center[k * row + i]), period);
            const double to = nearest_image(at - static_cast<double>(next), period);
            done += 0.5 * static_cast<double>(stiffness[k * row + i]) * (to - from) * (to + from);
            center[k * row + i] = next;
        }
        work[i] = done;
        keep(after, i, done);
    }
};

HOST_PASS_BEGIN

void pull(Stream& stream, index n, const PullBody& body) { for_each_index(stream, n, body); }

HOST_PASS_END

#if !defined(__CUDACC__)

CvValue steered_center(const SteeredOptions& o, index moves) {
    std::vector<double> length{0};
    for (std::size_t p = 1; p < o.path.size(); ++p) {
        double square = 0;
        for (std::size_t k = 0; k < o.stiffness.size(); ++k)
            square += o.stiffness[k] * (o.path[p][k] - o.path[p - 1][k]) * (o.path[p][k] - o.path[p - 1][k]);
        length.push_back(length.back() + std::sqrt(square));
    }
    if (moves >= o.moves) return o.path.back();
    const double gone = length.back() * static_cast<double>(moves) / static_cast<double>(o.moves);
    std::size_t p = 1;
    while (p + 1 < length.size() && length[p] <= gone) ++p;
    const double part = (gone - length[p - 1]) / (length[p] - length[p - 1]);
    CvValue at{};
    for (std::size_t k = 0; k < at.size(); ++k) at[k] = o.path[p - 1][k] + part * (o.path[p][k] - o.path[p - 1][k]);
    return at;
}

Steered::Steered(Stream& stream, const BiasSetup& setup)
    : stream_(stream), setup_(setup), options_(options_of<SteeredOptions>(setup)), walkers_(setup.trajectories / 2),
      center_(stream.device(), setup.cvs * setup.trajectories),
      stiffness_(stream.device(), setup.cvs * setup.trajectories), work_(stream.device(), setup.trajectories),
      frame_xi_(stream.device(), frames() * setup.cvs * setup.trajectories),
      frame_work_(stream.device(), frames() * setup.trajectories) {
    if (setup.trajectories % 2 != 0 || options_.moves % options_.stride != 0 || options_.path.size() < 2)
        throw InputError("steered: as many walkers go forward as back, frames divide the moves, a path has two points");
    std::vector<float> stiffness;
    for (std::size_t k = 0; k < at(setup.cvs); ++k)
        stiffness.insert(stiffness.end(), at(setup.trajectories), static_cast<float>(options_.stiffness[k]));
    copy_to_device(stream, stiffness_.span(), stiffness.data());
    fill_zero(stream, work_.span());
    put_centers();
}

void Steered::put_centers() {
    const CvValue forward = steered_center(options_, moved_), back = steered_center(options_, options_.moves - moved_);
    std::vector<float> center;
    for (std::size_t k = 0; k < at(setup_.cvs); ++k)
        for (const CvValue& of : {forward, back})
            center.insert(center.end(), at(walkers_), static_cast<float>(of[k]));
    copy_to_device(stream_, center_.span(), center.data());
}

void Steered::begin(Ensemble& ensemble) {
    copy(stream_, ensemble.center(), Span<const float>(center_.span()));
    copy(stream_, ensemble.stiffness(), Span<const float>(stiffness_.span()));
}

void Steered::step(Ensemble& ensemble, Span<const float> xi) {
    if (static_cast<index>(ensemble.step()) < options_.start || done()) return;
    const index n = setup_.trajectories, all = options_.moves, left = all - moved_;
    const auto frame = [&](index place) -> PullFrame {
        if (place % options_.stride != 0) return {};
        const index f = place / options_.stride;
        return {frame_work_.data() + f * n, frame_xi_.data() + f * setup_.cvs * n};
    };
    PullBody body{};
    body.cvs = setup_.cvs, body.walkers = walkers_, body.row = n;
    body.xi = xi.data, body.stiffness = stiffness_.data(), body.center = center_.data(), body.work = work_.data();
    for (int k = 0; k < setup_.cvs; ++k) {
        body.periods.period[k] = static_cast<float>(options_.period[at(k)]);
        body.forward.next[k] = static_cast<float>(steered_center(options_, moved_ + 1)[at(k)]);
        body.back.next[k] = static_cast<float>(steered_center(options_, left - 1)[at(k)]);
    }
    // A frame is where the centre leaves on the way forward, and where it arrives on the way back: there both are in
    // the same state when one is the reverse of the other. The last frame is where the way back begins.
    body.forward.before = frame(moved_);
    body.back.after = frame(left - 1);
    if (left == 1) body.forward.after = frame(all);
    if (moved_ == 0) body.back.before = frame(all);
    pull(stream_, n, body);
    ++moved_;
    begin(ensemble);
}

void Steered::energy(Stream& stream, Span<const float> xi, index row, index n, Span<float> out) const {
    CvPeriods periods;
    for (int k = 0; k < setup_.cvs; ++k) periods.period[k] = static_cast<float>(options_.period[at(k)]);
    bias_energy(stream, {center_.data(), stiffness_.data(), setup_.trajectories, periods}, setup_.cvs, xi, row, n, out);
}

PulledPath Steered::path() const {
    PulledPath p;
    p.cvs = setup_.cvs, p.walkers = walkers_, p.frames = frames(), p.kt = options_.kt;
    p.stiffness = options_.stiffness, p.period = options_.period;
    for (index f = 0; f < frames(); ++f) p.center.push_back(steered_center(options_, f * options_.stride));
    p.xi = to_host(stream_, Span<const float>(frame_xi_.span()));
    p.work = to_host(stream_, Span<const double>(frame_work_.span()));
    p.total = to_host(stream_, Span<const double>(work_.span()));
    return p;
}

void Steered::save(Stream& stream, Store& store) const {
    store.put_scalar<long long>("steered_moves", moved_);
    store.put("steered_work", to_host(stream, Span<const double>(work_.span())));
    store.put("steered_frame_work", to_host(stream, Span<const double>(frame_work_.span())));
    store.put("steered_frame_xi", to_host(stream, Span<const float>(frame_xi_.span())));
}

void Steered::load(Stream& stream, const Store& store) {
    moved_ = store.scalar<long long>("steered_moves");
    if (moved_ < 0 || moved_ > options_.moves)
        throw InputError("checkpoint.h5: it has moved further than the path is long; begin anew with --force");
    copy_to_device(stream, work_.span(), store.get<double>("steered_work", work_.size()).data());
    copy_to_device(stream, frame_work_.span(), store.get<double>("steered_frame_work", frame_work_.size()).data());
    copy_to_device(stream, frame_xi_.span(), store.get<float>("steered_frame_xi", frame_xi_.size()).data());
    put_centers();
}

#endif

}  // namespace microlift
