#include "sampling/formula/geometry.h"

#include <array>
#include <numbers>
#include <vector>

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

// The eigenvector of the largest eigenvalue of a symmetric matrix, by as many sweeps as the kernels take
// (kernels/molecule/group_cv.h).
class LargestEigenvector {
public:
    using Matrix = std::array<std::array<NodeId, 4>, 4>;

    LargestEigenvector(Expressions& graph, const Matrix& a) : graph_(graph), a_(a) {
        for (std::size_t i = 0; i < 4; ++i)
            for (std::size_t j = 0; j < 4; ++j) v_[i][j] = graph.constant(i == j ? 1.0 : 0.0);
    }
    std::array<NodeId, 4> find() {
        constexpr int kSweeps = 5;
        for (int sweep = 0; sweep < kSweeps; ++sweep)
            for (std::size_t p = 0; p < 4; ++p)
                for (std::size_t q = p + 1; q < 4; ++q) rotate(p, q);
        NodeId largest = a_[0][0];
        std::array<NodeId, 4> found{v_[0][0], v_[1][0], v_[2][0], v_[3][0]};
        for (std::size_t k = 1; k < 4; ++k) {
            const NodeId more = graph_.binary(Op::less, largest, a_[k][k]);
            largest = graph_.binary(Op::max, largest, a_[k][k]);
            for (std::size_t i = 0; i < 4; ++i)
                found[i] = graph_.add(found[i], graph_.mul(more, graph_.sub(v_[i][k], found[i])));
        }
        return found;
    }

private:
    void turn(NodeId& p, NodeId& q, NodeId c, NodeId s) {
        const NodeId was = p;
        p = graph_.sub(graph_.mul(c, was), graph_.mul(s, q));
        q = graph_.add(graph_.mul(s, was), graph_.mul(c, q));
    }
    void rotate(std::size_t p, std::size_t q) {
        const NodeId zero = graph_.constant(0.0), one = graph_.constant(1.0), two = graph_.constant(2.0);
        const NodeId twice = graph_.mul(two, a_[p][q]), apart = graph_.sub(a_[q][q], a_[p][p]);
        const NodeId root =
            graph_.unary(Op::sqrt, graph_.add(graph_.mul(apart, apart), graph_.mul(twice, twice)));
        const NodeId side = graph_.sub(one, graph_.mul(two, graph_.binary(Op::less, apart, zero)));
        const NodeId reach = graph_.add(root, graph_.constant(1e-30));  // of two that are alike
        const NodeId t = graph_.div(twice, graph_.add(apart, graph_.mul(side, reach)));
        const NodeId c = graph_.div(one, graph_.unary(Op::sqrt, graph_.add(graph_.mul(t, t), one)));
        const NodeId s = graph_.mul(t, c), step = graph_.mul(t, a_[p][q]);
        a_[p][p] = graph_.sub(a_[p][p], step);
        a_[q][q] = graph_.add(a_[q][q], step);
        a_[p][q] = zero;
        for (std::size_t k = 0; k < 4; ++k) {
            turn(v_[k][p], v_[k][q], c, s);
            if (k != p && k != q) turn(k < p ? a_[k][p] : a_[p][k], k < q ? a_[k][q] : a_[q][k], c, s);
        }
    }

    Expressions& graph_;
    Matrix a_;  // above the diagonal
    Matrix v_;
};

// By rows, of a unit quaternion.
std::array<NodeVector, 3> rotation_of(Expressions& graph, const std::array<NodeId, 4>& q) {
    const NodeId one = graph.constant(1.0), two = graph.constant(2.0);
    const auto product = [&](std::size_t i, std::size_t j) { return graph.mul(q[i], q[j]); };
    const auto on = [&](std::size_t i, std::size_t j) {
        return graph.sub(one, graph.mul(two, graph.add(product(i, i), product(j, j))));
    };
    const auto off = [&](std::size_t i, std::size_t j, std::size_t k, bool plus) {
        const NodeId a = product(i, j), b = product(0, k);
        return graph.mul(two, plus ? graph.add(a, b) : graph.sub(a, b));
    };
    return {NodeVector{on(2, 3), off(1, 2, 3, false), off(1, 3, 2, true)},
            NodeVector{off(1, 2, 3, true), on(1, 3), off(2, 3, 1, false)},
            NodeVector{off(1, 3, 2, false), off(2, 3, 1, true), on(1, 2)}};
}

