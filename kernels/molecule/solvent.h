// Generalised Born solvent, with all pairs of a molecule in it, in three passes:
//   1  effective radii from pairwise descreening (Hawkins, Cramer, Truhlar, Chem. Phys. Lett. 246 (1995)
//      122; the neck of Mongan et al., J. Chem. Theory Comput. 3 (2007) 156), kept with its slopes
//   2  energies of pairs, vacuum's included, from distances alone; ∂E/∂B of each radius
//   3  forces along pairs
// What pass 1 knows of pairs is stored for the others, or, of large molecules, computed anew.
// Rows of an atom: 2 S, then −½ ∂(1/B)/∂S; B; 1/B; B ∂E/∂B, then ½ ∂E/∂S. Rows of a pair: 1/r, then
// −(∂E/∂r)/r; slopes of 2 S of either atom over r.
#pragma once

#include "kernels/molecule/pairs.h"

namespace microlift {

// What descreening needs of a pair, whichever atom looks: r, 1/r, 1/r², r/4.
template <class L>
struct PairRange {
    L r, y, y2, quarter;
};
template <class L>
LANE_FN PairRange<L> pair_range(L r2, L y) {
    const L r = r2 * y;
    return {r, y, y * y, number<L>(Scalar<L>(0.25)) * r};
}

// 1/L, 1/U and U/L of the integral's limits over what an atom takes from another's surroundings: inside its own
// sphere nothing.
template <class L>
struct Facing {
    L low, high, ratio;
};
template <class L>
struct Limits {
    L lower, upper;

