// How the atoms of a molecule move in a step, group by group: a group is an atom alone, or one with up to
// four others bound to it by rigid bonds (a star). A group is loaded, moved, its bonds put right, stored.
//
// Bonds are put right by a fixed number of sweeps over the star: positions along the bonds' directions
// before the step (Ryckaert, Ciccotti, Berendsen, J. Comput. Phys. 23 (1977) 327), velocities across them
// (Andersen, J. Comput. Phys. 52 (1983) 24).
#pragma once

#include "kernels/dynamics/force_view.h"

namespace microlift {

inline constexpr int kMostLeaves = 4;

struct StarEntry {
    int32 leaves, sweeps;
    int32 atom[kMostLeaves + 1];  // rows; the centre first
    float inverse_mass[kMostLeaves + 1];
    float noise[kMostLeaves + 1];  // standard deviation of the thermostat's kick to a velocity
    float square[kMostLeaves];     // of lengths
    float turn[kMostLeaves];       // 1/(2 (1/mᵢ + 1/m₀))
};

enum class MoleculeScheme : int32 { lf_middle, baoab };

struct MotionView {
    int32 groups = 0;
    const StarEntry* group = nullptr;
    MoleculeScheme scheme = MoleculeScheme::lf_middle;
    float dt = 0, keep = 0;  // ps; e^{−γ dt}
};

// Rows of velocities and of the step's normals, one for each coordinate.
struct MotionRows {
    int32 force, velocity, noise;
};

template <class L, int N>
struct Star {
    const StarEntry& entry;
    Vector<L> x[N + 1], v[N + 1], arm[N > 0 ? N : 1];  // arms: the bonds as they were

