#include "sampling/formula/functions.h"

#include <numbers>
#include <optional>

#include "sampling/formula/geometry.h"

namespace microlift {

namespace {

constexpr TurnArguments kEnds{-1, -1};  // an angle that ends instead of turning on

// Of u = a/sqrt(a² + b): the legs a and sqrt(b).
struct Legs {
    NodeId a, other;
};

// Without the summand `part`, of a sum that has it; −1 of any other.
NodeId without(Expressions& graph, NodeId sum, NodeId part, int depth = 0) {
    const ExpressionNode n = graph.node(sum);
    if (n.op != Op::add || depth > kMaxFormulaVariables) return -1;
    if (n.a == part) return n.b;
    if (n.b == part) return n.a;
    if (const NodeId left = without(graph, n.a, part, depth + 1); left >= 0)
        return graph.add(left, n.b);
    const NodeId right = without(graph, n.b, part, depth + 1);
    return right >= 0 ? graph.add(n.a, right) : -1;
}

std::optional<Legs> legs_of(Expressions& graph, NodeId u) {
    NodeId ratio = u, factor = graph.constant(1.0);
    if (const ExpressionNode n = graph.node(u); n.op == Op::neg) {
        ratio = n.a;
        factor = graph.constant(-1.0);
    } else if (n.op == Op::mul && graph.is_constant(n.a)) {
        ratio = n.b;
        factor = n.a;
    }
    const ExpressionNode r = graph.node(ratio);
    if (r.op != Op::div || graph.node(r.b).op != Op::sqrt) return {};
    const NodeId a = graph.mul(factor, r.a);
    const NodeId rest = without(graph, graph.node(r.b).a, graph.mul(a, a));
    if (rest < 0) return {};
    return Legs{a, graph.unary(Op::sqrt, rest)};
}

}  // namespace

// As angles of right triangles: no difference of like numbers near ±1, and none at all where both legs
// are known.
NodeId build_asin(Expressions& graph, std::span<const NodeId> x) {
    if (const std::optional<Legs> legs = legs_of(graph, x[0])) {
        const NodeId y_x[] = {legs->a, legs->other};
        return build_atan2(graph, y_x);
    }
    const NodeId one = graph.constant(1.0);
    const NodeId leg = graph.unary(
        Op::sqrt, graph.mul(graph.sub(one, x[0]), graph.add(one, x[0])));
    const NodeId angle = graph.unary(Op::atan, graph.div(x[0], leg));
    graph.set_turn(angle, kEnds);
    return angle;
}

NodeId build_acos(Expressions& graph, std::span<const NodeId> x) {
    if (const std::optional<Legs> legs = legs_of(graph, x[0])) {
        const NodeId y_x[] = {legs->other, legs->a};
        return build_atan2(graph, y_x);
    }
    const NodeId one = graph.constant(1.0);
    const NodeId half = graph.unary(
        Op::sqrt, graph.div(graph.sub(one, x[0]), graph.add(one, x[0])));
    const NodeId angle = graph.unary(Op::atan, half);
    graph.set_turn(angle, kEnds);
    return graph.mul(graph.constant(2.0), angle);
}

NodeId build_log2(Expressions& graph, std::span<const NodeId> x) {
    return graph.mul(graph.constant(std::numbers::log2e), graph.unary(Op::log, x[0]));
}

NodeId build_log10(Expressions& graph, std::span<const NodeId> x) {
    return graph.mul(graph.constant(std::numbers::log10e), graph.unary(Op::log, x[0]));
}

namespace {

// Names that other languages have, and what to write here. A jump is not offered: its force, which is
// infinite on a point, is one that no time step feels.
constexpr const char* kSmoothStep =
    "a jump has no force that a time step feels; write a smooth one, 0.5*(1 + tanh(x/w)) with a width w";
constexpr struct {
    const char *name, *advice;
} kAdvice[] = {
    {"ln", "the natural logarithm is log"},
    {"log1p", "write log(1 + x)"},
    {"expm1", "write exp(x) - 1"},
    {"exp2", "write 2^x"},
    {"e", "write exp(1)"},
    {"arcsin", "did you mean 'asin'?"},
    {"arccos", "did you mean 'acos'?"},
    {"arctan", "did you mean 'atan'?"},
    {"arctan2", "did you mean 'atan2'?"},
    {"asinh", "write log(x + sqrt(x^2 + 1))"},
    {"acosh", "write log(x + sqrt(x^2 - 1))"},
    {"atanh", "write 0.5*log((1 + x)/(1 - x))"},
    {"sech", "write 1/cosh(x)"},
    {"csch", "write 1/sinh(x)"},
    {"coth", "write 1/tanh(x)"},
    {"sec", "write 1/cos(x)"},
    {"csc", "write 1/sin(x)"},
    {"cot", "write cos(x)/sin(x)"},
    {"hypot", "write sqrt(x^2 + y^2)"},
    {"cbrt", "write x^(1/3), of positive x"},
    {"square", "write x^2"},
    {"sqr", "write x^2"},
    {"power", "did you mean 'pow'?"},
    {"fabs", "did you mean 'abs'?"},
    {"erfc", "write 1 - erf(x)"},
    {"sigmoid", "write 0.5*(1 + tanh(x/2))"},
    {"logistic", "write 0.5*(1 + tanh(x/2))"},
    {"sign", "write x/abs(x), which jumps; a smooth tanh(x/w) may be meant"},
    {"sgn", "write x/abs(x), which jumps; a smooth tanh(x/w) may be meant"},
    {"step", kSmoothStep},
    {"heaviside", kSmoothStep},
    {"theta", kSmoothStep},
    {"if", kSmoothStep},
    {"where", kSmoothStep},
    {"select", kSmoothStep},
    {"floor", "it jumps, and a jump has no force that a time step feels; a period is sin or cos"},
    {"ceil", "it jumps, and a jump has no force that a time step feels; a period is sin or cos"},
    {"round", "it jumps, and a jump has no force that a time step feels; a period is sin or cos"},
    {"mod", "it jumps, and a jump has no force that a time step feels; a period is sin or cos"},
    {"fmod", "it jumps, and a jump has no force that a time step feels; a period is sin or cos"},
};

}  // namespace

std::string function_advice(std::string_view word) {
    std::string small(word.substr(0, 16));
    for (char& c : small)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    for (const auto& known : kAdvice)
        if (small == known.name) return known.advice;
    return "";
}

}  // namespace microlift
