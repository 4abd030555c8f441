// How far the samples of a window are from the law that they should have, for each variable.
#pragma once

#include "sampling/run/stages/accuracy/states.h"

namespace microlift {

// Of what should be equal: the ratio less 1, its standard error, and what a step of that length explains.
struct Excess {
    double value = 0, error = 0, expected = 0;
    double noticed = 0;             // what is less does not matter
    double blocks = 2, looks = 1;   // parts that the error is made of; figures of the run in all
    double significance() const;    // in standard deviations of a normal
    bool found() const;
    double weight() const;          // what a step may have done of it
};

// `time` is what a step advances by the drift.
std::vector<Excess> excesses(const Run& run, const BiasedDrift& physics, const WindowStates& at,
                             const std::vector<std::vector<double>>& drift,
                             const std::vector<std::vector<double>>& noise, double time);

}  // namespace microlift
