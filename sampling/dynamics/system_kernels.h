// The compiled path kernels of the built-in systems (sampling/*_kernels.ops.cpp).
#pragma once

#include <span>

#include "sampling/dynamics/path_kernel.h"

namespace microlift {

std::unique_ptr<PathKernel> double_well_kernel(std::span<const double> p, const PathSetup& s);
std::unique_ptr<PathKernel> channel_kernel(std::span<const double> p, const PathSetup& s);
std::unique_ptr<PathKernel> hidden_barrier_kernel(std::span<const double> p, const PathSetup& s);
std::unique_ptr<PathKernel> muller_brown_kernel(std::span<const double> p, const PathSetup& s);
std::unique_ptr<PathKernel> fast_slow_kernel(std::span<const double> p, const PathSetup& s);

}  // namespace microlift
