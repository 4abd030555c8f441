// Free energy differences from the work done on walkers that were taken from one end of a path to the other, and on
// others that came back: both begin in equilibrium (Jarzynski, Phys. Rev. Lett. 78 (1997) 2690; Crooks, Phys. Rev. E 60
// (1999) 2721; Shirts et al., Phys. Rev. Lett. 91 (2003) 140601).
#pragma once

#include <span>

#include "sampling/numerics/statistics.h"

namespace microlift {

// Of one way of reading the work: F at the far end less F at the near one.
struct WorkValue {
    double value = kNaN, std_error = kNaN;
    double bias = 0;  // what so few walkers are expected to add; it is not taken off
};

struct WorkDirection {
    double mean = kNaN, variance = kNaN;
    double dissipated = kNaN;  // mean less the difference by BAR, kT
    double effective = kNaN;   // walkers that an exponential average rests on, (Σw)²/Σw²
    WorkValue jarzynski;
};

struct WorkResult {
    WorkDirection forward, reverse;
    WorkValue bar;     // both directions, the least variance that is possible
    WorkValue crooks;  // where the densities of W and of −W on the way back cross, with a slope of their own
    double slope = kNaN, slope_error = kNaN;  // of ln of their ratio by W/kT: 1 by Crooks' relation
    double overlap = kNaN;   // 2 ∫ p q/(p + q) of the two densities: 1 where they are the same
    double shared = kNaN;    // walkers in the overlap: Σ f (1 − f) of the probability f to have come forward
};

// The difference by BAR alone.
double bar_difference(std::span<const double> forward, std::span<const double> reverse, double kt);

// Work of every walker, that of `reverse` on its own way. At least two walkers each way.
WorkResult evaluate_work(std::span<const double> forward, std::span<const double> reverse, double kt);

}  // namespace microlift
