// Lifting back from learned coordinates by geometric harmonics.
#pragma once

#include <span>
#include <vector>

#include "kernels/lane/lane.h"

namespace microlift {

// Lifting back by geometric harmonics (Coifman and Lafon, Appl. Comput. Harmon. Anal. 21 (2006) 31):
// functions f (column, n) of points (dim, n) extended through the eigenvectors of the Gaussian kernel
// with eigenvalue above `least` of the first. The kernel's centres are at most 600 groups of nearby
// points, and f there is the groups' mean: of noisy values a conditional mean. The classical
// comparison to a generator.
class GeometricHarmonics {
public:
    GeometricHarmonics(std::span<const double> points, int dim, index n,
                       std::span<const double> f, int columns, double least = 1e-4);
    // out[c], for one point.
    void operator()(const double* point, double* out) const;
    double epsilon() const { return epsilon_; }

private:
    int dim_, columns_;
    double epsilon_ = 0.0;
    std::vector<double> centres_, mean_, weights_;  // (centre, dim), (column), (centre, column)
};

}  // namespace microlift
