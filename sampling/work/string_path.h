// A string through the collective variables: points in equal distances along a curve. Lengths are in units of what the
// restraint of each variable lets go, √(stiffness) ξ.
#pragma once

#include <vector>

#include "sampling/numerics/grid.h"

namespace microlift {

using StringPoints = std::vector<CvValue>;

double string_length(const StringPoints& points, const CvValue& stiffness);
// So many points in equal distances along the lines between those given, both ends kept.
StringPoints reparametrised(const StringPoints& points, index count, const CvValue& stiffness);
// The same points in equal distances along cubics through them, which cut no corners.
StringPoints respaced(const StringPoints& points, const CvValue& stiffness);
// Each inner point less so much of its distance from the middle of its neighbours.
StringPoints smoothed(const StringPoints& points, double share);
// √ of the mean square of the distances of points of the same number.
double string_change(const StringPoints& a, const StringPoints& b, const CvValue& stiffness);

// The free energy at the points from the gradient there and its errors, (point, K), along cubics through the points.
// Errors of points are independent; what the spacing leaves counts, too.
struct StringProfile {
    std::vector<double> free_energy, error;  // minimum 0, and of the difference to the minimum
};
StringProfile integrate_along(const StringPoints& points, const std::vector<CvValue>& gradient,
                              const std::vector<CvValue>& error);

}  // namespace microlift
