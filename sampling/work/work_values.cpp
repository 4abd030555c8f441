#include "sampling/work/work_values.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace microlift {

namespace {

constexpr int kNewtonSteps = 200;       // of Newton
constexpr double kNewtonClose = 1e-12;      // kT
constexpr double kMostSlope = 50;     // of the log ratio: beyond, densities do not overlap

double sigmoid(double x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : 1 - 1 / (1 + std::exp(x)); }

// BothWays directions on the forward way, in kT.
struct BothWays {
    std::span<const double> forward, reverse;
    double kt;
    double offset;  // ln of the ratio of their numbers

    BothWays(std::span<const double> f, std::span<const double> r, double unit)
        : forward(f), reverse(r), kt(unit),
          offset(std::log(static_cast<double>(f.size()) / static_cast<double>(r.size()))) {}
    // visit(work, whether it was done on the way forward)
    template <class Visit>
    void each(const Visit& visit) const {
        for (const double w : forward) visit(w / kt, true);
        for (const double w : reverse) visit(-w / kt, false);
    }
    // Of a difference x: what BAR's condition lacks, and its slope Σ f (1 − f).
    std::pair<double, double> lack(double x) const {
        double sum = 0, slope = 0;
        each([&](double w, bool ahead) {
            const double f = sigmoid(offset + w - x);  // to have come forward
            sum += ahead ? 1 - f : -f;
            slope += f * (1 - f);
        });
        return {sum, slope};
    }
};

// The root of what rises with x.
double bar_root(const BothWays& both) {
    double low = 1e300, high = -1e300;
    both.each([&](double w, bool) { low = std::min(low, w), high = std::max(high, w); });
    low -= std::fabs(both.offset) + 1, high += std::fabs(both.offset) + 1;
    while (both.lack(low).first > 0) low -= 10;
    while (both.lack(high).first < 0) high += 10;
    double x = 0.5 * (low + high);
    for (int i = 0; i < kNewtonSteps && high - low > kNewtonClose; ++i) {
        const auto [lack, slope] = both.lack(x);
        (lack < 0 ? low : high) = x;
        const double next = slope > 0 ? x - lack / slope : high + 1;
        const double to = next > low && next < high ? next : 0.5 * (low + high);
        if (std::fabs(to - x) < kNewtonClose) return to;
        x = to;
    }
    return x;
}

WorkValue jarzynski(std::span<const double> work, double kt, double sign, double& effective) {
    const auto n = static_cast<double>(work.size());
    const double least = *std::min_element(work.begin(), work.end());
    double sum = 0, squares = 0;
    for (const double w : work) {
        const double e = std::exp(-(w - least) / kt);
        sum += e, squares += e * e;
    }
    effective = sum * sum / squares;
    WorkValue found;
    found.value = sign * (least - kt * std::log(sum / n));
    // The relative variance of the mean; half of it is the bias, in kT (Gore, Ritort, Bustamante, Proc. Natl. Acad.
    // Sci. 100 (2003) 12564).
    const double variance = std::max(0.0, (n * squares / (sum * sum) - 1) / (n - 1));
    found.std_error = kt * std::sqrt(variance);
    found.bias = sign * 0.5 * kt * variance;
    return found;
}

WorkDirection work_direction(std::span<const double> work, double kt, double sign, double difference) {
    WorkDirection d;
    double n = 0, mean = 0, square = 0;
    for (const double w : work) {
        n += 1;
        square += (w - mean) * (w - mean) * (n - 1) / n;
        mean += (w - mean) / n;
    }
    d.mean = mean, d.variance = square / (n - 1);
    d.dissipated = (mean - sign * difference) / kt;
    d.jarzynski = jarzynski(work, kt, sign, d.effective);
    return d;
}

// ln of the ratio of the densities is slope · (w − x): both by maximum likelihood, from BAR's answer on.
struct DensityRatio {
    double level = 0, slope = 1;             // of w less the middle
    double ll = 0, ls = 0, ss = 0;           // information
    double likelihood(const BothWays& both, double middle) {
        double sum = 0;
        ll = ls = ss = 0, gradient_level = gradient_slope = 0;
        both.each([&](double w, bool ahead) {
            const double off = w - middle, f = sigmoid(both.offset + level + slope * off);
            const double hit = ahead ? f : 1 - f, weight = f * (1 - f), miss = ahead ? 1 - f : -f;
            sum += std::log(std::max(hit, 1e-300));
            ll += weight, ls += weight * off, ss += weight * off * off;
            gradient_level += miss, gradient_slope += miss * off;
        });
        return sum;
    }
    double gradient_level = 0, gradient_slope = 0;
};

void cross_densities(const BothWays& both, double middle, WorkResult& result) {
    DensityRatio ratio;
    double best = ratio.likelihood(both, middle);
    for (int i = 0; i < kNewtonSteps; ++i) {
        const double determinant = ratio.ll * ratio.ss - ratio.ls * ratio.ls;
        if (!(determinant > 1e-300)) return;
        double level = (ratio.ss * ratio.gradient_level - ratio.ls * ratio.gradient_slope) / determinant;
        double slope = (ratio.ll * ratio.gradient_slope - ratio.ls * ratio.gradient_level) / determinant;
        const DensityRatio before = ratio;
        const bool small = std::fabs(level) < kNewtonClose && std::fabs(slope) < kNewtonClose;
        double now = best;
        for (int halved = 0; halved < 40; ++halved, level *= 0.5, slope *= 0.5) {
            ratio.level = before.level + level, ratio.slope = before.slope + slope;
            now = ratio.likelihood(both, middle);
            if (now >= best) break;
        }
        if (std::fabs(ratio.slope) > kMostSlope) return;
        if (small || now <= best) break;
        best = now;
    }
    const double determinant = ratio.ll * ratio.ss - ratio.ls * ratio.ls;
    if (!(determinant > 1e-300) || !(ratio.slope > 0)) return;
    // Numbers of walkers each way are given, which the level alone knows (Anderson, Biometrika 59 (1972) 19).
    const double given = 1 / static_cast<double>(both.forward.size()) + 1 / static_cast<double>(both.reverse.size());
    const double vl = ratio.ss / determinant - given, vs = ratio.ll / determinant, c = -ratio.ls / determinant;
    const double off = -ratio.level / ratio.slope;
    const double variance = (vl + off * off * vs + 2 * off * c) / (ratio.slope * ratio.slope);
    result.slope = ratio.slope, result.slope_error = std::sqrt(vs);
    result.crooks = {both.kt * (middle + off), both.kt * std::sqrt(std::max(0.0, variance)), 0};
}

}  // namespace

double bar_difference(std::span<const double> forward, std::span<const double> reverse, double kt) {
    return kt * bar_root(BothWays(forward, reverse, kt));
}

WorkResult evaluate_work(std::span<const double> forward, std::span<const double> reverse, double kt) {
    const BothWays both(forward, reverse, kt);
    const double x = bar_root(both);
    WorkResult result;
    result.shared = both.lack(x).second;
    const double given = 1 / static_cast<double>(forward.size()) + 1 / static_cast<double>(reverse.size());
    result.bar = {kt * x, kt * std::sqrt(std::max(0.0, 1 / result.shared - given)), 0};
    result.overlap = result.shared * given;
    result.forward = work_direction(forward, kt, 1, kt * x);
    result.reverse = work_direction(reverse, kt, -1, kt * x);
    cross_densities(both, x, result);
    return result;
}

}  // namespace microlift
