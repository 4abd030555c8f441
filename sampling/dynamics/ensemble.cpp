#include "sampling/dynamics/ensemble.h"

#include <algorithm>

#include "engine/launch/work.h"

namespace microlift {

Ensemble::Ensemble(Stream& stream, std::shared_ptr<const PathKernel> kernel, index trajectories,
                   uint64 seed, uint32 rng_stream, index first_trajectory)
    : stream_(stream),
      kernel_(std::move(kernel)),
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

void Ensemble::launch(const PathArgs& args) {
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
        return;
    }
    const uint64 step = checked_ + (status[1] >> 32);
    const index trajectory = static_cast<index>(status[1] & 0xffffffffull);
    std::vector<float> state;
    const std::vector<float> all = to_host(stream_, Span<const float>(x_.span()));
    for (index k = trajectory; k < x_.size(); k += n_) state.push_back(all[static_cast<std::size_t>(k)]);
    const std::string words = kernel_->describe_state(stream_, state);
    throw NumericError("a trajectory blew up: trajectory " + std::to_string(trajectory) + " (" +
                       describe(trajectory) + ") was no longer finite at step " +
                       std::to_string(step) + (words.empty() ? "" : ", " + words) + "; choose a smaller integrator.dt" +
                       " (or a smaller stiffness, or an umbrella.initial where forces are smaller)");
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
}

}  // namespace microlift
