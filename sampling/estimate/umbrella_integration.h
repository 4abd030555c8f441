// Umbrella integration (Kästner, Thiel, J. Chem. Phys. 123 (2005) 144104): the mean force from each
// window's mean m and variance s², F'(ξ) = (ξ − m)/(β s²) − κ(ξ − c), averaged over windows with
// the weights N_w · Normal(ξ; m, s²), and integrated. One collective variable. All round a period differences
// are those to the nearest image, and what the integral once round is away from 0 is spread evenly.
#pragma once

#include <vector>

#include "sampling/estimate/estimators.h"

namespace microlift {

struct WindowMoments {
    std::vector<double> count, mean, variance;  // by window
};

// F at the bin centres, first bin 0; in units of kT. reduced stiffness = β κ. `once_round`: the integral round
// a period, where the grid goes all round.
std::vector<double> umbrella_integration(const WindowMoments& moments,
                                         const std::vector<double>& center,
                                         const std::vector<double>& reduced_stiffness,
                                         const Grid& grid, double* once_round = nullptr);

// The windows' free energies from the same mean force, window 0 at 0, in kT: −ln ∫ exp(−F − u_w).
std::vector<double> umbrella_window_f(const WindowMoments& moments,
                                      const std::vector<double>& center,
                                      const std::vector<double>& reduced_stiffness,
                                      double period = 0);

// InputError if a window has fewer than two samples. Bins without a sample are NaN.
std::vector<double> estimate_umbrella_integration(Estimation& e);

}  // namespace microlift
