// Generalised Born solvent, with all pairs of a molecule in it, in three passes:
//   1  effective radii from pairwise descreening (Hawkins, Cramer, Truhlar, Chem. Phys. Lett. 246 (1995)
//      122; the neck of Mongan et al., J. Chem. Theory Comput. 3 (2007) 156), kept with its slopes
//   2  energies of pairs, vacuum's included, from distances alone; ∂E/∂B of each radius
//   3  forces along pairs
// What pass 1 knows of pairs is stored for the others, or, of large molecules, computed anew.
// Rows of an atom: 2 S, then −¼ ∂(1/B)/∂S; B; 1/B; 2 B ∂E/∂B, then ½ ∂E/∂S. Rows of a pair: 1/r, then
// −(∂E/∂r)/r; slopes of 2 S of either atom over r.
#pragma once

#include "kernels/molecule/pairs.h"

namespace microlift {

// What descreening needs of a pair, whichever atom looks: 1/r, 1/r², r/4.
template <class L>
struct PairRange {
    L y, y2, quarter;
};

// 1/L, 1/U and U/L of the integral's limits over what an atom takes from another's surroundings: inside its own
// sphere nothing.
template <class L>
struct Facing {
    L low, high, ratio;
};
template <class L>
struct Limits {
    L lower, upper;

