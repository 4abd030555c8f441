// Formula systems on CUDA: kernels/dynamics/path.h instantiated for the system's generated source by NVRTC.
#pragma once

#include "sampling/formula/system.h"
#include "sampling/dynamics/path_kernel.h"

namespace microlift {

// Compiles the kernel on first use (kept for the process), then launches it. Throws DeviceError with
// the compiler's log if it does not compile.
void launch_formula_on_cuda(Stream& stream, const FormulaSystem& system, const PathSetup& setup,
                            const PathArgs& args);

// The system, its CVs and the types UserIntegrator and UserBody as C++ source, for CUDA and for the CPU;
// `policy` is the mathematics, Portable or Fast.
std::string formula_body_source(const FormulaSystem& system, const PathSetup& setup,
                                const std::string& policy);
// The translation unit that NVRTC compiles, and its PTX for an architecture such as 90. Needs no GPU.
std::string formula_cuda_source(const FormulaSystem& system, const PathSetup& setup);
std::string compile_formula_ptx(const std::string& source, int architecture);

}  // namespace microlift
