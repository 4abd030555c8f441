// Pairs of a molecule by a team. As one lane does, a lane keeps two atoms in registers while all later ones pass. Lanes
// that have such two are under way together, each at least one atom behind the lane of the two before: an atom meets
// all twos in their order, no two lanes in one round, and every sum is that of one lane.
//
// What one lane stores of pairs in solvent a team computes anew: its rows stand in shared memory.
#pragma once

#include "kernels/molecule/solvent.h"
#include "kernels/molecule/team.h"

namespace microlift {

// Calls begin(i) of two atoms i and i + 1, meet(slot, i, j) with each later one j of i, end(i). Tables of pairs have a
// slot for each lane of each round. What a two holds is set at the start of a sweep, or the assembler would keep the last
// sweep's for it, in registers that nothing else has then.
template <class Two>
LANE_FN void sweep(const LaneTeam& team, int32 atoms, Two& two) {
    const TeamView& view = team.view();
    constexpr int32 kNever = -0x40000000;
    int32 i = 2 * team.lane();
    int32 j = i < atoms ? i + 1 - view.start[team.lane()] : kNever;
    int32 slot = team.lane();
    LANE_ROLLED_FOR (int32 round = 0; round < view.rounds; ++round) {
        if (j > i) {
            if (j == i + 1) two.begin(i);
            if (j < atoms) two.meet(slot, i, j);
            if (j + 1 >= atoms) {
                two.end(i);
                i += 2 * view.lanes;
                j = i < atoms ? i + round + 1 - view.start[i / 2] : kNever;
            }
        }
        ++j;
        slot += view.lanes;
        team.sync();
    }
}

template <class M, class L, class Rows>
struct PairTwo {
    const ForceView<Scalar<L>>& v;
    const Rows rows, force;
    Vector<L> x0{}, x1{}, f0{}, f1{};

    LANE_FN PairTwo(const ForceView<Scalar<L>>& view, const Rows& all)
        : v(view), rows(all), force(all.from(view.force_row())) {}
    LANE_FN void begin(int32 i) {
        const int32 second = 3 * (i + 1 < v.atoms ? i + 1 : i);
        x0 = vector_at<L>(rows, 3 * i), x1 = vector_at<L>(rows, second);
        f0 = vector_at<L>(force, 3 * i), f1 = vector_at<L>(force, second);
    }
    LANE_FN void meet(int32 slot, int32, int32) {
        const auto entry = entry_of(v.tile_entry[slot]);
        if (entry.j < 0) return;
        NoEnergies<L> none;
        const Vector<L> x = vector_at<L>(rows, entry.j);
        tile_forces<M>(entry, two_pairs<M>(x0 - x, x1 - x), force, f0, f1, none);
    }
    LANE_FN void end(int32 i) {
        put_vector(force, 3 * i, f0);
        if (i + 1 < v.atoms) put_vector(force, 3 * i + 3, f1);
    }
};

// --- solvent ----------------------------------------------------------------------------------------------

// Of two atoms the first meets the second as all others; from there on the second meets them, too.
template <bool Plain, class M, class L, class Rows>
struct DescreenTwo {
    const ForceView<Scalar<L>>& v;
    const Rows rows, born;
    BornAtom<Scalar<L>> first{}, second{};
    Vector<L> x0{}, x1{};
    L sum0{}, sum1{};

