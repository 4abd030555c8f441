// Extended adaptive biasing force (Lesage et al., J. Phys. Chem. B 121 (2017) 3676): a spring binds ξ to λ, a point of
// the grid for every walker, and the bias B acts on λ. Between launches λ is drawn anew from its law given ξ,
// p(λ | ξ) ∝ e^{−(κ (ξ − λ)²/2 + B(λ))/kT}: that leaves the extended law as it is, and λ needs no time of its own. Summed
// over λ the law of ξ is that under the bias
//   W(ξ) = −kT ln Σ_λ e^{−(κ (ξ − λ)²/2 + B(λ))/kT},  W' = κ (ξ − ⟨λ⟩_ξ),
// so that weights are exact, and F' = −kT (ln ρ)' − κ (ξ − ⟨λ⟩_ξ) is CZAR with the mean of λ known.
#include "engine/launch/lanes.h"
#include "kernels/dynamics/period.h"
#include "kernels/lane/math.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"

#if !defined(__CUDACC__)
#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/files/store.h"
#include "engine/launch/reduce.h"
#include "sampling/bias/adaptive.h"
#include "sampling/bias/eabf.h"
#include "sampling/bias/mean_force.h"
#else
#include "sampling/bias/eabf.h"
#include "sampling/bias/shared_grid.h"
#endif

namespace microlift {

// The springs of all walkers, and e^{−B/kT} by point.
struct SpringView {
    GridView grid;
    int cvs, reach[2];
    double half[2];     // κ (point's distance)²/(2 kT)
    const double* gauss[2];  // e^{−half m²}, m ≤ reach
    double kt;
    const double* weight;
};

// Along one variable: the nearest point, and by what a weight is multiplied from one point to the next, but for
// e^{−half m²} of the m-th.
struct SpringAxis {
    int nearest = 0;
    double up = 0.0, down = 0.0;
};

// The law of λ given ξ: weights along each variable relative to that of the nearest point.
struct SpringLaw {
    const SpringView& view;
    SpringAxis first, second;

