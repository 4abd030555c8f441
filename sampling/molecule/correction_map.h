// Bicubic coefficients of a correction map.
#pragma once

#include <vector>

#include "sampling/molecule/molecule.h"

namespace microlift {

// (cell of the first angle + size · cell of the second, 16): E = Σ c[4a + b] sᵃ tᵇ, s and t from 0 to 1
// along the cell. Slopes at grid points are those of periodic natural splines, as in CHARMM (MacKerell,
// Feig, Brooks, J. Comput. Chem. 25 (2004) 1400).
std::vector<double> bicubic_coefficients(const CorrectionMap& map);

}  // namespace microlift
