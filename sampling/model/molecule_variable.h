// Collective variables of a molecule, from the configuration to what its kernels read.
#pragma once

#include <memory>

#include "sampling/dynamics/molecule_path.h"
#include "sampling/formula/learned_cv.h"
#include "sampling/model/model_config.h"

namespace microlift {

// `coordinates`: names of the molecule's coordinates, x0, y0, z0, x1, …; `learned`: of a learned coordinate.
// Distances, angles and dihedral angles that a formula writes of plain coordinates are evaluated as such.
MoleculeVariable molecule_variable(const CvVariable& cv, const std::vector<std::string>& coordinates,
                                   const std::shared_ptr<const LearnedCoordinates>& learned);

}  // namespace microlift
