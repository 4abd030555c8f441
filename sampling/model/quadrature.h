// The density exp(−u(y)) of one variable on the whole line, integrated so that no well is missed: the
// line is divided until bounds of u say of every piece that it is negligible or that u hardly changes
// in it; the pieces are integrated by two rules and halved until the two agree.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/lane/lane.h"
#include "sampling/formula/interval.h"

namespace microlift {

struct LineFunction {
    std::function<void(const double* y, index n, double* u)> values;
    std::function<Interval(const Interval& y)> bounds;
};

struct LineDensity {
    double log_z = 0;  // ln ∫ exp(−u) dy
    double mean = 0, variance = 0;
    std::vector<double> y, density, cdf;  // at points as close as the density asks for
    std::string refusal;                  // why there is no answer; empty: there is one
};

// `hint`: a place that is not improbable; any will do.
LineDensity integrate_line(const LineFunction& u, double hint);

}  // namespace microlift
