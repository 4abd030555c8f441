#include "sampling/formula/interval.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <unordered_map>

namespace microlift {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr Interval kAll{-kInfinity, kInfinity}, kNone{kInfinity, -kInfinity};

// Functions are taken to be right within four roundings.
Interval wide(double low, double high) {
    if (std::isnan(low) || std::isnan(high)) return kAll;
    constexpr double slack = 4 * std::numeric_limits<double>::epsilon();
    constexpr double tiny = std::numeric_limits<double>::denorm_min();
    if (std::isfinite(low)) low -= std::fabs(low) * slack + tiny;
    if (std::isfinite(high)) high += std::fabs(high) * slack + tiny;
    return {low, high};
}

double product(double a, double b) { return a == 0 || b == 0 ? 0 : a * b; }

Interval multiply(const Interval& a, const Interval& b) {
    const double p[4] = {product(a.low, b.low), product(a.low, b.high), product(a.high, b.low),
                         product(a.high, b.high)};
    return wide(*std::min_element(p, p + 4), *std::max_element(p, p + 4));
}

Interval inverse(const Interval& a) {
    if (a.low == 0 && a.high == 0) return kAll;
    if (a.low == 0) return wide(1 / a.high, kInfinity);
    if (a.high == 0) return wide(-kInfinity, 1 / a.low);
    if (a.low < 0 && a.high > 0) return kAll;
    return wide(1 / a.high, 1 / a.low);
}

// Of an even function that grows with |x|.
template <class F>
Interval even(const Interval& a, F f) {
    const double low = f(a.low), high = f(a.high);
    if (a.low <= 0 && a.high >= 0) return wide(f(0.0), std::max(low, high));
    return wide(std::min(low, high), std::max(low, high));
}

template <class F>
Interval increasing(const Interval& a, F f) {
    return wide(f(a.low), f(a.high));
}

// Of a function that has values for x ≥ 0 only.
template <class F>
Interval of_positive(const Interval& a, F f) {
    if (a.high < 0) return kNone;
    return wide(f(std::max(a.low, 0.0)), f(a.high));
}

Interval power(const Interval& a, const Interval& b) {
    if (b.low == b.high) {
        const double n = b.low;
        const auto raise = [n](double x) { return std::pow(x, n); };
        if (std::floor(n) == n && n > 0)
            return std::fmod(n, 2.0) == 0 ? even(a, raise) : increasing(a, raise);
        if (n > 0) return of_positive(a, raise);
    }
    if (!(a.low > 0)) return kAll;
    const Interval e =
        multiply(b, increasing(a, [](double x) { return std::log(x); }));
    return increasing(e, [](double x) { return std::exp(x); });
}

// Of cos; x is in turns, so that extremes lie at whole and half ones.
Interval cosine(const Interval& a) {
    constexpr double turn = 2 * std::numbers::pi, most = 1e12;
    if (!(a.high - a.low < turn) || std::fabs(a.low) > most || std::fabs(a.high) > most)
        return {-1, 1};
    const auto meets = [&](double phase) {  // with a rounding to spare
        const double low = a.low / turn - phase - 1e-9, high = a.high / turn - phase + 1e-9;
        return std::floor(high) >= std::ceil(low);
    };
    const double u = std::cos(a.low), v = std::cos(a.high);
    const Interval ends = wide(std::min(u, v), std::max(u, v));
    return {meets(0.5) ? -1 : std::max(ends.low, -1.0), meets(0) ? 1 : std::min(ends.high, 1.0)};
}

Interval tangent(const Interval& a) {
    constexpr double half = std::numbers::pi;
    if (!(a.high - a.low < half) || std::fabs(a.low) > 1e12) return kAll;
    const double low = a.low / half + 0.5 - 1e-9, high = a.high / half + 0.5 + 1e-9;
    if (std::floor(high) >= std::ceil(low)) return kAll;
    return increasing(a, [](double x) { return std::tan(x); });
}

Interval unary(Op op, const Interval& a) {
    switch (op) {
        case Op::neg: return {-a.high, -a.low};
        case Op::exp: return increasing(a, [](double x) { return std::exp(x); });
        case Op::log: return of_positive(a, [](double x) { return std::log(x); });
        case Op::sqrt: return of_positive(a, [](double x) { return std::sqrt(x); });
        case Op::sin: {
            const double quarter = std::numbers::pi / 2;
            const Interval c = cosine(wide(a.low - quarter, a.high - quarter));
            return {std::max(c.low - 1e-15, -1.0), std::min(c.high + 1e-15, 1.0)};
        }
        case Op::cos: return cosine(a);
        case Op::tan: return tangent(a);
        case Op::tanh: return increasing(a, [](double x) { return std::tanh(x); });
        case Op::sinh: return increasing(a, [](double x) { return std::sinh(x); });
        case Op::cosh: return even(a, [](double x) { return std::cosh(x); });
        case Op::atan: return increasing(a, [](double x) { return std::atan(x); });
        case Op::erf: return increasing(a, [](double x) { return std::erf(x); });
        case Op::abs: return even(a, [](double x) { return std::fabs(x); });
        case Op::sign: return {-1, 1};
        case Op::fixed: return a;
        default: return kAll;
    }
}

Interval binary(Op op, const Interval& a, const Interval& b) {
    switch (op) {
        case Op::add: return wide(a.low + b.low, a.high + b.high);
        case Op::sub: return wide(a.low - b.high, a.high - b.low);
        case Op::mul: return multiply(a, b);
        case Op::div: return multiply(a, inverse(b));
        case Op::pow: return power(a, b);
        case Op::min: return {std::min(a.low, b.low), std::min(a.high, b.high)};
        case Op::max: return {std::max(a.low, b.low), std::max(a.high, b.high)};
        case Op::less: return {0, 1};
        default: return kAll;
    }
}

}  // namespace

