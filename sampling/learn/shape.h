// Learned coordinates as functions: how steep they are, what they follow, how well they lift.
#pragma once

#include <vector>

#include "sampling/formula/learned_cv.h"
#include "sampling/learn/diffusion_map.h"

namespace microlift {

// Spearman's rank correlation.
double rank_correlation(const double* a, const std::vector<double>& b);

// How well geometric harmonics of the chosen coordinates give the features back at points held out:
// RMS error over the features' deviation. points (feature, n).
double lifting_error(const std::vector<double>& points, int dim, index n, const DiffusionMap& map);

// |∇ξ_k|² of the fitted coordinates at the points (feature, n): (k, n).
std::vector<double> squared_gradients(const LearnedCoordinates& learned,
                                      const std::vector<double>& points, index n);

// Eigenfunctions are flat in wells and steep between them, bad to bias and to bin. u = ∫ dφ / RMS |∇φ|,
// a length, tells the same states apart and has a gradient of about 1: windows even in u are even in
// the states. Of the n values phi, in place; `square` are their |∇φ|². u = 0 at φ = 0.
void measure_as_length(double* phi, const double* square, index n);

}  // namespace microlift
