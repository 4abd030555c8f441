#include "sampling/work/string_path.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"

namespace microlift {

namespace {

double scaled_distance(const CvValue& a, const CvValue& b, const CvValue& stiffness) {
    double square = 0;
    for (std::size_t k = 0; k < a.size(); ++k) square += stiffness[k] * (a[k] - b[k]) * (a[k] - b[k]);
    return std::sqrt(square);
}

CvValue point_between(const CvValue& a, const CvValue& b, double part) {
    CvValue at{};
    for (std::size_t k = 0; k < a.size(); ++k) at[k] = a[k] + part * (b[k] - a[k]);
    return at;
}

}  // namespace

double string_length(const StringPoints& points, const CvValue& stiffness) {
    double length = 0;
    for (std::size_t p = 1; p < points.size(); ++p) length += scaled_distance(points[p], points[p - 1], stiffness);
    return length;
}

StringPoints reparametrised(const StringPoints& points, index count, const CvValue& stiffness) {
    const double length = string_length(points, stiffness);
    StringPoints made{points.front()};
    double gone = 0;
    std::size_t p = 1;
    for (index i = 1; i + 1 < count; ++i) {
        const double aim = length * static_cast<double>(i) / static_cast<double>(count - 1);
        double piece = scaled_distance(points[p], points[p - 1], stiffness);
        while (p + 1 < points.size() && gone + piece < aim) {
            gone += piece;
            ++p;
            piece = scaled_distance(points[p], points[p - 1], stiffness);
        }
        made.push_back(point_between(points[p - 1], points[p], piece > 0 ? std::min(1.0, (aim - gone) / piece) : 0.0));
    }
    made.push_back(points.back());
    return made;
}

StringPoints smoothed(const StringPoints& points, double share) {
    StringPoints made = points;
    for (std::size_t p = 1; p + 1 < points.size(); ++p)
        made[p] = point_between(points[p], point_between(points[p - 1], points[p + 1], 0.5), share);
    return made;
}

double string_change(const StringPoints& a, const StringPoints& b, const CvValue& stiffness) {
    double sum = 0;
    for (std::size_t p = 0; p < a.size(); ++p) sum += std::pow(scaled_distance(a[p], b[p], stiffness), 2);
    return std::sqrt(sum / static_cast<double>(a.size()));
}

StringProfile integrate_along(const StringPoints& points, const std::vector<CvValue>& gradient,
                              const std::vector<CvValue>& error) {
    const auto n = points.size();
    StringProfile p;
    p.free_energy.assign(n, 0);
    // weight[i][j]: of what the gradient at j adds to F_i, by variable.
    std::vector<std::vector<CvValue>> weight(n, std::vector<CvValue>(n, CvValue{}));
    for (std::size_t i = 1; i < n; ++i) {
        weight[i] = weight[i - 1];
        for (std::size_t k = 0; k < kMaxCvs; ++k) {
            const double half = 0.5 * (points[i][k] - points[i - 1][k]);
            weight[i][i][k] += half, weight[i][i - 1][k] += half;
            p.free_energy[i] += half * (gradient[i][k] + gradient[i - 1][k]);
        }
        p.free_energy[i] += p.free_energy[i - 1];
    }
    const auto lowest = static_cast<std::size_t>(std::ranges::min_element(p.free_energy) - p.free_energy.begin());
    const double least = p.free_energy[lowest];
    for (std::size_t i = 0; i < n; ++i) {
        double square = 0;
        for (std::size_t j = 0; j < n; ++j)
            for (std::size_t k = 0; k < kMaxCvs; ++k)
                square += std::pow((weight[i][j][k] - weight[lowest][j][k]) * error[j][k], 2);
        p.free_energy[i] -= least;
        p.error.push_back(std::sqrt(square));
    }
    return p;
}

}  // namespace microlift
