#include "sampling/numerics/local_law.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

namespace microlift {

LocalLaw::LocalLaw(int dims, std::vector<double> z, std::vector<index> block, index blocks)
    : dims_(dims), n_(block.size()), z_(std::move(z)), block_(std::move(block)),
      sums_(static_cast<std::size_t>(blocks)) {
    for (std::size_t i = 0; i < n_; ++i) {
        const double a = this->z(0, i), b = this->z(1, i);
        const double terms[6] = {1, a, b, a * a, a * b, b * b};
        for (std::size_t k = 0; k < 6; ++k) {
            sums_[static_cast<std::size_t>(block_[i])].v[k] += terms[k];
            total_.v[k] += terms[k];
        }
    }
}

// The intercept of a regression is Σ y (1 − (z − z̄)·C⁻¹ z̄) / n, C the covariance of z.
LocalLaw::Weights LocalLaw::weights(const Sums& s) const {
    const double n = s.v[0], a = s.v[1] / n, b = s.v[2] / n;
    const double aa = s.v[3] / n - a * a, ab = s.v[4] / n - a * b, bb = s.v[5] / n - b * b;
    const double det = aa * bb - ab * ab;
    double u = aa > 0 ? a / aa : 0, v = 0;
    if (dims_ == 2 && det > 1e-8 * aa * bb) {
        u = (bb * a - ab * b) / det;
        v = (aa * b - ab * a) / det;
    }
    return {{(1 + u * a + v * b) / n, -u / n, -v / n}};
}

std::vector<double> LocalLaw::quantiles(const std::vector<double>& y,
                                        const std::vector<double>& p) const {
    std::vector<std::size_t> order(n_);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t i, std::size_t j) { return y[i] < y[j]; });
    const Weights w = weights(total_);
    double below = 0;
    std::vector<double> found;
    for (const std::size_t i : order) {
        below += w.c[0] + w.c[1] * z(0, i) + w.c[2] * z(1, i);
        while (found.size() < p.size() && below >= p[found.size()]) found.push_back(y[i]);
    }
    found.resize(p.size(), n_ > 0 ? y[order.back()] : std::numeric_limits<double>::quiet_NaN());
    return found;
}

double LocalLaw::share_error(const std::vector<double>& y, double bound) const {
    std::vector<std::array<double, 3>> below(sums_.size());  // Σ1, Σz_0, Σz_1 of those below
    std::array<double, 3> all{};
    for (std::size_t i = 0; i < n_; ++i) {
        if (!(y[i] < bound)) continue;
        const double terms[3] = {1, z(0, i), z(1, i)};
        for (std::size_t k = 0; k < 3; ++k) {
            below[static_cast<std::size_t>(block_[i])][k] += terms[k];
            all[k] += terms[k];
        }
    }
    std::vector<double> without;
    for (std::size_t g = 0; g < sums_.size(); ++g) {
        Sums rest = total_;
        for (std::size_t k = 0; k < 6; ++k) rest.v[k] -= sums_[g].v[k];
        const Weights w = weights(rest);
        double share = 0;
        for (std::size_t k = 0; k < 3; ++k) share += w.c[k] * (all[k] - below[g][k]);
        without.push_back(share);
    }
    return jackknife_error(std::move(without));
}

}  // namespace microlift
