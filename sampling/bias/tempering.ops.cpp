#include "sampling/bias/tempering.h"

#include "engine/launch/lanes.h"
#include "kernels/dynamics/bias.h"
#include "kernels/lane/whole.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"

#if !defined(__CUDACC__)
#include <cmath>

#include "engine/at.h"
#endif

namespace microlift {

// One trajectory of two neighbouring rungs: `lower` at inverse temperature beta + step, `upper` at beta.
struct TemperingBody {
    static constexpr index kGrain = 64;
    int dim, cvs;
    index n;
    uint64 seed, attempt;
    float step;       // of the inverse temperature, 1/energy
    float faster;     // of velocities that go up, √(T upper / T lower)
    WindowView windows;
    const float* energy[2];
    const float* xi[2];
    float* x[2];
    float* v[2];
    uint64* counters;

    LANE_FN float with_bias(int side, index i) const {
        float sum = energy[side][i];
        for (int k = 0; k < cvs; ++k)
            sum = PeriodicBias<float, 1>(windows.variable(k), i).energy({xi[side][k * n + i]}, sum);
        return sum;
    }

    LANE_FN void operator()(index i) const {
        const float change = step * (with_bias(0, i) - with_bias(1, i));
        const PhiloxStream<float> rng(seed, kStreamTempering, i);
        uint32 u[4];
        rng.draw(attempt, u);
        atomic_add(&counters[1], 1);
        if (!(log<Portable>(uniform_open<float>(u[0])) < change)) return;
        atomic_add(&counters[0], 1);
        for (int d = 0; d < dim; ++d) {
            const index at = d * n + i;
            const float lower_x = x[0][at], lower_v = v[0][at];
            x[0][at] = x[1][at];
            x[1][at] = lower_x;
            v[0][at] = v[1][at] / faster;
            v[1][at] = lower_v * faster;
        }
    }
};

HOST_PASS_BEGIN

void launch_tempering(Stream& stream, const TemperingBody& body) {
    for_each_index(stream, body.n, body);
}

HOST_PASS_END

#if !defined(__CUDACC__)

Tempering::Tempering(Stream& stream, const Model& model, const IntegratorConfig& integrator,
                     Ensemble& base, const std::vector<double>& temperatures, uint64 seed)
    : stream_(stream), model_(model), base_(base), seed_(seed),
      counters_(stream.device(), 2 * std::ssize(temperatures)) {
    if (!model.molecule()) throw InputError("umbrella.temperatures: the system is no molecule");
    PathSetup setup = model.path_setup(integrator);
    beta_.push_back(setup.beta);
    for (const double temperature : temperatures) {
        setup.beta = 1 / (kGasConstant * temperature);
        beta_.push_back(setup.beta);
        const std::shared_ptr<const PathKernel> kernel = model.path_kernel(setup);
        rungs_.push_back(std::make_unique<Ensemble>(stream, kernel, base.size(), seed + beta_.size(),
                                                    kStreamNoise));
    }
    const index n = base.size(), K = model.n_cvs();
    for (int side = 0; side < 2; ++side) {
        energy_[side] = Buffer<float>(stream.device(), n);
        xi_[side] = Buffer<float>(stream.device(), K * (1 + model.dim()) * n);
    }
    fill_zero(stream, counters_.span());
}

void Tempering::start() {
    const std::vector<float> state = base_.save_state();
    const auto x = at(model_.dim() * base_.size());
    for (std::size_t k = 0; k < rungs_.size(); ++k) {
        std::vector<float> hotter = state;
        const double faster = std::sqrt(beta_[0] / beta_[k + 1]);
        for (std::size_t i = x; i < hotter.size(); ++i)
            hotter[i] = static_cast<float>(faster * static_cast<double>(hotter[i]));
        rungs_[k]->load_state(hotter, 0);
    }
}

void Tempering::advance(uint64 steps) {
    for (const auto& rung : rungs_) {
        copy(stream_, rung->center(), Span<const float>(base_.center()));
        copy(stream_, rung->stiffness(), Span<const float>(base_.stiffness()));
        rung->advance(steps);
    }
}

void Tempering::exchange(uint64 attempt) {
    for (std::size_t lower = attempt % 2; lower < rungs_.size(); lower += 2) exchange_pair(lower, attempt);
}

void Tempering::exchange_pair(std::size_t lower, uint64 attempt) {
    const index n = base_.size();
    Ensemble* const sides[2] = {&rung(lower), &rung(lower + 1)};
    for (int side = 0; side < 2; ++side) {
        model_.energies(stream_, sides[side]->x(), n, n, energy_[side].span());
        model_.evaluate_cvs(stream_, sides[side]->x(), n, n, xi_[side].span(), n);
    }
    TemperingBody body{};
    body.dim = model_.dim();
    body.cvs = model_.n_cvs();
    body.n = n;
    body.seed = seed_ + lower;
    body.attempt = attempt;
    body.step = static_cast<float>(beta_[lower] - beta_[lower + 1]);
    body.faster = static_cast<float>(std::sqrt(beta_[lower] / beta_[lower + 1]));
    body.windows = base_.windows();
    for (int side = 0; side < 2; ++side) {
        body.energy[side] = energy_[side].data();
        body.xi[side] = xi_[side].data();
        body.x[side] = sides[side]->x().data;
        body.v[side] = sides[side]->v().data;
    }
    body.counters = counters_.data() + 2 * static_cast<index>(lower);
    launch_tempering(stream_, body);
}

void Tempering::check_finite() {
    for (std::size_t k = 0; k < rungs_.size(); ++k)
        rungs_[k]->check_finite([&](index t) {
            return std::to_string(t) + " at " + std::to_string(1 / (kGasConstant * beta_[k + 1])) + " K";
        });
}

double Tempering::force_evaluations() const {
    double sum = 0;
    for (const auto& rung : rungs_) sum += rung->force_evaluations();
    return sum;
}

std::vector<float> Tempering::save_state() {
    std::vector<float> all;
    for (const auto& rung : rungs_) {
        const std::vector<float> state = rung->save_state();
        all.insert(all.end(), state.begin(), state.end());
    }
    return all;
}

void Tempering::load_state(const std::vector<float>& state, uint64 step) {
    const std::size_t each = rungs_.empty() ? 0 : state.size() / rungs_.size();
    for (std::size_t k = 0; k < rungs_.size(); ++k)
        rungs_[k]->load_state({state.begin() + static_cast<std::ptrdiff_t>(k * each),
                               state.begin() + static_cast<std::ptrdiff_t>((k + 1) * each)}, step);
}

std::vector<uint64> Tempering::counters() { return to_host(stream_, std::as_const(counters_).span()); }

void Tempering::load_counters(const std::vector<uint64>& counters) {
    if (std::ssize(counters) != counters_.size())
        throw InputError("checkpoint.h5: it does not hold the temperatures of this run; begin anew with --force");
    copy_to_device(stream_, counters_.span(), counters.data());
}

#endif

}  // namespace microlift
