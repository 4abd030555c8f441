#include "sampling/learn/landmarks.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/stop.h"
#include "sampling/learn/rows.h"
#include "sampling/numerics/eigen.h"

namespace microlift {

namespace {

constexpr double kFloor = LearnedCoordinates::kFloor;

// One choice of h: the rows of the fit, g_m / (Σ g + δ), and the share of c∞.
struct LandmarkBasis {
    std::vector<double> rows;  // (point, landmark)
    std::vector<double> rest;  // δ / (Σ g + δ)

    LandmarkBasis(const std::vector<double>& points, int dim, index n,
                  const std::vector<double>& landmarks, double length2) {
        const index m = static_cast<index>(landmarks.size()) / dim;
        rows.resize(at(n * m));
        for (index i = 0; i < n; ++i) {
            check_stop();
            double sum = kFloor;
            for (index l = 0; l < m; ++l) {
                const double g =
                    std::exp(-distance2(&points[at(i * dim)], &landmarks[at(l * dim)], dim) / length2);
                rows[at(i * m + l)] = g;
                sum += g;
            }
            for (index l = 0; l < m; ++l) rows[at(i * m + l)] /= sum;
            rest.push_back(kFloor / sum);
        }
    }
};

// Least squares for every coordinate over the points i with i % 5 ≠ leave_out (−1: all), with a
// slight pull towards `prior` (coordinate, landmark).
std::vector<double> solve_values(const LandmarkBasis& basis, index n, index m,
                                 std::span<const double> functions, int coordinates,
                                 const std::vector<double>& outside,
                                 const std::vector<double>& prior, int leave_out) {
    std::vector<double> normal(at(m * m), 0.0), right(at(coordinates * m), 0.0);
    for (index i = 0; i < n; ++i) {
        check_stop();
        if (i % 5 == leave_out) continue;
        const double* r = &basis.rows[at(i * m)];
        std::vector<double> target;
        for (int k = 0; k < coordinates; ++k) {
            double f = functions[at(k * n + i)] - basis.rest[at(i)] * outside[at(k)];
            for (index l = 0; l < m; ++l) f -= r[l] * prior[at(k * m + l)];
            target.push_back(f);
        }
        for (index a = 0; a < m; ++a) {
            if (r[a] < 1e-14) continue;
            for (index b = 0; b <= a; ++b) normal[at(a * m + b)] += r[a] * r[b];
            for (int k = 0; k < coordinates; ++k) right[at(k * m + a)] += r[a] * target[at(k)];
        }
    }
    double trace = 0;
    for (index a = 0; a < m; ++a) trace += normal[at(a * m + a)];
    for (index a = 0; a < m; ++a) normal[at(a * m + a)] += 1e-6 * trace / static_cast<double>(m);
    if (!solve_positive(static_cast<int>(m), normal, right, coordinates))
        throw NumericError("learn: the fit to the landmarks is singular; use fewer landmarks");
    for (std::size_t i = 0; i < right.size(); ++i) right[i] += prior[i];
    return right;
}

}  // namespace

// The first is the nearest to the mean.
std::vector<index> farthest_points(const std::vector<double>& rows, int dim, index n, index count,
                                   double& spacing, std::vector<index>* nearest_chosen) {
    std::vector<double> mean(at(dim), 0.0);
    for (index i = 0; i < n; ++i)
        for (int d = 0; d < dim; ++d) mean[at(d)] += rows[at(i * dim + d)] / static_cast<double>(n);
    index next = 0;
    for (index i = 1; i < n; ++i)
        if (distance2(&rows[at(i * dim)], mean.data(), dim) <
            distance2(&rows[at(next * dim)], mean.data(), dim))
            next = i;
    std::vector<double> nearest(at(n), 1e300);
    std::vector<index> chosen, which(at(n), 0);
    spacing = 0;
    while (static_cast<index>(chosen.size()) < std::min(count, n)) {
        check_stop();
        chosen.push_back(next);
        for (index i = 0; i < n; ++i) {
            const double d = distance2(&rows[at(i * dim)], &rows[at(next * dim)], dim);
            if (!(d < nearest[at(i)])) continue;
            nearest[at(i)] = d;
            which[at(i)] = static_cast<index>(chosen.size()) - 1;
        }
        next = static_cast<index>(std::max_element(nearest.begin(), nearest.end()) -
                                  nearest.begin());
        spacing = std::sqrt(nearest[at(next)]);
        if (spacing == 0) break;  // fewer distinct points than asked for
    }
    if (nearest_chosen) *nearest_chosen = std::move(which);
    return chosen;
}

void fit_landmarks(std::span<const double> points, index n, std::span<const double> functions,
                   int landmarks, LearnedCoordinates& learned) {
    const int dim = learned.feature_count();
    const int K = static_cast<int>(static_cast<index>(functions.size()) / n);
    const std::vector<double> rows = by_rows(points, dim, n);
    double spacing = 0;
    const std::vector<index> chosen = farthest_points(rows, dim, n, landmarks, spacing);
    const index m = static_cast<index>(chosen.size());
    if (!(spacing > 0))
        throw InputError("learn: " + std::to_string(m) + " different points are too few for " +
                         std::to_string(landmarks) + " landmarks; use fewer, or more samples");
    learned.landmarks.clear();
    std::vector<double> prior(at(K * m));
    for (index l = 0; l < m; ++l) {
        const index i = chosen[at(l)];
        learned.landmarks.insert(learned.landmarks.end(), rows.begin() + i * dim,
                                 rows.begin() + (i + 1) * dim);
        for (int k = 0; k < K; ++k) prior[at(k * m + l)] = functions[at(k * n + i)];
    }
    learned.outside.clear();
    learned.low.clear();
    learned.high.clear();
    std::vector<double> variance;
    for (int k = 0; k < K; ++k) {
        const auto f = functions.subspan(at(k * n), at(n));
        double mean = 0, square = 0;
        for (const double v : f) {
            mean += v / static_cast<double>(n);
            square += v * v / static_cast<double>(n);
        }
        learned.outside.push_back(mean);
        variance.push_back(std::max(1e-300, square - mean * mean));
        learned.low.push_back(*std::min_element(f.begin(), f.end()));
        learned.high.push_back(*std::max_element(f.begin(), f.end()));
    }
    double best = 1e300;
    for (const double factor : {0.7, 1.0, 1.4, 2.0, 2.8}) {
        const double length2 = factor * factor * spacing * spacing;
        const LandmarkBasis basis(rows, dim, n, learned.landmarks, length2);
        const std::vector<double> c =
            solve_values(basis, n, m, functions, K, learned.outside, prior, 0);
        std::vector<double> missed(at(K), 0.0);
        index held = 0;
        for (index i = 0; i < n; i += 5, ++held)
            for (int k = 0; k < K; ++k) {
                double f = basis.rest[at(i)] * learned.outside[at(k)];
                for (index l = 0; l < m; ++l) f += basis.rows[at(i * m + l)] * c[at(k * m + l)];
                const double d = f - functions[at(k * n + i)];
                missed[at(k)] += d * d;
            }
        double total = 0;
        for (int k = 0; k < K; ++k) {
            missed[at(k)] = std::sqrt(missed[at(k)] / static_cast<double>(held) / variance[at(k)]);
            // The leading coordinates matter most.
            total += std::min(missed[at(k)], 1.0) / ((1.0 + k) * (1.0 + k));
        }
        if (total < best) {
            best = total;
            learned.length2 = length2;
            learned.fit_error = missed;
        }
    }
    const LandmarkBasis basis(rows, dim, n, learned.landmarks, learned.length2);
    learned.values = solve_values(basis, n, m, functions, K, learned.outside, prior, -1);
}

double flat_share(std::span<const double> squared_gradients) {
    constexpr double kFlat = 1e-2;
    const double count = static_cast<double>(squared_gradients.size());
    double mean = 0;
    for (const double square : squared_gradients) mean += square / count;
    const double least = kFlat * kFlat * mean;
    const auto flat = std::count_if(squared_gradients.begin(), squared_gradients.end(),
                                    [least](double square) { return !(square > least); });
    return static_cast<double>(flat) / count;
}

std::vector<double> inverse_covariance(std::span<const double> ends, int dim, int replicas,
                                       int rank, double time) {
    std::vector<double> mean(at(dim), 0.0), covariance(at(dim * dim), 0.0);
    for (int d = 0; d < dim; ++d)
        for (int r = 0; r < replicas; ++r) mean[at(d)] += ends[at(d * replicas + r)] / replicas;
    for (int a = 0; a < dim; ++a)
        for (int b = 0; b < dim; ++b)
            for (int r = 0; r < replicas; ++r)
                covariance[at(a * dim + b)] += (ends[at(a * replicas + r)] - mean[at(a)]) *
                                               (ends[at(b * replicas + r)] - mean[at(b)]) /
                                               (replicas - 1);
    const DenseEigen e = eigen_symmetric(dim, covariance);
    std::vector<double> inverse;
    for (int a = 0; a < dim; ++a)
        for (int b = a; b < dim; ++b) {
            double sum = 0;
            for (int l = 0; l < std::min(rank, dim); ++l)
                if (e.values[at(l)] > 1e-12 * e.values[0])
                    sum += e.vectors[at(l * dim + a)] * e.vectors[at(l * dim + b)] / e.values[at(l)];
            inverse.push_back(time * sum);
        }
    return inverse;
}

}  // namespace microlift
