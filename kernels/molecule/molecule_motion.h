// How the atoms of a molecule move in a step, group by group: a group is an atom alone, or one with up to
// four others bound to it by rigid bonds (a star). A group is loaded, moved, its bonds put right, stored.
//
// The bonds of a star are few: their multipliers solve a linear system that is factored once a step. Velocities
// are put across the bonds by it (Andersen, J. Comput. Phys. 52 (1983) 24); positions are moved along the
// bonds' directions before the step (Ryckaert, Ciccotti, Berendsen, J. Comput. Phys. 23 (1977) 327) by a fixed
// number of Newton's steps that share it.
#pragma once

#include "kernels/molecule/team.h"
#include "kernels/lane/roots.h"

namespace microlift {

inline constexpr int kMostLeaves = 4;
// A step stretches bonds by 1e-2 at most, by their turning; each of Newton's steps leaves of that as much
// again as the turning changes the system: 1e-2, 1e-4, 1e-6, less than 1e-7.
inline constexpr int kNewtonSteps = 3;

struct StarEntry {
    int32 leaves;
    int32 atom[kMostLeaves + 1];  // rows; the centre first
    float inverse_mass[kMostLeaves + 1];
    float noise[kMostLeaves + 1];  // standard deviation of the thermostat's kick to a velocity
    float square[kMostLeaves];     // of lengths
    float diagonal[kMostLeaves];   // of the system: (1/mᵢ + 1/m₀) length²
};

enum class MoleculeScheme : int32 { lf_middle, baoab };

struct MotionView {
    int32 groups = 0;
    const StarEntry* group = nullptr;
    MoleculeScheme scheme = MoleculeScheme::lf_middle;
    float dt = 0, keep = 0;  // ps; e^{−γ dt}
    bool few_rounds = false;  // of the random number generator
};

// Rows of velocities and of the step's normals, one for each coordinate.
struct MotionRows {
    int32 force, velocity, noise;
};

// The system of a star's multipliers, A = (δᵢⱼ/mᵢ + 1/m₀) armᵢ·armⱼ, as L D Lᵀ.
template <class M, class L, int N>
struct StarSystem {
    L lower[N][N], inverse[N];  // below the diagonal L, above it D Lᵀ; 1/D

    LANE_FN void factor(const StarEntry& e, const Vector<L> (&arm)[N]) {
        inverse[0] = number<L>(reciprocal<M>(e.diagonal[0]));
LANE_UNROLL
        for (int i = 1; i < N; ++i) {
            L rest = number<L>(e.diagonal[i]);
LANE_UNROLL
            for (int j = 0; j < i; ++j) {
                L part = number<L>(e.inverse_mass[0]) * dot(arm[i], arm[j]);
LANE_UNROLL
                for (int k = 0; k < j; ++k) part = fnma(lower[k][i], lower[j][k], part);
                lower[j][i] = part;
            }
LANE_UNROLL
            for (int j = 0; j < i; ++j) {
                lower[i][j] = lower[j][i] * inverse[j];
                rest = fnma(lower[j][i], lower[i][j], rest);
            }
            inverse[i] = reciprocal<M>(rest);
        }
    }
    LANE_FN void solve(L (&b)[N]) const {
LANE_UNROLL
        for (int i = 1; i < N; ++i)
LANE_UNROLL
            for (int j = 0; j < i; ++j) b[i] = fnma(lower[i][j], b[j], b[i]);
LANE_UNROLL
        for (int i = N - 1; i >= 0; --i) {
            b[i] = b[i] * inverse[i];
LANE_UNROLL
            for (int j = i + 1; j < N; ++j) b[i] = fnma(lower[j][i], b[j], b[i]);
        }
    }
};
template <class M, class L>
struct StarSystem<M, L, 0> {};

template <class M, class L, int N>
struct Star {
    const StarEntry& entry;
    Vector<L> x[N + 1], v[N + 1], arm[N > 0 ? N : 1];  // arms: the bonds as they were
    StarSystem<M, L, N> system;

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
        if constexpr (N > 0) {
LANE_UNROLL
            for (int k = 0; k < N; ++k) arm[k] = x[k + 1] - x[0];
            system.factor(entry, arm);
        }
    }
    template <class Rows>
    LANE_FN void kick(const Rows& rows, const MotionRows& at, float dt) {
LANE_UNROLL
        for (int k = 0; k <= N; ++k)
            add_scaled(v[k], number<L>(dt * entry.inverse_mass[k]),
                       vector_at<L>(rows, at.force + entry.atom[k]));
    }
    LANE_FN void drift(float dt) { drift_by(number<L>(dt)); }
    LANE_FN void drift_by(L dt) {
LANE_UNROLL
        for (int k = 0; k <= N; ++k) add_scaled(x[k], dt, v[k]);
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
            L push[N];
LANE_UNROLL
            for (int k = 0; k < N; ++k) push[k] = dot(v[0] - v[k + 1], arm[k]);
            system.solve(push);
            push_velocities(push);
        }
    }
    // Positions that were moved by `dt` to where the bonds have their lengths; velocities follow.
    LANE_FN void restore_lengths(float dt) { restore_lengths_of(number<L>(reciprocal<M>(dt))); }
    LANE_FN void restore_lengths_of(L inverse_dt) {
        if constexpr (N > 0) {
            Vector<L> bond[N];
            L push[N];
LANE_UNROLL
            for (int k = 0; k < N; ++k) bond[k] = x[k + 1] - x[0];
            if constexpr (N == 1)
                stretch(bond[0], push[0]);
            else
                stretch(bond, push);
            x[0] = x[0] - centre_push(push);
LANE_UNROLL
            for (int k = 0; k < N; ++k) {
                x[k + 1] = x[0] + bond[k];
                push[k] = push[k] * inverse_dt;
            }
            push_velocities(push);
        }
    }

