#include "sampling/dynamics/ensemble.h"

#include <algorithm>
#include <cmath>
#include <deque>

#include "engine/launch/work.h"

namespace microlift {

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
      status_(stream.device(), 2),
      accepted_(stream.device(), kernel_->metropolis() ? trajectories : 0) {
    const uint64 clear[2] = {0, kStatusClear};
    copy_to_device(stream_, status_.span(), clear);
}

PathArgs Ensemble::args(uint64 stride, index segments) {
    return {n_, first_, seed_, rng_stream_, step_, stride, segments, x_.data(), v_.data(),
            center_.data(), stiffness_.data(), nullptr, nullptr, 0, status_.data(),
            accepted_.size() ? accepted_.data() : nullptr, grid_, checked_, nullptr,
            kernel_->periods()};
}

void Ensemble::keep_good() {
    if (!describer_) return;
    const Buffer<float>* const now[2] = {&x_, &v_};
    for (int k = 0; k < 2; ++k) {
        if (good_[k].size() == 0) good_[k] = Buffer<float>(stream_.device(), now[k]->size());
        copy(stream_, good_[k].span(), now[k]->span());
    }
    good_step_ = step_;
}

void Ensemble::launch(const PathArgs& args) {
    if (good_step_ == kNever) keep_good();
    kernel_->launch(stream_, args);
    const uint64 steps = args.stride * static_cast<uint64>(args.segments);
    step_ += steps;
    force_evaluations_ +=
        static_cast<double>(kernel_->force_evaluations(steps)) * static_cast<double>(n_);
}

uint64 Ensemble::launch_steps() const {
    return microlift::launch_steps(stream_.device(), n_, kernel_->step_cost());
}

void Ensemble::advance(uint64 steps) {
    for (const uint64 most = launch_steps(); steps > 0;) {
        const uint64 now = std::min(steps, most);
        launch(args(now, 1));
        steps -= now;
    }
}

void Ensemble::sample(uint64 stride, index segments, SampleSet& samples) {
    if (samples.n + segments * n_ > samples.row)
        throw std::logic_error("sample set: more samples than it was made for");
    const uint64 most = launch_steps();
    const auto together = static_cast<index>(std::max<uint64>(1, most / std::max<uint64>(stride, 1)));
    while (segments > 0) {
        uint64 left = stride;
        if (stride > most) {
            left = (stride - 1) % most + 1;
            advance(stride - left);
        }
        PathArgs a = args(left, std::min(segments, together));
        a.sample_x = samples.x.data() + samples.n;
        a.sample_xi = samples.xi.data() + samples.n;
        a.sample_row = samples.row;
        launch(a);
        samples.n += a.segments * n_;
        segments -= a.segments;
    }
}

void Ensemble::check_finite(const std::function<std::string(index)>& describe) {
    uint64 status[2];
    copy_to_host(stream_, status, Span<const uint64>(status_.span()));
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
    return to_host(stream_, Span<const uint64>(accepted_.span()));
}

void Ensemble::load_accepted(const std::vector<uint64>& accepted) {
    if (static_cast<index>(accepted.size()) != accepted_.size())
        throw InputError("checkpoint: the stored ensemble has another size");
    copy_to_device(stream_, accepted_.span(), accepted.data());
}

std::vector<float> Ensemble::save_state() {
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
}

}  // namespace microlift
