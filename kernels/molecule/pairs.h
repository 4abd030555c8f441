// Lennard-Jones and Coulomb interactions of pairs, without cutoff. A pair has parameters of its own:
// exceptions have theirs, what is excluded is in no list, and nothing has to be taken back.
#pragma once

#include "kernels/molecule/force_view.h"
#include "kernels/lane/roots.h"

namespace microlift {

// −(∂E/∂r)/r from y = 1/r and its square.
template <class L, class Energies>
LANE_FN L pair_force(const PairParameters<Scalar<L>>& pair, L y, L y2, Energies& e) {
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
    return fma(well, y6, charge) * y2;
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

template <class M, class L>
LANE_FN TwoPairs<L> pairs_with(Vector<L> x0, Vector<L> x1, Vector<L> x) {
    return two_pairs<M>(x0 - x, x1 - x);
}

// Both atoms of a row with one other.
template <class L, class Rows, class Energies>
LANE_FN void tile_forces(const TileEntry<Scalar<L>>& entry, const TwoPairs<L>& p, const Rows& force,
                         Vector<L>& f0, Vector<L>& f1, Energies& e) {
    const Vector<L> p0 = scaled(pair_force(entry.pair[0], p.at.first, p.at.square, e), p.d0);
    const Vector<L> p1 = scaled(pair_force(entry.pair[1], p.at.second, p.at.squared, e), p.d1);
    f0 = f0 + p0;
    f1 = f1 + p1;
    put_vector(force, entry.j, vector_at<L>(force, entry.j) - (p0 + p1));
}

template <class M, class L, class Rows, class Energies>
LANE_FN void pair_forces(const ForceView<Scalar<L>>& v, const Rows& rows, Energies& e) {
    const Rows force = rows.from(v.force_row());
    int32 n = 0;
    for (int32 t = 0; t < v.tiles; ++t) {
        const RowTile tile = v.tile[t];
        const Vector<L> x0 = vector_at<L>(rows, tile.first), x1 = vector_at<L>(rows, tile.second);
        Vector<L> f0 = vector_at<L>(force, tile.first), f1 = vector_at<L>(force, tile.second);
        TwoPairs<L> next = pairs_with<M>(x0, x1, vector_at<L>(rows, v.tile_entry[n].j));
        for (; n < tile.end; ++n) {
            const TwoPairs<L> now = next;
            if (n + 1 < tile.end) next = pairs_with<M>(x0, x1, vector_at<L>(rows, v.tile_entry[n + 1].j));
            tile_forces(v.tile_entry[n], now, force, f0, f1, e);
        }
        put_vector(force, tile.first, f0);
        put_vector(force, tile.second, f1);
    }
    for (int32 k = 0; k < v.singles; k += 2) {
        const auto &one = v.single[k], &other = v.single[k + 1];
        const auto apart = [&](const PairEntry<Scalar<L>>& pair) {
            return vector_at<L>(rows, pair.i) - vector_at<L>(rows, pair.j);
        };
        const TwoPairs<L> two = two_pairs<M>(apart(one), apart(other));
        const auto push = [&](const PairEntry<Scalar<L>>& pair, const Vector<L>& f) {
            put_vector(force, pair.i, vector_at<L>(force, pair.i) + f);
            put_vector(force, pair.j, vector_at<L>(force, pair.j) - f);
        };
        push(one, scaled(pair_force(one.pair, two.at.first, two.at.square, e), two.d0));
        push(other, scaled(pair_force(other.pair, two.at.second, two.at.squared, e), two.d1));
    }
}

}  // namespace microlift
