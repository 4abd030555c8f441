#include "sampling/closure/bursts_of_two.h"

#include <algorithm>
#include <cmath>

namespace microlift {

namespace {

using SquareMatrix = std::array<double, 4>;  // by rows
using Fields = std::vector<std::array<double, 5>>;

constexpr int kRoots = 6;          // square roots before the series of a logarithm
constexpr double kMostDecay = 2.5;  // of |J| τ: beyond it displacements say little about b and D
constexpr double kSameDiffusion = 0.005;    // change of D that is none

SquareMatrix times(const SquareMatrix& a, const SquareMatrix& b) {
    return {a[0] * b[0] + a[1] * b[2], a[0] * b[1] + a[1] * b[3], a[2] * b[0] + a[3] * b[2],
            a[2] * b[1] + a[3] * b[3]};
}

// e^{Jt} by scaling and squaring.
SquareMatrix exponential(const SquareMatrix& j, double t) {
    double size = 0;
    for (const double e : j) size = std::max(size, std::fabs(e * t));
    const int halvings = size > 0.25 ? static_cast<int>(std::ceil(std::log2(size / 0.25))) : 0;
    const double scale = t / std::pow(2.0, halvings);
    SquareMatrix sum{1, 0, 0, 1}, term = sum;
    for (int k = 1; k <= 10; ++k) {
        term = times(term, j);
        for (double& e : term) e *= scale / k;
        for (std::size_t i = 0; i < 4; ++i) sum[i] += term[i];
    }
    for (int k = 0; k < halvings; ++k) sum = times(sum, sum);
    return sum;
}

// The logarithm of a matrix by square roots, (M + sqrt(det) 1)/sqrt(tr + 2 sqrt(det)); M − 1 where
// there is none.
SquareMatrix logarithm(const SquareMatrix& matrix) {
    SquareMatrix m = matrix;
    for (int k = 0; k < kRoots; ++k) {
        const double det = m[0] * m[3] - m[1] * m[2], root = std::sqrt(std::max(det, 0.0));
        const double scale = m[0] + m[3] + 2 * root;
        if (!(det > 0) || !(scale > 0)) return {matrix[0] - 1, matrix[1], matrix[2], matrix[3] - 1};
        const double s = 1 / std::sqrt(scale);
        m = {s * (m[0] + root), s * m[1], s * m[2], s * (m[3] + root)};
    }
    const SquareMatrix e{m[0] - 1, m[1], m[2], m[3] - 1};
    SquareMatrix sum{}, power = e;
    for (int k = 1; k <= 6; ++k) {
        for (std::size_t i = 0; i < 4; ++i) sum[i] += (k % 2 ? 1.0 : -1.0) / k * power[i];
        power = times(power, e);
    }
    for (double& v : sum) v *= std::pow(2.0, kRoots);
    return sum;
}

// Solves the n × n system by elimination with pivots.
template <std::size_t n>
std::array<double, n> solve(std::array<std::array<double, n>, n> a, std::array<double, n> b) {
    for (std::size_t c = 0; c < n; ++c) {
        std::size_t p = c;
        for (std::size_t r = c + 1; r < n; ++r)
            if (std::fabs(a[r][c]) > std::fabs(a[p][c])) p = r;
        std::swap(a[c], a[p]);
        std::swap(b[c], b[p]);
        for (std::size_t r = c + 1; r < n; ++r) {
            const double f = a[r][c] / a[c][c];
            for (std::size_t k = c; k < n; ++k) a[r][k] -= f * a[c][k];
            b[r] -= f * b[c];
        }
    }
    for (std::size_t c = n; c-- > 0;) {
        for (std::size_t k = c + 1; k < n; ++k) b[c] -= a[c][k] * b[k];
        b[c] /= a[c][c];
    }
    return b;
}

// b and D of one value from what bursts of `steps` Euler–Maruyama steps show, the drift being linear:
// a step multiplies displacements by e^(decay/steps).
std::array<double, 5> local(const std::array<double, 5>& apparent, SquareMatrix decay, index steps) {
    double size = 0;
    for (const double e : decay) size = std::max(size, std::fabs(e));
    if (size > kMostDecay)
        for (double& e : decay) e *= kMostDecay / size;
    std::array<std::array<double, 2>, 2> phi{};
    std::array<std::array<double, 3>, 3> spread{};  // of D₁₁, D₁₂, D₂₂ on the covariance / 2τ
    const double w = 1 / static_cast<double>(steps);
    const SquareMatrix step = exponential(decay, w);
    SquareMatrix e{1, 0, 0, 1};
    for (index i = 0; i < steps; ++i, e = times(e, step)) {
        phi[0][0] += w * e[0];
        phi[0][1] += w * e[1];
        phi[1][0] += w * e[2];
        phi[1][1] += w * e[3];
        const double rows[3][3] = {
            {e[0] * e[0], 2 * e[0] * e[1], e[1] * e[1]},
            {e[0] * e[2], e[0] * e[3] + e[1] * e[2], e[1] * e[3]},
            {e[2] * e[2], 2 * e[2] * e[3], e[3] * e[3]}};
        for (std::size_t r = 0; r < 3; ++r)
            for (std::size_t c = 0; c < 3; ++c) spread[r][c] += w * rows[r][c];
    }
    const auto b = solve<2>(phi, {apparent[0], apparent[1]});
    const auto d = solve<3>(spread, {apparent[2], apparent[3], apparent[4]});
    return {b[0], b[1], d[0], d[1], d[2]};
}

// Before and behind each value along each variable: its neighbours on the grid, or itself.
using Neighbours = std::vector<std::array<std::array<std::size_t, 2>, 2>>;

Neighbours neighbours_of(const std::vector<CvValue>& values) {
    Neighbours all(values.size());
    CvValue spacing{1e300, 1e300};
    for (const CvValue& v : values)
        for (std::size_t k = 0; k < 2; ++k)
            if (const double d = std::fabs(v[k] - values[0][k]); d > 1e-9 * std::fabs(v[k]))
                spacing[k] = std::min(spacing[k], d);
    for (std::size_t v = 0; v < values.size(); ++v)
        for (std::size_t k = 0; k < 2; ++k) {
            all[v][k] = {v, v};
            for (std::size_t w = 0; w < values.size(); ++w) {
                const double along = (values[w][k] - values[v][k]) / spacing[k];
                const double across = (values[w][1 - k] - values[v][1 - k]) / spacing[1 - k];
                if (std::fabs(across) > 0.1) continue;
                if (std::fabs(along - 1) < 0.1) all[v][k][1] = w;
                if (std::fabs(along + 1) < 0.1) all[v][k][0] = w;
            }
        }
    return all;
}

// The derivative at a value along a variable from values there: by neighbours on both sides, at the rim by
// the three values next to it. Empty where it has no neighbour.
struct Term {
    std::size_t value;
    double weight;
};
std::vector<Term> slope(const BurstMoments& m, const Neighbours& near, std::size_t v,
                        std::size_t axis) {
    const auto [low, high] = near[v][axis];
    if (low == high) return {};
    const double h = m.values[high][axis] - m.values[low][axis];
    if (low != v && high != v) return {{high, 1 / h}, {low, -1 / h}};
    const bool left = low == v;
    const std::size_t next = left ? high : low, after = near[next][axis][left ? 1 : 0];
    if (after == next) return {{high, 1 / h}, {low, -1 / h}};
    const double sign = left ? 1 / h : -1 / h;
    return {{v, -1.5 * sign}, {next, 2 * sign}, {after, -0.5 * sign}};
}

// The logarithm of the propagator at value v, 1 + the slope of the mean displacement; 0 along a variable
// in which it has no neighbour.
SquareMatrix decay_at(const Fields& f, double tau, const BurstMoments& m, const Neighbours& near,
             std::size_t v, const SquareMatrix& shift = {}) {
    SquareMatrix j{1 + shift[0], shift[1], shift[2], 1 + shift[3]};
    for (std::size_t axis = 0; axis < 2; ++axis)
        for (const Term& t : slope(m, near, v, axis))
            for (std::size_t r = 0; r < 2; ++r) j[2 * r + axis] += tau * t.weight * f[t.value][r];
    return logarithm(j);
}

// The drift's curvature and a diffusion that changes: to first order in the lag, displacements see
// b + (τ − dt)/2 D:∇∇b beside what linear drifts do, and D + (τ − dt)/2 (b·∇D + D:∇∇D). Taken out by
// differences of neighbours, along each variable; as much of it as higher orders may be is an error.
void take_out_curvature(TwoLag& lag, const BurstMoments& m, const Neighbours& near) {
    const Fields value = lag.value, error = lag.error;
    const double half = 0.5 * (lag.tau - m.dt);
    for (std::size_t v = 0; v < value.size() && half > 0; ++v) {
        const SquareMatrix decay = decay_at(lag.apparent, lag.tau, m, near, v);
        double size = 0;
        for (const double e : decay) size = std::max(size, std::fabs(e));
        for (std::size_t axis = 0; axis < 2; ++axis) {
            // At the rim, the curvature of the value beside it.
            const auto own = near[v][axis];
            const std::size_t c = own[0] != v && own[1] != v ? v : own[0] != v ? own[0] : own[1];
            const auto [low, high] = near[c][axis];
            if (low == c || high == c) continue;
            const double h = 0.5 * (m.values[high][axis] - m.values[low][axis]);
            const double spread = half * value[v][2 + 2 * axis] / (h * h);
            for (std::size_t o = 0; o < 5; ++o) {
                double seen = spread * (value[high][o] - 2 * value[c][o] + value[low][o]);
                const double noise =
                    spread * std::hypot(error[high][o], 2 * error[c][o], error[low][o]);
                if (o > 1) seen += half * value[v][axis] * (value[high][o] - value[low][o]) / (2 * h);
                lag.value[v][o] -= seen;
                lag.error[v][o] =
                    std::hypot(lag.error[v][o], noise, seen * std::min(1.0, size + spread));
            }
        }
    }
}

// Of what one lag shows at one value. What every step rounds is noise of the displacements; what formulas
// round, and the time step, is not.
std::array<double, 5> measured_error(const BurstPoint& p, double t) {
    const auto mean = [&](std::size_t k) {
        return std::hypot(p.mean_error[k], 2 * kRounded * p.mean[k]) / t;
    };
    const auto covariance = [&](std::size_t o) {
        return std::hypot(p.covariance_error[o], kRounded * p.covariance[o]) / (2 * t);
    };
    return {mean(0), mean(1), covariance(0), covariance(1), covariance(2)};
}

// Relative change of D since the lag before: the root mean square over the values less what the errors alone
// would make, or the mean over them where that is more, which so many values tell although each is noise.
// Values whose noise exceeds the tolerance count less.
void measure_change(TwoLag& lag, const TwoLag& before, double tolerance) {
    std::vector<double> sizes;
    for (const auto& v : lag.value) sizes.push_back(0.5 * (v[2] + v[4]));
    std::nth_element(sizes.begin(), sizes.begin() + std::ssize(sizes) / 2, sizes.end());
    const double least = std::pow(tolerance * sizes[sizes.size() / 2], 2);
    double change = 0, mean = 0, noise = 0, size = 0, weights = 0, squares = 0;
    for (std::size_t o = 2; o < 5; ++o) {
        const double twice = o == 3 ? 2.0 : 1.0;  // D₁₂ = D₂₁
        double sum = 0, spread = 0, all = 0;
        for (std::size_t v = 0; v < lag.value.size(); ++v) {
            const double d = lag.value[v][o] - before.value[v][o];
            const double square = lag.error[v][o] * lag.error[v][o] + before.error[v][o] * before.error[v][o];
            const double w = std::pow(least / (square + least), 2);
            change += twice * w * (d * d - square);
            noise += twice * w * square;
            size += twice * w * lag.value[v][o] * lag.value[v][o];
            sum += w * d;
            spread += w * w * square;
            all += w;
            weights += w;
            squares += w * w;
        }
        if (all > 0) mean += twice * (sum * sum - spread) / all;
    }
    lag.change = std::sqrt(std::max({0.0, change, mean}) / size);
    lag.change_error = std::sqrt(noise / size * 3 * squares / (weights * weights));
}

}  // namespace

TwoClosure burst_closure_of_two(const BurstMoments& m, double tolerance) {
    TwoClosure out;
    const std::size_t n = m.values.size();
    const Neighbours near = neighbours_of(m.values);
    for (std::size_t l = 0; l < m.lags.size(); ++l) {
        TwoLag lag;
        lag.tau = m.tau(l);
        Fields error;
        for (std::size_t v = 0; v < n; ++v) {
            const BurstPoint& p = m.point(l, v);
            const double t = lag.tau;
            lag.apparent.push_back({p.mean[0] / t, p.mean[1] / t, p.covariance[0] / (2 * t),
                                    p.covariance[1] / (2 * t), p.covariance[2] / (2 * t)});
            error.push_back(measured_error(p, t));
        }
        lag.error = error;
        for (std::size_t v = 0; v < n; ++v) {
            const SquareMatrix decay = decay_at(lag.apparent, lag.tau, m, near, v);
            lag.value.push_back(local(lag.apparent[v], decay, m.lags[l]));
            // An error grows by as much as its quantity is stretched.
            for (std::size_t o = 0; o < 5; ++o) {
                std::array<double, 5> one{};
                one[o] = error[v][o];
                lag.error[v][o] = std::max(error[v][o], std::fabs(local(one, decay, m.lags[l])[o]));
            }
            // And by what the errors of the slope make of it.
            for (std::size_t axis = 0; axis < 2; ++axis) {
                const std::vector<Term> terms = slope(m, near, v, axis);
                for (std::size_t r = 0; r < 2 && !terms.empty(); ++r) {
                    double noise = 0;
                    for (const Term& t : terms)
                        noise = std::hypot(noise, t.weight * error[t.value][r]);
                    SquareMatrix shift{};
                    shift[2 * r + axis] = lag.tau * noise;
                    const SquareMatrix moved = decay_at(lag.apparent, lag.tau, m, near, v, shift);
                    const auto other = local(lag.apparent[v], moved, m.lags[l]);
                    for (std::size_t o = 0; o < 5; ++o)
                        lag.error[v][o] = std::hypot(lag.error[v][o], other[o] - lag.value[v][o]);
                }
            }
        }
        if (l > 0) measure_change(lag, out.lags.back(), tolerance);
        out.lags.push_back(std::move(lag));
    }
    // The longest run of lags with neighbours that agree, of equal ones the later.
    const std::size_t lags = out.lags.size();
    const auto change_to = [&](std::size_t l) {
        return out.lags[l].change / std::log2(out.lags[l].tau / out.lags[l - 1].tau);
    };
    std::size_t first = lags - 1, last = lags - 1;
    for (std::size_t l = 0, begin = 0; l < lags; ++l) {
        if (l > 0 && change_to(l) >= tolerance + out.lags[l].change_error) begin = l;
        if (l - begin > 0 && l - begin >= last - first) {
            first = begin;
            last = l;
        }
    }
    out.plateau = last > first;
    for (std::size_t l = first; l <= last && out.plateau; ++l) out.lags[l].plateau = true;
    out.chosen = first;
    for (std::size_t l = first + 1; l <= last; ++l)
        if (out.chosen == first || change_to(l) < change_to(out.chosen)) out.chosen = l;
    while (out.chosen > first &&
           change_to(out.chosen) < kSameDiffusion + 2 * out.lags[out.chosen].change_error)
        --out.chosen;
    for (TwoLag& lag : out.lags) take_out_curvature(lag, m, near);
    return out;
}

}  // namespace microlift
