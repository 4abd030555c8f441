#include "sampling/estimate/umbrella_integration.h"

#include <algorithm>
#include <cmath>

namespace microlift {

namespace {

std::size_t at(index i) {
    return static_cast<std::size_t>(i);
}

double mean_force(const WindowMoments& m, const std::vector<double>& center,
                  const std::vector<double>& stiffness, double x) {
    // Relative to the largest weight, so that far from all windows the nearest one speaks.
    double top = -1e300;
    const std::size_t n = m.mean.size();
    const auto log_weight = [&](std::size_t w) {
        const double d = x - m.mean[w];
        return std::log(m.count[w]) - 0.5 * std::log(m.variance[w]) - 0.5 * d * d / m.variance[w];
    };
    for (std::size_t w = 0; w < n; ++w)
        if (m.count[w] > 1.0) top = std::max(top, log_weight(w));
    double sum = 0.0, force = 0.0;
    for (std::size_t w = 0; w < n; ++w) {
        if (!(m.count[w] > 1.0)) continue;
        const double l = log_weight(w) - top;
        if (l < -44.0) continue;
        const double p = std::exp(l);
        sum += p;
        force += p * ((x - m.mean[w]) / m.variance[w] - stiffness[w] * (x - center[w]));
    }
    return force / sum;
}

// ∫ mean force from a to b: Simpson.
double integral(const WindowMoments& m, const std::vector<double>& center,
                const std::vector<double>& stiffness, double a, double b, int panels) {
    const double h = (b - a) / (2 * panels);
    double sum = mean_force(m, center, stiffness, a) + mean_force(m, center, stiffness, b);
    for (int i = 1; i < 2 * panels; ++i)
        sum += (i % 2 ? 4.0 : 2.0) * mean_force(m, center, stiffness, a + i * h);
    return sum * h / 3.0;
}

double least_width(const WindowMoments& m) {
    return std::sqrt(*std::min_element(m.variance.begin(), m.variance.end()));
}

}  // namespace

std::vector<double> umbrella_integration(const WindowMoments& moments,
                                         const std::vector<double>& center,
                                         const std::vector<double>& reduced_stiffness,
                                         const Grid& grid) {
    std::vector<double> f(at(grid.bins[0]), 0.0);
    const int panels = static_cast<int>(
        std::clamp(std::ceil(2.0 * grid.width(0) / least_width(moments)), 1.0, 64.0));
    for (index b = 1; b < grid.bins[0]; ++b)
        f[at(b)] = f[at(b - 1)] + integral(moments, center, reduced_stiffness,
                                           grid.centre(0, b - 1), grid.centre(0, b), panels);
    return f;
}

std::vector<double> umbrella_window_f(const WindowMoments& moments,
                                      const std::vector<double>& center,
                                      const std::vector<double>& reduced_stiffness) {
    const std::size_t n = moments.mean.size();
    double low = 1e300, high = -1e300;
    for (std::size_t w = 0; w < n; ++w) {
        const double reach = 6.0 * std::sqrt(moments.variance[w]);
        low = std::min(low, moments.mean[w] - reach);
        high = std::max(high, moments.mean[w] + reach);
    }
    const index steps =
        static_cast<index>(std::clamp(8.0 * (high - low) / least_width(moments), 256.0, 65536.0));
    const double h = (high - low) / static_cast<double>(steps);
    std::vector<double> f(at(steps + 1), 0.0);
    for (index i = 1; i <= steps; ++i)
        f[at(i)] = f[at(i - 1)] + integral(moments, center, reduced_stiffness,
                                           low + static_cast<double>(i - 1) * h,
                                           low + static_cast<double>(i) * h, 1);
    std::vector<double> result(n);
    for (std::size_t w = 0; w < n; ++w) {
        const auto exponent = [&](index i) {
            const double d = low + static_cast<double>(i) * h - center[w];
            return -f[at(i)] - 0.5 * reduced_stiffness[w] * d * d;
        };
        double top = -1e300, sum = 0.0;
        for (index i = 0; i <= steps; ++i) top = std::max(top, exponent(i));
        for (index i = 0; i <= steps; ++i) sum += std::exp(exponent(i) - top);
        result[w] = -(top + std::log(sum));
    }
    const double first = result[0];
    for (double& r : result) r -= first;
    return result;
}

}  // namespace microlift
