// Path kernels of formula systems: on the CPU bytecode over tiles of trajectories that stay in the
// cache between steps, on CUDA the time loop of kernels/dynamics/path.h compiled at run time.
#pragma once

#include <memory>

#include "sampling/formula/system.h"
#include "sampling/dynamics/path_kernel.h"

namespace microlift {

// The CVs are the system's own, linear or not; of `setup` the steps, thermostat and constraint count.
// Throws InputError where the scheme does not fit the system.
std::unique_ptr<PathKernel> make_formula_path_kernel(std::shared_ptr<const FormulaSystem> system,
                                                     const PathSetup& setup);

// Why a scheme does not go with a system and what does, both empty where it does.
struct SchemeRefusal {
    std::string wrong, right;
};
// That of a scheme, for a system.
SchemeRefusal scheme_refusal(const FormulaSystem& system, Scheme scheme);

// What a setup's scheme comes to. Milstein with constant noise is Euler–Maruyama. The integrator that
// holds ξ is Leimkuhler–Matthews on flat level sets; its noise is correlated over two steps, which on a
// curved level set would sample another measure: there Euler–Maruyama.
Scheme effective_scheme(const FormulaSystem& system, const PathSetup& setup);
// The variable that a held CV without a period is, where that moves no other (FormulaSystem::held_coordinate); else −1.
int held_coordinate(const FormulaSystem& system, const PathSetup& setup);

}  // namespace microlift
