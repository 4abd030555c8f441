#include "sampling/formula/cuts.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace microlift {

namespace {

constexpr double kEndless = std::numeric_limits<double>::infinity();

class Cuts {
public:
    explicit Cuts(const Expressions& graph) : graph_(graph) {}

    std::optional<Cut> of(NodeId f) const {
        const ExpressionNode n = graph_.node(f);
        if (const TurnArguments* turn = graph_.turn(f); turn && turn->y < 0) return ends_of(f);
        if (const double reach = reach_of(f); reach > 0) return Cut{-reach, reach};
        switch (n.op) {
            case Op::sign: return Cut{-kEndless, kEndless};
            case Op::neg: return scaled(of(n.a), -1.0);
            case Op::add: return sum(n.a, n.b, 1.0);
            case Op::sub: return sum(n.a, n.b, -1.0);
            case Op::mul:
                if (graph_.is_constant(n.a)) return scaled(of(n.b), graph_.node(n.a).value);
                if (graph_.is_constant(n.b)) return scaled(of(n.a), graph_.node(n.b).value);
                return of(n.a) || of(n.b) ? std::optional(Cut{-kEndless, kEndless}) : std::nullopt;
            case Op::div:
                if (graph_.is_constant(n.b)) return scaled(of(n.a), 1.0 / graph_.node(n.b).value);
                return of(n.a) || of(n.b) ? std::optional(Cut{-kEndless, kEndless}) : std::nullopt;
            default: return std::nullopt;
        }
    }

    std::vector<double> jumps(NodeId f) const {
        const ExpressionNode n = graph_.node(f);
        if (const double reach = reach_of(f); reach > 0) return {2.0 * reach};
        switch (n.op) {
            case Op::neg: return jumps(n.a);
            case Op::add: case Op::sub: {
                std::vector<double> all = jumps(n.a), more = jumps(n.b);
                all.insert(all.end(), more.begin(), more.end());
                return all;
            }
            case Op::mul:
                return graph_.is_constant(n.a) ? times(jumps(n.b), graph_.node(n.a).value)
                       : graph_.is_constant(n.b) ? times(jumps(n.a), graph_.node(n.b).value)
                                                 : times(either(n), kEndless);
            case Op::div:
                return graph_.is_constant(n.b) ? times(jumps(n.a), 1.0 / graph_.node(n.b).value)
                                               : times(either(n), kEndless);
            default: return {};
        }
    }

private:
    // Of asin's atan(x/sqrt(…)), and of acos's, which is half of it and of a root.
    Cut ends_of(NodeId f) const {
        const bool half = graph_.node(graph_.node(f).a).op == Op::sqrt;
        constexpr double quarter = 0.5 * std::numbers::pi;
        return {half ? 0.0 : -quarter, quarter, true};
    }
    static std::vector<double> times(std::vector<double> jumps, double factor) {
        for (double& jump : jumps) jump *= std::fabs(factor);
        return jumps;
    }
    std::vector<double> either(const ExpressionNode& n) const {
        const std::vector<double> a = jumps(n.a);
        return a.empty() ? jumps(n.b) : a;
    }

    // Half of the jump of an angle; 0 of anything else.
    double reach_of(NodeId f) const {
        if (const TurnArguments* turn = graph_.turn(f))
            return never_negative(turn->y) || never_negative(turn->x) ? 0.0 : std::numbers::pi;
        const ExpressionNode n = graph_.node(f);
        if (n.op != Op::atan) return 0.0;
        const ExpressionNode ratio = graph_.node(n.a);
        return ratio.op == Op::div && !graph_.is_constant(ratio.b) && !never_negative(ratio.b)
                   ? 0.5 * std::numbers::pi
                   : 0.0;
    }

    static std::optional<Cut> scaled(const std::optional<Cut>& cut, double factor) {
        if (!cut) return cut;
        return Cut{std::min(factor * cut->low, factor * cut->high),
                   std::max(factor * cut->low, factor * cut->high), cut->ends};
    }

    std::optional<Cut> sum(NodeId a, NodeId b, double sign) const {
        const std::optional<Cut> left = of(a), right = scaled(of(b), sign);
        if (!left && !right) return std::nullopt;
        const NodeId other = left ? b : a;
        if (left && right) return Cut{-kEndless, kEndless};
        if (!graph_.is_constant(other)) return Cut{-kEndless, kEndless};
        const double shift = graph_.node(other).value * (left ? sign : 1.0);
        const Cut& cut = left ? *left : *right;
        return Cut{cut.low + shift, cut.high + shift, cut.ends};
    }

    bool never_negative(NodeId f) const {
        const ExpressionNode n = graph_.node(f);
        switch (n.op) {
            case Op::constant: return n.value >= 0;
            case Op::abs: case Op::exp: case Op::sqrt: case Op::cosh: case Op::less: return true;
            case Op::add: return never_negative(n.a) && never_negative(n.b);
            case Op::mul: case Op::div:
                return n.a == n.b || (never_negative(n.a) && never_negative(n.b));
            case Op::pow: {
                const double power = graph_.is_constant(n.b) ? graph_.node(n.b).value : 1.0;
                return std::fmod(power, 2.0) == 0.0 || never_negative(n.a);
            }
            case Op::max: return never_negative(n.a) || never_negative(n.b);
            case Op::min: return never_negative(n.a) && never_negative(n.b);
            default: return false;
        }
    }

    const Expressions& graph_;
};

}  // namespace

std::optional<Cut> cut_of(const Expressions& graph, NodeId f) { return Cuts(graph).of(f); }

std::vector<double> jumps_of(const Expressions& graph, NodeId f) { return Cuts(graph).jumps(f); }

}  // namespace microlift
