// The basins of a free energy: minima that stand out, and the lowest way out of each.
#pragma once

#include <vector>

#include "sampling/numerics/grid.h"

namespace microlift {

// What stands out less is noise or no barrier.
inline constexpr double kBasinKt = 1.0, kBasinErrors = 4.0;

// Bins of the grid. Energies in the unit of the profile, of which the lowest value is 0.
struct Basin {
    index minimum;
    index saddle = -1;  // the lowest bin over which a deeper minimum is reached; −1: none is deeper
};

// The deepest first. `free_energy` and `std_error` by bin; a value that is NaN has no
// data, and no way leads through it; what has an error that is infinite or NaN does not stand out.
std::vector<Basin> basins(const Grid& grid, const std::vector<double>& free_energy,
                          const std::vector<double>& std_error, double kt);

}  // namespace microlift
