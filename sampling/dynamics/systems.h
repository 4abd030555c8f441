// The built-in systems: what they are called, what they mean, and their path kernels.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sampling/dynamics/schemes.h"

namespace microlift {

class PathKernel;
class PassageKernel;

// A parameter of a built-in system.
struct ParameterInfo {
    std::string name;
    double value;  // default
    std::string unit, meaning;
};

// A built-in system: one line of the table.
struct SystemInfo {
    std::string name, description;
    std::vector<std::string> variables;
    std::vector<ParameterInfo> parameters;
    double beta = 0;  // default inverse temperature; 0: not a gradient system
    // The same system as formulas: shown to people, and used wherever a formula is needed (non-linear
    // CVs, observation, closure, quadrature). Either a potential, or drift and diagonal diffusion.
    std::string potential;
    std::vector<std::string> drift, diffusion, observe;
    std::string cv;               // a good coarse variable
    std::vector<double> initial;  // a state to start from
    // Kernels compiled ahead from a hand-written struct; parameters in the order above. Linear CVs only.
    // Null: the formula.
    std::unique_ptr<PathKernel> (*kernel)(std::span<const double>, const PathSetup&) = nullptr;
    std::unique_ptr<PassageKernel> (*passage)(std::span<const double>, const PathSetup&) = nullptr;

    // Whether it has a potential.
    bool gradient() const { return !potential.empty(); }
};

// The table.
const std::vector<SystemInfo>& system_registry();
// Throws InputError with the nearest known name.
const SystemInfo& find_system(const std::string& name);

}  // namespace microlift
