// Symbolic derivatives on the expression graph.
#include <cmath>
#include <numbers>

#include "sampling/formula/formula.h"

namespace microlift {

// The one table of derivatives; the reverse sweep passes an adjoint as t, the forward one a tangent.
NodeId Expressions::chain(NodeId id, int operand, NodeId t) {
    const ExpressionNode n = node(id);
    const NodeId a = n.a, b = n.b;
    const auto square = [this](NodeId x) { return pow(x, constant(2.0)); };
    switch (n.op) {
        case Op::constant:
        case Op::variable:
        case Op::less:
        case Op::sign:
        case Op::fixed: return constant(0.0);
        case Op::neg: return neg(t);
        case Op::add: return t;
        case Op::sub: return operand == 0 ? t : neg(t);
        case Op::mul: return mul(t, operand == 0 ? b : a);
        case Op::div: return operand == 0 ? div(t, b) : neg(mul(div(t, b), id));
        case Op::pow:
            if (operand == 0) return mul(t, mul(b, pow(a, sub(b, constant(1.0)))));
            return mul(t, mul(id, unary(Op::log, a)));
        case Op::min: {
            const NodeId first = mul(t, binary(Op::less, a, b));
            return operand == 0 ? first : sub(t, first);
        }
        case Op::max: {
            const NodeId first = mul(t, binary(Op::less, b, a));
            return operand == 0 ? first : sub(t, first);
        }
        case Op::exp: return mul(t, id);
        case Op::log: return div(t, a);
        case Op::sqrt: return div(mul(constant(0.5), t), id);
        case Op::sin: return mul(t, unary(Op::cos, a));
        case Op::cos: return neg(mul(t, unary(Op::sin, a)));
        case Op::tan: return mul(t, add(square(id), constant(1.0)));
        case Op::tanh: return mul(t, sub(constant(1.0), square(id)));
        case Op::sinh: return mul(t, unary(Op::cosh, a));
        case Op::cosh: return mul(t, unary(Op::sinh, a));
        case Op::atan: return div(t, add(square(a), constant(1.0)));
        case Op::erf:
            return mul(mul(constant(2.0 * std::numbers::inv_sqrtpi), t),
                       unary(Op::exp, neg(square(a))));
        case Op::abs: return mul(t, unary(Op::sign, a));
    }
    return constant(0.0);
}

std::vector<NodeId> Expressions::gradient(NodeId f, int variables) {
    const std::vector<NodeId> ids = reachable({&f, 1});
    constexpr NodeId kNone = -1;
    std::vector<NodeId> adjoint(static_cast<std::size_t>(f) + 1, kNone);
    std::vector<NodeId> result(static_cast<std::size_t>(variables), kNone);
    adjoint[static_cast<std::size_t>(f)] = constant(1.0);
    for (auto it = ids.rbegin(); it != ids.rend(); ++it) {
        const ExpressionNode n = node(*it);
        const NodeId t = adjoint[static_cast<std::size_t>(*it)];
        if (t == kNone || is_constant(t, 0.0)) continue;
        if (n.op == Op::variable && n.a < variables) result[static_cast<std::size_t>(n.a)] = t;
        for (int operand = 0; operand < operand_count(n.op); ++operand) {
            const NodeId x = operand == 0 ? n.a : n.b;
            if (is_constant(x)) continue;
            NodeId& sum = adjoint[static_cast<std::size_t>(x)];
            const NodeId part = chain(*it, operand, t);
            sum = sum == kNone ? part : add(sum, part);
        }
    }
    for (NodeId& id : result) {
        if (id == kNone) id = constant(0.0);
    }
    return result;
}

NodeId Expressions::derivative(NodeId f, int variable) {
    const std::vector<NodeId> ids = reachable({&f, 1});
    constexpr NodeId kNone = -1;
    std::vector<NodeId> tangent(static_cast<std::size_t>(f) + 1, kNone);
    for (NodeId id : ids) {
        const ExpressionNode n = node(id);
        NodeId& sum = tangent[static_cast<std::size_t>(id)];
        if (n.op == Op::variable && n.a == variable) sum = constant(1.0);
        for (int operand = 0; operand < operand_count(n.op); ++operand) {
            const NodeId t = tangent[static_cast<std::size_t>(operand == 0 ? n.a : n.b)];
            if (t == kNone || is_constant(t, 0.0)) continue;
            const NodeId part = chain(id, operand, t);
            sum = sum == kNone ? part : add(sum, part);
        }
    }
    const NodeId result = tangent[static_cast<std::size_t>(f)];
    return result == kNone ? constant(0.0) : result;
}

}  // namespace microlift
