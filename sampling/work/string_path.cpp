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

// Lagrange's polynomials through so many points 0, 1, …, four at most, at u.
struct Cubic {
    double value[4] = {}, slope[4] = {};
    Cubic(int points, double u) {
        for (int m = 0; m < points; ++m) {
            value[m] = 1;
            for (int o = 0; o < points; ++o) {
                if (o == m) continue;
                const double between = m - o, off = u - o;
                slope[m] = slope[m] * off / between + value[m] / between;
                value[m] *= off / between;
            }
        }
    }
};

// The first point of the cubic between points i − 1 and i of n.
index first_of_cubic(index i, index n, index used) { return std::clamp<index>(i - 2, 0, n - used); }

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

StringPoints respaced(const StringPoints& points, const CvValue& stiffness) {
    constexpr int kPieces = 16;  // of a cubic, as lines
    const index n = std::ssize(points), used = std::min<index>(n, 4);
    StringPoints fine{points.front()};
    for (index i = 1; i < n; ++i) {
        const index first = first_of_cubic(i, n, used);
        for (int piece = 1; piece < kPieces; ++piece) {
            const Cubic cubic(static_cast<int>(used),
                              static_cast<double>(i - 1 - first) + static_cast<double>(piece) / kPieces);
            CvValue at_piece{};
            for (index m = 0; m < used; ++m)
                for (std::size_t k = 0; k < kMaxCvs; ++k) at_piece[k] += cubic.value[m] * points[at(first + m)][k];
            fine.push_back(at_piece);
        }
        fine.push_back(points[at(i)]);
    }
    return reparametrised(fine, n, stiffness);
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

namespace {

// weight[i][j]: what the gradient at point j, by variable, adds to F at point i less F at the first. Between two points
// both curve and gradient are cubic, through the two and their neighbours.
using StringWeights = std::vector<std::vector<CvValue>>;

StringWeights string_weights(const StringPoints& points) {
    constexpr double kNodes[3] = {0.1127016653792583, 0.5, 0.8872983346207417};  // Gauss and Legendre's
    constexpr double kParts[3] = {5.0 / 18, 8.0 / 18, 5.0 / 18};
    const index n = std::ssize(points), used = std::min<index>(n, 4);
    StringWeights weight(at(n), std::vector<CvValue>(at(n), CvValue{}));
    for (index i = 1; i < n; ++i) {
        weight[at(i)] = weight[at(i - 1)];
        const index first = first_of_cubic(i, n, used);
        for (int g = 0; g < 3; ++g) {
            const Cubic cubic(static_cast<int>(used), static_cast<double>(i - 1 - first) + kNodes[g]);
            CvValue tangent{};
            for (index m = 0; m < used; ++m)
                for (std::size_t k = 0; k < kMaxCvs; ++k) tangent[k] += cubic.slope[m] * points[at(first + m)][k];
            for (index m = 0; m < used; ++m)
                for (std::size_t k = 0; k < kMaxCvs; ++k)
                    weight[at(i)][at(first + m)][k] += kParts[g] * cubic.value[m] * tangent[k];
        }
    }
    return weight;
}

std::vector<double> summed(const StringWeights& weight, const std::vector<CvValue>& gradient) {
    std::vector<double> f;
    for (const std::vector<CvValue>& row : weight) {
        f.push_back(0);
        for (std::size_t j = 0; j < row.size(); ++j)
            for (std::size_t k = 0; k < kMaxCvs; ++k) f.back() += row[j][k] * gradient[j][k];
    }
    return f;
}

// What the spacing leaves, from what twice the spacing gives; by point.
std::vector<double> left_by_spacing(const StringPoints& points, const std::vector<CvValue>& gradient,
                                    const std::vector<double>& full) {
    constexpr double kOfTwice = 7;  // an error of third order falls to an eighth
    StringPoints fewer;
    std::vector<CvValue> there;
    for (std::size_t i = 0; i < points.size(); i += 2) fewer.push_back(points[i]), there.push_back(gradient[i]);
    const std::vector<double> coarse = summed(string_weights(fewer), there);
    std::vector<double> left;
    for (std::size_t i = 0; i < points.size(); ++i) {
        const std::size_t c = std::min(i / 2, coarse.size() - 1);
        left.push_back((coarse[c] - full[2 * c]) / kOfTwice);
    }
    return left;
}

}  // namespace

StringProfile integrate_along(const StringPoints& points, const std::vector<CvValue>& gradient,
                              const std::vector<CvValue>& error) {
    const StringWeights weight = string_weights(points);
    StringProfile p;
    p.free_energy = summed(weight, gradient);
    const std::vector<double> left = left_by_spacing(points, gradient, p.free_energy);
    const auto lowest = static_cast<std::size_t>(std::ranges::min_element(p.free_energy) - p.free_energy.begin());
    const double least = p.free_energy[lowest];
    for (std::size_t i = 0; i < points.size(); ++i) {
        double square = std::pow(left[i] - left[lowest], 2);
        for (std::size_t j = 0; j < points.size(); ++j)
            for (std::size_t k = 0; k < kMaxCvs; ++k)
                square += std::pow((weight[i][j][k] - weight[lowest][j][k]) * error[j][k], 2);
        p.free_energy[i] -= least;
        p.error.push_back(std::sqrt(square));
    }
    return p;
}

}  // namespace microlift
