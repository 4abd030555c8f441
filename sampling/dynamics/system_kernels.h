// What the built-in systems that are compiled ahead share (sampling/dynamics/systems/*_system.ops.cpp).
#pragma once

#include <cmath>

#include "kernels/dynamics/systems.h"
#include "sampling/dynamics/passage_kernel.h"
#include "sampling/dynamics/path_kernel.h"
#include "sampling/dynamics/systems.h"

namespace microlift {

HOST_PASS_BEGIN

inline ThermalNoise thermal_noise(const PathSetup& s) {
    return {static_cast<float>(std::sqrt(2 / s.beta))};
}

// The kernels of the system struct that `make_system` makes from parameters and setup.
template <auto make_system>
std::unique_ptr<PathKernel> compiled_path(std::span<const double> p, const PathSetup& s) {
    return make_path_kernel(make_system(p, s), s);
}
template <auto make_system>
std::unique_ptr<PassageKernel> compiled_passage(std::span<const double> p, const PathSetup& s) {
    return make_passage_kernel(make_system(p, s), s);
}

HOST_PASS_END

}  // namespace microlift
