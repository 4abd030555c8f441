// From gradients at the points of a grid to the function that has them, in the sense of least squares: over all pairs of
// neighbours of (φ_j − φ_i − (g_i + g_j) h/2)²/h². All round a period it closes, whatever the gradients sum up to.
#pragma once

#include "sampling/bias/table.h"

namespace microlift {

class GradientIntegral {
public:
    GradientIntegral(Stream& stream, const GridAxes& axes);
    // φ (points) of gradient (K, points); its mean is 0.
    void solve(Stream& stream, Span<const double> gradient, Span<double> phi);

private:
    GridAxes axes_;
    // Of two variables: eigenvectors of each axis' Laplacian, as the products of solve() read them, and eigenvalues.
    Buffer<double> first_, first_back_, second_, second_back_, values_[kMaxCvs];
    index columns_ = 1;  // of rows, with what fills the last pack of lanes
    Buffer<double> work_[2];
};

// Whether the mean force is integrated anew after so many updates of it: after each while there are few, then whenever
// there is a 64th more.
bool integrates(index update);

}  // namespace microlift
