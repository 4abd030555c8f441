// The closure of two collective variables from bursts: drift and diffusion at each value, corrected for
// the lag as if the drift were linear nearby, and the lag from which on they stay the same.
#pragma once

#include "sampling/closure/bursts.h"

namespace microlift {

struct TwoLag {
    double tau = 0;
    // b₁, b₂, D₁₁, D₁₂, D₂₂ at each value: Δξ/τ and its covariance/2τ; the b and D that would give
    // these; errors of the latter.
    std::vector<std::array<double, 5>> apparent, value, error;
    double change = 0, change_error = 0;  // of D since the lag before, relative, root mean square
    bool plateau = false;
};

struct TwoClosure {
    std::vector<TwoLag> lags;
    std::size_t chosen = 0;
    bool plateau = false;  // at least two neighbouring lags agree
};

// Values lie on a grid, of which some may be missing. With the propagator M = 1 + ∂E[Δξ]/∂ξ of all n
// steps from neighbouring values and S = M^(1/n) that of one, E[Δξ] = Σ_{i<n} S^i b dt and the covariance
// 2 Σ S^i D S^iᵀ dt are solved for b and D: exact for linear drift, the error of Euler–Maruyama included.
// What the drift's curvature and changes of D add is taken out to first order in the lag. The plateau is
// the longest run of lags over which D changes by less than `tolerance` a doubling; of it the lag is taken
// before which D changes least, or a shorter one that says the same. Forgotten motions change D at short
// lags, higher orders of the drift's curvature at long ones: the plateau need not reach the longest.
TwoClosure burst_closure_of_two(const BurstMoments& moments, double tolerance = 0.1);

}  // namespace microlift
