#pragma once

#include <vector>

#include "kernels/dynamics/path.h"

namespace microlift {

// Leimkuhler-Matthews on Müller-Brown at kT = 15, in biased windows along x.
void dispatch_test_paths(const PathArgs& args);
// fma and square roots of numbers of every size, exact ties and what is no number among them; NaN is 0.
std::vector<float> dispatch_test_arithmetic();
// Products of small matrices, of every kind that nn/layers/gemm.lanes.cpp has a loop for.
std::vector<float> dispatch_test_products();
std::vector<double> dispatch_test_products_double();

}  // namespace microlift
