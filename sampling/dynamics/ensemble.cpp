#include "sampling/dynamics/ensemble.h"

#include <algorithm>
#include <cmath>
#include <deque>

#include "engine/launch/work.h"

namespace microlift {

namespace {

constexpr index kGathered = index{1} << 21;  // values of samples that processes hand on at once: they stay in a cache

}  // namespace

Ensemble::Ensemble(Stream& stream, std::shared_ptr<const PathKernel> kernel, index trajectories,
                   uint64 seed, uint32 rng_stream, index first_trajectory)
    : stream_(stream),
      kernel_(std::move(kernel)),
      describer_(dynamic_cast<const WayDescriber*>(kernel_.get())),
      n_(trajectories),
      first_(first_trajectory),
      seed_(seed),
      rng_stream_(rng_stream),
      x_(stream.device(), kernel_->dim() * trajectories),
      v_(stream.device(), kernel_->has_velocity() ? kernel_->dim() * trajectories : 0),
      center_(stream.device(), kernel_->n_cvs() * trajectories),
      stiffness_(stream.device(), kernel_->n_cvs() * trajectories),
      share_(Communicator::world().share_or_all(trajectories)),
      status_(stream.device(), 2) {
    Communicator& world = Communicator::world();
    const index own = share_.count;
    accepted_ = Buffer<uint64>(stream.device(), kernel_->metropolis() ? own : 0);
    const uint64 clear[2] = {0, kStatusClear};
    copy_to_device(stream_, status_.span(), clear);
    // As the largest share has them, so that all processes launch alike.
    const index most = shared() ? (n_ + world.size() - 1) / world.size() : n_;
    launch_steps_ = microlift::launch_steps(stream.device(), most, kernel_->step_cost());
    if (!shared()) return;
    launch_steps_ = world.least(launch_steps_);
    const index cvs = kernel_->n_cvs();
    own_ = {Buffer<float>(stream.device(), kernel_->dim() * own), Buffer<float>(stream.device(), v_.size() / n_ * own),
            Buffer<float>(stream.device(), cvs * own), Buffer<float>(stream.device(), cvs * own), {}};
}

void Ensemble::gather() {
    if (!own_ahead_) return;
    collect_columns(stream_, own_.x, n_, x_, own_.all);
    collect_columns(stream_, own_.v, n_, v_, own_.all);
    own_ahead_ = false;
}

void Ensemble::share_out() {
    if (states_touched_) {
        take_columns(stream_, x_, n_, share_, own_.x);
        take_columns(stream_, v_, n_, share_, own_.v);
    }
    if (bias_touched_) {
        take_columns(stream_, center_, n_, share_, own_.center);
        take_columns(stream_, stiffness_, n_, share_, own_.stiffness);
    }
    states_touched_ = bias_touched_ = false;
}

PathArgs Ensemble::args(uint64 stride, index segments) {
    const bool all = !shared();
    return {share_.count, first_ + share_.first, seed_, rng_stream_, step_, stride, segments,
            all ? x_.data() : own_.x.data(), all ? v_.data() : own_.v.data(),
            all ? center_.data() : own_.center.data(), all ? stiffness_.data() : own_.stiffness.data(),
            nullptr, nullptr, 0, status_.data(),
            accepted_.size() ? accepted_.data() : nullptr, grid_, checked_, nullptr,
            kernel_->periods()};
}

void Ensemble::keep_good() {
    if (!describer_) return;
    const Buffer<float>* const now[2] = {shared() ? &own_.x : &x_, shared() ? &own_.v : &v_};
    for (int k = 0; k < 2; ++k) {
        if (good_[k].size() == 0) good_[k] = Buffer<float>(stream_.device(), now[k]->size());
        copy(stream_, good_[k].span(), now[k]->span());
    }
    good_step_ = step_;
}

void Ensemble::launch(const PathArgs& args) {
    if (shared()) share_out();
    if (good_step_ == kNever) keep_good();
    kernel_->launch(stream_, args);
    own_ahead_ = shared();
    const uint64 steps = args.stride * static_cast<uint64>(args.segments);
    step_ += steps;
    force_evaluations_ +=
        static_cast<double>(kernel_->force_evaluations(steps)) * static_cast<double>(n_);
}

uint64 Ensemble::launch_steps() const {
    return launch_steps_;
}

void Ensemble::advance(uint64 steps) {
    for (const uint64 most = launch_steps(); steps > 0;) {
        const uint64 now = std::min(steps, most);
        launch(args(now, 1));
        steps -= now;
    }
}

// store(args) launches what they say, and keeps what comes of it.
template <class Store>
void Ensemble::sample_in_launches(uint64 stride, index segments, index most_segments, const Store& store) {
    const uint64 most = launch_steps();
    const auto together = static_cast<index>(std::max<uint64>(1, most / std::max<uint64>(stride, 1)));
    while (segments > 0) {
        uint64 left = stride;
        if (stride > most) {
            left = (stride - 1) % most + 1;
            advance(stride - left);
        }
        const index now = std::min({segments, together, most_segments});
        store(args(left, now));
        segments -= now;
    }
}

void Ensemble::sample_own(uint64 stride, index segments, SampleSet& samples) {
    if (samples.n + segments * share_.count > samples.row)
        throw std::logic_error("sample set: more samples than it was made for");
    sample_in_launches(stride, segments, segments, [&](PathArgs a) {
        a.sample_x = samples.x.data() + samples.n;
        a.sample_xi = samples.xi.data() + samples.n;
        a.sample_row = samples.row;
        launch(a);
        samples.n += a.segments * share_.count;
    });
}

void Ensemble::sample(uint64 stride, index segments, SampleSet& samples) {
    if (!shared()) return sample_own(stride, segments, samples);
    if (samples.n + segments * n_ > samples.row)
        throw std::logic_error("sample set: more samples than it was made for");
    const index at_once = std::max<index>(1, kGathered / ((samples.dim + samples.n_cvs) * n_));
    sample_in_launches(stride, segments, at_once, [&](const PathArgs& a) { gather_samples(a, samples); });
}

void Ensemble::gather_samples(const PathArgs& args, SampleSet& samples) {
    const index D = samples.dim, K = samples.n_cvs, S = args.segments;
    PathArgs a = args;
    a.sample_x = own_.all.own(stream_, (D + K) * S, n_, 1);
    a.sample_row = S * share_.count;
    a.sample_xi = a.sample_x + D * a.sample_row;
    launch(a);
    own_.all.gather(stream_);
    own_.all.place(stream_, 0, D * S, S, samples.x.data() + samples.n, samples.row);
    own_.all.place(stream_, D * S, K * S, S, samples.xi.data() + samples.n, samples.row);
    samples.n += S * n_;
}

// As one process would have found it.
void Ensemble::find_bad(uint64 (&status)[2]) {
    if (!shared()) return;
    Communicator& world = Communicator::world();
    if (status[0] > 0) status[1] += static_cast<uint64>(share_.first);
    status[0] = world.sum(status[0]);
    status[1] = world.least(status[1]);
}

void Ensemble::check_finite(const std::function<std::string(index)>& describe) {
    uint64 status[2];
    copy_to_host(stream_, status, Span<const uint64>(status_.span()));
    find_bad(status);
    if (status[0] == 0) {
        checked_ = step_;
        keep_good();
        return;
    }
    const uint64 step = checked_ + (status[1] >> 32);
    const index trajectory = static_cast<index>(status[1] & 0xffffffffull);
    const std::string words = describe_blow_up(trajectory);
    throw NumericError("a trajectory blew up: trajectory " + std::to_string(trajectory) + " (" +
                       describe(trajectory) + ") was no longer finite at step " +
                       std::to_string(step) + (words.empty() ? "" : ", " + words) + "; choose a smaller integrator.dt" +
                       " (or a smaller stiffness, or an umbrella.initial where forces are smaller)");
}

// Its way from the last good state is gone through again, step by step: noise depends on numbers alone.
std::string Ensemble::describe_blow_up(index trajectory) {
    const auto column = [&](const Buffer<float>& of) {
        const std::vector<float> all = to_host(stream_, of.span());
        std::vector<float> own;
        for (index k = trajectory; k < of.size(); k += n_) own.push_back(all[static_cast<std::size_t>(k)]);
        return own;
    };
    const auto finite = [](const std::vector<float>& x) {  // as the kernels ask
        return std::all_of(x.begin(), x.end(), [](float v) { return std::isfinite((v * v) * (v * v)); });
    };
    gather();
    if (shared() && describer_)  // the good ones, too
        for (int k = 0; k < 2; ++k) {
            Buffer<float> all(stream_.device(), k == 0 ? x_.size() : v_.size());
            collect_columns(stream_, good_[k], n_, all, own_.all);
            good_[k] = std::move(all);
        }
    std::vector<float> state = column(x_);
    if (good_step_ != kNever && good_step_ < step_) {
        constexpr std::size_t kKept = 1000;  // states before the end, and the first
        Ensemble one(stream_, kernel_, 1, seed_, rng_stream_, first_ + trajectory);
        std::vector<float> begin = column(good_[0]);
        const std::vector<float> velocity = column(good_[1]);
        begin.insert(begin.end(), velocity.begin(), velocity.end());
        one.load_state(begin, good_step_);
        begin.resize(begin.size() - velocity.size());
        copy_to_device(stream_, one.center(), column(center_).data());
        copy_to_device(stream_, one.stiffness(), column(stiffness_).data());
        one.set_grid(grid_);
        std::deque<std::vector<float>> way;
        std::vector<float> now = begin;
        for (; one.step() < step_ && finite(now); now = to_host(stream_, std::as_const(one.x_).span())) {
            if (one.step() > good_step_) way.push_back(now);
            if (way.size() > kKept) way.pop_front();
            one.advance(1);
        }
        if (finite(begin) && !finite(now)) {
            way.push_front(begin);
            std::vector<float> states;
            for (const std::vector<float>& x : way) states.insert(states.end(), x.begin(), x.end());
            return describer_->describe_way(stream_, states);
        }
    }
    return kernel_->describe_state(stream_, state);
}

std::vector<uint64> Ensemble::accepted() {
    if (!shared()) return to_host(stream_, Span<const uint64>(accepted_.span()));
    Buffer<uint64> all(stream_.device(), accepted_.size() > 0 ? n_ : 0);
    collect_columns(stream_, accepted_, n_, all, own_.all);
    return to_host(stream_, Span<const uint64>(all.span()));
}

void Ensemble::load_accepted(const std::vector<uint64>& accepted) {
    if (static_cast<index>(accepted.size()) != (kernel_->metropolis() ? n_ : 0))
        throw InputError("checkpoint: the stored ensemble has another size");
    copy_to_device(stream_, accepted_.span(), accepted.data() + (accepted.empty() ? 0 : share_.first));
}

std::vector<float> Ensemble::save_state() {
    gather();
    std::vector<float> state = to_host(stream_, Span<const float>(x_.span()));
    if (v_.size()) {
        const std::vector<float> v = to_host(stream_, Span<const float>(v_.span()));
        state.insert(state.end(), v.begin(), v.end());
    }
    return state;
}

void Ensemble::load_state(const std::vector<float>& state, uint64 step) {
    if (static_cast<index>(state.size()) != x_.size() + v_.size())
        throw InputError("checkpoint: the stored ensemble has another size");
    copy_to_device(stream_, x_.span(), state.data());
    if (v_.size()) copy_to_device(stream_, v_.span(), state.data() + x_.size());
    step_ = checked_ = step;
    good_step_ = kNever;
    own_ahead_ = false;
    states_touched_ = true;
}

}  // namespace microlift
