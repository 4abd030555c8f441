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
    // Of the Laplacian of each axis: eigenvectors (mode, point) and eigenvalues.
    Buffer<double> modes_[kMaxCvs], values_[kMaxCvs];
    Buffer<double> work_[2];
};

}  // namespace microlift
