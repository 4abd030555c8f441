// Bonds, angles, torsions, correction maps, restraints (force_view.h says how they are written).
#pragma once

#include "kernels/molecule/team.h"
#include "kernels/lane/roots.h"

namespace microlift {

// f = −∇E of restraints, or 0.
template <class L, class Team, class Rows, class Energies>
LANE_FN void restraint_forces(const ForceView<Scalar<L>>& v, const Team& team, const Rows& rows, Energies& e) {
    const Rows force = rows.from(v.force_row());
    for (int32 r = team.lane(); r < 3 * v.atoms; r += team.lanes()) force[r] = number<L>(0);
    team.sync();
    if (!team.leads()) return;
    for (int32 n = 0; n < v.restraints; ++n) {
        const auto& entry = v.restraint[n];
        L sum = number<L>(0);
LANE_UNROLL
        for (int d = 0; d < 3; ++d) {
            const L away = rows[entry.atom + d] - number<L>(entry.position[d]);
            force[entry.atom + d] = fnma(number<L>(entry.stiffness), away, force[entry.atom + d]);
            if constexpr (Energies::wanted) sum = fma(away, away, sum);
        }
        if constexpr (Energies::wanted)
            e.term[kTermRestraint] =
                fma(number<L>(Scalar<L>(0.5) * entry.stiffness), sum, e.term[kTermRestraint]);
    }
}

// Where edges stand, and the slopes of bonds.
template <class Rows>
struct EdgeRows {
    Rows edge, bond;
};

template <class L, class Rows, class Energies>
LANE_FN void put_edge(const ForceView<Scalar<L>>& v, const EdgeRows<Rows>& at, int32 n,
                      const EdgeEntry<Scalar<L>>& entry, const Vector<L>& d, L r2, L inverse, Energies& e) {
    const Rows row = at.edge.at(4 * n);
    put_vector(row, 0, scaled(inverse, d));
    row[3] = inverse;
    if (n < v.bonds) {
        const L stretch = fms(r2, inverse, number<L>(entry.length));
        const L slope = number<L>(entry.stiffness) * stretch;
        at.bond[n] = slope;
        if constexpr (Energies::wanted)
            e.term[kTermBond] = fma(number<L>(Scalar<L>(0.5)) * slope, stretch, e.term[kTermBond]);
    }
}

template <class M, class L, class Team, class Rows, class Energies>
LANE_FN void edge_vectors(const ForceView<Scalar<L>>& v, const Team& team, const Rows& rows, Energies& e) {
    const EdgeRows<Rows> at{rows.from(v.edge_row()), rows.from(v.bond_row())};
    for (int32 n = 2 * team.lane(); n < v.edges; n += 2 * team.lanes()) {
        const auto &one = entry_of(v.edge[n]), &other = entry_of(v.edge[n + 1]);
        const Vector<L> d = vector_at<L>(rows, one.a) - vector_at<L>(rows, one.b);
        const Vector<L> f = vector_at<L>(rows, other.a) - vector_at<L>(rows, other.b);
        const L d2 = dot(d, d), f2 = dot(f, f);
        const InverseRoots<L> inverse = inverse_roots<M>(d2, f2);
        put_edge(v, at, n, one, d, d2, inverse.first, e);
        put_edge(v, at, n + 1, other, f, f2, inverse.second, e);
    }
    if (v.turns())
        for (int32 r = v.turn_row() + team.lane(); r < v.bonded_end(); r += team.lanes()) rows[r] = number<L>(0);
    team.sync();
}

// What rounding leaves of a cosine, at most 1; and its sin², at whose 1e-12 the direction of the force is lost
// anyway.
template <class L, class Rows>
LANE_FN L corner_cosine(const Rows& edges, const CornerEntry<Scalar<L>>& entry) {
    const Vector<L> a = vector_at<L>(edges, entry.first), b = vector_at<L>(edges, entry.second);
    const L one = number<L>(1);
    return max(min(dot(a, b), one), -one);
}
template <class L>
LANE_FN L squared_sine(L c) {
    return max(fnma(c, c, number<L>(1)), number<L>(Scalar<L>(1e-12)));
}

template <class L, class Rows, class Energies>
LANE_FN void put_corner(const ForceView<Scalar<L>>& v, const Rows& corners, int32 n,
                        const CornerEntry<Scalar<L>>& entry, L c, L inverse_sine, Energies& e) {
    L slope = number<L>(0);
    if (n < v.angles) {
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
    put_vector(corners, 3 * n, Vector<L>{c, inverse_sine, slope});
}

template <class M, class L, class Team, class Rows, class Energies>
LANE_FN void corner_cosines(const ForceView<Scalar<L>>& v, const Team& team, const Rows& rows, Energies& e) {
    const Rows edges = rows.from(v.edge_row()), corners = rows.from(v.corner_row());
    for (int32 n = 2 * team.lane(); n < v.corners; n += 2 * team.lanes()) {
        const auto &one = entry_of(v.corner[n]), &other = entry_of(v.corner[n + 1]);
        const L c = corner_cosine<L>(edges, one), d = corner_cosine<L>(edges, other);
        const InverseRoots<L> inverse = inverse_roots<M>(squared_sine(c), squared_sine(d));
        put_corner(v, corners, n, one, c, inverse.first, e);
        put_corner(v, corners, n + 1, other, d, inverse.second, e);
    }
    team.sync();
}

// Polynomials of C = cos φ = (u₁·u₃ − c₁c₃)/(sin₁ sin₃).
template <class M, class L, class Team, class Rows, class Energies>
LANE_FN void torsion_slopes(const ForceView<Scalar<L>>& v, const Team& team, const Rows& rows, Energies& e) {
    const Rows edges = rows.from(v.edge_row()), corners = rows.from(v.corner_row());
    const Rows outers = rows.from(v.torsion_row());
    for (auto turn = team.in_turns(&TeamView::torsions, v.torsions); turn.more(); turn.next()) {
        if (turn.idle()) continue;
        const int32 n = turn.item();
        const auto& entry = entry_of(v.torsion[n]);
        const Rows in = corners.at(entry.corner_in), out = corners.at(entry.corner_out);
        const L c1 = in[0], c3 = out[0], i1 = in[1], i3 = out[1];
        const L scale = i1 * i3;
        const L cosine =
            fnma(c1, c3, dot(vector_at<L>(edges, entry.first), vector_at<L>(edges, entry.last))) * scale;
        // From the degree on slopes are 0, and products with 0 leave the bits: on CUDA less than a loop, whose index
        // would send the entry to memory.
        L slope;
#if defined(__CUDA_ARCH__)
        slope = horner(cosine, entry.slope);
#else
        slope = number<L>(entry.slope[entry.degree - 1]);
        for (int32 m = entry.degree - 2; m >= 0; --m) slope = fma(slope, cosine, number<L>(entry.slope[m]));
#endif
        if constexpr (Energies::wanted) {
            L sum = number<L>(0);
LANE_UNROLL
            for (int32 m = kTorsionDegree - 1; m >= 0; --m)
                sum = fma(sum, cosine, number<L>(entry.slope[m] / static_cast<Scalar<L>>(m + 1)));
            e.term[kTermTorsion] =
                e.term[kTermTorsion] + fma(sum, cosine, number<L>(entry.constant));
        }
        const L outer = slope * scale;
        const L turned = slope * cosine;
        outers[n] = outer;
        in[2] = in[2] + fms(turned * c1, i1 * i1, outer * c3);
        out[2] = out[2] + fms(turned * c3, i3 * i3, outer * c1);
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

template <class M, class L, class Team, class Rows, class Energies>
LANE_FN void periodic_slopes(const ForceView<Scalar<L>>& v, const Team& team, const Rows& rows, Energies& e) {
    for (auto turn = team.in_turns(&TeamView::periodics, v.periodics); turn.more(); turn.next()) {
        if (turn.idle()) continue;
        const auto& entry = v.periodic[turn.item()];
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

template <class M, class L, class Team, class Rows, class Energies>
LANE_FN void cmap_slopes(const ForceView<Scalar<L>>& v, const Team& team, const Rows& rows, Energies& e) {
    for (auto turn = team.in_turns(&TeamView::cmaps, v.cmaps); turn.more(); turn.next()) {
        if (turn.idle()) continue;
        const auto& entry = v.cmap[turn.item()];
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

// From slopes to unit vectors to atoms; whether there are ∂E/∂u that are no slopes along other edges.
template <bool Turned, class L, class Team, class Rows>
LANE_FN void distribute_bonded(const ForceView<Scalar<L>>& v, const Team& team, const Rows& rows) {
    const Rows edges = rows.from(v.edge_row()), bonds = rows.from(v.bond_row()), force = rows.from(v.force_row());
    int32 at = 0;
    for (auto turn = team.in_turns(&TeamView::pulls, v.edges); turn.more(); turn.next()) {
        if (turn.idle()) continue;
        const int32 k = turn.item();
        if constexpr (!Team::kAlone) at = k > 0 ? v.pulls[k - 1].end : 0;
        const auto& own = entry_of(v.pulls[k]);
        const int32 n = own.edge;
        const auto& entry = entry_of(v.edge[n]);
        const L zero = number<L>(0);
        Vector<L> g{zero, zero, zero};
        if constexpr (Turned) g = vector_at<L>(rows, v.turn_row() + 3 * n);
        LANE_ROLLED_FOR (; at < own.end; ++at) {
            const auto& pull = entry_of(v.pull[at]);
            add_scaled(g, L(edges[pull.slope]), vector_at<L>(edges, pull.other));
        }
        // ∂E/∂d = (g − (g·u) u)/r + (∂E/∂r) u.
        const Rows row = edges.at(4 * n);
        const Vector<L> u = vector_at<L>(row, 0);
        const L inverse = row[3];
        L along = -(inverse * dot(g, u));
        if (n < v.bonds) along = along + bonds[n];
        Vector<L> d = scaled(inverse, g);
        add_scaled(d, along, u);
        put_vector(force, entry.a, vector_at<L>(force, entry.a) - d);
        put_vector(force, entry.b, vector_at<L>(force, entry.b) + d);
    }
}

template <class M, class L, class Team, class Rows, class Energies>
LANE_FN void bonded_forces(const ForceView<Scalar<L>>& v, const Team& team, const Rows& rows, Energies& e) {
    restraint_forces<L>(v, team, rows, e);
    apart([&] { edge_vectors<M, L>(v, team, rows, e); });
    apart([&] { corner_cosines<M, L>(v, team, rows, e); });
    apart([&] { torsion_slopes<M, L>(v, team, rows, e); });
    apart([&] { periodic_slopes<M, L>(v, team, rows, e); });
    apart([&] { cmap_slopes<M, L>(v, team, rows, e); });
    if (v.turns())
        apart([&] { distribute_bonded<true, L>(v, team, rows); });
    else
        apart([&] { distribute_bonded<false, L>(v, team, rows); });
}

}  // namespace microlift
