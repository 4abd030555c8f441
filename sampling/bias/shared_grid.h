// A grid over the collective variables that all walkers fill together, in double precision on the device. Walkers are
// counted in whole numbers, so that no sum depends on the order in which they come.
#pragma once

#include "engine/device/buffer.h"
#include "kernels/dynamics/grid_bias.h"

namespace microlift {

// A walker counts as so many, divided among the points about it (cloud in cell).
inline constexpr int kShareBits = 12;  // along each collective variable
inline constexpr uint64 kWalker = uint64{1} << 2 * kShareBits;

// How many walkers a count stands for; it begins anew.
LANE_FN double take_walkers(uint64& count) {
    const double walkers = static_cast<double>(count) * (1.0 / static_cast<double>(kWalker));
    count = 0;
    return walkers;
}

// Adds n walkers xi (K, row) to counts by point. Beyond the ends of a grid nobody is counted.
void count_walkers(Stream& stream, const GridView& grid, int cvs, Span<const float> xi, index row, index n,
                   Span<uint64> count);

// The same with values (value, row) that every walker brings along, in whole numbers of `unit` (by value):
// sums (value, point), as signed numbers. A value that is not finite counts as 0.
void sum_over_walkers(Stream& stream, const GridView& grid, int cvs, Span<const float> xi, index row, index n,
                      Span<const float> values, int rows, Span<const double> unit, Span<uint64> sums);
// unit[r] = so small a number that sums over `walkers` cannot overflow, from the largest |value| of each row.
void choose_units(Stream& stream, Span<const double> least, Span<const double> greatest, index walkers,
                  Span<double> unit);

// Weights of a symmetric kernel along an axis, that of no distance first; the points beyond an end are its mirror
// images, with a period the other side.
struct SmoothingAxis {
    const double* weight = nullptr;
    int reach = 0;  // weights but the first
    int points = 1, stride = 1;
    bool periodic = false;
};
// out = the kernel applied to in, (points); not in place.
void smooth_along(Stream& stream, const SmoothingAxis& axis, Span<const double> in, Span<double> out);
// How far a Gaussian reaches in its widths: e^{-18} of its height is left.
inline constexpr double kGaussianReach = 6;
enum class KernelShape {
    gaussian,
    normal,     // divided by what all weights sum up to
    stretched,  // PLUMED's hills of one variable: 0 beyond √12.5 widths, and stretched so that no step is left there
};
// weight[m] = exp(−(m · spacing)²/(2 σ²)); σ is on the device.
void gaussian_weights(Stream& stream, const double* sigma, double spacing, KernelShape shape, Span<double> weight);

// The polynomials between the points of bias + wall, both (points₀[, points₁]); wall may be empty. The polynomials are
// (cells, 4) or (cells, 4, 4).
void publish_bias(Stream& stream, const GridView& grid, int cvs, Span<const double> bias, Span<const double> wall,
                  Span<float> polynomials);

}  // namespace microlift