LargestEigenvector::Matrix quaternion_matrix(Expressions& graph, const std::array<NodeVector, 3>& s) {
    const auto sum = [&](NodeId a, NodeId b) { return graph.add(a, b); };
    const auto apart = [&](NodeId a, NodeId b) { return graph.sub(a, b); };
    LargestEigenvector::Matrix a{};
    a[0][0] = sum(sum(s[0][0], s[1][1]), s[2][2]);
    a[1][1] = apart(apart(s[0][0], s[1][1]), s[2][2]);
    a[2][2] = apart(apart(s[1][1], s[0][0]), s[2][2]);
    a[3][3] = apart(apart(s[2][2], s[0][0]), s[1][1]);
    a[0][1] = apart(s[1][2], s[2][1]);
    a[0][2] = apart(s[2][0], s[0][2]);
    a[0][3] = apart(s[0][1], s[1][0]);
    a[1][2] = sum(s[0][1], s[1][0]);
    a[1][3] = sum(s[2][0], s[0][2]);
    a[2][3] = sum(s[1][2], s[2][1]);
    return a;
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

NodeId build_rmsd(Expressions& graph, std::span<const NodeId> atoms) {
    constexpr std::size_t kPlace = 0, kWeight = 3, kReference = 4;
    const std::size_t n = atoms.size() / kDeviationArguments;
    const auto argument = [&](std::size_t atom, std::size_t k) { return atoms[kDeviationArguments * atom + k]; };
    const NodeId zero = graph.constant(0.0);
    NodeId all = zero;
    for (std::size_t i = 0; i < n; ++i) all = graph.add(all, argument(i, kWeight));
    const auto share = [&](std::size_t i) { return graph.div(argument(i, kWeight), all); };
    const auto centred = [&](std::size_t first) {
        NodeVector centre{zero, zero, zero};
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t d = 0; d < 3; ++d)
                centre[d] = graph.add(centre[d], graph.mul(share(i), argument(i, first + d)));
        std::vector<NodeVector> about(n);
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t d = 0; d < 3; ++d)
                about[i][d] = graph.sub(argument(i, first + d), graph.fixed(centre[d]));
        return about;
    };
    const std::vector<NodeVector> place = centred(kPlace), reference = centred(kReference);
    std::array<NodeVector, 3> s{NodeVector{zero, zero, zero}, NodeVector{zero, zero, zero}, NodeVector{zero, zero, zero}};
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t a = 0; a < 3; ++a)
            for (std::size_t b = 0; b < 3; ++b)
                s[a][b] = graph.add(
                    s[a][b], graph.mul(graph.mul(share(i), reference[i][a]), place[i][b]));
    const std::array<NodeVector, 3> r =
        rotation_of(graph, LargestEigenvector(graph, quaternion_matrix(graph, s)).find());
    NodeId square = zero;
    for (std::size_t i = 0; i < n; ++i) {
        NodeVector away;
        for (std::size_t d = 0; d < 3; ++d) {
            NodeVector row;
            for (std::size_t e = 0; e < 3; ++e) row[e] = graph.fixed(r[d][e]);
            away[d] = graph.sub(place[i][d], dot(graph, row, reference[i]));
        }
        square = graph.add(square, graph.mul(share(i), dot(graph, away, away)));
    }
    // Flat at the reference itself.
    return graph.unary(Op::sqrt, graph.binary(Op::max, square, graph.constant(1e-24)));
}

}  // namespace microlift