private:
    static constexpr int kBonds = N > 0 ? N : 1;

    // One bond: |bond + push/μ arm|² = length² is a quadratic equation.
    LANE_FN void stretch(Vector<L>& bond, L& push) const {
        const L square = number<L>(entry.square[0]), inverse = number<L>(reciprocal<M>(entry.square[0]));
        const L along = dot(bond, arm[0]);
        const L missing = (square - dot(bond, bond)) * square;
        const L far = (sqrt<M>(fma(along, along, missing)) - along) * inverse;
        add_scaled(bond, far, arm[0]);
        push = far * number<L>(quotient<M>(entry.square[0], entry.diagonal[0]));
    }
    LANE_FN void stretch(Vector<L> (&bond)[kBonds], L (&sum)[kBonds]) const {
        L scale[N];
LANE_UNROLL
        for (int k = 0; k < N; ++k) {
            // Half the slope of a bond's square along its arm over what the system takes it for.
            scale[k] = quotient<M>(number<L>(0.5f * entry.square[k]), dot(bond[k], arm[k]));
            sum[k] = number<L>(0.0f);
        }
LANE_UNROLL
        for (int step = 0; step < kNewtonSteps; ++step) {
            L push[N];
LANE_UNROLL
            for (int k = 0; k < N; ++k)
                push[k] = (number<L>(entry.square[k]) - dot(bond[k], bond[k])) * scale[k];
            system.solve(push);
            const Vector<L> centre = centre_push(push);
LANE_UNROLL
            for (int k = 0; k < N; ++k) {
                sum[k] = sum[k] + push[k];
                bond[k] = bond[k] + centre;
                add_scaled(bond[k], push[k] * number<L>(entry.inverse_mass[k + 1]), arm[k]);
            }
        }
    }
    // How far the centre goes, against the leaves.
    LANE_FN Vector<L> centre_push(const L (&push)[kBonds]) const {
        Vector<L> sum = scaled(push[0], arm[0]);
LANE_UNROLL
        for (int k = 1; k < N; ++k) add_scaled(sum, push[k], arm[k]);
        return scaled(number<L>(entry.inverse_mass[0]), sum);
    }
    LANE_FN void push_velocities(const L (&push)[kBonds]) {
        v[0] = v[0] - centre_push(push);
LANE_UNROLL
        for (int k = 0; k < N; ++k)
            add_scaled(v[k + 1], push[k] * number<L>(entry.inverse_mass[k + 1]), arm[k]);
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
template <class M, class L, class Team, class Rows>
LANE_FN void move_lf_middle(const MotionView& m, const MotionRows& at, const Team& team, const Rows& rows) {
    for (int32 g = team.lane(); g < m.groups; g += team.lanes())
        with_leaves(m.group[g].leaves, [&](auto n) {
            Star<M, L, decltype(n)::value> star(m.group[g], rows, at);
            star.kick(rows, at, m.dt);
            star.project_velocities();
            star.drift(0.5f * m.dt);
            star.thermostat(rows, at, m.keep);
            star.drift(0.5f * m.dt);
            star.restore_lengths(m.dt);
            star.store_to(rows, at);
        });
    team.sync();
}

// BAOAB to the force's place, which is needed at x before and after: half kick, half drift, thermostat,
// half drift; then end_baoab, the other half kick.
template <class M, class L, class Team, class Rows>
LANE_FN void move_baoab(const MotionView& m, const MotionRows& at, const Team& team, const Rows& rows) {
    const float half = 0.5f * m.dt;
    for (int32 g = team.lane(); g < m.groups; g += team.lanes())
        with_leaves(m.group[g].leaves, [&](auto n) {
            Star<M, L, decltype(n)::value> star(m.group[g], rows, at);
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
    team.sync();
}
template <class M, class L, class Team, class Rows>
LANE_FN void end_baoab(const MotionView& m, const MotionRows& at, const Team& team, const Rows& rows) {
    for (int32 g = team.lane(); g < m.groups; g += team.lanes())
        with_leaves(m.group[g].leaves, [&](auto n) {
            Star<M, L, decltype(n)::value> star(m.group[g], rows, at);
            star.kick(rows, at, 0.5f * m.dt);
            star.project_velocities();
            star.store_to(rows, at);
        });
    team.sync();
}

}  // namespace microlift
