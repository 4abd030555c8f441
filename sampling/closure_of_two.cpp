#include "sampling/closure_of_two.h"

#include <algorithm>
#include <cmath>

namespace microlift {

namespace {

using Matrix = std::array<double, 4>;  // by rows
using Fields = std::vector<std::array<double, 5>>;

constexpr int kRounds = 12;        // of the correction
constexpr int kIntervals = 16;     // of Simpson's rule over the lag
constexpr double kMostDecay = 2.5;  // of |J| τ: beyond it displacements say little about b and D
constexpr double kSafe = 2.2;      // of the longest lag over the one that is taken
constexpr double kSame = 0.005;    // change of D that is none

Matrix times(const Matrix& a, const Matrix& b) {
    return {a[0] * b[0] + a[1] * b[2], a[0] * b[1] + a[1] * b[3], a[2] * b[0] + a[3] * b[2],
            a[2] * b[1] + a[3] * b[3]};
}

// e^{Jt} by scaling and squaring.
Matrix exponential(const Matrix& j, double t) {
    double size = 0;
    for (const double e : j) size = std::max(size, std::fabs(e * t));
    const int halvings = size > 0.25 ? static_cast<int>(std::ceil(std::log2(size / 0.25))) : 0;
    const double scale = t / std::pow(2.0, halvings);
    Matrix sum{1, 0, 0, 1}, term = sum;
    for (int k = 1; k <= 10; ++k) {
        term = times(term, j);
        for (double& e : term) e *= scale / k;
        for (std::size_t i = 0; i < 4; ++i) sum[i] += term[i];
    }
    for (int k = 0; k < halvings; ++k) sum = times(sum, sum);
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

// b and D of one value from what bursts show over τ, the drift being linear with the slope J.
std::array<double, 5> local(const std::array<double, 5>& apparent, Matrix j, double tau) {
    double size = 0;
    for (const double e : j) size = std::max(size, std::fabs(e * tau));
    if (size > kMostDecay)
        for (double& e : j) e *= kMostDecay / size;
    std::array<std::array<double, 2>, 2> phi{};
    std::array<std::array<double, 3>, 3> spread{};  // of D₁₁, D₁₂, D₂₂ on the covariance / 2τ
    for (int i = 0; i <= kIntervals; ++i) {
        const double w = (i == 0 || i == kIntervals ? 1.0 : i % 2 ? 4.0 : 2.0) / (3.0 * kIntervals);
        const Matrix e = exponential(j, tau * i / kIntervals);
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

// ∂b/∂ξ at value (i, k) of a side × side grid by differences of neighbours.
Matrix slope(const Fields& f, const BurstMoments& m, std::size_t side, std::size_t i, std::size_t k) {
    Matrix j{};
    for (std::size_t axis = 0; axis < 2; ++axis) {
        const std::size_t c = axis == 0 ? i : k, step = axis == 0 ? side : 1, here = i * side + k;
        const std::size_t high = c + 1 < side ? here + step : here, low = c > 0 ? here - step : here;
        const double width = m.values[high][axis] - m.values[low][axis];
        for (std::size_t r = 0; r < 2; ++r) j[2 * r + axis] = (f[high][r] - f[low][r]) / width;
    }
    return j;
}

}  // namespace

TwoClosure burst_closure_of_two(const BurstMoments& m, double tolerance) {
    TwoClosure out;
    const std::size_t n = m.values.size();
    const auto side = static_cast<std::size_t>(std::lround(std::sqrt(static_cast<double>(n))));
    for (std::size_t l = 0; l < m.lags.size(); ++l) {
        TwoLag lag;
        lag.tau = m.tau(l);
        Fields error;
        for (std::size_t v = 0; v < n; ++v) {
            const BurstPoint& p = m.point(l, v);
            const double t = lag.tau;
            lag.apparent.push_back({p.mean[0] / t, p.mean[1] / t, p.covariance[0] / (2 * t),
                                    p.covariance[1] / (2 * t), p.covariance[2] / (2 * t)});
            error.push_back({p.mean_error[0] / t, p.mean_error[1] / t, p.covariance_error[0] / (2 * t),
                             p.covariance_error[1] / (2 * t), p.covariance_error[2] / (2 * t)});
        }
        // The slopes of a shorter lag are nearer to the truth than its own.
        lag.value = l > 0 ? out.lags.back().value : lag.apparent;
        lag.error = error;
        for (int round = 0; round < kRounds; ++round) {
            Fields next(n);
            for (std::size_t i = 0; i < side; ++i)
                for (std::size_t k = 0; k < side; ++k) {
                    const std::size_t v = i * side + k;
                    next[v] = local(lag.apparent[v], slope(lag.value, m, side, i, k), lag.tau);
                }
            lag.value = std::move(next);
        }
        // An error grows by as much as its quantity was stretched, at least by nothing.
        for (std::size_t i = 0; i < side; ++i)
            for (std::size_t k = 0; k < side; ++k) {
                const std::size_t v = i * side + k;
                const Matrix j = slope(lag.value, m, side, i, k);
                for (std::size_t o = 0; o < 5; ++o) {
                    std::array<double, 5> one{};
                    one[o] = error[v][o];
                    lag.error[v][o] = std::max(error[v][o], std::fabs(local(one, j, lag.tau)[o]));
                }
            }
        if (l > 0) {
            // Root mean square of the change of D, less what the errors alone would make.
            const TwoLag& before = out.lags.back();
            double change = 0, noise = 0, size = 0;
            for (std::size_t v = 0; v < n; ++v)
                for (std::size_t o = 2; o < 5; ++o) {
                    const double d = lag.value[v][o] - before.value[v][o];
                    const double twice = o == 3 ? 2.0 : 1.0;  // D₁₂ = D₂₁
                    change += twice * d * d;
                    noise += twice * (lag.error[v][o] * lag.error[v][o] +
                                      before.error[v][o] * before.error[v][o]);
                    size += twice * lag.value[v][o] * lag.value[v][o];
                }
            lag.change = std::sqrt(std::max(0.0, change - noise) / size);
            lag.change_error = std::sqrt(noise / size / static_cast<double>(n));
        }
        out.lags.push_back(std::move(lag));
    }
    const std::size_t lags = out.lags.size();
    std::size_t first = lags - 1;
    const auto change_to = [&](std::size_t l) {
        return out.lags[l].change / std::log2(out.lags[l].tau / out.lags[l - 1].tau);
    };
    while (first > 0 && change_to(first) < tolerance + out.lags[first].change_error) --first;
    out.plateau = first + 1 < lags;
    for (std::size_t l = first; l < lags && out.plateau; ++l) out.lags[l].plateau = true;
    out.chosen = first;
    while (out.chosen + 1 < lags && kSafe * out.lags[out.chosen].tau < out.lags.back().tau)
        ++out.chosen;
    while (out.chosen > first &&
           change_to(out.chosen) < kSame + 2 * out.lags[out.chosen].change_error)
        --out.chosen;
    return out;
}

}  // namespace microlift
