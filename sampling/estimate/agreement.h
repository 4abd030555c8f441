// Do the data agree with themselves? Halves in time, neighbouring windows and a second estimator are
// compared within their errors; what differs by more is a warning that names the likely cause. All data
// that are right give a warning with a probability of 0.1 % a test (Bonferroni, Student).
#pragma once

#include <vector>

#include "sampling/estimate/estimators.h"

namespace microlift {

struct Disagreement {
    index bin = -1;         // the worst; −1: none beyond chance
    double difference = 0;  // there, from the mean difference of all bins
    double errors = 0;      // the same in standard errors
};

// Of two profiles whose difference has the influences (block, bin), errors as of the blocks' scatter. Only
// bins with enough samples are judged, and a difference of `allowed` is none.
Disagreement disagreement(const std::vector<double>& difference, const std::vector<double>& influence,
                          index blocks, const std::vector<double>& samples, double kt, double allowed);

// The second half of every trajectory beside its first, where blocks are segments of time.
void compare_time_halves(FreeEnergyResult& r, double kt);

// Fills the doubts of `e.result`; a: the windows' solution.
void check_agreement(Estimation& e, const std::vector<double>& a);

}  // namespace microlift
