// How far lifted states are from physics, value by value and variable by variable.
#pragma once

#include "sampling/run/run.h"

namespace microlift {

struct LiftedSets {
    std::vector<CvValue> values;
    index each = 0;  // states of each value, one after the other
    std::vector<float> generated, healed;    // (row, value, state); not healed: empty
    std::vector<std::vector<float>> others;  // of the other kinds of generators compared
    index count() const { return static_cast<index>(values.size()) * each; }
};

// Into the record and lifted.h5.
void judge_distributions(Run& run, const LiftedSets& sets);

// {"median", "worst"} of values of which a large one is bad.
Json median_and_worst(std::vector<double> values);

}  // namespace microlift
