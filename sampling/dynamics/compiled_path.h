// Formula systems on the CPU at the speed of built-in ones: the time loop of kernels/dynamics/path.h, compiled for
// the system's generated source by the machine's C++ compiler while a run goes on.
#pragma once

#include <string>

#include "sampling/formula/system.h"
#include "sampling/dynamics/path_kernel.h"

namespace microlift {

// Trajectories [from, to) of a launch; `integrator` points to the integrator of the setup's scheme.
using CompiledPath = void (*)(const void* integrator, const PathArgs* args, index from, index to);

// What launches of the compiled loop are counted as; those of bytecode are FormulaSystem.
struct CompiledFormula {};

// Compiles with $MICROLIFT_CXX, or else the compiler that built this program, or else c++, in a temporary
// folder that is gone afterwards; the library is kept for later runs (engine/files/private_cache.h), its
// function for the process. `arch` is what -march is told. Null, and the reason in `why_not`, where there
// is no compiler or it fails: the bytecode of sampling/dynamics/bytecode_path.lanes.cpp computes the same
// bits.
CompiledPath compile_formula_path(const FormulaSystem& system, const PathSetup& setup,
                                  const std::string& arch, std::string& why_not);

}  // namespace microlift
