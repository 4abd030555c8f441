// Energies, forces and collective variables of given states.
#pragma once

#include <string>
#include <vector>

namespace microlift {

// Options of `microlift evaluate`.
struct EvaluateOptions {
    std::string config_file;
    std::string states_file;  // .npy of (n, variables); of a molecule also (n, atoms, 3), DCD, XTC, PDB
    std::string out_file;     // .h5
    std::string device = "auto";
    int threads = 0;
    std::vector<std::string> set;  // "key.path=value"
};

// Writes /energy (n), /force (n, variables) and /cv (n, k), of a molecule /terms/NAME (n) besides. All
// in double precision. A system without a potential has no energy, and its drift for a force; without
// collective variables there is no /cv.
void evaluate_states(const EvaluateOptions& options);

}  // namespace microlift
