// How far drift and diffusion of a reduced model from bursts may be off because of its lag and its curves.
#pragma once

#include "sampling/closure/bursts.h"

namespace microlift {

// Of drift and diffusion at each value; 0: none is seen.
struct BurstBias {
    std::vector<double> drift, diffusion;
};

// By how much drift and diffusion change where a lag is inverted with finer curves between the values.
// Nothing after one step, whose displacements are drift and diffusion at the values themselves.
BurstBias curve_bias(const BurstLag& lag);

// By how far the displacements over another lag lie from those of this lag's model with finer curves. 0
// where those of all values together differ by no more than noise explains: the chosen lag may be known
// far better than the other one. Where bursts of a longer lag leave the model nothing is compared.
BurstBias lag_bias(const BurstLag& lag, const BurstLag& other);

// What exceeds noise of numbers with standard errors; zeros where the mean square of all, in errors, is what
// noise alone has in 19 of 20 cases.
std::vector<double> beyond_noise(const std::vector<double>& difference,
                                 const std::vector<double>& error);

// The estimate moved by so much.
ClosureEstimate shifted(const ClosureEstimate& estimate, const BurstBias& bias);

}  // namespace microlift
