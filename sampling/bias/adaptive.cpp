#include "sampling/bias/adaptive.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/files/store.h"
#include "sampling/bias/energy.h"
#include "sampling/bias/mean_force.h"

namespace microlift {

namespace {

constexpr double kWidest = 0.02;  // of the range: kernels whose width is not given

// The largest kernel that may be needed: a normal one of data wider than the grid says nothing.
index reach_of(const GridAxes& axes, int k, double sigma) {
    const auto i = static_cast<std::size_t>(k);
    const index most = axes.periodic[i] ? axes.points[i] / 2 : axes.points[i] - 1;
    return std::min(most, static_cast<index>(std::ceil(kGaussianReach * sigma / axes.spacing(k))));
}

// The deviation of ξ within a basin, from two looks at every walker: a median, which walkers that left one move
// little.
double deviation(std::vector<double> moved) {
    const auto middle = moved.begin() + std::ssize(moved) / 2;
    std::nth_element(moved.begin(), middle, moved.end());
    return *middle / (0.6745 * std::sqrt(2.0));
}

}  // namespace

AdaptiveBias::AdaptiveBias(Stream& stream, const BiasSetup& setup)
    : stream_(stream), setup_(setup), options_(options_of<AdaptiveOptions>(setup)),
      polynomials_(stream.device(), options_.axes.polynomials()), bias_(stream.device(), points()),
      total_(stream.device(), points()), wall_(stream.device(), std::ssize(options_.wall)),
      ends_(stream.device(), points()), between_(stream.device(), points()),
      width_(stream.device(), kMaxCvs), count_(stream.device(), points()),
      frame_bias_(stream.device(), options_.frames * points()),
      frame_hills_(stream.device(), options_.frames * points()) {
    const GridAxes& axes = options_.axes;
    view_ = axes.view(polynomials_.span());
    if (wall_.size() > 0) copy_to_device(stream_, wall_.span(), options_.wall.data());
    std::vector<double> ends;
    for (index i = 0; i < axes.points[0]; ++i)
        for (index j = 0; j < (axes.cvs == 2 ? axes.points[1] : 1); ++j) {
            const index at[2] = {i, j};
            double factor = 1;
            for (std::size_t k = 0; k < microlift::at(axes.cvs); ++k)
                if (!axes.periodic[k] && (at[k] == 0 || at[k] == axes.points[k] - 1)) factor *= 2;
            ends.push_back(factor);
        }
    copy_to_device(stream_, ends_.span(), ends.data());
    if (options_.sigma[0] > 0) set_sigma(options_.sigma);
    publish();
}

void AdaptiveBias::publish() {
    publish_bias(stream_, view_, setup_.cvs, bias_.span(), wall_.span(), polynomials_.span());
}

void AdaptiveBias::begin(Ensemble& ensemble) {
    fill_zero(stream_, ensemble.center());  // no walker has a parabola
    fill_zero(stream_, ensemble.stiffness());
    ensemble.set_grid(view_);
}

void AdaptiveBias::set_sigma(const std::array<double, kMaxCvs>& sigma) {
    sigma_ = sigma;
    copy_to_device(stream_, width_.span(), sigma_.data());
    for (int k = 0; k < setup_.cvs; ++k)
        kernel_[k] = Buffer<double>(stream_.device(), 1 + reach_of(options_.axes, k, sigma_[at(k)]));
    set_kernels(false);
}

void AdaptiveBias::set_kernels(bool normal) {
    // Of two variables PLUMED's hills are no product.
    const KernelShape shape = normal              ? KernelShape::normal
                              : setup_.cvs == 1 ? KernelShape::stretched
                                                : KernelShape::gaussian;
    for (int k = 0; k < setup_.cvs; ++k)
        gaussian_weights(stream_, width_.data() + k, options_.axes.spacing(k), shape, kernel_[k].span());
}

// σ from the data: half the deviation within a basin.
void AdaptiveBias::find_sigma(index step, Span<const float> xi) {
    const index n = setup_.trajectories;
    if (sigma_[0] > 0 || (step <= options_.start && (!seen_.empty() || step < options_.start / 2))) return;
    std::vector<float> now(at(setup_.cvs * n));
    copy_to_host(stream_, now.data(), xi.subspan(0, setup_.cvs * n));
    if (step <= options_.start) {
        seen_ = std::move(now);
        return;
    }
    if (seen_.empty()) throw InputError("bias: no walker was seen without bias, so the width of kernels is unknown");
    std::array<double, kMaxCvs> sigma{};
    for (int k = 0; k < setup_.cvs; ++k) {
        const GridAxes& axes = options_.axes;
        const double range = axes.to[at(k)] - axes.from[at(k)];
        std::vector<double> moved;
        for (std::size_t i = at(k * n); i < at((k + 1) * n); ++i)
            moved.push_back(std::fabs(nearest_image(static_cast<double>(now[i]) - static_cast<double>(seen_[i]),
                                                    axes.periodic[at(k)] ? range : 0.0)));
        sigma[at(k)] = std::clamp(0.5 * deviation(std::move(moved)), axes.spacing(k), kWidest * range);
    }
    set_sigma(sigma);
}

void AdaptiveBias::step(Ensemble& ensemble, Span<const float> xi) {
    const auto step = static_cast<index>(ensemble.step());
    if (!frozen_ && step % options_.pace == 0 && step <= options_.end) {
        if (uses_kernels()) find_sigma(step, xi);
        if (step > options_.start) {
            update(ensemble, xi);
            publish();
            // At equal distances, the last update in any case.
            const index before = options_.start / options_.pace;
            const index done = step / options_.pace - before, due = options_.end / options_.pace - before;
            if (done * options_.frames / due > std::ssize(frame_step_)) keep_frame(step);
        }
    }
    draw(ensemble, xi);
}

bool AdaptiveBias::integrates_at(index step) const {
    return step + options_.pace > options_.end || integrates(step / options_.pace - options_.start / options_.pace);
}

void AdaptiveBias::keep_frame(index step) {
    const auto frame = std::ssize(frame_step_);
    if (frame >= options_.frames) return;
    const auto row = [&](Buffer<double>& of) { return of.span().subspan(frame * points(), points()); };
    copy(stream_, row(frame_bias_), Span<const double>(bias_.span()));
    if (has_hills()) copy(stream_, row(frame_hills_), Span<const double>(sums()[0]));
    frame_step_.push_back(step);
}

BiasFrames AdaptiveBias::frames() const {
    BiasFrames frames{frame_step_, to_host(stream_, Span<const double>(frame_bias_.span())), {}};
    const auto size = frame_step_.size() * at(points());
    frames.bias.resize(size);
    if (!has_hills()) return frames;
    frames.hills = to_host(stream_, Span<const double>(frame_hills_.span()));
    frames.hills.resize(size);
    for (std::size_t i = size; i-- > at(points());) frames.hills[i] -= frames.hills[i - at(points())];
    return frames;
}

void AdaptiveBias::smooth(Span<const double> in, Span<double> out) {
    const GridAxes& axes = options_.axes;
    const auto axis = [&](int k) {
        SmoothingAxis a;
        a.weight = kernel_[k].data();
        a.reach = static_cast<int>(kernel_[k].size() - 1);
        a.points = static_cast<int>(axes.points[at(k)]);
        a.stride = axes.cvs == 2 && k == 0 ? static_cast<int>(axes.points[1]) : 1;
        a.periodic = axes.periodic[at(k)];
        return a;
    };
    if (axes.cvs == 1) return smooth_along(stream_, axis(0), in, out);
    smooth_along(stream_, axis(0), in, between_.span());
    smooth_along(stream_, axis(1), between_.span(), out);
}

void AdaptiveBias::energy(Stream& stream, Span<const float> xi, index row, index n, Span<float> out) const {
    bias_energy(stream, view_, setup_.cvs, xi, row, n, out);
}

void AdaptiveBias::save(Stream& stream, Store& store) const {
    auto& self = const_cast<AdaptiveBias&>(*this);
    std::vector<double> all;
    const auto add = [&](Span<const double> from) {
        const std::vector<double> values = to_host(stream, from);
        all.insert(all.end(), values.begin(), values.end());
    };
    add(bias_.span());
    add(total_.span());
    for (const Span<double> sum : self.sums()) add(sum);
    store.put("bias_sums", std::move(all));
    const auto frames = std::ssize(frame_step_);
    store.put("bias_frames", to_host(stream, frame_bias_.span().subspan(0, frames * points())));
    store.put("bias_hills", to_host(stream, frame_hills_.span().subspan(0, frames * points())));
    store.put("bias_frame_steps", std::vector<long long>(frame_step_.begin(), frame_step_.end()));
    store.put("bias_sigma", std::vector<double>(sigma_.begin(), sigma_.end()));
    store.put("bias_seen", seen_);
    store.put_scalar<long long>("bias_frozen", frozen_ ? 1 : 0);
}

void AdaptiveBias::load(Stream& stream, const Store& store) {
    const auto sigma = store.get<double>("bias_sigma", kMaxCvs);
    if (sigma[0] > 0) set_sigma({sigma[0], sigma[1]});
    std::vector<Span<double>> all{bias_.span(), total_.span()};
    for (const Span<double> sum : sums()) all.push_back(sum);
    index size = 0;
    for (const Span<double>& sum : all) size += sum.size;
    const double* from = store.get<double>("bias_sums", size).data();
    for (const Span<double>& sum : all) {
        copy_to_device(stream, sum, from);
        from += sum.size;
    }
    const auto steps = store.get<long long>("bias_frame_steps");
    if (std::ssize(steps) > options_.frames)
        throw InputError("checkpoint.h5: it holds more of the bias than a run keeps; begin anew with --force");
    frame_step_.assign(steps.begin(), steps.end());
    const index kept = std::ssize(steps) * points();
    copy_to_device(stream, frame_bias_.span().subspan(0, kept), store.get<double>("bias_frames", kept).data());
    copy_to_device(stream, frame_hills_.span().subspan(0, kept), store.get<double>("bias_hills", kept).data());
    const auto seen = store.get<float>("bias_seen");
    seen_.assign(seen.begin(), seen.end());
    frozen_ = store.scalar<long long>("bias_frozen") != 0;
    publish();
}

}  // namespace microlift
