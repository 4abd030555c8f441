#include "engine/launch/lanes.h"
#include "sampling/rates/look.h"

#if !defined(__CUDACC__)
#include <utility>

#include "engine/at.h"
#include "engine/launch/reduce.h"
#include "sampling/rates/kept.h"
#include "sampling/rates/lanes.h"
#endif

namespace microlift {

struct BeginLanesBody {
    const uint32* numbers;  // null: 0, 1, …
    uint32* number;
    float* alive;
    LANE_FN void operator()(index i) const {
        number[i] = numbers ? numbers[i] : static_cast<uint32>(i);
        alive[i] = 1.0f;
    }
};

struct RememberBody {
    RateLook look;
    LANE_FN void operator()(index i) const { look.remember(i); }
};

struct NoiseAlongBody {
    float steps;
    const float* diffusion;
    float* variance;
    LANE_FN void operator()(index i) const { variance[i] = steps * diffusion[i]; }
};

// Those that are alive, in their order; place[i]: how many of the first i + 1 are.
struct KeepLanesBody {
    RateLook look;
    const double* place;
    index left;
    float *state, *before, *alive;
    uint32* number;
    LANE_FN void operator()(index i) const {
        if (!(look.alive[i] > 0.0f)) return;
        const index to = static_cast<index>(place[i]) - 1;
        number[to] = look.number[i];
        alive[to] = 1.0f;
        before[to] = look.before[i];
        before[left + to] = look.before[look.columns + i];
        look.store(i, state, left, to);
    }
};

HOST_PASS_BEGIN

void begin_lanes(Stream& stream, index n, const BeginLanesBody& body) { for_each_index(stream, n, body); }
void remember_look(Stream& stream, const RateLook& look) { for_each_index(stream, look.columns, RememberBody{look}); }
void noise_along(Stream& stream, index n, const NoiseAlongBody& body) { for_each_index(stream, n, body); }
void keep_lanes(Stream& stream, const KeepLanesBody& body) { for_each_index(stream, body.look.columns, body); }

HOST_PASS_END

#if !defined(__CUDACC__)

namespace {

IntegratorConfig integrator_of(const RateSetup& setup) {
    IntegratorConfig integrator = setup.integrator;
    if (setup.rates.dt > 0) integrator.dt = setup.rates.dt;
    // Steps that do not know of one another: trajectories begin anew from states that were stored.
    if (integrator.scheme == "leimkuhler_matthews" || integrator.scheme == "mala") integrator.scheme = "euler_maruyama";
    return integrator;
}

}  // namespace

RateLanes::RateLanes(Stream& stream, const RateSetup& setup, index most)
    : stream_(stream), setup_(setup), kernel_(setup.model.path_kernel(setup.model.path_setup(integrator_of(setup)))),
      coordinate_(stream.device(), setup.model, setup.rates),
      numbers_(setup.model.dim() * (kernel_->has_velocity() ? 2 : 1)),
      dt_(integrator_of(setup).dt * static_cast<double>(setup.rates.stride)), most_(most),
      stride_(static_cast<uint64>(setup.rates.stride)) {
    const Device& device = stream.device();
    const Model& model = setup.model;
    for (Buffer<float>* buffer : {&state_, &next_}) *buffer = Buffer<float>(device, numbers_ * most);
    for (Buffer<float>* buffer : {&before_, &next_before_}) *buffer = Buffer<float>(device, 2 * most);
    for (Buffer<float>* buffer : {&alive_, &next_alive_}) *buffer = Buffer<float>(device, most);
    for (Buffer<uint32>* buffer : {&number_, &next_number_}) *buffer = Buffer<uint32>(device, most);
    x_ = Buffer<float>(device, model.dim() * most);
    xi_ = Buffer<float>(device, model.n_cvs() * most);
    q_ = Buffer<float>(device, RateCoordinate::rows * most);
    free_ = Buffer<float>(device, 2 * model.n_cvs() * most);
    place_ = Buffer<double>(device, most);
    scratch_ = Buffer<double>(device, reduce_scratch(1, most));
    status_ = Buffer<uint64>(device, 2);
    const uint64 clear[2] = {0, kStatusClear};
    copy_to_device(stream, status_.span(), clear);
    if (kernel_->has_velocity() || stride_ > 1 || !coordinate_.by_value() || model.molecule()) return;
    const PathSetup path = model.path_setup(integrator_of(setup));
    if (model.gradient() && path.cv_weight.size() == at(model.n_cvs())) {
        double square = 0;
        for (const double w : path.cv_weight[0]) square += w * w;
        same_variance_ = static_cast<float>(2 / path.beta * square * dt_);
    } else {
        closure_ = Buffer<float>(device, model.closure_outputs() * most);
        variance_ = Buffer<float>(device, most);
    }
}

RateLook RateLanes::view() {
    return {columns_, numbers_, state_.data(), q_.data(), before_.data(), variance_.size() ? variance_.data() : nullptr,
            same_variance_, number_.data(), alive_.data(), setup_.seed, look_};
}

void RateLanes::begin(index columns) { begin(columns, {}); }

void RateLanes::begin(index columns, Span<const uint32> numbers) {
    if (columns > most_) throw std::logic_error("rates: more trajectories than there is room for");
    columns_ = columns;
    begin_lanes(stream_, columns, {numbers.data, number_.data(), alive_.data()});
}

void RateLanes::look() {
    coordinate_.run(stream_, Span<const float>(xi_.data(), setup_.model.n_cvs() * columns_), columns_, columns_,
                    q_.span().subspan(0, RateCoordinate::rows * columns_));
}

void RateLanes::look_at_start() {
    const Model& model = setup_.model;
    const auto rows = static_cast<index>(model.formulas().cv.outputs.size());
    if (values_.size() < rows * columns_) values_ = Buffer<float>(stream_.device(), rows * columns_);
    model.evaluate_cvs(stream_, state_.span().subspan(0, model.dim() * columns_), columns_, columns_, values_.span(), columns_);
    copy(stream_, xi_.span().subspan(0, model.n_cvs() * columns_),
         Span<const float>(values_.span().subspan(0, model.n_cvs() * columns_)));
    look();
    remember_look(stream_, view());
}

void RateLanes::advance() {
    const Model& model = setup_.model;
    const index K = model.n_cvs();
    PathArgs a{};
    a.trajectories = columns_;
    a.seed = setup_.seed;
    a.stream = kStreamRate;
    a.first_step = a.checked = look_ * stride_;
    a.stride = stride_;
    a.segments = 1;
    a.x = state_.data();
    a.v = kernel_->has_velocity() ? state_.data() + model.dim() * columns_ : nullptr;
    a.center = free_.data();
    a.stiffness = free_.data() + K * columns_;
    a.sample_x = x_.data();
    a.sample_xi = xi_.data();
    a.sample_row = columns_;
    a.status = status_.data();
    a.periods = kernel_->periods();
    kernel_->launch(stream_, a);
    if (variance_.size()) {
        model.closure(stream_, Span<const float>(x_.data(), model.dim() * columns_), columns_, columns_,
                      closure_.span().subspan(0, model.closure_outputs() * columns_), columns_);
        noise_along(stream_, columns_, {static_cast<float>(2 * dt_), closure_.data() + K * columns_, variance_.data()});
    }
    look();
    ++look_;
    const auto n = static_cast<double>(columns_);
    steps_ += n * static_cast<double>(stride_);
    force_evaluations_ += n * static_cast<double>(kernel_->force_evaluations(stride_));
}

index RateLanes::keep() {
    constexpr index kOver = 16;  // of which one at least, before any are taken out
    prefix_sum(stream_, Span<const float>(alive_.data(), columns_), place_.span().subspan(0, columns_), scratch_.span());
    double left = 0;
    uint64 status[2];
    copy_to_host(stream_, &left, Span<const double>(place_.data() + columns_ - 1, 1));
    copy_to_host(stream_, status, Span<const uint64>(status_.span()));
    if (status[0] > 0)
        throw NumericError("a trajectory of [rates] blew up: trajectory " + std::to_string(status[1] & 0xffffffffull) +
                           " was no longer finite after " + std::to_string(look_ * stride_) +
                           " steps; choose a smaller rates.dt or integrator.dt");
    const auto alive = static_cast<index>(left);
    if (alive == 0 || kOver * (columns_ - alive) < columns_) return alive;
    keep_lanes(stream_, {view(), place_.data(), alive, next_.data(), next_before_.data(), next_alive_.data(), next_number_.data()});
    std::swap(state_, next_);
    std::swap(before_, next_before_);
    std::swap(alive_, next_alive_);
    std::swap(number_, next_number_);
    columns_ = alive;
    return alive;
}

void RateLanes::draw_velocities(uint64 seed) {
    const Model& model = setup_.model;
    if (!kernel_->has_velocity() || !model.molecule()) return;
    model.molecule_states(stream_).draw_velocities(
        stream_, seed, kStreamVelocity, 0, columns_,
        state_.span().subspan(model.dim() * columns_, model.dim() * columns_));
}

void RateLanes::save(Store& store) const {
    each_kept(*this, [&](const char* name, const auto& values) { microlift::keep(stream_, store, name, values); });
    store.put("rates.lanes", std::vector<double>{static_cast<double>(columns_), static_cast<double>(look_),
                                                 force_evaluations_, steps_});
}

void RateLanes::load(const Store& store) {
    each_kept(*this, [&](const char* name, auto& values) { restore(stream_, store, name, values); });
    const auto numbers = store.get<double>("rates.lanes", 4);
    columns_ = static_cast<index>(numbers[0]);
    look_ = static_cast<uint64>(numbers[1]);
    force_evaluations_ = numbers[2];
    steps_ = numbers[3];
    if (columns_ < 0 || columns_ > most_) throw InputError("checkpoint.h5: it holds more trajectories than [rates] has; begin anew with --force");
}

#endif

}  // namespace microlift