IntervalEvaluator::IntervalEvaluator(const Expressions& graph, NodeId output) {
    std::unordered_map<NodeId, NodeId> place;
    for (const NodeId id : graph.reachable({&output, 1})) {
        ExpressionNode n = graph.node(id);
        const int operands = operand_count(n.op);
        if (operands > 0) n.a = place.at(n.a);
        if (operands > 1) n.b = place.at(n.b);
        place.emplace(id, static_cast<NodeId>(tape_.size()));
        tape_.push_back(n);
        below_.push_back(n.op == Op::sub && greatest_has(n.b, n.a));
    }
    values_.resize(tape_.size());
}

// Whether a is among those that the place `of` is the greatest of: how sums of exponentials are shifted.
bool IntervalEvaluator::greatest_has(NodeId of, NodeId a) const {
    const ExpressionNode& n = tape_[static_cast<std::size_t>(of)];
    if (n.op == Op::fixed) return greatest_has(n.a, a);
    if (n.op == Op::max) return greatest_has(n.a, a) || n.b == a;
    return of == a;
}

Interval IntervalEvaluator::operator()(std::span<const Interval> variables) const {
    const auto value = [&](NodeId place) { return values_[static_cast<std::size_t>(place)]; };
    for (std::size_t t = 0; t < tape_.size(); ++t) {
        const ExpressionNode& n = tape_[t];
        Interval& out = values_[t];
        if (n.op == Op::constant) {
            out = {n.value, n.value};
        } else if (n.op == Op::variable) {
            out = variables[static_cast<std::size_t>(n.a)];
        } else {
            const Interval a = value(n.a), b = operand_count(n.op) > 1 ? value(n.b) : a;
            out = a.empty() || b.empty()      ? kNone
                  : operand_count(n.op) == 1 ? unary(n.op, a)
                                             : binary(n.op, a, b);
            if (below_[t] && !out.empty()) out.high = std::min(out.high, 0.0);
        }
    }
    return values_.back();
}

}  // namespace microlift
