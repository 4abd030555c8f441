// The landmarks of learned coordinates: their choice, the fit, and what a bias along them needs.
#pragma once

#include <span>
#include <vector>

#include "kernels/lane/lane.h"
#include "sampling/formula/learned_cv.h"

namespace microlift {

// `count` of the n rows, each the farthest from those chosen before it: an even cover of the data.
// `spacing` is the distance of the last one to the others. Ends early where points coincide.
// `nearest`: of every row, which chosen one is nearest.
std::vector<index> farthest_points(const std::vector<double>& rows, int dim, index n, index count,
                                   double& spacing, std::vector<index>* nearest = nullptr);

// The landmarks among points (feature, n) by farthest-point choice, h by the error at held-out
// points, the values by least squares. functions (coordinate, n).
void fit_landmarks(std::span<const double> points, index n, std::span<const double> functions,
                   int landmarks, LearnedCoordinates& learned);

// The share of points at which |∇ξ| is below a hundredth of its root mean square, from the |∇ξ|² of
// each: a bias on ξ moves nothing there. More than kMostFlat of them are warned of.
double flat_share(std::span<const double> squared_gradients);
inline constexpr double kMostFlat = 0.01;

// Local noise of observed functions: for each point the pseudo-inverse of the covariance of the ends
// (column, replica) of its short runs, `rank` directions, times `time`; upper triangle, row-major.
std::vector<double> inverse_covariance(std::span<const double> ends, int dim, int replicas,
                                       int rank, double time);

}  // namespace microlift
