#include "sampling/dynamics/systems.h"

namespace microlift {

// A ring of 64 double wells, V = sum_i height (p_i^2 - 1)^2 + coupling/2 (p_i - p_(i+1))^2.
SystemInfo phi4_chain_system() {
    SystemInfo info;
    info.name = "phi4_chain";
    info.description = "a ring of 64 coupled double wells; its mean is the coarse variable";
    info.parameters = {{"height", 1, "energy", "barrier of each well"},
                       {"coupling", 2, "energy", "stiffness between neighbours"}};
    info.beta = 1;
    for (int i = 1; i <= 64; ++i) {
        const std::string p = "p" + std::to_string(i), next = "p" + std::to_string(i % 64 + 1);
        info.variables.push_back(p);
        info.potential += (i > 1 ? " + " : "") + std::string("height*(") + p +
                          "^2 - 1)^2 + coupling/2*(" + p + " - " + next + ")^2";
        info.cv += (i > 1 ? " + " : "(") + p;
        info.initial.push_back(0);
    }
    info.cv += ")/64";
    return info;
}

}  // namespace microlift