    LANE_FN SpringLaw(const SpringView& v, const float* xi, index row, index i) : view(v) {
        first = axis(0, xi[i]);
        if (v.cvs == 2) second = axis(1, xi[row + i]);
    }
    // The energy of the nearest point's springs, kT.
    LANE_FN double nearest(const float* xi, index row, index i) const {
        double energy = 0.0;
        for (int k = 0; k < view.cvs; ++k) {
            const double off = place(k, xi[k * row + i]).off;
            energy += view.half[k] * off * off;
        }
        return energy;
    }
    // Calls visit(point, weight) until it says false: from the nearest point outwards.
    template <class Visit>
    LANE_FN void walk(const Visit& visit) const {
        along(0, first, [&](int at, double w) {
            if (view.cvs == 1) return visit(index{at}, w * view.weight[at]);
            return along(1, second, [&](int other, double v) {
                const index point = index{at} * view.grid.points[1] + other;
                return visit(point, w * v * view.weight[point]);
            });
        });
    }
    LANE_FN double sum() const {
        double all = 0.0;
        walk([&](index, double w) { return all += w, true; });
        return all;
    }

private:
    struct Place {
        double middle, off;  // of the nearest point, in points, and from there
    };
    LANE_FN Place place(int k, float xi) const {
        double at = (static_cast<double>(xi) - static_cast<double>(view.grid.from[k])) *
                    static_cast<double>(view.grid.inverse_width[k]);
        if (!(at > -1e6)) at = -1e6;  // NaN, too
        if (at > 1e6) at = 1e6;
        double middle = at + 0x1.8p52 - 0x1.8p52;
        if (!view.grid.periodic[k]) middle = max(min(middle, static_cast<double>(view.grid.points[k] - 1)), 0.0);
        return {middle, at - middle};
    }
    LANE_FN SpringAxis axis(int k, float xi) const {
        const Place at = place(k, xi);
        // Of these two one is above 1. Beyond an end it is so for points that are not there.
        const double slope = 2.0 * view.half[k] * at.off;
        return {static_cast<int>(at.middle), exp<Portable>(slope), exp<Portable>(-slope)};
    }
    template <class Visit>
    LANE_FN bool along(int k, const SpringAxis& a, const Visit& visit) const {
        return visit(node(k, a.nearest), 1.0) && outwards(k, a.nearest, 1, a.up, visit) &&
               outwards(k, a.nearest, -1, a.down, visit);
    }
    template <class Visit>
    LANE_FN bool outwards(int k, int nearest_point, int way, double factor, const Visit& visit) const {
        double power = 1.0;
        for (int m = 1; m <= view.reach[k]; ++m) {
            const int at = node(k, nearest_point + way * m);
            if (at < 0 || at >= view.grid.points[k]) break;
            power = power * factor;
            if (!visit(at, power * view.gauss[k][m])) return false;
        }
        return true;
    }
    // Round the period where there is one.
    LANE_FN int node(int k, int at) const {
        if (!view.grid.periodic[k]) return at;
        const int points = view.grid.points[k], left = at % points;
        return left < 0 ? left + points : left;
    }
};

struct DrawSpringsBody {
    static constexpr index kGrain = 16;
    SpringView springs;
    uint64 seed, step;
    const float* xi;
    index row;
    float* center;
    LANE_FN void operator()(index i) const {
        const SpringLaw law(springs, xi, row, i);
        uint32 u[4];
        PhiloxStream<float>(seed, kStreamSpring, i).draw(step, u);
        double left = law.sum() * ((static_cast<double>(u[0]) + 0.5) * 0x1p-32);
        index drawn = -1;
        law.walk([&](index point, double w) {
            if (w > 0.0) drawn = point;
            left -= w;
            return left > 0.0;
        });
        if (drawn < 0) return;
        const GridView& grid = springs.grid;
        for (int k = 0; k < springs.cvs; ++k) {
            const index at = springs.cvs == 1 ? drawn : k == 0 ? drawn / grid.points[1] : drawn % grid.points[1];
            center[k * row + i] = grid.from[k] + static_cast<float>(at) / grid.inverse_width[k];
        }
    }
};

struct SpringEnergyBody {
    static constexpr index kGrain = 64;
    SpringView springs;
    const float* xi;
    index row;
    float* out;
    LANE_FN void operator()(index i) const {
        const SpringLaw law(springs, xi, row, i);
        const double log_sum = log<Portable>(law.sum());
        out[i] = static_cast<float>(springs.kt * (law.nearest(xi, row, i) - log_sum));
    }
};

// What springs pull their λ with, in units of 2⁻³² of kWidest widths.
struct SumSpringsBody {
    static constexpr index kGrain = 1024;
    SpringView springs;
    CvPeriods periods;
    const float *xi, *center;
    index row, points;
    uint64 *count, *sums;
    LANE_FN static constexpr double unit() { return 0x1p-32; }
    LANE_FN void operator()(index i) const {
        const GridView& grid = springs.grid;
        index point = 0;
        for (int k = 0; k < springs.cvs; ++k) {
            const float place = (center[k * row + i] - grid.from[k]) * grid.inverse_width[k] + 0.5f;
            if (!(place >= 0.0f && place < static_cast<float>(grid.points[k]) + 0.5f)) return;
            int at = static_cast<int>(place);
            if (at >= grid.points[k]) at = grid.points[k] - 1;
            point = point * grid.points[k] + at;
        }
        atomic_add(&count[point], kWalker);
        for (int k = 0; k < springs.cvs; ++k) {
            double pull = static_cast<double>(nearest_image(center[k * row + i] - xi[k * row + i], periods.period[k])) *
                          static_cast<double>(grid.inverse_width[k]);
            pull = max(min(pull, 1024.0), -1024.0);
            if (!(pull == pull)) pull = 0.0;
            atomic_add(&sums[k * points + point], static_cast<uint64>(static_cast<int64>(pull * 0x1p32)));
        }
    }
};

struct SpringGradientBody {
    static constexpr index kGrain = 512;
    int cvs;
    index points;
    double full, unit[2];  // energy/ξ of a whole number
    uint64 *count, *sums;
    double *total, *values, *gradient;
    LANE_FN void operator()(index j) const {
        total[j] += take_walkers(count[j]);
        const double ramp = total[j] < full ? total[j] / full : 1.0;
        for (int k = 0; k < cvs; ++k) {
            const index at = k * points + j;
            values[at] += static_cast<double>(static_cast<int64>(sums[at])) * unit[k];
            sums[at] = 0;
            gradient[at] = total[j] > 0.0 ? -ramp * values[at] / total[j] : 0.0;
        }
    }
};

struct SpringWeightBody {
    static constexpr index kGrain = 512;
    const double *bias, *wall, *least;
    double beta;
    double* weight;
    LANE_FN void operator()(index j) const {
        weight[j] = exp<Portable>(beta * (least[0] - bias[j] - (wall ? wall[j] : 0.0)));
    }
};

HOST_PASS_BEGIN

void launch_eabf(Stream& stream, index n, const DrawSpringsBody& body) { for_each_index(stream, n, body); }
void launch_eabf(Stream& stream, index n, const SpringEnergyBody& body) { for_each_index(stream, n, body); }
void launch_eabf(Stream& stream, index n, const SumSpringsBody& body) { for_each_index(stream, n, body); }
void launch_eabf(Stream& stream, index n, const SpringGradientBody& body) { for_each_index(stream, n, body); }
void launch_eabf(Stream& stream, index n, const SpringWeightBody& body) { for_each_index(stream, n, body); }

HOST_PASS_END

#if !defined(__CUDACC__)

int spring_reach(double kt, double stiffness, double spacing) {
    constexpr double kWidths = 8;
    return static_cast<int>(std::ceil(std::min(1e6, kWidths * std::sqrt(kt / stiffness) / spacing)));
}

namespace {

class ExtendedAbf final : public AdaptiveBias {
public:
    ExtendedAbf(Stream& stream, const BiasSetup& setup)
        : AdaptiveBias(stream, setup), integral_(stream, options_.axes), values_(stream.device(), setup.cvs * points()),
          gradient_(stream.device(), setup.cvs * points()), weight_(stream.device(), points()),
          least_(stream.device(), 1), scratch_(stream.device(), reduce_scratch(1, points())),
          pulls_(stream.device(), setup.cvs * points()), center_(stream.device(), setup.cvs * setup.trajectories) {
        for (int k = 0; k < setup.cvs; ++k) {
            const double h = options_.axes.spacing(k), kappa = options_.spring[at(k)];
            const int reach = spring_reach(options_.kt, kappa, h);
            if (reach > kMostReach) throw InputError("bias: the springs are too soft for so fine a grid");
            springs_.reach[k] = options_.axes.periodic[at(k)]
                                    ? std::min(reach, static_cast<int>(options_.axes.points[at(k)] - 1) / 2)
                                    : reach;
            springs_.half[k] = 0.5 * kappa * h * h / options_.kt;
            std::vector<double> gauss;
            for (int m = 0; m <= springs_.reach[k]; ++m) gauss.push_back(exp<Portable>(-springs_.half[k] * m * m));
            gauss_[k] = Buffer<double>(stream.device(), std::ssize(gauss));
            copy_to_device(stream_, gauss_[k].span(), gauss.data());
            springs_.gauss[k] = gauss_[k].data();
            if (options_.axes.periodic[at(k)])
                periods_.period[k] = static_cast<float>(options_.axes.to[at(k)] - options_.axes.from[at(k)]);
        }
        springs_.grid = view_;
        springs_.cvs = setup.cvs;
        springs_.kt = options_.kt;
        springs_.weight = weight_.data();
        find_weights();
    }
    BiasKind kind() const override { return BiasKind::harmonic; }
    double share() const override { return 1; }
    index period() const override { return options_.draw; }
    void begin(Ensemble& ensemble) override {
        const index n = ensemble.size();
        for (int k = 0; k < setup_.cvs; ++k) {
            const std::vector<float> stiffness(at(n), static_cast<float>(options_.spring[at(k)]));
            copy_to_device(stream_, ensemble.stiffness().subspan(k * n, n), stiffness.data());
        }
        if (center_.size() != setup_.cvs * n) {  // others than those that made the bias
            center_ = Buffer<float>(stream_.device(), setup_.cvs * n);
            drawn_ = false;
        }
        if (drawn_) copy(stream_, ensemble.center(), Span<const float>(center_.span()));
    }
    void energy(Stream& stream, Span<const float> xi, index row, index n, Span<float> out) const override {
        launch_eabf(stream, n, SpringEnergyBody{springs_, xi.data, row, out.data});
    }
    void save(Stream& stream, Store& store) const override {
        AdaptiveBias::save(stream, store);
        if (!drawn_) return;
        store.put("bias_centers", to_host(stream, Span<const float>(center_.span())));
        for (const auto& [name, sums] : {std::pair("bias_springs", &count_), std::pair("bias_pulls", &pulls_)}) {
            const std::vector<uint64> values = to_host(stream, Span<const uint64>(sums->span()));
            store.put(name, std::vector<long long>(values.begin(), values.end()));
        }
    }
    void load(Stream& stream, const Store& store) override {
        AdaptiveBias::load(stream, store);
        find_weights();
        if (!store.has("bias_centers")) return;
        const auto centers = store.get<float>("bias_centers");
        if (centers.size() % at(setup_.cvs) != 0)
            throw InputError("checkpoint.h5: what springs are bound to does not go with this configuration; begin anew "
                             "with --force");
        center_ = Buffer<float>(stream_.device(), std::ssize(centers));
        copy_to_device(stream, center_.span(), centers.data());
        drawn_ = true;
        for (const auto& [name, sums] : {std::pair("bias_springs", &count_), std::pair("bias_pulls", &pulls_)}) {
            const auto words = store.get<long long>(name, sums->size());
            const std::vector<uint64> values(words.begin(), words.end());
            copy_to_device(stream, sums->span(), values.data());
        }
    }

private:
    void update(Ensemble& ensemble, Span<const float>) override {
        SpringGradientBody body{setup_.cvs, points(), options_.full_samples, {}, count_.data(), pulls_.data(),
                                total_.data(), values_.data(), gradient_.data()};
        for (int k = 0; k < setup_.cvs; ++k)
            body.unit[k] = options_.spring[at(k)] * options_.axes.spacing(k) * SumSpringsBody::unit();
        launch_eabf(stream_, points(), body);
        if (!integrates_at(static_cast<index>(ensemble.step()))) return;
        integral_.solve(stream_, gradient_.span(), bias_.span());
        find_weights();
    }
    void draw(Ensemble& ensemble, Span<const float> xi) override {
        const index n = ensemble.size();
        const auto step = static_cast<index>(ensemble.step());
        if (!frozen() && drawn_ && step > options_.start)
            launch_eabf(stream_, n, SumSpringsBody{springs_, periods_, xi.data, center_.data(), n, points(), count_.data(),
                                                   pulls_.data()});
        launch_eabf(stream_, n, DrawSpringsBody{springs_, ensemble.seed(), static_cast<uint64>(step), xi.data, n,
                                                center_.data()});
        copy(stream_, ensemble.center(), Span<const float>(center_.span()));
        drawn_ = true;
    }
    bool uses_kernels() const override { return false; }
    std::vector<Span<double>> sums() override { return {values_.span()}; }
    void find_weights() {
        row_min(stream_, Rows<double>(bias_.span()), least_.span(), scratch_.span());
        launch_eabf(stream_, points(),
                    SpringWeightBody{bias_.data(), wall_.size() > 0 ? wall_.data() : nullptr, least_.data(),
                                     1 / options_.kt, weight_.data()});
    }

    GradientIntegral integral_;
    SpringView springs_{};
    CvPeriods periods_;
    bool drawn_ = false;
    Buffer<double> values_, gradient_, weight_, least_, scratch_, gauss_[kMaxCvs];
    Buffer<uint64> pulls_;
    Buffer<float> center_;
};

}  // namespace

std::unique_ptr<BiasMethod> make_eabf(Stream& stream, const BiasSetup& setup) {
    return std::make_unique<ExtendedAbf>(stream, setup);
}

#endif

}  // namespace microlift
