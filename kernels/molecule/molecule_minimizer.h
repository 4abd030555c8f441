// Minima of a molecule's energy, one state a lane: FIRE (Bitzek, Koskinen, Gähler, Moseler, Gumbsch, Phys.
// Rev. Lett. 97 (2006) 170201). Every atom has the mass 1 u; rigid bonds keep their lengths, forces along them
// do not count.
#pragma once

#include "kernels/molecule/forcefield.h"
#include "kernels/molecule/molecule_motion.h"

namespace microlift {

template <class T>
struct MinimizeArgs {
    ForceView<T> view;
    const StarEntry* group;  // of masses 1
    int32 groups;
    index states, row;
    T* x;        // (3 · atoms, row)
    T* energy;   // (row)
    T* largest;  // (row): component of the force at the end
    int32 iterations;
    T tolerance;  // of that component
    T first_step, longest_step;  // ps
    T reach;      // nm that a coordinate moves at most in an iteration
};

template <class M, class T>
struct MinimizeBody {
    static constexpr index kGrain = 1;
    MinimizeArgs<T> a;

    static LANE_FN int32 rows_of(const ForceView<T>& view) { return view.rows() + 3 * view.atoms; }

    // What a descent remembers besides positions and velocities.
    template <class L>
    struct Descent {
        L step, mixing, downhill;
        Mask<L> done;
    };

    template <class L, class Rows>
    LANE_FN void operator()(L, index i, int lanes, const Rows& rows) const {
        const int32 n = 3 * a.view.atoms;
        const Rows v = rows.from(a.view.rows()), f = rows.from(a.view.force_row());
        for (int32 r = 0; r < n; ++r) {
            rows[r] = load<L>(a.x + r * a.row, i, lanes);
            v[r] = number<L>(0);
        }
        TermEnergies<L> e;
        Descent<L> descent{number<L>(a.first_step), number<L>(kMixing), number<L>(0),
                           number<L>(0) > number<L>(1)};
        L largest = number<L>(0);
        for (int32 iteration = 0;; ++iteration) {
            for (int32 t = 0; t < kForceTerms; ++t) e.term[t] = number<L>(0);
            molecule_forces<M, L>(a.view, OneLane{}, rows, e);
            project_forces<L>(rows);
            largest = number<L>(0);
            for (int32 r = 0; r < n; ++r) largest = max(largest, abs(L(f[r])));
            descent.done = !(largest > number<L>(a.tolerance));  // NaN: no further
            if (iteration == a.iterations || !any(largest > number<L>(a.tolerance))) break;
            advance(descent, rows, v, f);
        }
        L energy = e.term[0];
        for (int32 t = 1; t < kForceTerms; ++t) energy = energy + e.term[t];
        for (int32 r = 0; r < n; ++r) store(a.x + r * a.row, i, L(rows[r]), lanes);
        store(a.energy, i, energy, lanes);
        store(a.largest, i, largest, lanes);
    }

private:
    static constexpr T kMixing = T(0.1);
    static constexpr T kPatience = 5;  // iterations downhill before the step grows

    LANE_FN MotionRows at(int32 velocity) const { return {a.view.force_row(), velocity, 0}; }

    template <class L, class Rows>
    LANE_FN void project_forces(const Rows& rows) const {
        const MotionRows where = at(a.view.force_row());
        for (int32 g = 0; g < a.groups; ++g)
            with_leaves(a.group[g].leaves, [&](auto leaves) {
                if constexpr (decltype(leaves)::value > 0) {
                    Star<Portable, L, decltype(leaves)::value> star(a.group[g], rows, where);
                    star.project_velocities();
                    star.store_to(rows, where);
                }
            });
    }

    template <class L, class Rows>
    LANE_FN void advance(Descent<L>& d, const Rows& rows, const Rows& v, const Rows& f) const {
        const int32 n = 3 * a.view.atoms;
        const L zero = number<L>(0), tiny = number<L>(Scalar<L>(1e-30));
        L power = zero, speed = zero, force = zero;
        for (int32 r = 0; r < n; ++r) power = fma(L(f[r]), L(v[r]), power);
        // Uphill: stop, with half the step; long enough downhill: a longer one.
        const auto downhill = power > zero;
        d.downhill = select(downhill, d.downhill + number<L>(1), zero);
        const auto grows = d.downhill > number<L>(kPatience);
        const L longer = min(d.step * number<L>(Scalar<L>(1.1)), number<L>(a.longest_step));
        const L half = d.step * number<L>(Scalar<L>(0.5));
        const auto at_rest = power == zero;  // as at the start
        d.step = select(downhill, select(grows, longer, d.step), select(at_rest, d.step, half));
        d.mixing = select(downhill, select(grows, d.mixing * number<L>(Scalar<L>(0.99)), d.mixing),
                          number<L>(kMixing));
        for (int32 r = 0; r < n; ++r) {
            const L pushed = fma(d.step, L(f[r]), select(downhill, L(v[r]), zero));
            v[r] = pushed;
            speed = fma(pushed, pushed, speed);
            force = fma(L(f[r]), L(f[r]), force);
        }
        const L along = d.mixing * sqrt_exact(speed / (force + tiny)), keep = number<L>(1) - d.mixing;
        L fastest = zero;
        for (int32 r = 0; r < n; ++r) {
            const L mixed = select(d.done, zero, fma(keep, L(v[r]), along * L(f[r])));
            v[r] = mixed;
            fastest = max(fastest, abs(mixed));
        }
        const L step = min(d.step, number<L>(a.reach) / (fastest + tiny));
        const L inverse = select(d.done, zero, number<L>(1) / step);
        const MotionRows where = at(a.view.rows());
        for (int32 g = 0; g < a.groups; ++g)
            with_leaves(a.group[g].leaves, [&](auto leaves) {
                Star<Portable, L, decltype(leaves)::value> star(a.group[g], rows, where);
                star.drift_by(step);
                star.restore_lengths_of(inverse);
                // What is done stays where it is to the bit, however long others of its pack go on.
                for (int k = 0; k <= decltype(leaves)::value; ++k) {
                    const Vector<L> was = vector_at<L>(rows, a.group[g].atom[k]);
                    Vector<L>& x = star.x[k];
                    x = {select(d.done, was.x, x.x), select(d.done, was.y, x.y), select(d.done, was.z, x.z)};
                }
                star.store_to(rows, where);
            });
    }
};

}  // namespace microlift
