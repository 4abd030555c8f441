// The biases of a run's windows, as every estimator and the coupling read them.
#pragma once

#include <array>
#include <vector>

#include "kernels/dynamics/period.h"

namespace microlift {

// The biases u_w(ξ) = Σ_k beta[k] stiffness[w][k]/2 (ξ_k − center[w][k])², with a period the difference to
// the nearest image.
struct BiasWindows {
    std::vector<std::array<double, kMaxCvs>> center, stiffness;
    std::array<double, kMaxCvs> beta{1.0, 1.0};
    std::array<double, kMaxCvs> period{};  // of CVs that go all round; 0: none

    // Windows; and the stiffness of one in kT per unit of ξ_k squared.
    index size() const { return static_cast<index>(center.size()); }
    double reduced_stiffness(index w, int k) const {
        return beta[k] * stiffness[static_cast<std::size_t>(w)][k];
    }
    // x − y of CV k.
    double apart(int k, double x, double y) const {
        return nearest_image(x - y, period[static_cast<std::size_t>(k)]);
    }
};

}  // namespace microlift