    LANE_FN DescreenTwo(const ForceView<Scalar<L>>& view, const Rows& all)
        : v(view), rows(all), born(all.from(view.born_row())) {}
    LANE_FN void begin(int32 i) {
        const int32 other = i + 1 < v.atoms ? i + 1 : i;
        first = entry_of(v.born[i]), second = entry_of(v.born[other]);
        x0 = vector_at<L>(rows, 3 * i), x1 = vector_at<L>(rows, 3 * other);
        sum0 = born[4 * i];
    }
    LANE_FN void meet(int32 slot, int32 i, int32 j) {
        const auto other = entry_of(v.born[j]);
        const Vector<L> x = vector_at<L>(rows, 3 * j);
        L sum = born[4 * j];
        const auto take = [&](const BornAtom<Scalar<L>>& own, const Vector<L>& place, int32 pair, L& sum_of_own) {
            take_from_each_other<false, Plain, M>(v, own, other, pair, approach<Plain, M>(own, other, place - x), rows,
                                                  sum_of_own, sum);
        };
        take(first, x0, 2 * slot, sum0);
        if (j > i + 1)
            take(second, x1, 2 * slot + 1, sum1);
        else
            sum1 = sum;
        born[4 * j] = sum;
    }
    LANE_FN void end(int32 i) {
        born[4 * i] = sum0;
        if (i + 1 < v.atoms) born[4 * i + 4] = sum1;
    }
};

// Roots of what two atoms and another one meet by; where the other is the second of the two, of the first alone.
template <class M, class L>
LANE_FN InverseRoots<L> roots_of_two(bool both, L a, L b) {
    if (kHardware<M, L> || both) return inverse_roots<M>(a, b);
    const InverseRoot<L> one = inverse_root<M>(a);
    return {one.root, one.root, one.square, one.square};
}

// With each other atom in the field of all; Joined: forces of pairs are added by the last pass, as one.
template <bool Joined, bool Plain, class M, class L, class Rows>
struct ShareTwo {
    const ForceView<Scalar<L>>& v;
    const Rows rows, born, force;
    BornPlace<L> first{}, second{};
    Vector<L> f0{}, f1{};
    L share0{}, share1{};

    LANE_FN ShareTwo(const ForceView<Scalar<L>>& view, const Rows& all)
        : v(view), rows(all), born(all.from(view.born_row())), force(all.from(view.force_row())) {}
    LANE_FN void begin(int32 i) {
        first = born_place<L>(v, rows, i);
        second = born_place<L>(v, rows, i + 1 < v.atoms ? i + 1 : i);
        share0 = born[4 * i + 3];
        if constexpr (!Joined) f0 = vector_at<L>(force, 3 * i);
    }
    LANE_FN void meet(int32 slot, int32 i, int32 j) {
        const BornPlace<L> other = born_place<L>(v, rows, j);
        const bool both = j > i + 1;
        L share = born[4 * j + 3];
        Vector<L> f{share, share, share};
        if constexpr (!Joined) f = vector_at<L>(force, 3 * j);
        const BornMeeting<L> a = born_meeting<false, M>(first, other, rows), b = born_meeting<false, M>(second, other, rows);
        const InverseRoots<L> roots = roots_of_two<M>(both, a.square, b.square);
        const auto push = [&](int32 pair, const BornMeeting<L>& m, const InverseRoot<L>& root, L& share_of_own,
                              Vector<L>& f_of_own) {
            NoEnergies<L> none;
            L of_both;
            const L s = born_pair<Plain, M>(v, entry_of(v.born_pair[pair]), m, root, of_both, none);
            share_of_own = share_of_own + of_both;
            share = share + of_both;
            if constexpr (!Joined) {
                add_scaled(f_of_own, s, m.d);
                take_scaled(f, s, m.d);
            }
        };
        push(2 * slot, a, InverseRoot<L>{roots.first, roots.square}, share0, f0);
        if (both) {
            push(2 * slot + 1, b, InverseRoot<L>{roots.second, roots.squared}, share1, f1);
        } else {
            share1 = share;
            f1 = f;
        }
        born[4 * j + 3] = share;
        if constexpr (!Joined) put_vector(force, 3 * j, f);
    }
    LANE_FN void end(int32 i) {
        finish_share<L>(born, i, share0);
        if constexpr (!Joined) put_vector(force, 3 * i, f0);
        if (i + 1 == v.atoms) return;
        finish_share<L>(born, i + 1, share1);
        if constexpr (!Joined) put_vector(force, 3 * i + 3, f1);
    }
};

template <bool Joined, bool Plain, class M, class L, class Rows>
struct ForceTwo {
    const ForceView<Scalar<L>>& v;
    const Rows rows, born, force;
    BornAtom<Scalar<L>> first{}, second{};
    BornPlace<L> place0{}, place1{};
    Vector<L> f0{}, f1{};
    L chain0{}, chain1{};

