// Least-squares fits of tables over the grid of a condition, on the host.
#pragma once

#include <vector>

#include "nn/layers/whitening.h"

namespace microlift {

// Smoothness that a fit asks for: penalties on second differences along each axis and, far weaker, on first
// differences, which carry values into knots without data.
struct TableSmoothness {
    double curvature = 0, slope = 0;
};

// x with A x = right, A the normal matrix of FitBody's `table` (a record of `entry` numbers a knot) plus the
// penalties.
std::vector<double> fitted_table(const WhiteningView& view, const std::vector<double>& table,
                                 index entry, const TableSmoothness& smoothness,
                                 const std::vector<double>& right);

// Sums of a knot's record and its neighbours'.
std::vector<double> neighbour_sums(const WhiteningView& view, const std::vector<double>& from,
                           index entry);

}  // namespace microlift
