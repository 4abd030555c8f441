// Bonds, angles, torsions, correction maps, restraints (force_view.h says how they are written).
#pragma once

#include "kernels/molecule/force_view.h"
#include "kernels/lane/roots.h"

namespace microlift {

// f = −∇E of restraints, or 0.
template <class L, class Rows, class Energies>
LANE_FN void restraint_forces(const ForceView<Scalar<L>>& v, const Rows& rows, Energies& e) {
    for (int32 r = v.force_row(); r < v.edge_row(); ++r) rows[r] = number<L>(0);
    for (int32 n = 0; n < v.restraints; ++n) {
        const auto& entry = v.restraint[n];
        L sum = number<L>(0);
LANE_UNROLL
        for (int d = 0; d < 3; ++d) {
            const L away = rows[entry.atom + d] - number<L>(entry.position[d]);
            rows[v.force_row() + entry.atom + d] =
                fnma(number<L>(entry.stiffness), away, rows[v.force_row() + entry.atom + d]);
            if constexpr (Energies::wanted) sum = fma(away, away, sum);
        }
        if constexpr (Energies::wanted)
            e.term[kTermRestraint] =
                fma(number<L>(Scalar<L>(0.5) * entry.stiffness), sum, e.term[kTermRestraint]);
    }
}

template <class L, class Rows, class Energies>
LANE_FN void put_edge(const ForceView<Scalar<L>>& v, const Rows& rows, int32 n, const Vector<L>& d, L r2,
                      L inverse, Energies& e) {
    const int32 row = v.edge_row() + 4 * n;
    put_vector(rows, row, scaled(inverse, d));
    rows[row + 3] = inverse;
    if (n < v.bonds) {
        const L stretch = fms(r2, inverse, number<L>(v.edge[n].length));
        const L slope = number<L>(v.edge[n].stiffness) * stretch;
        rows[v.bond_row() + n] = slope;
        if constexpr (Energies::wanted)
            e.term[kTermBond] = fma(number<L>(Scalar<L>(0.5)) * slope, stretch, e.term[kTermBond]);
    }
}

template <class M, class L, class Rows, class Energies>
LANE_FN void edge_vectors(const ForceView<Scalar<L>>& v, const Rows& rows, Energies& e) {
    for (int32 n = 0; n < v.edges; n += 2) {
        const auto &one = v.edge[n], &other = v.edge[n + 1];
        const Vector<L> d = vector_at<L>(rows, one.a) - vector_at<L>(rows, one.b);
        const Vector<L> f = vector_at<L>(rows, other.a) - vector_at<L>(rows, other.b);
        const L d2 = dot(d, d), f2 = dot(f, f);
        const InverseRoots<L> inverse = inverse_roots<M>(d2, f2);
        put_edge(v, rows, n, d, d2, inverse.first, e);
        put_edge(v, rows, n + 1, f, f2, inverse.second, e);
    }
    if (v.turns())
        for (int32 r = v.turn_row(); r < v.born_row(); ++r) rows[r] = number<L>(0);
}

// What rounding leaves of a cosine, at most 1; and its sin², at whose 1e-12 the direction of the force is lost
// anyway.
template <class L, class Rows>
LANE_FN L corner_cosine(const ForceView<Scalar<L>>& v, const Rows& rows,
                        const CornerEntry<Scalar<L>>& entry) {
    const Vector<L> a = vector_at<L>(rows, v.edge_row() + 4 * entry.first);
    const Vector<L> b = vector_at<L>(rows, v.edge_row() + 4 * entry.second);
    const L one = number<L>(1);
    return max(min(dot(a, b), one), -one);
}
template <class L>
LANE_FN L squared_sine(L c) {
    return max(fnma(c, c, number<L>(1)), number<L>(Scalar<L>(1e-12)));
}

template <class L, class Rows, class Energies>
LANE_FN void put_corner(const ForceView<Scalar<L>>& v, const Rows& rows, int32 n, L c, L inverse_sine,
                        Energies& e) {
    L slope = number<L>(0);
    if (n < v.angles) {
        const auto& entry = v.corner[n];
        const L shift = number<L>(-entry.angle);
        const L h = acos_over_sine(abs(c));
        // θ/sin θ − θ₀/sin θ; beyond a right angle θ = π − acos|c|.
        const auto obtuse = c < number<L>(0);
        const L beyond = number<L>(Scalar<L>(3.14159265358979323846) - entry.angle);
        const L bend = fma(select(obtuse, beyond, shift), inverse_sine, select(obtuse, -h, h));
        slope = number<L>(-entry.stiffness) * bend;
        if constexpr (Energies::wanted) {
            const L sine = inverse_sine * max(fnma(c, c, number<L>(1)), number<L>(0));
            const L off = bend * sine;
            e.term[kTermAngle] =
                fma(number<L>(Scalar<L>(0.5) * entry.stiffness) * off, off, e.term[kTermAngle]);
        }
    }
    const int32 row = v.corner_row() + 3 * n;
    rows[row] = c;
    rows[row + 1] = inverse_sine;
    rows[row + 2] = slope;
}

template <class M, class L, class Rows, class Energies>
LANE_FN void corner_cosines(const ForceView<Scalar<L>>& v, const Rows& rows, Energies& e) {
    for (int32 n = 0; n < v.corners; n += 2) {
        const L c = corner_cosine<L>(v, rows, v.corner[n]), d = corner_cosine<L>(v, rows, v.corner[n + 1]);
        const InverseRoots<L> inverse = inverse_roots<M>(squared_sine(c), squared_sine(d));
        put_corner(v, rows, n, c, inverse.first, e);
        put_corner(v, rows, n + 1, d, inverse.second, e);
    }
}

// Polynomials of C = cos φ = (u₁·u₃ − c₁c₃)/(sin₁ sin₃).
template <class L, class Rows, class Energies>
LANE_FN void torsion_slopes(const ForceView<Scalar<L>>& v, const Rows& rows, Energies& e) {
    for (int32 n = 0; n < v.torsions; ++n) {
        const auto& entry = v.torsion[n];
        const int32 in = v.corner_row() + 3 * entry.corner_in;
        const int32 out = v.corner_row() + 3 * entry.corner_out;
        const L c1 = rows[in], c3 = rows[out], i1 = rows[in + 1], i3 = rows[out + 1];
        const L scale = i1 * i3;
        const L cosine = fnma(c1, c3, dot(vector_at<L>(rows, v.edge_row() + 4 * entry.first),
                                          vector_at<L>(rows, v.edge_row() + 4 * entry.last))) *
                         scale;
        L slope = number<L>(entry.slope[entry.degree - 1]);
        for (int32 m = entry.degree - 2; m >= 0; --m)
            slope = fma(slope, cosine, number<L>(entry.slope[m]));
        if constexpr (Energies::wanted) {
            L sum = number<L>(0);
            for (int32 m = entry.degree - 1; m >= 0; --m)
                sum = fma(sum, cosine, number<L>(entry.slope[m] / static_cast<Scalar<L>>(m + 1)));
            e.term[kTermTorsion] =
                e.term[kTermTorsion] + fma(sum, cosine, number<L>(entry.constant));
        }
        const L outer = slope * scale;
        const L turned = slope * cosine;
        rows[v.torsion_row() + n] = outer;
        rows[in + 2] = rows[in + 2] + fms(turned * c1, i1 * i1, outer * c3);
        rows[out + 2] = rows[out + 2] + fms(turned * c3, i3 * i3, outer * c1);
    }
}

// A dihedral angle and its gradient with respect to the three unit vectors.
template <class L>
struct Dihedral {
    L cosine, sine;
    Vector<L> first, middle, last;  // ∂φ/∂u
};

template <class M, class L, class Rows>
LANE_FN Dihedral<L> dihedral(const ForceView<Scalar<L>>& v, const Rows& rows,
                             const DihedralEntry<Scalar<L>>& entry) {
    const Vector<L> u1 = vector_at<L>(rows, v.edge_row() + 4 * entry.first);
    const Vector<L> u2 = vector_at<L>(rows, v.edge_row() + 4 * entry.middle);
    const Vector<L> u3 = vector_at<L>(rows, v.edge_row() + 4 * entry.last);
    const Vector<L> a = cross(u1, u2), b = cross(u3, u2);
    const L tiny = number<L>(Scalar<L>(1e-12)), turn = number<L>(entry.turn * entry.fold);
    const L ia = inverse_sqrt<M>(max(dot(a, a), tiny)), ib = inverse_sqrt<M>(max(dot(b, b), tiny));
    Dihedral<L> r;
    r.cosine = number<L>(entry.fold) * (ia * ib) * dot(a, b);
    r.sine = number<L>(entry.turn) * (ia * ib) * dot(u1, b);
    const L wa = turn * (ia * ia), wb = turn * (ib * ib);
    r.first = scaled(wa, a);
    r.last = scaled(-wb, b);
    r.middle = scaled(-(dot(u1, u2) * wa), a);
    add_scaled(r.middle, dot(u3, u2) * wb, b);
    return r;
}

template <class L, class Rows>
LANE_FN void add_dihedral_slope(const ForceView<Scalar<L>>& v, const Rows& rows,
                                const DihedralEntry<Scalar<L>>& entry, const Dihedral<L>& at,
                                L slope) {
    add_vector(rows, v.turn_row() + 3 * entry.first, slope, at.first);
    add_vector(rows, v.turn_row() + 3 * entry.middle, slope, at.middle);
    add_vector(rows, v.turn_row() + 3 * entry.last, slope, at.last);
}

// φ − φ₀, in (−π, π].
template <class L>
LANE_FN L angle_from(const Dihedral<L>& at, const PeriodicEntry<Scalar<L>>& entry) {
    const L c = number<L>(entry.cosine), s = number<L>(entry.sine);
    return angle_of(fma(s, at.sine, c * at.cosine), fms(c, at.sine, s * at.cosine));
}

template <class M, class L, class Rows, class Energies>
LANE_FN void periodic_slopes(const ForceView<Scalar<L>>& v, const Rows& rows, Energies& e) {
    for (int32 n = 0; n < v.periodics; ++n) {
        const auto& entry = v.periodic[n];
        const Dihedral<L> at = dihedral<M, L>(v, rows, entry.dihedral);
        if (entry.periodicity == 0) {
            const L away = angle_from(at, entry);
            const L slope = number<L>(entry.constant) * away;
            if constexpr (Energies::wanted)
                e.term[kTermTorsion] =
                    fma(number<L>(Scalar<L>(0.5)) * slope, away, e.term[kTermTorsion]);
            add_dihedral_slope(v, rows, entry.dihedral, at, slope);
            continue;
        }
        // cos nφ and sin nφ.
        L c = at.cosine, s = at.sine;
        for (int32 k = 1; k < entry.periodicity; ++k) {
            const L next = fms(c, at.cosine, s * at.sine);
            s = fma(s, at.cosine, c * at.sine);
            c = next;
        }
        const L ka = number<L>(entry.cosine), kb = number<L>(entry.sine);
        const L slope = number<L>(static_cast<Scalar<L>>(entry.periodicity)) * fms(kb, c, ka * s);
        if constexpr (Energies::wanted)
            e.term[kTermTorsion] =
                e.term[kTermTorsion] + fma(kb, s, fma(ka, c, number<L>(entry.constant)));
        add_dihedral_slope(v, rows, entry.dihedral, at, slope);
    }
}

// The coefficients of each lane's cell.
template <class L>
struct MapCell {
    const Scalar<L>* at[kWidth<L>];

