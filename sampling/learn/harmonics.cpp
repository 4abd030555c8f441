#include "sampling/learn/harmonics.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/stop.h"
#include "sampling/learn/landmarks.h"
#include "sampling/learn/rows.h"
#include "sampling/numerics/eigen.h"

namespace microlift {

GeometricHarmonics::GeometricHarmonics(std::span<const double> points, int dim, index n,
                                       std::span<const double> f, int columns, double least)
    : dim_(dim), columns_(columns), mean_(at(columns), 0.0) {
    constexpr index kMostCentres = 600;
    std::vector<index> group;
    double spacing = 0;
    const index m = static_cast<index>(
        farthest_points(by_rows(points, dim, n), dim, n, kMostCentres, spacing, &group).size());
    centres_.assign(at(m * dim), 0.0);
    std::vector<double> values(at(columns * m), 0.0), size(at(m), 0.0);
    for (const index j : group) size[at(j)] += 1;
    for (index i = 0; i < n; ++i) {
        const index j = group[at(i)];
        for (int d = 0; d < dim; ++d)
            centres_[at(j * dim + d)] += points[at(d * n + i)] / size[at(j)];
        for (int c = 0; c < columns; ++c)
            values[at(c * m + j)] += f[at(c * n + i)] / size[at(j)];
    }
    for (int c = 0; c < columns; ++c)
        for (index j = 0; j < m; ++j)
            mean_[at(c)] += values[at(c * m + j)] / static_cast<double>(m);
    // ε: the median squared distance to the 16th neighbour, wide enough to join the centres.
    std::vector<double> reach;
    for (index i = 0; i < m; ++i) {
        check_stop();
        std::vector<double> d2;
        for (index j = 0; j < m; ++j)
            d2.push_back(distance2(&centres_[at(i * dim)], &centres_[at(j * dim)], dim));
        const auto nth = d2.begin() + static_cast<long>(std::min<index>(16, m - 1));
        std::nth_element(d2.begin(), nth, d2.end());
        reach.push_back(*nth);
    }
    std::nth_element(reach.begin(), reach.begin() + static_cast<long>(reach.size() / 2),
                     reach.end());
    epsilon_ = std::max(reach[reach.size() / 2], 1e-300);
    std::vector<double> kernel(at(m * m));
    for (index i = 0; i < m; ++i)
        for (index j = 0; j < m; ++j)
            kernel[at(i * m + j)] = std::exp(
                -distance2(&centres_[at(i * dim)], &centres_[at(j * dim)], dim) / (4 * epsilon_));
    const DenseEigen e = eigen_symmetric(static_cast<int>(m), std::move(kernel));
    weights_.assign(at(m * columns), 0.0);
    for (index l = 0; l < m && e.values[at(l)] > least * e.values[0]; ++l) {
        const double* psi = &e.vectors[at(l * m)];
        for (int c = 0; c < columns; ++c) {
            double projection = 0;
            for (index j = 0; j < m; ++j)
                projection += psi[j] * (values[at(c * m + j)] - mean_[at(c)]);
            // Extended: ψ(x) = λ⁻¹ Σ_j k(x, j) ψ_j.
            for (index j = 0; j < m; ++j)
                weights_[at(j * columns + c)] += projection * psi[j] / e.values[at(l)];
        }
    }
}

void GeometricHarmonics::operator()(const double* point, double* out) const {
    check_stop();
    std::copy(mean_.begin(), mean_.end(), out);
    const index m = static_cast<index>(centres_.size()) / dim_;
    for (index j = 0; j < m; ++j) {
        const double k =
            std::exp(-distance2(point, &centres_[at(j * dim_)], dim_) / (4 * epsilon_));
        for (int c = 0; c < columns_; ++c) out[c] += k * weights_[at(j * columns_ + c)];
    }
}

}  // namespace microlift
