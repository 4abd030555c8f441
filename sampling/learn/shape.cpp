#include "sampling/learn/shape.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/stop.h"
#include "sampling/learn/harmonics.h"

namespace microlift {

namespace {

constexpr double kFlattest = 0.05;  // a slope is not less than so much of the steepest

}  // namespace

double rank_correlation(const double* a, const std::vector<double>& b) {
    const index n = static_cast<index>(b.size());
    const auto ranks = [n](const double* x) {
        std::vector<index> order(at(n));
        for (index i = 0; i < n; ++i) order[at(i)] = i;
        std::stable_sort(order.begin(), order.end(),
                         [x](index i, index j) { return x[i] < x[j]; });
        std::vector<double> rank(at(n));
        for (index i = 0; i < n; ++i) rank[at(order[at(i)])] = static_cast<double>(i);
        return rank;
    };
    const std::vector<double> p = ranks(a), q = ranks(b.data());
    const double mean = 0.5 * static_cast<double>(n - 1);
    double pq = 0, pp = 0, qq = 0;
    for (index i = 0; i < n; ++i) {
        pq += (p[at(i)] - mean) * (q[at(i)] - mean);
        pp += (p[at(i)] - mean) * (p[at(i)] - mean);
        qq += (q[at(i)] - mean) * (q[at(i)] - mean);
    }
    return pq / std::sqrt(std::max(1e-300, pp * qq));
}

double lifting_error(const std::vector<double>& points, int dim, index n, const DiffusionMap& map) {
    const auto count = std::min<std::size_t>(map.independent.size(), 3);
    std::vector<double> known, known_f, held, held_f;
    const auto gather = [&](bool test, std::vector<double>& phi, std::vector<double>& f) {
        for (std::size_t c = 0; c < count; ++c)
            for (index i = 0; i < n; ++i)
                if ((i % 5 == 0) == test) phi.push_back(map.function(map.independent[c])[i]);
        for (int d = 0; d < dim; ++d)
            for (index i = 0; i < n; ++i)
                if ((i % 5 == 0) == test) f.push_back(points[at(d * n + i)]);
    };
    gather(false, known, known_f);
    gather(true, held, held_f);
    const int K = static_cast<int>(count);
    const index trained = static_cast<index>(known_f.size()) / dim;
    const index tested = static_cast<index>(held_f.size()) / dim;
    const GeometricHarmonics lift(known, K, trained, known_f, dim);
    std::vector<double> phi(count), out(at(dim));
    double missed = 0, total = 0;
    std::vector<double> mean(at(dim), 0.0);
    for (int d = 0; d < dim; ++d)
        for (index i = 0; i < tested; ++i)
            mean[at(d)] += held_f[at(d * tested + i)] / static_cast<double>(tested);
    for (index i = 0; i < tested; ++i) {
        for (std::size_t c = 0; c < count; ++c) phi[c] = held[c * at(tested) + at(i)];
        lift(phi.data(), out.data());
        for (int d = 0; d < dim; ++d) {
            const double value = held_f[at(d * tested + i)];
            missed += (out[at(d)] - value) * (out[at(d)] - value);
            total += (value - mean[at(d)]) * (value - mean[at(d)]);
        }
    }
    return std::sqrt(missed / std::max(total, 1e-300));
}

std::vector<double> squared_gradients(const LearnedCoordinates& learned,
                                      const std::vector<double>& points, index n) {
    const int dim = learned.feature_count(), K = learned.coordinates();
    const index m = learned.landmark_count();
    std::vector<double> out(at(K * n)), weight(at(m)), diff(at(m * dim));
    for (index i = 0; i < n; ++i) {
        check_stop();
        double sum = 0;
        for (index l = 0; l < m; ++l) {
            double d2 = 0;
            for (int d = 0; d < dim; ++d) {
                const double x = points[at(d * n + i)] - learned.landmarks[at(l * dim + d)];
                diff[at(l * dim + d)] = x;
                d2 += x * x;
            }
            sum += weight[at(l)] = std::exp(-d2 / learned.length2);
        }
        for (int k = 0; k < K; ++k) {
            const double* c = &learned.values[at(k * m)];
            double mean = 0, square = 0;
            for (index l = 0; l < m; ++l) mean += weight[at(l)] * c[l] / std::max(sum, 1e-300);
            for (int d = 0; d < dim; ++d) {
                double slope = 0;
                for (index l = 0; l < m; ++l)
                    slope -= 2 * diff[at(l * dim + d)] / learned.length2 * weight[at(l)] *
                             (c[l] - mean) / std::max(sum, 1e-300);
                square += slope * slope;
            }
            out[at(k * n + i)] = square;
        }
    }
    return out;
}

void measure_as_length(double* f, const double* square, index n) {
    const index bins = std::clamp<index>(n / 50, 4, 60);
    std::vector<index> order(at(n));
    for (index i = 0; i < n; ++i) order[at(i)] = i;
    std::stable_sort(order.begin(), order.end(), [f](index a, index b) { return f[a] < f[b]; });
    std::vector<double> place, slope;
    for (index b = 0; b < bins; ++b) {
        const index from = b * n / bins, to = (b + 1) * n / bins;
        double sum = 0;
        for (index i = from; i < to; ++i) sum += square[order[at(i)]];
        const double middle = f[order[at((from + to) / 2)]];
        if (!place.empty() && !(middle > place.back())) continue;
        place.push_back(middle);
        slope.push_back(std::sqrt(sum / static_cast<double>(to - from)));
    }
    const double steepest = *std::max_element(slope.begin(), slope.end());
    if (!(steepest > 0)) return;
    for (double& g : slope) g = std::max(g, kFlattest * steepest);
    std::vector<double> u(place.size(), 0.0);
    for (std::size_t b = 1; b < place.size(); ++b)
        u[b] = u[b - 1] + 2 * (place[b] - place[b - 1]) / (slope[b] + slope[b - 1]);
    const auto length = [&](double value) {
        if (value <= place.front()) return u.front() + (value - place.front()) / slope.front();
        if (value >= place.back()) return u.back() + (value - place.back()) / slope.back();
        const auto b = static_cast<std::size_t>(
            std::upper_bound(place.begin(), place.end(), value) - place.begin());
        return u[b - 1] + (u[b] - u[b - 1]) * (value - place[b - 1]) / (place[b] - place[b - 1]);
    };
    const double zero = length(0.0);
    for (index i = 0; i < n; ++i) f[i] = length(f[i]) - zero;
}

}  // namespace microlift
