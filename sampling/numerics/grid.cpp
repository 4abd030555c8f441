#include "sampling/numerics/grid.h"

#include <algorithm>
#include <cmath>

namespace microlift {

std::vector<GridWeight> interpolation_weights(const Grid& grid, const std::array<double, 2>& x) {
    std::vector<GridWeight> axis[2];
    for (int k = 0; k < grid.dims; ++k) {
        const index n = grid.bins[k], points = std::min<index>(4, n);
        const double u = (x[k] - grid.from[k]) / grid.width(k) - 0.5;
        index first = static_cast<index>(std::floor(u)) - (points - 1) / 2;
        if (!grid.round[k]) first = std::clamp<index>(first, 0, n - points);
        for (index i = 0; i < points; ++i) {
            double w = 1.0;
            for (index j = 0; j < points; ++j)
                if (j != i) w *= (u - static_cast<double>(first + j)) / static_cast<double>(i - j);
            const index bin = grid.round[k] ? ((first + i) % n + n) % n : first + i;
            if (w != 0.0) axis[k].push_back({bin, w});
        }
    }
    if (grid.dims == 1) return axis[0];
    std::vector<GridWeight> product;
    for (const GridWeight& a : axis[0])
        for (const GridWeight& b : axis[1])
            product.push_back({a.bin * grid.bins[1] + b.bin, a.weight * b.weight});
    return product;
}

}  // namespace microlift
