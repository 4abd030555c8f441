// Lennard-Jones and Coulomb interactions of pairs, without cutoff. A pair has parameters of its own:
// exceptions have theirs, what is excluded is in no list, and nothing has to be taken back.
#pragma once

#include "kernels/molecule/team.h"
#include "kernels/lane/roots.h"

namespace microlift {

// −(∂E/∂r) r from y = 1/r and its square.
template <class L, class Energies>
LANE_FN L pair_slope(const PairParameters<Scalar<L>>& pair, L y, L y2, Energies& e) {
    const L y6 = y2 * y2 * y2;
    const L charge = number<L>(pair.charge) * y;
    const L well = fms(number<L>(pair.repulsion), y6, number<L>(pair.attraction));
    if constexpr (Energies::wanted) {
        using T = Scalar<L>;
        e.term[kTermCoulomb] = e.term[kTermCoulomb] + charge;
        e.term[kTermLennardJones] =
            fma(y6, fma(number<L>(pair.repulsion / T(12)), y6, number<L>(-pair.attraction / T(6))),
                e.term[kTermLennardJones]);
    }
    return fma(well, y6, charge);
}
// −(∂E/∂r)/r.
template <class L, class Energies>
LANE_FN L pair_force(const PairParameters<Scalar<L>>& pair, L y, L y2, Energies& e) {
    return pair_slope(pair, y, y2, e) * y2;
}

// Two pairs, at rest between roots and forces: the roots of the next ones are under way meanwhile.
template <class L>
struct TwoPairs {
    Vector<L> d0, d1;
    InverseRoots<L> at;
};
template <class M, class L>
LANE_FN TwoPairs<L> two_pairs(const Vector<L>& d0, const Vector<L>& d1) {
    return {d0, d1, inverse_roots<M>(dot(d0, d0), dot(d1, d1))};
}

// What is under way of a row's two atoms and another one while the last is finished: on the CPU their roots, on CUDA,
// where other warps fill the time that roots take, what is loaded.
template <class M, class L>
LANE_FN auto ahead(const Vector<L>& x0, const Vector<L>& x1, const Vector<L>& x) {
    if constexpr (kHardware<M, L>)
        return x;
    else
        return two_pairs<M>(x0 - x, x1 - x);
}
template <class M, class L>
LANE_FN TwoPairs<L> arrived(const Vector<L>& x0, const Vector<L>& x1, const Vector<L>& x) {
    return two_pairs<M>(x0 - x, x1 - x);
}
template <class M, class L>
LANE_FN const TwoPairs<L>& arrived(const Vector<L>&, const Vector<L>&, const TwoPairs<L>& pairs) {
    return pairs;
}

// Both atoms of a row with one other.
template <class M, class L, class Rows, class Energies>
LANE_FN void tile_forces(const TileEntry<Scalar<L>>& entry, const TwoPairs<L>& p, const Rows& forces,
                         Vector<L>& f0, Vector<L>& f1, Energies& e) {
    const L s0 = pair_force(entry.pair[0], p.at.first, p.at.square, e);
    const L s1 = pair_force(entry.pair[1], p.at.second, p.at.squared, e);
    Vector<L> f = vector_at<L>(forces, entry.j);
    if constexpr (kHardware<M, L>) {  // fewest instructions
        add_scaled(f0, s0, p.d0);
        add_scaled(f1, s1, p.d1);
        take_scaled(f, s0, p.d0);
        take_scaled(f, s1, p.d1);
    } else {  // fewest products: on the CPU sums run beside them
        const Vector<L> p0 = scaled(s0, p.d0), p1 = scaled(s1, p.d1);
        f0 = f0 + p0;
        f1 = f1 + p1;
        f = f - (p0 + p1);
    }
    put_vector(forces, entry.j, f);
}

// Pairs that fill no tile, two at a time.
template <class M, class L, class Team, class Rows, class Energies>
LANE_FN void single_pairs(const ForceView<Scalar<L>>& v, const Team& team, const Rows& rows, Energies& e) {
    const Rows force = rows.from(v.force_row());
    for (auto turn = team.in_turns(&TeamView::singles, v.singles / 2); turn.more(); turn.next()) {
        if (turn.idle()) continue;
        const int32 k = 2 * turn.item();
        const auto &one = entry_of(v.single[k]), &other = entry_of(v.single[k + 1]);
        const auto apart = [&](const PairEntry<Scalar<L>>& pair) {
            return vector_at<L>(rows, pair.i) - vector_at<L>(rows, pair.j);
        };
        const TwoPairs<L> two = two_pairs<M>(apart(one), apart(other));
        const auto push = [&](const PairEntry<Scalar<L>>& pair, L s, const Vector<L>& d) {
            if constexpr (kHardware<M, L>) {
                add_vector(force, pair.i, s, d);
                take_vector(force, pair.j, s, d);
            } else {
                const Vector<L> f = scaled(s, d);
                put_vector(force, pair.i, vector_at<L>(force, pair.i) + f);
                put_vector(force, pair.j, vector_at<L>(force, pair.j) - f);
            }
        };
        push(one, pair_force(one.pair, two.at.first, two.at.square, e), two.d0);
        push(other, pair_force(other.pair, two.at.second, two.at.squared, e), two.d1);
    }
}

template <class M, class L, class Rows, class Energies>
LANE_FN void pair_forces(const ForceView<Scalar<L>>& v, const Rows& rows, Energies& e) {
    const Rows force = rows.from(v.force_row());
    int32 n = 0;
    for (int32 t = 0; t < v.tiles; ++t) {
        const RowTile tile = v.tile[t];
        const Vector<L> x0 = vector_at<L>(rows, tile.first), x1 = vector_at<L>(rows, tile.second);
        Vector<L> f0 = vector_at<L>(force, tile.first), f1 = vector_at<L>(force, tile.second);
        auto next = ahead<M>(x0, x1, vector_at<L>(rows, v.tile_entry[n].j));
        for (; n < tile.end; ++n) {
            const auto now = next;
            if (kHardware<M, L> || n + 1 < tile.end)  // the last one of all is idle
                next = ahead<M>(x0, x1, vector_at<L>(rows, v.tile_entry[n + 1].j));
            tile_forces<M>(entry_of(v.tile_entry[n]), arrived<M>(x0, x1, now), force, f0, f1, e);
        }
        put_vector(force, tile.first, f0);
        put_vector(force, tile.second, f1);
    }
    single_pairs<M, L>(v, OneLane{}, rows, e);
}

}  // namespace microlift
