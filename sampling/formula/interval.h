// Bounds of a formula over intervals of its variables (Moore, Interval Analysis, 1966), wide by a few
// roundings: what a quadrature needs to know that it has missed nothing.
#pragma once

#include <span>
#include <vector>

#include "sampling/formula/formula.h"

namespace microlift {

// low > high: the formula has no value anywhere in the interval.
struct Interval {
    double low = 0, high = 0;
    bool empty() const { return !(low <= high); }
};

class IntervalEvaluator {
public:
    IntervalEvaluator(const Expressions& graph, NodeId output);
    Interval operator()(std::span<const Interval> variables) const;

private:
    bool greatest_has(NodeId of, NodeId a) const;

    std::vector<ExpressionNode> tape_;  // operands are places on it
    std::vector<char> below_;           // by place: a difference that is never positive
    mutable std::vector<Interval> values_;
};

}  // namespace microlift
