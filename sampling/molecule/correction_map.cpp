#include "sampling/molecule/correction_map.h"

#include <cstddef>

namespace microlift {
namespace {

// Slopes m of the periodic cubic spline through n values a unit apart:
// m[i−1] + 4 m[i] + m[i+1] = 3 (y[i+1] − y[i−1]), solved by relaxation, whose error falls by 2 a sweep.
std::vector<double> spline_slopes(const std::vector<double>& y) {
    const std::size_t n = y.size();
    std::vector<double> m(n, 0.0);
    for (int sweep = 0; sweep < 100; ++sweep)
        for (std::size_t i = 0; i < n; ++i) {
            const std::size_t before = (i + n - 1) % n, after = (i + 1) % n;
            m[i] = (3 * (y[after] - y[before]) - m[before] - m[after]) / 4;
        }
    return m;
}

// The slopes of a grid along its first or second index.
std::vector<double> slopes_along(const std::vector<double>& grid, std::size_t n, bool first) {
    std::vector<double> slopes(n * n), line(n);
    for (std::size_t k = 0; k < n; ++k) {
        const auto at = [&](std::size_t i) { return first ? i + n * k : k + n * i; };
        for (std::size_t i = 0; i < n; ++i) line[i] = grid[at(i)];
        const std::vector<double> m = spline_slopes(line);
        for (std::size_t i = 0; i < n; ++i) slopes[at(i)] = m[i];
    }
    return slopes;
}

// Powers of the cubic with values p, q and slopes u, v at 0 and 1.
void hermite(double p, double q, double u, double v, double (&c)[4]) {
    c[0] = p;
    c[1] = u;
    c[2] = 3 * (q - p) - 2 * u - v;
    c[3] = 2 * (p - q) + u + v;
}

}  // namespace

std::vector<double> bicubic_coefficients(const CorrectionMap& map) {
    const auto n = static_cast<std::size_t>(map.size);
    const std::vector<double> first = slopes_along(map.energy, n, true);
    const std::vector<double> second = slopes_along(map.energy, n, false);
    const std::vector<double> both = slopes_along(first, n, false);
    std::vector<double> coefficients(16 * n * n);
    for (std::size_t j = 0; j < n; ++j)
        for (std::size_t i = 0; i < n; ++i) {
            const std::size_t right = (i + 1) % n, up = (j + 1) % n;
            // Along the second angle first, of what the cubic along the first is made from.
            double value[2][4], slope[2][4];
            for (std::size_t k = 0; k < 2; ++k) {
                const std::size_t low = (k ? right : i) + n * j, high = (k ? right : i) + n * up;
                hermite(map.energy[low], map.energy[high], second[low], second[high], value[k]);
                hermite(first[low], first[high], both[low], both[high], slope[k]);
            }
            for (std::size_t b = 0; b < 4; ++b) {
                double c[4];
                hermite(value[0][b], value[1][b], slope[0][b], slope[1][b], c);
                for (std::size_t a = 0; a < 4; ++a)
                    coefficients[16 * (i + n * j) + 4 * a + b] = c[a];
            }
        }
    return coefficients;
}

}  // namespace microlift
