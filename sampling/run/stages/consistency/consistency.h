// The parts of the consistency stage: what physics says at each value, and the states that runs held
// there start from.
#pragma once

#include <array>

#include "sampling/lift/lifting.h"
#include "sampling/run/targets.h"

namespace microlift {

constexpr index kConsistencyEach = 512;       // states of each source at each value
constexpr index kConsistencyCompared = 2000;  // states for distances

struct WithError {
    double value = 0, error = 0;
};

// The law of one variable at one value.
struct LocalReference {
    WithError mean, variance;
    // (κ − 1) of the law, κ its kurtosis: the variance of a variance of n states is var² (κ − 1) / n. Not
    // below a Gaussian's, which is on the safe side for laws of several narrow peaks.
    double excess = 2;
    // With the errors of the shares below them: where the weights of two parts change fast with ξ,
    // samples moved by the mean would lie between the parts. Not a number: not known.
    std::array<WithError, 3> quartiles;
};

// (value, variable); by quadrature where `exact`, else from the samples, whose ξ are xi.
std::vector<LocalReference> local_references(Run& run, const std::vector<CvValue>& values,
                                             const StoredCvs& xi,
                                             const std::optional<ExactModel>& exact);

struct StartingStates {
    std::vector<std::string> sources;
    std::vector<float> x;  // (dim, source, value, state)
    double lifted_residual = 0;
    index outliers = 0;  // lifted states that were led back
};
StartingStates starting_states(Run& run, Lifter& lifter, const std::vector<CvValue>& values,
                               const StoredCvs& xi);

}  // namespace microlift
