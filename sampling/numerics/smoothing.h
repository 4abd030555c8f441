// Smooth curves and surfaces through estimates with errors.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "sampling/numerics/grid.h"

namespace microlift {

// The natural cubic smoothing spline of values with standard errors: minimises Σ ((y − g)/se)² +
// λ ∫ g″² (Reinsch, Numer. Math. 10 (1967) 177). Knots increase strictly.
class SmoothingSpline {
public:
    SmoothingSpline() = default;
    // λ < 0: by Mallows' C_p, which trusts the errors. λ = 0 interpolates.
    SmoothingSpline(std::vector<double> x, const std::vector<double>& y,
                    const std::vector<double>& se, double lambda = -1);
    double operator()(double x) const;  // a line beyond the ends
    double lambda() const { return lambda_; }
    // The curve of fifth degree through the same values at the knots. What cubic pieces, and ends without
    // curvature, miss between the knots is the difference, where knots are close enough for either.
    SmoothingSpline of_fifth_degree() const;
    // Through all values, by work that is linear in their number.
    static SmoothingSpline interpolating(std::vector<double> x, std::vector<double> y);

private:
    std::vector<double> x_, g_, second_;  // values and second derivatives at the knots
    double lambda_ = 0;
};

// A bicubic spline on a mesh through scattered values with standard errors: minimises Σ ((y − g)/se)² +
// λ times the squares of the coefficients' second differences (P-splines; Eilers and Marx, Stat. Sci.
// 11 (1996) 89), which carries it over gaps in the data.
class SmoothingSurface {
public:
    struct Mesh {
        CvValue from{}, to{};
        std::array<index, 2> intervals{1, 1};
    };
    SmoothingSurface() = default;
    // λ < 0: by Mallows' C_p, which trusts the errors. λ = 0: as little as keeps it determined.
    SmoothingSurface(const Mesh& mesh, const std::vector<CvValue>& at, const std::vector<double>& y,
                     const std::vector<double>& se, double lambda = -1);
    // Through other values at the same places, smoothed alike.
    SmoothingSurface with(const std::vector<double>& y) const;
    double lambda() const { return lambda_; }
    double operator()(const CvValue& x) const;  // beyond the mesh: the value at its rim

private:
    struct Fit;
    std::shared_ptr<const Fit> fit_;
    std::vector<double> c_;
    double lambda_ = 0;
};

}  // namespace microlift