    LANE_FN MapCell(const Scalar<L>* map, int32 size, L cell1, L cell2) {
        Scalar<L> numbers[2][kWidth<L>];
        store(numbers[0], 0, cell1);
        store(numbers[1], 0, cell2);
        for (int j = 0; j < kWidth<L>; ++j)
            at[j] = map + 16 * (static_cast<int32>(numbers[0][j]) +
                                size * static_cast<int32>(numbers[1][j]));
    }
    LANE_FN L coefficient(int k) const {
        Scalar<L> numbers[kWidth<L>];
        for (int j = 0; j < kWidth<L>; ++j) numbers[j] = at[j][k];
        return load<L>(numbers, 0);
    }
};

// The cell of an angle in (−π, π] and the place in it, 0 to 1.
template <class L>
LANE_FN void map_place(L angle, int32 size, L& cell, L& place) {
    using T = Scalar<L>;
    const L zero = number<L>(0);
    angle = select(angle < zero, angle + number<L>(T(6.28318530717958647693)), angle);
    const L at = angle * number<L>(static_cast<T>(size) * T(0.15915494309189533577));
    // Adding 1.5 · 2^(bits of the fraction) rounds to whole numbers.
    const L shift = number<L>(sizeof(T) == 4 ? T(12582912.0) : T(0x1.8p52));
    cell = (at - number<L>(T(0.5)) + shift) - shift;
    cell = max(min(cell, number<L>(static_cast<T>(size - 1))), zero);  // NaN: the first
    place = at - cell;
}

template <class M, class L, class Rows, class Energies>
LANE_FN void cmap_slopes(const ForceView<Scalar<L>>& v, const Rows& rows, Energies& e) {
    for (int32 n = 0; n < v.cmaps; ++n) {
        const auto& entry = v.cmap[n];
        const Dihedral<L> first = dihedral<M, L>(v, rows, entry.first);
        const Dihedral<L> second = dihedral<M, L>(v, rows, entry.second);
        L cell1, cell2, s, t;
        map_place(angle_of(first.cosine, first.sine), entry.size, cell1, s);
        map_place(angle_of(second.cosine, second.sine), entry.size, cell2, t);
        const MapCell<L> cell(v.map + entry.map, entry.size, cell1, cell2);
        L energy = number<L>(0), along_s = energy, along_t = energy;
        for (int a = 3; a >= 0; --a) {
            L row = cell.coefficient(4 * a + 3), slope = row;
            row = fma(row, t, cell.coefficient(4 * a + 2));
            slope = fma(slope, t, row);
            row = fma(row, t, cell.coefficient(4 * a + 1));
            slope = fma(slope, t, row);
            row = fma(row, t, cell.coefficient(4 * a));
            along_s = fma(along_s, s, energy);
            along_t = fma(along_t, s, slope);
            energy = fma(energy, s, row);
        }
        using T = Scalar<L>;
        const L width = number<L>(static_cast<T>(entry.size) * T(0.15915494309189533577));
        if constexpr (Energies::wanted) e.term[kTermCmap] = e.term[kTermCmap] + energy;
        add_dihedral_slope(v, rows, entry.first, first, width * along_s);
        add_dihedral_slope(v, rows, entry.second, second, width * along_t);
    }
}

// From slopes to unit vectors to atoms.
template <class L, class Rows>
LANE_FN void distribute_bonded(const ForceView<Scalar<L>>& v, const Rows& rows) {
    const Rows edges = rows.from(v.edge_row()), force = rows.from(v.force_row());
    const EdgePull* pull = v.pull;
    for (int32 k = 0; k < v.edges; ++k) {
        const int32 n = v.pulls[k].edge;
        const auto& entry = v.edge[n];
        const L zero = number<L>(0);
        Vector<L> g = v.turns() ? vector_at<L>(rows, v.turn_row() + 3 * n) : Vector<L>{zero, zero, zero};
        for (const EdgePull* end = pull + v.pulls[k].pulls; pull != end; ++pull)
            add_scaled(g, L(edges[pull->slope]), vector_at<L>(edges, pull->other));
        // ∂E/∂d = (g − (g·u) u)/r + (∂E/∂r) u.
        const Vector<L> u = vector_at<L>(edges, 4 * n);
        const L inverse = edges[4 * n + 3];
        L along = -(inverse * dot(g, u));
        if (n < v.bonds) along = along + rows[v.bond_row() + n];
        Vector<L> d = scaled(inverse, g);
        add_scaled(d, along, u);
        put_vector(force, entry.a, vector_at<L>(force, entry.a) - d);
        put_vector(force, entry.b, vector_at<L>(force, entry.b) + d);
    }
}

template <class M, class L, class Rows, class Energies>
LANE_FN void bonded_forces(const ForceView<Scalar<L>>& v, const Rows& rows, Energies& e) {
    restraint_forces<L>(v, rows, e);
    edge_vectors<M, L>(v, rows, e);
    corner_cosines<M, L>(v, rows, e);
    torsion_slopes<L>(v, rows, e);
    periodic_slopes<M, L>(v, rows, e);
    cmap_slopes<M, L>(v, rows, e);
    distribute_bonded<L>(v, rows);
}

}  // namespace microlift
