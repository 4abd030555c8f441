// Bonds, angles, torsions, correction maps, restraints (force_view.h says how they are written).
#pragma once

#include "kernels/dynamics/force_view.h"
#include "kernels/lane/roots.h"

namespace microlift {

// f = −∇E of restraints, or 0; then what stands on edges.
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

template <class M, class L, class Rows, class Energies>
LANE_FN void edge_vectors(const ForceView<Scalar<L>>& v, const Rows& rows, Energies& e) {
    for (int32 n = 0; n < v.edges; ++n) {
        const auto& entry = v.edge[n];
        const Vector<L> d = vector_at<L>(rows, entry.a) - vector_at<L>(rows, entry.b);
        const L r2 = dot(d, d), inverse = inverse_sqrt<M>(r2);
        const int32 row = v.edge_row() + 7 * n;
        put_vector(rows, row, scaled(inverse, d));
        rows[row + 3] = inverse;
        put_vector(rows, row + 4, Vector<L>{number<L>(0), number<L>(0), number<L>(0)});
        if (n < v.bonds) {
            const L stretch = fma(r2, inverse, number<L>(-entry.length));
            const L slope = number<L>(entry.stiffness) * stretch;
            rows[v.bond_row() + n] = slope;
            if constexpr (Energies::wanted)
                e.term[kTermBond] =
                    fma(number<L>(Scalar<L>(0.5)) * slope, stretch, e.term[kTermBond]);
        }
    }
}

template <class M, class L, class Rows, class Energies>
LANE_FN void corner_cosines(const ForceView<Scalar<L>>& v, const Rows& rows, Energies& e) {
    const L zero = number<L>(0), one = number<L>(1);
    for (int32 n = 0; n < v.corners; ++n) {
        const auto& entry = v.corner[n];
        const Vector<L> a = vector_at<L>(rows, v.edge_row() + 7 * entry.first);
        const Vector<L> b = vector_at<L>(rows, v.edge_row() + 7 * entry.second);
        // Rounding may go beyond 1; at 1e-12 of sin² the direction of the force is lost anyway.
        const L c = max(min(dot(a, b), one), -one);
        const L inverse_sine = inverse_sqrt<M>(max(fnma(c, c, one), number<L>(Scalar<L>(1e-12))));
        L slope = zero;
        if (n < v.angles) {
            const L shift = number<L>(-entry.angle);
            const L h = acos_over_sine(abs(c));
            // θ/sin θ − θ₀/sin θ; beyond a right angle θ = π − acos|c|.
            const auto obtuse = c < zero;
            const L beyond = shift + number<L>(Scalar<L>(3.14159265358979323846));
            const L bend = fma(select(obtuse, beyond, shift), inverse_sine, select(obtuse, -h, h));
            slope = number<L>(-entry.stiffness) * bend;
            if constexpr (Energies::wanted) {
                const L sine = inverse_sine * max(fnma(c, c, one), zero);
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
}

// Polynomials of C = cos φ = (u₁·u₃ − c₁c₃)/(sin₁ sin₃).
template <class L, class Rows, class Energies>
LANE_FN void torsion_slopes(const ForceView<Scalar<L>>& v, const Rows& rows, Energies& e) {
    for (int32 n = 0; n < v.torsions; ++n) {
        const auto& entry = v.torsion[n];
        const int32 first = v.edge_row() + 7 * entry.first, last = v.edge_row() + 7 * entry.last;
        const int32 in = v.corner_row() + 3 * entry.corner_in;
        const int32 out = v.corner_row() + 3 * entry.corner_out;
        const Vector<L> a = vector_at<L>(rows, first), b = vector_at<L>(rows, last);
        const L c1 = rows[in], c3 = rows[out], i1 = rows[in + 1], i3 = rows[out + 1];
        const L scale = i1 * i3;
        const L cosine = fnma(c1, c3, dot(a, b)) * scale;
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
        rows[in + 2] = rows[in + 2] + fms(turned * c1, i1 * i1, outer * c3);
        rows[out + 2] = rows[out + 2] + fms(turned * c3, i3 * i3, outer * c1);
        add_vector(rows, first + 4, outer, b);
        add_vector(rows, last + 4, outer, a);
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
    const Vector<L> u1 = vector_at<L>(rows, v.edge_row() + 7 * entry.first);
    const Vector<L> u2 = vector_at<L>(rows, v.edge_row() + 7 * entry.middle);
    const Vector<L> u3 = vector_at<L>(rows, v.edge_row() + 7 * entry.last);
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
    add_vector(rows, v.edge_row() + 7 * entry.first + 4, slope, at.first);
    add_vector(rows, v.edge_row() + 7 * entry.middle + 4, slope, at.middle);
    add_vector(rows, v.edge_row() + 7 * entry.last + 4, slope, at.last);
}

template <class M, class L, class Rows, class Energies>
LANE_FN void periodic_slopes(const ForceView<Scalar<L>>& v, const Rows& rows, Energies& e) {
    for (int32 n = 0; n < v.periodics; ++n) {
        const auto& entry = v.periodic[n];
        const Dihedral<L> at = dihedral<M, L>(v, rows, entry.dihedral);
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

// From cosines to unit vectors to atoms.
template <class L, class Rows>
LANE_FN void distribute_bonded(const ForceView<Scalar<L>>& v, const Rows& rows) {
    for (int32 n = 0; n < v.corners; ++n) {
        const int32 first = v.edge_row() + 7 * v.corner[n].first;
        const int32 second = v.edge_row() + 7 * v.corner[n].second;
        const L slope = rows[v.corner_row() + 3 * n + 2];
        const Vector<L> a = vector_at<L>(rows, first), b = vector_at<L>(rows, second);
        add_vector(rows, first + 4, slope, b);
        add_vector(rows, second + 4, slope, a);
    }
    for (int32 n = 0; n < v.edges; ++n) {
        const int32 row = v.edge_row() + 7 * n;
        const Vector<L> u = vector_at<L>(rows, row), g = vector_at<L>(rows, row + 4);
        const L inverse = rows[row + 3];
        // ∂E/∂d = (g − (g·u) u)/r + (∂E/∂r) u.
        L along = -(inverse * dot(g, u));
        if (n < v.bonds) along = along + rows[v.bond_row() + n];
        Vector<L> d = scaled(inverse, g);
        add_scaled(d, along, u);
        const int32 a = v.force_row() + v.edge[n].a, b = v.force_row() + v.edge[n].b;
        put_vector(rows, a, vector_at<L>(rows, a) - d);
        put_vector(rows, b, vector_at<L>(rows, b) + d);
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
