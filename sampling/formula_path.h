// Path kernels of formula systems: on the CPU bytecode over tiles of trajectories that stay in the
// cache between steps, on CUDA the time loop of kernels/path.h compiled at run time.
#pragma once

#include <memory>

#include "sampling/formula_system.h"
#include "sampling/path_kernel.h"

namespace microlift {

// The CVs are the system's own, linear or not; of `setup` the steps, thermostat and constraint count.
// Throws InputError where the scheme does not fit the system.
std::unique_ptr<PathKernel> make_formula_path_kernel(std::shared_ptr<const FormulaSystem> system,
                                                     const PathSetup& setup);

// The integrator that holds ξ: Leimkuhler–Matthews on flat level sets. Its noise is correlated over two
// steps, which on a curved level set would sample another measure: there Euler–Maruyama.
Scheme constrained_scheme(const FormulaSystem& system);

}  // namespace microlift
