#include "sampling/formula/geometry.h"

#include <array>
#include <numbers>

namespace microlift {

namespace {

using NodeVector = std::array<NodeId, 3>;

NodeVector difference(Expressions& graph, std::span<const NodeId> atoms, std::size_t to, std::size_t from) {
    NodeVector v;
    for (std::size_t d = 0; d < 3; ++d) v[d] = graph.sub(atoms[3 * to + d], atoms[3 * from + d]);
    return v;
}

NodeId dot(Expressions& graph, const NodeVector& a, const NodeVector& b) {
    return graph.add(graph.add(graph.mul(a[0], b[0]), graph.mul(a[1], b[1])),
                     graph.mul(a[2], b[2]));
}

NodeVector cross(Expressions& graph, const NodeVector& a, const NodeVector& b) {
    NodeVector v;
    for (std::size_t d = 0; d < 3; ++d) {
        const std::size_t e = (d + 1) % 3, f = (d + 2) % 3;
        v[d] = graph.sub(graph.mul(a[e], b[f]), graph.mul(a[f], b[e]));
    }
    return v;
}

NodeId length(Expressions& graph, const NodeVector& a) {
    return graph.unary(Op::sqrt, dot(graph, a, a));
}

}  // namespace

// 2 atan(y/(r + |x|)) is the angle from the nearer half of the x axis: no difference of like numbers.
NodeId build_atan2(Expressions& graph, std::span<const NodeId> y_x) {
    const NodeId y = y_x[0], x = y_x[1], zero = graph.constant(0.0), one = graph.constant(1.0),
                 two = graph.constant(2.0);
    const NodeId left = graph.binary(Op::less, x, zero);
    // 1 at 0 too: abs() would have no slope there, and sign() no side.
    const NodeId side = graph.sub(one, graph.mul(two, left));
    const NodeId above = graph.sub(one, graph.mul(two, graph.binary(Op::less, y, zero)));
    const NodeId r = graph.unary(Op::sqrt, graph.add(graph.mul(x, x), graph.mul(y, y)));
    const NodeId part = graph.unary(Op::atan, graph.div(y, graph.add(r, graph.mul(side, x))));
    const NodeId half_turn = graph.mul(graph.constant(std::numbers::pi), graph.mul(left, above));
    const NodeId angle = graph.add(graph.mul(graph.mul(two, side), part), half_turn);
    if (!graph.is_constant(angle)) graph.set_turn(angle, {y, x});
    return angle;
}

NodeId build_distance(Expressions& graph, std::span<const NodeId> atoms) {
    return length(graph, difference(graph, atoms, 1, 0));
}

NodeId build_angle(Expressions& graph, std::span<const NodeId> atoms) {
    const NodeVector u = difference(graph, atoms, 0, 1), v = difference(graph, atoms, 2, 1);
    const NodeId y_x[] = {length(graph, cross(graph, u, v)), dot(graph, u, v)};
    return build_atan2(graph, y_x);
}

NodeId build_dihedral(Expressions& graph, std::span<const NodeId> atoms) {
    const NodeVector a = difference(graph, atoms, 1, 0), b = difference(graph, atoms, 2, 1),
                 c = difference(graph, atoms, 3, 2);
    const NodeVector n = cross(graph, b, c);
    const NodeId y_x[] = {graph.mul(length(graph, b), dot(graph, a, n)),
                          dot(graph, cross(graph, a, b), n)};
    return build_atan2(graph, y_x);
}

}  // namespace microlift