    LANE_FN Limits(const BornAtom<Scalar<L>>& i, const BornAtom<Scalar<L>>& j, L r) {
        const L radius = number<L>(i.offset_radius), s = number<L>(j.scaled_radius);
        const L reach = r + s;
        // Some scales, and with them s, are negative.
        lower = select(reach < radius, radius, max(abs(r - s), radius));
        upper = max(reach, radius);
    }
    LANE_FN L area() const { return lower * upper; }
    LANE_FN Facing<L> facing(L q) const {  // q = 1/(LU)
        const L low = q * upper;
        return {low, q * lower, upper * low};
    }
};

// Two atoms on the way to what they take from each other: the next pair's divisions run beside this one's
// logarithms.
template <class L>
struct Approach {
    PairRange<L> at;
    Facing<L> own, theirs;
};
template <class M, class L>
LANE_FN Approach<L> approach(const BornAtom<Scalar<L>>& i, const BornAtom<Scalar<L>>& j, Vector<L> d) {
    const L r2 = dot(d, d);
    const PairRange<L> at = pair_range(r2, inverse_sqrt<M>(r2));
    const Limits<L> own(i, j, at.r), theirs(j, i, at.r);
    const L area = own.area(), area_of_other = theirs.area();
    const L both = number<L>(1) / (area * area_of_other);
    return {at, own.facing(both * area_of_other), theirs.facing(both * area)};
}

// Twice the integral and twice its slope over r.
template <class M, class L>
LANE_FN void descreen(const PairRange<L>& at, const Facing<L>& ends, Scalar<L> scaled_radius, L& part,
                      L& slope) {
    const L half_log = half_log_of_positive<M>(ends.ratio);  // ½ ln(U/L)
    const L less = ends.low - ends.high, squares = less * (ends.low + ends.high);
    // 1/L − 1/U − ¼(r − s²/r)(1/L² − 1/U²) − ½ ln(U/L)/r; its ends move without effect.
    const L reach = number<L>(Scalar<L>(0.25) * scaled_radius * scaled_radius);
    part = fnma(half_log, at.y, fnma(fnma(reach, at.y, at.quarter), squares, less));
    const L steep = fma(reach, at.y2, number<L>(Scalar<L>(0.25))) * squares;
    slope = fms(half_log, at.y2, steep) * at.y;
}

// The same of a neck, h/(1 + 100 x² + 3e5 x⁶) of x = r − d, in nm, within a distance.
template <class L>
LANE_FN void add_neck(L r, L y, Scalar<L> cut, Scalar<L> height, Scalar<L> distance, L& part,
                      L& slope) {
    using T = Scalar<L>;
    const L x = r - number<L>(distance), x2 = x * x, x4 = x2 * x2;
    const L rise = fma(number<L>(T(3e5)), x4, number<L>(T(100)));
    const L q = number<L>(1) / fma(rise, x2, number<L>(1));
    const L h = select(r < number<L>(cut), number<L>(height) * q, number<L>(0));
    part = part + h;
    const L steep = fma(number<L>(T(1.8e6)), x4, number<L>(T(200)));
    slope = fnma(h * q * y, steep * x, slope);
}

// What two atoms take from each other, and its slopes over r.
template <class L>
struct Descreened {
    L part_i, part_j, slope_i, slope_j;
};

template <class M, class L>
LANE_FN Descreened<L> descreen_pair(const ForceView<Scalar<L>>& v, int32 i, int32 j, int32 n,
                                    const Approach<L>& a) {
    Descreened<L> d;
    descreen<M>(a.at, a.own, v.born[j].scaled_radius, d.part_i, d.slope_i);
    descreen<M>(a.at, a.theirs, v.born[i].scaled_radius, d.part_j, d.slope_j);
    if (v.neck) {
        const auto& neck = v.neck_pair[n];
        add_neck(a.at.r, a.at.y, neck.cut, neck.height[0], neck.distance[0], d.part_i, d.slope_i);
        add_neck(a.at.r, a.at.y, neck.cut, neck.height[1], neck.distance[1], d.part_j, d.slope_j);
    }
    return d;
}

template <bool Stored, class M, class L, class Rows>
LANE_FN void descreening(const ForceView<Scalar<L>>& v, const Rows& rows) {
    for (int32 i = 0; i < v.atoms; ++i) rows[v.born_row() + 4 * i] = number<L>(0);
    int32 n = 0;
    for (int32 i = 0; i + 1 < v.atoms; ++i) {
        const Vector<L> x = vector_at<L>(rows, 3 * i);
        L sum = rows[v.born_row() + 4 * i];
        Approach<L> next = approach<M>(v.born[i], v.born[i + 1], x - vector_at<L>(rows, 3 * i + 3));
        for (int32 j = i + 1; j < v.atoms; ++j, ++n) {
            const Approach<L> now = next;
            if (j + 1 < v.atoms)
                next = approach<M>(v.born[i], v.born[j + 1], x - vector_at<L>(rows, 3 * j + 3));
            const Descreened<L> taken = descreen_pair<M>(v, i, j, n, now);
            sum = sum + taken.part_i;
            const int32 other = v.born_row() + 4 * j, pair = v.pair_row() + 3 * n;
            rows[other] = rows[other] + taken.part_j;
            if constexpr (Stored) {
                rows[pair] = now.at.y;
                rows[pair + 1] = taken.slope_i;
                rows[pair + 2] = taken.slope_j;
            }
        }
        rows[v.born_row() + 4 * i] = sum;
    }
}

// 1/f times what the dielectrics leave of a charge's square; and −∂/∂f of it, over f.
template <class M, class L>
LANE_FN void screened(const ForceView<Scalar<L>>& v, L inverse, L& potential, L& slope) {
    if (v.kappa > 0) {
        const L outside = number<L>(v.solvent_part) *
                          exp_of_negative<M>(number<L>(-v.kappa) * (number<L>(1) / inverse));
        potential = (number<L>(v.solute) - outside) * inverse;
        slope = fms(potential, inverse, number<L>(v.kappa) * outside * inverse) * inverse;
    } else {
        potential = number<L>(v.solute - v.solvent_part) * inverse;
        slope = potential * inverse * inverse;
    }
}

template <class M, class L, class Rows, class Energies>
LANE_FN void effective_radii(const ForceView<Scalar<L>>& v, const Rows& rows, Energies& e) {
    using T = Scalar<L>;
    for (int32 i = 0; i < v.atoms; ++i) {
        const auto& atom = v.born[i];
        const int32 row = v.born_row() + 4 * i;
        const L psi = rows[row] * number<L>(T(0.5) * atom.offset_radius);
        L taken = psi * number<L>(atom.inverse_offset_radius), slope = number<L>(T(0.5));
        if (atom.inverse_radius > 0) {
            const L a = number<L>(atom.alpha), b = number<L>(atom.beta), c = number<L>(atom.gamma);
            const L t = tanh<M>(psi * fma(psi, fms(psi, c, b), a));
            const L steep = fma(psi, fms(number<L>(T(3)) * psi, c, number<L>(T(2)) * b), a);
            taken = t * number<L>(atom.inverse_radius);
            slope = fnma(t, t, number<L>(1)) * steep *
                    number<L>(T(0.5) * atom.inverse_radius * atom.offset_radius);
        }
        const L inverse = number<L>(atom.inverse_offset_radius) - taken;
        const L radius = number<L>(1) / inverse;
        // Its own field, half of it; and the surface.
        const L square = number<L>(T(0.5) * atom.charge * atom.charge);
        L potential, steep;
        screened<M>(v, inverse, potential, steep);
        const L ratio = number<L>(atom.radius) * inverse;
        const L third = ratio * ratio * ratio;
        const L surface = number<L>(atom.surface) * third * third;
        if constexpr (Energies::wanted) {
            e.term[kTermSolvent] = fnma(square, potential, e.term[kTermSolvent]);
            e.term[kTermSurface] = e.term[kTermSurface] + surface;
        }
        rows[row] = slope;
        rows[row + 1] = radius;
        rows[row + 2] = inverse;
        rows[row + 3] = fnma(number<L>(T(6)), surface, square * steep * (radius * radius));
    }
}

// −(∂E/∂r)/r of a pair in the field of all, and ½ B ∂E/∂B that is both atoms'.
template <class M, class L, class Energies>
LANE_FN L born_pair(const ForceView<Scalar<L>>& v, L charge, L r2, L radii, L inverses, L& share,
                    Energies& e) {
    using T = Scalar<L>;
    const L d = number<L>(T(0.25)) * r2 * inverses;
    const L ex = exp_of_negative<M>(-d);
    const L inverse = inverse_sqrt<M>(fma(radii, ex, r2));
    L potential, steep;
    screened<M>(v, inverse, potential, steep);
    if constexpr (Energies::wanted)
        e.term[kTermSolvent] = fnma(charge, potential, e.term[kTermSolvent]);
    const L pull = charge * steep;
    share = number<L>(T(0.5)) * pull * ex * radii * (d + number<L>(1));
    return pull * fms(number<L>(T(0.25)), ex, number<L>(1));
}

template <bool Stored, class M, class L, class Rows, class Energies>
LANE_FN void solvent_pairs(const ForceView<Scalar<L>>& v, const Rows& rows, Energies& e) {
    const int32 f = v.force_row();
    int32 n = 0;
    for (int32 i = 0; i < v.atoms; ++i) {
        const Vector<L> x = vector_at<L>(rows, 3 * i);
        Vector<L> force = vector_at<L>(rows, f + 3 * i);
        const int32 row = v.born_row() + 4 * i;
        const L radius = rows[row + 1], inverse = rows[row + 2];
        L share = rows[row + 3];
        for (int32 j = i + 1; j < v.atoms; ++j, ++n) {
            const Vector<L> d = x - vector_at<L>(rows, 3 * j);
            const L r2 = dot(d, d);
            const int32 other = v.born_row() + 4 * j, pair = v.pair_row() + 3 * n;
            const L charge = number<L>(v.born[i].charge * v.born[j].charge);
            L both, y;
            if constexpr (Stored)
                y = rows[pair];
            else
                y = inverse_sqrt<M>(r2);
            const L field = born_pair<M>(v, charge, r2, radius * rows[other + 1],
                                         inverse * rows[other + 2], both, e);
            share = share + both;
            rows[other + 3] = rows[other + 3] + both;
            const L s = field + pair_force(v.born_pair[n].pair, y, y * y, e);
            if constexpr (Stored) {
                rows[pair] = s;
            } else {
                add_scaled(force, s, d);
                take_vector(rows, f + 3 * j, s, d);
            }
        }
        if constexpr (!Stored) put_vector(rows, f + 3 * i, force);
        // ½ ∂E/∂S = (∂E/∂B) B² (−½ ∂(1/B)/∂S).
        rows[row + 3] = share * radius * rows[row];
    }
}

template <bool Stored, class M, class L, class Rows>
LANE_FN void solvent_forces(const ForceView<Scalar<L>>& v, const Rows& rows) {
    const int32 f = v.force_row();
    int32 n = 0;
    for (int32 i = 0; i < v.atoms; ++i) {
        const Vector<L> x = vector_at<L>(rows, 3 * i);
        Vector<L> force = vector_at<L>(rows, f + 3 * i);
        const L chain = rows[v.born_row() + 4 * i + 3];
        for (int32 j = i + 1; j < v.atoms; ++j, ++n) {
            const Vector<L> d = x - vector_at<L>(rows, 3 * j);
            const int32 pair = v.pair_row() + 3 * n;
            L own, theirs, s;
            if constexpr (Stored) {
                s = rows[pair];
                own = rows[pair + 1];
                theirs = rows[pair + 2];
            } else {
                const Descreened<L> taken =
                    descreen_pair<M>(v, i, j, n, approach<M>(v.born[i], v.born[j], d));
                s = number<L>(0);
                own = taken.slope_i;
                theirs = taken.slope_j;
            }
            s = fnma(L(rows[v.born_row() + 4 * j + 3]), theirs, fnma(chain, own, s));
            add_scaled(force, s, d);
            take_vector(rows, f + 3 * j, s, d);
        }
        put_vector(rows, f + 3 * i, force);
    }
}

template <bool Stored, class M, class L, class Rows, class Energies>
LANE_FN void solvent_passes(const ForceView<Scalar<L>>& v, const Rows& rows, Energies& e) {
    descreening<Stored, M, L>(v, rows);
    effective_radii<M, L>(v, rows, e);
    solvent_pairs<Stored, M, L>(v, rows, e);
    solvent_forces<Stored, M, L>(v, rows);
}

}  // namespace microlift
