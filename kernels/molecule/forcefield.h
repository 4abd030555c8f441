// Forces of a molecule on the atoms of one replica a lane, and its energies term by term.
#pragma once

#include "kernels/molecule/bonded.h"
#include "kernels/molecule/pairs.h"
#include "kernels/molecule/solvent.h"
#include "kernels/molecule/team_pairs.h"

namespace microlift {

// Positions stand in the first 3 · atoms rows; forces into those that follow. By a team without energies.
template <class M, class L, class Team, class Rows, class Energies>
LANE_FN void molecule_forces(const ForceView<Scalar<L>>& v, const Team& team, const Rows& rows, Energies& e) {
    bonded_forces<M, L>(v, team, rows, e);
    if constexpr (!Team::kAlone) {
        static_assert(!Energies::wanted);
        if (!v.solvent)
            pairs_by_team<M, L>(v, team, rows);
        else if (!v.joins_pairs())
            solvent_by_team<false, false, M, L>(v, team, rows);
        else if (v.plain)
            solvent_by_team<true, true, M, L>(v, team, rows);
        else
            solvent_by_team<true, false, M, L>(v, team, rows);
    } else if (v.solvent) {
        if (!v.stores_pairs())
            solvent_passes<false, false, M, L>(v, rows, e);
        else if (v.plain)
            solvent_passes<true, true, M, L>(v, rows, e);
        else
            solvent_passes<true, false, M, L>(v, rows, e);
    } else {
        apart([&] { pair_forces<M, L>(v, rows, e); });
    }
}

// Forces (3 · atoms, row) and energies (kForceTerms, row) of states (3 · atoms, row).
template <class T>
struct MoleculeForcesArgs {
    ForceView<T> view;
    index states, row;
    const T* x;
    T* force;
    T* energy;
};

template <class M, class T>
struct MoleculeForcesBody {
    MoleculeForcesArgs<T> a;

    int32 rows() const { return a.view.rows(); }

    template <class L, class Rows>
    LANE_FN void operator()(L, index i, int lanes, const Rows& rows) const {
        for (int32 r = 0; r < 3 * a.view.atoms; ++r) rows[r] = load<L>(a.x + r * a.row, i, lanes);
        TermEnergies<L> e;
        for (int32 t = 0; t < kForceTerms; ++t) e.term[t] = number<L>(0);
        molecule_forces<M, L>(a.view, OneLane{}, rows, e);
        for (int32 r = 0; r < 3 * a.view.atoms; ++r)
            store(a.force + r * a.row, i, L(rows[a.view.force_row() + r]), lanes);
        for (int32 t = 0; t < kForceTerms; ++t) store(a.energy + t * a.row, i, e.term[t], lanes);
    }
};

}  // namespace microlift
