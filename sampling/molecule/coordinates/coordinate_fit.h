// The numbers of a CoordinateMap, from samples of internal coordinates. On the host.
#pragma once

#include <vector>

#include "engine/files/safetensors.h"

namespace microlift {

struct CoordinateFit {
    int32 lines = 0;            // of `rows`; the others are angles
    int32 condition_waves = 0;  // in the regression
    std::vector<int32> rows;    // of internal coordinates
    std::vector<float> centre, period, factor, regression;  // as CoordinateMap has them
    int32 knots = 1;
    float low = 0, inverse_step = 0;
    bool wraps = false;

    CoordinateFit() = default;
    // InputError unless they are those of so many internal coordinates.
    CoordinateFit(const TensorMap& tensors, index internal);
    TensorMap tensors() const;
};

struct CoordinateSamples {
    const std::vector<float>& q;  // (internal coordinate, n)
    const std::vector<float>& s;  // (condition, n)
    index n, conditions;
    const std::vector<int32>& free;     // rows of q that are not fixed
    index first_torsion;                // the row of q from which on there are torsions
    const std::vector<double>& periods;  // of the conditions, 0 = none
};
CoordinateFit fit_coordinates(const CoordinateSamples& samples);

// The middle of the largest arc of the circle that holds none of the values, and its width: for a torsion
// that never goes round the circle can be cut there.
struct Gap {
    double middle = 0, width = 0;
};
Gap widest_gap(std::vector<double> angles);

}  // namespace microlift
