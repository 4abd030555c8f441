// Exact laws that results are compared with, and what a finite sample can tell of them.
#pragma once

#include <cmath>
#include <vector>

#include <doctest/doctest.h>

namespace microlift {

// The mean of independent values, and its standard error.
class Mean {
  public:
    void add(double value) {
        ++count_;
        sum_ += value;
        squares_ += value * value;
    }
    double value() const { return sum_ / count_; }
    double error() const {
        return std::sqrt((squares_ / count_ - value() * value()) / (count_ - 1));
    }
    // In standard errors.
    double deviation(double exact) const { return (value() - exact) / error(); }

  private:
    double count_ = 0, sum_ = 0, squares_ = 0;
};

inline double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

// Of independent standard normals: their raw moments have variances 1, 2, 15 and 96.
inline void check_normal_moments(const std::vector<float>& z) {
    const double n = static_cast<double>(z.size()), se = 1 / std::sqrt(n);
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
    for (const double v : z) m1 += v, m2 += v * v, m3 += v * v * v, m4 += v * v * v * v;
    CHECK(std::fabs(m1 / n) <= 4 * se);
    CHECK(std::fabs(m2 / n - 1) <= 4 * std::sqrt(2.0) * se);
    CHECK(std::fabs(m3 / n) <= 4 * std::sqrt(15.0) * se);
    CHECK(std::fabs(m4 / n - 3) <= 4 * std::sqrt(96.0) * se);
}

// y | s: two Gaussians of width 0.3 at ±1 with P(+) = 0.5 + 0.3 s, shifted by sin 2s; s in (−1, 1).
struct Mixture {
    static double share(double s) { return 0.5 + 0.3 * s; }
    static double shift(double s) { return std::sin(2 * s); }
    static double cumulative(double y, double s) {
        const double u = y - shift(s);
        return share(s) * normal_cdf((u - 1) / 0.3) + (1 - share(s)) * normal_cdf((u + 1) / 0.3);
    }
    static double deviation(double s) { return std::sqrt(0.09 + 4 * share(s) * (1 - share(s))); }
    static double quantile(double p, double s) {
        double low = -6, high = 6;
        for (int k = 0; k < 50; ++k) {
            const double middle = 0.5 * (low + high);
            (cumulative(middle, s) < p ? low : high) = middle;
        }
        return 0.5 * (low + high);
    }
};

}  // namespace microlift
