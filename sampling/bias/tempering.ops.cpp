#include "sampling/bias/tempering.h"

#include "engine/launch/lanes.h"
#include "kernels/dynamics/bias.h"
#include "kernels/lane/whole.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"

#if !defined(__CUDACC__)
#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "sampling/molecule/files/read_molecule.h"
#endif

namespace microlift {

// What is summed of a pair of rungs for each trajectory: attempts; of the slope's likelihood the first and second
// derivative; then of either side energy, twice the kinetic energy, collective variables.
struct TemperingRows {
    int cvs;
    LANE_FN index count() const { return 3 + 2 * each(); }
    LANE_FN index each() const { return 2 + cvs; }
    LANE_FN index side(int which) const { return 3 + which * each(); }
};

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
    const float* mass;
    double* sums;  // (row, trajectory); null: nothing is summed

    // The likelihood of a ladder that is turned over or not is logistic in the slope; its derivatives at the
    // expected one.
    LANE_FN void add_to_sums(index i, float apart) const {
        const TemperingRows rows{cvs};
        const float over = 1.0f / (1.0f + exp<Portable>(min(max(step * apart, -80.0f), 80.0f)));
        sums[i] += 1.0;
        sums[n + i] += static_cast<double>(apart * over);
        sums[2 * n + i] += static_cast<double>(apart * over) * static_cast<double>(apart * (1.0f - over));
        for (int side = 0; side < 2; ++side) {
            double* const own = sums + rows.side(side) * n + i;
            double twice = 0;
            for (int d = 0; d < dim; ++d) {
                const double speed = static_cast<double>(v[side][d * n + i]);
                twice += static_cast<double>(mass[d]) * speed * speed;
            }
            own[0] += static_cast<double>(energy[side][i]);
            own[n] += twice;
            for (int k = 0; k < cvs; ++k) own[(2 + k) * n] += static_cast<double>(xi[side][k * n + i]);
        }
    }

    LANE_FN float with_bias(int side, index i) const {
        float sum = energy[side][i];
        for (int k = 0; k < cvs; ++k)
            sum = PeriodicBias<float, 1>(windows.variable(k), i).energy({xi[side][k * n + i]}, sum);
        return sum;
    }

    LANE_FN void operator()(index i) const {
        const float apart = with_bias(1, i) - with_bias(0, i);
        const float change = -step * apart;
        if (sums) add_to_sums(i, apart);
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
    const Molecule& molecule = model.molecule()->molecule;
    std::vector<float> mass;
    for (const Atom& atom : molecule.atoms) mass.insert(mass.end(), 3, static_cast<float>(atom.mass));
    mass_ = Buffer<float>(stream.device(), std::ssize(mass));
    copy_to_device(stream, mass_.span(), mass.data());
    freedom_ = static_cast<double>(std::ssize(mass) - std::ssize(molecule.rigid_bonds));
    sums_ = Buffer<double>(stream.device(), std::ssize(temperatures) * TemperingRows{model.n_cvs()}.count() * n);
    fill_zero(stream, sums_.span());
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

void Tempering::exchange(uint64 attempt, bool measured) {
    for (std::size_t lower = attempt % 2; lower < rungs_.size(); lower += 2)
        exchange_pair(lower, attempt, measured);
}

void Tempering::exchange_pair(std::size_t lower, uint64 attempt, bool measured) {
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
    body.mass = mass_.data();
    const index rows = TemperingRows{body.cvs}.count();
    body.sums = measured ? sums_.data() + static_cast<index>(lower) * rows * n : nullptr;
    launch_tempering(stream_, body);
}

void Tempering::check_finite(const std::function<std::string(index)>& describe) {
    for (std::size_t k = 0; k < rungs_.size(); ++k)
        rungs_[k]->check_finite([&](index t) {
            return describe(t) + ", at " + std::to_string(std::lround(1 / (kGasConstant * beta_[k + 1]))) + " K";
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

std::vector<double> Tempering::sums() { return to_host(stream_, std::as_const(sums_).span()); }

void Tempering::load_counters(const std::vector<uint64>& counters, const std::vector<double>& sums) {
    if (std::ssize(counters) != counters_.size() || std::ssize(sums) != sums_.size())
        throw InputError("checkpoint.h5: it does not hold the temperatures of this run; begin anew with --force");
    copy_to_device(stream_, counters_.span(), counters.data());
    copy_to_device(stream_, sums_.span(), sums.data());
}

bool Tempering::measured(const std::vector<double>& sums) const {
    const index n = base_.size(), each = TemperingRows{model_.n_cvs()}.count() * n;
    for (std::size_t k = 0; k < rungs_.size(); ++k)
        if (sums[at(static_cast<index>(k) * each)] < 2) return false;
    return n > 1;
}

// Of rows that belong together; `counts`: the rows of their attempts.
LadderMean Tempering::ladder_mean(const std::vector<double>& sums, const std::vector<index>& rows,
                                  const std::vector<index>& counts, double factor) const {
    const index n = base_.size();
    double sum = 0, squares = 0;
    for (index i = 0; i < n; ++i) {
        double own = 0, attempts = 0;
        for (const index row : rows) own += sums[at(row * n + i)];
        for (const index row : counts) attempts += sums[at(row * n + i)];
        own *= factor / attempts;
        sum += own;
        squares += own * own;
    }
    const double mean = sum / static_cast<double>(n);
    const double spread = std::max(0.0, squares / static_cast<double>(n) - mean * mean);
    return {mean, std::sqrt(spread / static_cast<double>(n - 1))};
}

std::vector<RungMeans> Tempering::means() {
    const std::vector<double> sums = this->sums();
    std::vector<RungMeans> means;
    if (!measured(sums)) return means;
    const TemperingRows rows{model_.n_cvs()};
    for (std::size_t k = 0; k < beta_.size(); ++k) {
        std::vector<index> counts, first;  // the rung is the lower of a pair, the upper of another
        for (const index side : {0, 1}) {
            const index pair = static_cast<index>(k) - side;
            if (pair < 0 || pair >= std::ssize(rungs_)) continue;
            counts.push_back(pair * rows.count());
            first.push_back(pair * rows.count() + rows.side(static_cast<int>(side)));
        }
        const auto mean = [&](index row, double factor) {
            std::vector<index> of;
            for (const index start : first) of.push_back(start + row);
            return ladder_mean(sums, of, counts, factor);
        };
        RungMeans rung{1 / (kGasConstant * beta_[k]), mean(1, 1 / (freedom_ * kGasConstant)), mean(0, 1), {}};
        for (index cv = 0; cv < model_.n_cvs(); ++cv) rung.cv.push_back(mean(2 + cv, 1));
        means.push_back(rung);
    }
    return means;
}

// One of Newton's steps from the expected slope to the likeliest.
std::vector<RungSlope> Tempering::slopes() {
    const std::vector<double> sums = this->sums();
    std::vector<RungSlope> slopes;
    if (!measured(sums)) return slopes;
    const index n = base_.size(), each = TemperingRows{model_.n_cvs()}.count() * n;
    for (std::size_t k = 0; k < rungs_.size(); ++k) {
        const double* const own = sums.data() + static_cast<index>(k) * each;
        double first = 0, squares = 0, second = 0;
        for (index i = 0; i < n; ++i) {
            first += own[n + i];
            squares += own[n + i] * own[n + i];
            second += own[2 * n + i];
        }
        const double expected = beta_[k] - beta_[k + 1];
        slopes.push_back({expected, {expected + first / second, std::sqrt(squares) / second}});
    }
    return slopes;
}

#endif

}  // namespace microlift
