// A grid over the collective variables, and interpolation between its bins.
#pragma once

#include <array>
#include <vector>

#include "kernels/dynamics/period.h"

namespace microlift {

using CvValue = std::array<double, kMaxCvs>;

// A product grid of bins over the collective variables; CV 0 varies slowest: b = b0*bins[1] + b1.
struct Grid {
    int dims = 1;
    std::array<double, kMaxCvs> from{}, to{};
    std::array<index, kMaxCvs> bins{1, 1};
    std::array<bool, kMaxCvs> round{};  // all round a period: the last bin is a neighbour of the first

    // What goes all round; 0: nothing.
    double period(int k) const { return round[k] ? to[k] - from[k] : 0.0; }
    // x − y along k.
    double apart(int k, double x, double y) const { return nearest_image(x - y, period(k)); }
    index size() const { return dims == 1 ? bins[0] : bins[0] * bins[1]; }
    double width(int k) const { return (to[k] - from[k]) / static_cast<double>(bins[k]); }
    index bin(int k, index b) const { return dims == 1 ? b : (k == 0 ? b / bins[1] : b % bins[1]); }
    double centre(int k, index b) const {
        return from[k] + (static_cast<double>(bin(k, b)) + 0.5) * width(k);
    }
};

// Cubic (four-point Lagrange) interpolation between bin centres, where they go all round across the ends: value(x) = Σ weight · value[bin].
struct GridWeight {
    index bin;
    double weight;
};
// Those of the bins about x.
std::vector<GridWeight> interpolation_weights(const Grid& grid, const std::array<double, 2>& x);

}  // namespace microlift
