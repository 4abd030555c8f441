// Internal coordinates of a molecule: each atom by a bond, an angle and a dihedral angle to atoms that are
// placed before it (sampling/molecule/coordinates/z_matrix.h), to and from Cartesian ones. A lane is a state;
// nm and rad.
#pragma once

#include "kernels/molecule/force_view.h"
#include "kernels/dynamics/period.h"
#include "kernels/lane/roots.h"

namespace microlift {

// Atoms as rows, 3 · atom. The first three entries have no torsion, the first two no angle, the first none.
struct InternalEntry {
    int32 atom, bond, angle, torsion;
};

struct InternalView {
    int32 atoms = 0;
    const InternalEntry* entries = nullptr;
    LANE_FN int32 bond_row(int32 entry) const { return entry - 1; }
    LANE_FN int32 angle_row(int32 entry) const { return atoms - 1 + entry - 2; }
    LANE_FN int32 torsion_row(int32 entry) const { return 2 * atoms - 3 + entry - 3; }
};

// Columns of a matrix (row, column) as rows of lanes.
template <class L>
struct ColumnRows {
    const float* first;
    index stride, i;
    LANE_FN L operator[](int32 row) const { return load<L>(first + row * stride, i); }
    LANE_FN ColumnRows at(int32 row) const { return {first + row * stride, stride, i}; }
};

template <class L>
LANE_FN Vector<L> unit(const Vector<L>& a) {
    return scaled(inverse_sqrt<Portable>(max(dot(a, a), broadcast<L>(1e-20f))), a);
}

// ln b² + ln sin θ of an atom, of b > 0 and the squared sine.
template <class L>
LANE_FN L log_volume(L b, L sine2) {
    return log<Portable>(max(b * b, broadcast<L>(1e-30f))) +
           broadcast<L>(0.5f) * log<Portable>(max(sine2, broadcast<L>(1e-30f)));
}

// x (3 · atoms, row) → q (3 · atoms − 6, row): bonds, angles, torsions in the order of entries; and the
// logarithm of |∂x/∂q|, where places and turns of the whole molecule count as 1: Σ 2 ln b + Σ ln sin θ.
struct ToInternalBody {
    InternalView view;
    const float* x;
    index x_row;
    float* q;
    index q_row;
    float* log_jacobian;  // may be null
    template <class L>
    LANE_FN void operator()(L, index i) const {
        const ColumnRows<L> rows{x, x_row, i};
        L volume = broadcast<L>(0.0f);
        for (int32 k = 1; k < view.atoms; ++k) {
            const InternalEntry e = view.entries[k];
            const Vector<L> c = vector_at<L>(rows, e.bond), d = vector_at<L>(rows, e.atom) - c;
            const L d2 = max(dot(d, d), broadcast<L>(1e-20f));
            const L inverse = inverse_sqrt<Portable>(d2), b = d2 * inverse;
            store(q + view.bond_row(k) * q_row, i, b);
            L sine2 = broadcast<L>(1.0f);
            if (k >= 2) {
                const Vector<L> to = unit(vector_at<L>(rows, e.angle) - c), from = scaled(inverse, d);
                const Vector<L> n = cross(from, to);
                sine2 = max(dot(n, n), broadcast<L>(1e-20f));
                store(q + view.angle_row(k) * q_row, i,
                      angle_of(dot(from, to), sine2 * inverse_sqrt<Portable>(sine2)));
            }
            if (k >= 3) store(q + view.torsion_row(k) * q_row, i, torsion<L>(rows, e));
            volume = volume + log_volume(b, sine2);
        }
        if (log_jacobian) store(log_jacobian, i, volume);
    }

    template <class L>
    LANE_FN static L torsion(const ColumnRows<L>& rows, const InternalEntry& e) {
        const Vector<L> c = vector_at<L>(rows, e.bond), b = vector_at<L>(rows, e.angle);
        const Vector<L> f = vector_at<L>(rows, e.torsion) - b, g = unit(b - c);
        const Vector<L> h = vector_at<L>(rows, e.atom) - c;
        const Vector<L> u = cross(f, g), w = cross(h, g);
        const L scale = inverse_sqrt<Portable>(max(dot(u, u) * dot(w, w), broadcast<L>(1e-30f)));
        return angle_of(dot(u, w) * scale, -(dot(f, w) * scale));
    }
};

// The reverse (Parsons et al., J. Comput. Chem. 26 (2005) 1063): the first atom at the origin, the second on
// the x axis, the third in the plane of x and y; then moved so that the mean of the atoms is the origin.
struct FromInternalBody {
    InternalView view;
    const float* q;
    index q_row;
    float* x;
    index x_row;
    float* log_jacobian;  // may be null; NaN where q is out of its range
    bool adds;            // to what log_jacobian holds
    template <class L>
    LANE_FN void operator()(L, index i) const {
        const ColumnRows<L> rows{x, x_row, i}, from{q, q_row, i};
        const L zero = broadcast<L>(0.0f);
        L volume = log_jacobian && adds ? load<L>(log_jacobian, i) : zero;
        put(i, view.entries[0].atom, Vector<L>{zero, zero, zero});
        Vector<L> sum{zero, zero, zero};
        for (int32 k = 1; k < view.atoms; ++k) {
            const InternalEntry e = view.entries[k];
            const L b = from[view.bond_row(k)];
            L sine = broadcast<L>(1.0f), cosine = zero;
            Vector<L> place;
            if (k >= 2) sincos<Portable>(from[view.angle_row(k)], sine, cosine);
            if (k == 1) {
                place = {b, zero, zero};
            } else {
                const Vector<L> c = vector_at<L>(rows, e.bond);
                // Away from the bond's other end, and what stands upright on it.
                const Vector<L> away = unit(c - vector_at<L>(rows, e.angle));
                Vector<L> up{zero, broadcast<L>(1.0f), zero}, side{zero, zero, zero};
                L turn_c = broadcast<L>(1.0f), turn_s = zero;
                if (k >= 3) {
                    const Vector<L> f = vector_at<L>(rows, e.angle) - vector_at<L>(rows, e.torsion);
                    side = unit(cross(f, away));
                    up = cross(side, away);
                    sincos<Portable>(from[view.torsion_row(k)], turn_s, turn_c);
                }
                place = c;
                add_scaled(place, -(b * cosine), away);
                add_scaled(place, b * sine * turn_c, up);
                add_scaled(place, b * sine * turn_s, side);
            }
            put(i, e.atom, place);
            sum = sum + place;
            volume = volume + log_volume(b, sine * sine);
            // Bonds beyond 0 and angles beyond [0, π] name states that others name already.
            volume = select(min(b, sine) > zero, volume, broadcast<L>(as_float(0x7fc00000u)));
        }
        const L share = broadcast<L>(1.0f / static_cast<float>(view.atoms));
        for (int32 n = 0; n < view.atoms; ++n) {
            Vector<L> place = vector_at<L>(rows, 3 * n);
            take_scaled(place, share, sum);
            put(i, 3 * n, place);
        }
        if (log_jacobian) store(log_jacobian, i, volume);
    }

    template <class L>
    LANE_FN void put(index i, int32 row, const Vector<L>& v) const {
        store(x + row * x_row, i, v.x);
        store(x + (row + 1) * x_row, i, v.y);
        store(x + (row + 2) * x_row, i, v.z);
    }
};

}  // namespace microlift
