// Points by rows, as the choices among them read them.
#pragma once

#include <span>
#include <vector>

#include "kernels/lane/lane.h"

namespace microlift {

inline double distance2(const double* a, const double* b, int dim) {
    double sum = 0;
    for (int d = 0; d < dim; ++d) sum += (a[d] - b[d]) * (a[d] - b[d]);
    return sum;
}

// (n, dim) by rows, from variable-major.
inline std::vector<double> by_rows(std::span<const double> points, int dim, index n) {
    std::vector<double> rows(static_cast<std::size_t>(n * dim));
    for (int d = 0; d < dim; ++d)
        for (index i = 0; i < n; ++i)
            rows[static_cast<std::size_t>(i * dim + d)] =
                points[static_cast<std::size_t>(d * n + i)];
    return rows;
}

}  // namespace microlift
