// Lennard-Jones and Coulomb interactions of pairs, without cutoff. A pair has parameters of its own:
// exceptions have theirs, what is excluded is in no list, and nothing has to be taken back.
#pragma once

#include "kernels/dynamics/force_view.h"
#include "kernels/lane/roots.h"

namespace microlift {

// −(∂E/∂r)/r from y = 1/r.
template <class L, class Energies>
LANE_FN L pair_force(const PairParameters<Scalar<L>>& pair, L y, Energies& e) {
    const L y2 = y * y, y6 = y2 * y2 * y2;
    const L charge = number<L>(pair.charge) * y;
    const L well = fma(number<L>(pair.repulsion), y6, number<L>(-pair.attraction));
    if constexpr (Energies::wanted) {
        using T = Scalar<L>;
        e.term[kTermCoulomb] = e.term[kTermCoulomb] + charge;
        e.term[kTermLennardJones] =
            fma(y6, fma(number<L>(pair.repulsion / T(12)), y6, number<L>(-pair.attraction / T(6))),
                e.term[kTermLennardJones]);
    }
    return fma(well, y6, charge) * y2;
}

template <class M, class L, class Rows, class Energies>
LANE_FN void pair_forces(const ForceView<Scalar<L>>& v, const Rows& rows, Energies& e) {
    const int32 f = v.force_row();
    int32 n = 0;
    for (int32 t = 0; t < v.tiles; ++t) {
        const RowTile tile = v.tile[t];
        const Vector<L> x0 = vector_at<L>(rows, tile.first), x1 = vector_at<L>(rows, tile.second);
        Vector<L> f0 = vector_at<L>(rows, f + tile.first), f1 = vector_at<L>(rows, f + tile.second);
        for (; n < tile.end; ++n) {
            const auto& entry = v.tile_entry[n];
            const Vector<L> x = vector_at<L>(rows, entry.j);
            Vector<L> fj = vector_at<L>(rows, f + entry.j);
            const Vector<L> d0 = x0 - x, d1 = x1 - x;
            L y0, y1;
            inverse_sqrts<M>(dot(d0, d0), dot(d1, d1), y0, y1);
            const L s0 = pair_force(entry.pair[0], y0, e), s1 = pair_force(entry.pair[1], y1, e);
            add_scaled(f0, s0, d0);
            add_scaled(f1, s1, d1);
            take_scaled(fj, s0, d0);
            take_scaled(fj, s1, d1);
            put_vector(rows, f + entry.j, fj);
        }
        put_vector(rows, f + tile.first, f0);
        put_vector(rows, f + tile.second, f1);
    }
    for (int32 k = 0; k < v.singles; ++k) {
        const auto& entry = v.single[k];
        const Vector<L> d = vector_at<L>(rows, entry.i) - vector_at<L>(rows, entry.j);
        const L s = pair_force(entry.pair, inverse_sqrt<M>(dot(d, d)), e);
        add_vector(rows, f + entry.i, s, d);
        take_vector(rows, f + entry.j, s, d);
    }
}

}  // namespace microlift