    LANE_FN L area() const { return lower * upper; }
    LANE_FN Facing<L> facing(L q) const {  // q = 1/(LU)
        const L low = q * upper;
        return {low, q * lower, upper * low};
    }
};
// An atom within the other's reach or not; where `Plain` is false some scales, and with them s, are negative.
template <bool Plain, class M, class L>
LANE_FN Limits<L> limits(const BornAtom<Scalar<L>>& i, const BornAtom<Scalar<L>>& j, L r) {
    const L radius = number<L>(i.offset_radius), s = number<L>(j.scaled_radius);
    const L reach = r + s, lower = larger<M>(abs(r - s), radius);
    return {Plain ? lower : select(reach < radius, radius, lower), larger<M>(reach, radius)};
}

// Two atoms on the way to what they take from each other.
template <class L>
struct Approach {
    L r;
    PairRange<L> at;
    Facing<L> own, theirs;
};
template <bool Plain, class M, class L>
LANE_FN Approach<L> approach(const BornAtom<Scalar<L>>& i, const BornAtom<Scalar<L>>& j, const Vector<L>& d) {
    const L r2 = dot(d, d), y = inverse_sqrt<M>(r2), r = r2 * y;
    const PairRange<L> at{y, y * y, number<L>(Scalar<L>(0.25)) * r};
    const Limits<L> own = limits<Plain, M>(i, j, r), theirs = limits<Plain, M>(j, i, r);
    if constexpr (kHardware<M, L>) {  // a division for each costs less there than what joins them
        const auto facing = [](const Limits<L>& ends) {
            const L low = reciprocal<M>(ends.lower);
            return Facing<L>{low, reciprocal<M>(ends.upper), ends.upper * low};
        };
        return {r, at, facing(own), facing(theirs)};
    } else {
        const L area = own.area(), area_of_other = theirs.area();
        const L both = number<L>(1) / (area * area_of_other);
        return {r, at, own.facing(both * area_of_other), theirs.facing(both * area)};
    }
}

// Twice the integral and twice its slope over r; `reach` is s²/4.
template <class M, class L>
LANE_FN void descreen(const PairRange<L>& at, const Facing<L>& ends, Scalar<L> reach, L& part, L& slope) {
    const L half_log = half_log_of_positive<M>(ends.ratio);  // ½ ln(U/L)
    const L less = ends.low - ends.high, squares = less * (ends.low + ends.high);
    // 1/L − 1/U − ¼(r − s²/r)(1/L² − 1/U²) − ½ ln(U/L)/r; its ends move without effect.
    part = fnma(half_log, at.y, fnma(fnma(number<L>(reach), at.y, at.quarter), squares, less));
    const L steep = fma(number<L>(reach), at.y2, number<L>(Scalar<L>(0.25))) * squares;
    slope = fms(half_log, at.y2, steep) * at.y;
}

// The same of a neck, h/(1 + 100 x² + 3e5 x⁶) of x = r − d, in nm, within a distance.
template <class M, class L>
LANE_FN void add_neck(L r, L y, Scalar<L> cut, Scalar<L> height, Scalar<L> distance, L& part,
                      L& slope) {
    using T = Scalar<L>;
    const L x = r - number<L>(distance), x2 = x * x, x4 = x2 * x2;
    const L rise = fma(number<L>(T(3e5)), x4, number<L>(T(100)));
    const L q = reciprocal<M>(fma(rise, x2, number<L>(1)));
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

template <bool Plain, class M, class L>
LANE_FN Descreened<L> descreen_pair(const ForceView<Scalar<L>>& v, const BornAtom<Scalar<L>>& i,
                                    const BornAtom<Scalar<L>>& j, int32 n, const Approach<L>& a) {
    Descreened<L> d;
    descreen<M>(a.at, a.own, j.reach, d.part_i, d.slope_i);
    descreen<M>(a.at, a.theirs, i.reach, d.part_j, d.slope_j);
    if constexpr (!Plain)
        if (v.neck) {
            const auto& neck = v.neck_pair[n];
            add_neck<M>(a.r, a.at.y, neck.cut, neck.height[0], neck.distance[0], d.part_i, d.slope_i);
            add_neck<M>(a.r, a.at.y, neck.cut, neck.height[1], neck.distance[1], d.part_j, d.slope_j);
        }
    return d;
}

// Adds what atoms i and j take from each other, pair n.
template <bool Stored, bool Plain, class M, class L, class Rows>
LANE_FN void take_from_each_other(const ForceView<Scalar<L>>& v, const BornAtom<Scalar<L>>& i,
                                  const BornAtom<Scalar<L>>& j, int32 n, const Approach<L>& a, const Rows& pairs,
                                  L& sum_i, L& sum_j) {
    const Descreened<L> taken = descreen_pair<Plain, M>(v, i, j, n, a);
    sum_i = sum_i + taken.part_i;
    sum_j = sum_j + taken.part_j;
    if constexpr (Stored) put_vector(pairs, 3 * n, Vector<L>{a.at.y, taken.slope_i, taken.slope_j});
}

// Pairs in the order of BornPair. On CUDA two atoms stay in registers while all later ones pass; on the CPU one, and
// the divisions of its next pair run beside the logarithms of this one.
template <bool Stored, bool Plain, class M, class L, class Rows>
LANE_FN void descreening(const ForceView<Scalar<L>>& v, const Rows& rows) {
    const Rows born = rows.from(v.born_row()), pairs = rows.from(v.pair_row());
    for (int32 i = 0; i < v.atoms; ++i) born[4 * i] = number<L>(0);
    const auto approach_of = [&](const BornAtom<Scalar<L>>& i, const Vector<L>& x, int32 j) {
        return approach<Plain, M>(i, v.born[j], x - vector_at<L>(rows, 3 * j));
    };
    int32 n = 0;
    for (int32 i = 0; i + 1 < v.atoms; i += 2) {
        if constexpr (kHardware<M, L>) {
            const auto first = entry_of(v.born[i]), second = entry_of(v.born[i + 1]);
            const Vector<L> x0 = vector_at<L>(rows, 3 * i), x1 = vector_at<L>(rows, 3 * i + 3);
            L sum0 = born[4 * i], sum1 = born[4 * i + 4];
            take_from_each_other<Stored, Plain, M>(v, first, second, n++, approach<Plain, M>(first, second, x0 - x1),
                                                   pairs, sum0, sum1);
            for (int32 j = i + 2; j < v.atoms; ++j, n += 2) {
                const auto other = entry_of(v.born[j]);
                const Vector<L> x = vector_at<L>(rows, 3 * j);
                const Rows row = born.at(4 * j);
                L sum = row[0];
                take_from_each_other<Stored, Plain, M>(v, first, other, n, approach<Plain, M>(first, other, x0 - x),
                                                       pairs, sum0, sum);
                take_from_each_other<Stored, Plain, M>(v, second, other, n + 1,
                                                       approach<Plain, M>(second, other, x1 - x), pairs, sum1, sum);
                row[0] = sum;
            }
            born[4 * i] = sum0;
            born[4 * i + 4] = sum1;
        } else {
            const auto pass = [&](int32 own, int32 pair, int32 step) {  // gives the pair after its last
                const auto& atom = v.born[own];
                const Vector<L> x = vector_at<L>(rows, 3 * own);
                L sum = born[4 * own];
                Approach<L> next = approach_of(atom, x, own + 1);
                for (int32 j = own + 1; j < v.atoms; ++j) {
                    const Approach<L> now = next;
                    if (j + 1 < v.atoms) next = approach_of(atom, x, j + 1);
                    L other = born[4 * j];
                    take_from_each_other<Stored, Plain, M>(v, atom, v.born[j], pair, now, pairs, sum, other);
                    born[4 * j] = other;
                    pair += step;
                    step = 2;
                }
                born[4 * own] = sum;
                return pair;
            };
            const int32 end = pass(i, n, 1);
            if (i + 2 < v.atoms) pass(i + 1, n + 2, 2);
            n = end;
        }
    }
}

// Of a charge's square, which holds what the dielectrics leave of it unless there is salt: what stands before it
// in the energy, about 1/f; and −∂/∂f of that, over f.
template <bool Plain, class M, class L>
LANE_FN void screened(const ForceView<Scalar<L>>& v, const InverseRoot<L>& f, L& potential, L& slope) {
    const L inverse = f.root;
    potential = inverse;
    slope = inverse * f.square;
    if constexpr (!Plain)
        if (v.kappa > 0) {
            const L outside = number<L>(v.solvent_part) *
                              exp_of_negative<M>(reciprocal<M>(inverse), -v.kappa);
            potential = (number<L>(v.solute) - outside) * inverse;
            slope = fms(potential, inverse, number<L>(v.kappa) * outside * inverse) * inverse;
        }
}

template <bool Plain, class M, class L, class Team, class Rows, class Energies>
LANE_FN void effective_radii(const ForceView<Scalar<L>>& v, const Team& team, const Rows& rows, Energies& e) {
    using T = Scalar<L>;
    for (int32 i = team.lane(); i < v.atoms; i += team.lanes()) {
        const auto& atom = v.born[i];
        const Rows row = rows.at(v.born_row() + 4 * i);
        const L psi = row[0] * number<L>(T(0.5) * atom.offset_radius);
        L taken = psi * number<L>(atom.inverse_offset_radius), slope = number<L>(T(0.25));
        if (atom.inverse_radius > 0) {
            const L a = number<L>(atom.alpha), b = number<L>(atom.beta), c = number<L>(atom.gamma);
            const L t = tanh<M>(psi * fma(psi, fms(psi, c, b), a));
            const L steep = fma(psi, fms(number<L>(T(3)) * psi, c, number<L>(T(2)) * b), a);
            taken = t * number<L>(atom.inverse_radius);
            slope = fnma(t, t, number<L>(1)) * steep *
                    number<L>(T(0.25) * atom.inverse_radius * atom.offset_radius);
        }
        const L inverse = number<L>(atom.inverse_offset_radius) - taken;
        const L radius = reciprocal<M>(inverse);
        // Its own field, half of it; and the surface.
        L potential, steep;
        screened<Plain, M>(v, InverseRoot<L>{inverse, inverse * inverse}, potential, steep);
        const L ratio = number<L>(atom.radius) * inverse;
        const L third = ratio * ratio * ratio;
        const L surface = number<L>(atom.surface) * third * third;
        if constexpr (Energies::wanted) {
            e.term[kTermSolvent] = fnma(number<L>(T(0.5) * atom.square), potential, e.term[kTermSolvent]);
            e.term[kTermSurface] = e.term[kTermSurface] + surface;
        }
        row[0] = slope;
        row[1] = radius;
        row[2] = inverse;
        row[3] = fnma(number<L>(T(12)), surface, number<L>(atom.square) * steep * (radius * radius));
    }
    team.sync();
}

// ½ ∂E/∂S = 2 B (∂E/∂B) B (−¼ ∂(1/B)/∂S), in the place of 2 B ∂E/∂B.
template <class L, class Rows>
LANE_FN void finish_share(const Rows& born, int32 i, L share) {
    const Rows row = born.at(4 * i);
    row[3] = share * L(row[1]) * L(row[0]);
}

// An atom in the field of all.
template <class L>
struct BornPlace {
    Vector<L> x;
    L radius, inverse;
};
template <class L, class Rows>
LANE_FN BornPlace<L> born_place(const ForceView<Scalar<L>>& v, const Rows& rows, int32 i) {
    const Rows row = rows.at(v.born_row() + 4 * i);
    return {vector_at<L>(rows, 3 * i), value_of(row[1]), value_of(row[2])};
}

// Two atoms in it, before the root of f² = r² + BᵢBⱼ exp(−r²/4BᵢBⱼ) is taken.
template <class L>
struct BornMeeting {
    Vector<L> d;
    L y, y2, r2, radii, ex, square;
};
template <bool Stored, class M, class L, class Rows>
LANE_FN BornMeeting<L> born_meeting(const BornPlace<L>& i, const BornPlace<L>& j, const Rows& pair) {
    BornMeeting<L> m;
    m.d = i.x - j.x;
    m.radii = i.radius * j.radius;
    if constexpr (Stored)
        m.y = pair[0];
    else
        m.y = inverse_sqrt<M>(dot(m.d, m.d));
    m.y2 = m.y * m.y;
    L inverses;
    if constexpr (kHardware<M, L>) {  // less than what would be loaded for it
        m.r2 = reciprocal<M>(m.y2);
        inverses = reciprocal<M>(m.radii);
    } else {
        m.r2 = dot(m.d, m.d);
        inverses = i.inverse * j.inverse;
    }
    m.ex = exp_of_negative<M>(m.r2 * inverses, Scalar<L>(-0.25));
    m.square = fma(m.radii, m.ex, m.r2);
    return m;
}

// −(∂E/∂r)/r of two atoms, vacuum's included, and 2 B ∂E/∂B that is both atoms'.
template <bool Plain, class M, class L, class Energies>
LANE_FN L born_pair(const ForceView<Scalar<L>>& v, const BornPair<Scalar<L>>& of, const BornMeeting<L>& m,
                    const InverseRoot<L>& f, L& share, Energies& e) {
    const L quarter = number<L>(Scalar<L>(0.25)), charge = number<L>(of.charge);
    L potential, steep;
    screened<Plain, M>(v, f, potential, steep);
    if constexpr (Energies::wanted)
        e.term[kTermSolvent] = fnma(charge, potential, e.term[kTermSolvent]);
    const L pull = charge * steep, faded = pull * m.ex;
    share = faded * fma(quarter, m.r2, m.radii);
    return fma(pair_slope(of.pair, m.y, m.y2, e), m.y2, fms(quarter, faded, pull));
}

template <bool Stored, bool Plain, class M, class L, class Rows, class Energies>
LANE_FN void solvent_pairs(const ForceView<Scalar<L>>& v, const Rows& rows, Energies& e) {
    const Rows born = rows.from(v.born_row()), pairs = rows.from(v.pair_row()), forces = rows.from(v.force_row());
    int32 n = 0;
    for (int32 i = 0; i < v.atoms; i += 2) {
        L share0 = born[4 * i + 3];
        if (i + 1 == v.atoms) {
            finish_share<L>(born, i, share0);
            break;
        }
        L share1 = born[4 * i + 7];
        const BornPlace<L> first = born_place<L>(v, rows, i), second = born_place<L>(v, rows, i + 1);
        Vector<L> force0 = vector_at<L>(forces, 3 * i), force1 = vector_at<L>(forces, 3 * i + 3);
        const auto push = [&](const BornMeeting<L>& m, const InverseRoot<L>& f, L& share, L& share_of_other,
                              Vector<L>& force, Vector<L>& force_of_other) {
            L both;
            const L s = born_pair<Plain, M>(v, entry_of(v.born_pair[n]), m, f, both, e);
            share = share + both;
            share_of_other = share_of_other + both;
            if constexpr (Stored) {
                pairs[3 * n] = s;
            } else {
                add_scaled(force, s, m.d);
                take_scaled(force_of_other, s, m.d);
            }
            ++n;
        };
        const BornMeeting<L> own = born_meeting<Stored, M>(first, second, pairs.at(3 * n));
        push(own, inverse_root<M>(own.square), share0, share1, force0, force1);
        for (int32 j = i + 2; j < v.atoms; ++j) {
            const BornPlace<L> other = born_place<L>(v, rows, j);
            const Rows row = born.at(4 * j);
            L share = row[3];
            Vector<L> force = vector_at<L>(forces, 3 * j);
            const BornMeeting<L> a = born_meeting<Stored, M>(first, other, pairs.at(3 * n));
            const BornMeeting<L> b = born_meeting<Stored, M>(second, other, pairs.at(3 * n + 3));
            const InverseRoots<L> f = inverse_roots<M>(a.square, b.square);
            push(a, InverseRoot<L>{f.first, f.square}, share0, share, force0, force);
            push(b, InverseRoot<L>{f.second, f.squared}, share1, share, force1, force);
            row[3] = share;
            if constexpr (!Stored) put_vector(forces, 3 * j, force);
        }
        if constexpr (!Stored) {
            put_vector(forces, 3 * i, force0);
            put_vector(forces, 3 * i + 3, force1);
        }
        finish_share<L>(born, i, share0);
        finish_share<L>(born, i + 1, share1);
    }
}

template <bool Stored, bool Plain, class M, class L, class Rows>
LANE_FN void solvent_forces(const ForceView<Scalar<L>>& v, const Rows& rows) {
    const Rows born = rows.from(v.born_row()), pairs = rows.from(v.pair_row()), forces = rows.from(v.force_row());
    int32 n = 0;
    for (int32 i = 0; i + 1 < v.atoms; i += 2) {
        const Vector<L> x0 = vector_at<L>(rows, 3 * i), x1 = vector_at<L>(rows, 3 * i + 3);
        Vector<L> force0 = vector_at<L>(forces, 3 * i), force1 = vector_at<L>(forces, 3 * i + 3);
        const L chain0 = born[4 * i + 3], chain1 = born[4 * i + 7];
        const auto push = [&](int32 own, int32 other, const Vector<L>& d, L chain, L chain_of_other, Vector<L>& force,
                              Vector<L>& force_of_other) {
            L s;
            if constexpr (Stored) {
                const Rows pair = pairs.at(3 * n);
                s = fnma(chain_of_other, L(pair[2]), fnma(chain, L(pair[1]), L(pair[0])));
            } else {
                const auto &i = v.born[own], &j = v.born[other];
                const Descreened<L> taken = descreen_pair<Plain, M>(v, i, j, n, approach<Plain, M>(i, j, d));
                s = fnma(chain_of_other, taken.slope_j, -(chain * taken.slope_i));
            }
            add_scaled(force, s, d);
            take_scaled(force_of_other, s, d);
            ++n;
        };
        push(i, i + 1, x0 - x1, chain0, chain1, force0, force1);
        for (int32 j = i + 2; j < v.atoms; ++j) {
            const Vector<L> x = vector_at<L>(rows, 3 * j);
            const L chain = born[4 * j + 3];
            Vector<L> force = vector_at<L>(forces, 3 * j);
            push(i, j, x0 - x, chain0, chain, force0, force);
            push(i + 1, j, x1 - x, chain1, chain, force1, force);
            put_vector(forces, 3 * j, force);
        }
        put_vector(forces, 3 * i, force0);
        put_vector(forces, 3 * i + 3, force1);
    }
}

template <bool Stored, bool Plain, class M, class L, class Rows, class Energies>
LANE_FN void solvent_passes(const ForceView<Scalar<L>>& v, const Rows& rows, Energies& e) {
    apart([&] { descreening<Stored, Plain, M, L>(v, rows); });
    apart([&] { effective_radii<Plain, M, L>(v, OneLane{}, rows, e); });
    apart([&] { solvent_pairs<Stored, Plain, M, L>(v, rows, e); });
    apart([&] { solvent_forces<Stored, Plain, M, L>(v, rows); });
}

}  // namespace microlift