    template <class Rows>
    LANE_FN Star(const StarEntry& e, const Rows& rows, const MotionRows& at) : entry(e) {
LANE_UNROLL
        for (int k = 0; k <= N; ++k) {
            x[k] = vector_at<L>(rows, e.atom[k]);
            v[k] = vector_at<L>(rows, at.velocity + e.atom[k]);
        }
        set_arms();
    }
    template <class Rows>
    LANE_FN void store_to(const Rows& rows, const MotionRows& at) const {
LANE_UNROLL
        for (int k = 0; k <= N; ++k) {
            put_vector(rows, entry.atom[k], x[k]);
            put_vector(rows, at.velocity + entry.atom[k], v[k]);
        }
    }
    LANE_FN void set_arms() {
LANE_UNROLL
        for (int k = 0; k < N; ++k) arm[k] = x[k + 1] - x[0];
    }
    template <class Rows>
    LANE_FN void kick(const Rows& rows, const MotionRows& at, float dt) {
LANE_UNROLL
        for (int k = 0; k <= N; ++k)
            add_scaled(v[k], number<L>(dt * entry.inverse_mass[k]),
                       vector_at<L>(rows, at.force + entry.atom[k]));
    }
    LANE_FN void drift(float dt) {
LANE_UNROLL
        for (int k = 0; k <= N; ++k) add_scaled(x[k], number<L>(dt), v[k]);
    }
    template <class Rows>
    LANE_FN void thermostat(const Rows& rows, const MotionRows& at, float keep) {
LANE_UNROLL
        for (int k = 0; k <= N; ++k) {
            v[k] = scaled(number<L>(keep), v[k]);
            add_scaled(v[k], number<L>(entry.noise[k]), vector_at<L>(rows, at.noise + entry.atom[k]));
        }
    }
    // Velocities across the arms, whose lengths are right.
    LANE_FN void project_velocities() {
        if constexpr (N > 0) {
            LANE_ROLLED_FOR (int sweep = 0; sweep < (N == 1 ? 1 : entry.sweeps); ++sweep)
LANE_UNROLL
                for (int k = 0; k < N; ++k) {
                    const L along = dot(v[k + 1] - v[0], arm[k]) *
                                    number<L>(-2.0f * entry.turn[k] / entry.square[k]);
                    add_scaled(v[k + 1], along * number<L>(entry.inverse_mass[k + 1]), arm[k]);
                    add_scaled(v[0], along * number<L>(-entry.inverse_mass[0]), arm[k]);
                }
        }
    }
    // Positions that were moved by `dt` to where the bonds have their lengths; velocities follow.
    LANE_FN void restore_lengths(float dt) {
        if constexpr (N > 0) {
            L weight[N], sum[N];
LANE_UNROLL
            for (int k = 0; k < N; ++k) {
                weight[k] = number<L>(entry.turn[k]) / dot(x[k + 1] - x[0], arm[k]);
                sum[k] = number<L>(0.0f);
            }
            LANE_ROLLED_FOR (int sweep = 0; sweep < entry.sweeps; ++sweep)
LANE_UNROLL
                for (int k = 0; k < N; ++k) {
                    const Vector<L> d = x[k + 1] - x[0];
                    const L push = (number<L>(entry.square[k]) - dot(d, d)) * weight[k];
                    sum[k] = sum[k] + push;
                    add_scaled(x[k + 1], push * number<L>(entry.inverse_mass[k + 1]), arm[k]);
                    add_scaled(x[0], push * number<L>(-entry.inverse_mass[0]), arm[k]);
                }
LANE_UNROLL
            for (int k = 0; k < N; ++k) {
                const L push = sum[k] * number<L>(1.0f / dt);
                add_scaled(v[k + 1], push * number<L>(entry.inverse_mass[k + 1]), arm[k]);
                add_scaled(v[0], push * number<L>(-entry.inverse_mass[0]), arm[k]);
            }
        }
    }
};

// Calls f(N) with the group's number of leaves as a constant.
template <int N>
struct Leaves {
    static constexpr int value = N;
};
template <class Function>
LANE_FN void with_leaves(int32 leaves, const Function& f) {
    switch (leaves) {
        case 0: return f(Leaves<0>{});
        case 1: return f(Leaves<1>{});
        case 2: return f(Leaves<2>{});
        case 3: return f(Leaves<3>{});
        default: return f(Leaves<4>{});
    }
}

// The leapfrog "middle" scheme (Zhang, Liu, Yan, Tuckerman, Liu, J. Phys. Chem. A 123 (2019) 6056), as
// OpenMM's LangevinMiddleIntegrator: kick, half drift, thermostat, half drift. The force is that at x.
template <class L, class Rows>
LANE_FN void move_lf_middle(const MotionView& m, const MotionRows& at, const Rows& rows) {
    for (int32 g = 0; g < m.groups; ++g)
        with_leaves(m.group[g].leaves, [&](auto n) {
            Star<L, decltype(n)::value> star(m.group[g], rows, at);
            star.kick(rows, at, m.dt);
            star.project_velocities();
            star.drift(0.5f * m.dt);
            star.thermostat(rows, at, m.keep);
            star.drift(0.5f * m.dt);
            star.restore_lengths(m.dt);
            star.store_to(rows, at);
        });
}

// BAOAB to the force's place, which is needed at x before and after: half kick, half drift, thermostat,
// half drift; then end_baoab, the other half kick.
template <class L, class Rows>
LANE_FN void move_baoab(const MotionView& m, const MotionRows& at, const Rows& rows) {
    const float half = 0.5f * m.dt;
    for (int32 g = 0; g < m.groups; ++g)
        with_leaves(m.group[g].leaves, [&](auto n) {
            Star<L, decltype(n)::value> star(m.group[g], rows, at);
            const auto drift = [&] {
                star.drift(half);
                star.restore_lengths(half);
                star.set_arms();
                star.project_velocities();
            };
            star.kick(rows, at, half);
            star.project_velocities();
            drift();
            star.thermostat(rows, at, m.keep);
            star.project_velocities();
            drift();
            star.store_to(rows, at);
        });
}
template <class L, class Rows>
LANE_FN void end_baoab(const MotionView& m, const MotionRows& at, const Rows& rows) {
    for (int32 g = 0; g < m.groups; ++g)
        with_leaves(m.group[g].leaves, [&](auto n) {
            Star<L, decltype(n)::value> star(m.group[g], rows, at);
            star.kick(rows, at, 0.5f * m.dt);
            star.project_velocities();
            star.store_to(rows, at);
        });
}

}  // namespace microlift