    LANE_FN ForceTwo(const ForceView<Scalar<L>>& view, const Rows& all)
        : v(view), rows(all), born(all.from(view.born_row())), force(all.from(view.force_row())) {}
    LANE_FN void begin(int32 i) {
        const int32 other = i + 1 < v.atoms ? i + 1 : i;
        first = entry_of(v.born[i]), second = entry_of(v.born[other]);
        place0 = born_place<L>(v, rows, i), place1 = born_place<L>(v, rows, other);
        chain0 = born[4 * i + 3], chain1 = born[4 * other + 3];
        f0 = vector_at<L>(force, 3 * i);
    }
    LANE_FN void meet(int32 slot, int32 i, int32 j) {
        const auto other = entry_of(v.born[j]);
        const BornPlace<L> place = born_place<L>(v, rows, j);
        const bool both = j > i + 1;
        const L chain = born[4 * j + 3];
        Vector<L> f = vector_at<L>(force, 3 * j);
        L s0 = number<L>(0), s1 = s0;  // −(∂E/∂r)/r of the last pass
        if constexpr (Joined) {
            const BornMeeting<L> a = born_meeting<false, M>(place0, place, rows),
                                 b = born_meeting<false, M>(place1, place, rows);
            const InverseRoots<L> roots = roots_of_two<M>(both, a.square, b.square);
            NoEnergies<L> none;
            L unused;
            s0 = born_pair<Plain, M>(v, entry_of(v.born_pair[2 * slot]), a, InverseRoot<L>{roots.first, roots.square},
                                     unused, none);
            s1 = born_pair<Plain, M>(v, entry_of(v.born_pair[2 * slot + 1]), b,
                                     InverseRoot<L>{roots.second, roots.squared}, unused, none);
        }
        const auto push = [&](const BornAtom<Scalar<L>>& own, const Vector<L>& x, int32 pair, L known, L chain_of_own,
                              Vector<L>& f_of_own) {
            const Vector<L> d = x - place.x;
            const Descreened<L> taken = descreen_pair<Plain, M>(v, own, other, pair, approach<Plain, M>(own, other, d));
            L s;
            if constexpr (Joined)
                s = fnma(chain, taken.slope_j, fnma(chain_of_own, taken.slope_i, known));
            else
                s = fnma(chain, taken.slope_j, -(chain_of_own * taken.slope_i));
            add_scaled(f_of_own, s, d);
            take_scaled(f, s, d);
        };
        push(first, place0.x, 2 * slot, s0, chain0, f0);
        if (both)
            push(second, place1.x, 2 * slot + 1, s1, chain1, f1);
        else
            f1 = f;
        put_vector(force, 3 * j, f);
    }
    LANE_FN void end(int32 i) {
        put_vector(force, 3 * i, f0);
        if (i + 1 < v.atoms) put_vector(force, 3 * i + 3, f1);
    }
};

template <bool Joined, bool Plain, class M, class L, class Rows>
LANE_FN void solvent_by_team(const ForceView<Scalar<L>>& v, const LaneTeam& team, const Rows& rows) {
    const Rows born = rows.from(v.born_row());
    for (int32 i = team.lane(); i < v.atoms; i += team.lanes()) born[4 * i] = number<L>(0);
    team.sync();
    DescreenTwo<Plain, M, L, Rows> descreen(v, rows);
    sweep(team, v.atoms, descreen);
    NoEnergies<L> none;
    effective_radii<Plain, M, L>(v, team, rows, none);
    ShareTwo<Joined, Plain, M, L, Rows> share(v, rows);
    sweep(team, v.atoms, share);
    ForceTwo<Joined, Plain, M, L, Rows> force(v, rows);
    sweep(team, v.atoms, force);
}

template <class M, class L, class Rows>
LANE_FN void pairs_by_team(const ForceView<Scalar<L>>& v, const LaneTeam& team, const Rows& rows) {
    PairTwo<M, L, Rows> two(v, rows);
    sweep(team, v.atoms, two);
    NoEnergies<L> none;
    single_pairs<M, L>(v, team, rows, none);
}

}  // namespace microlift
