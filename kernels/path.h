// The time loop: a trajectory is loaded, stepped in registers, stored every `stride` steps.
#pragma once

#include "kernels/bias.h"
#include "kernels/integrators.h"
#include "kernels/philox.h"

namespace microlift {

// What a launch works on; arrays are variable-major, [variable * row + trajectory].
struct PathArgs {
    index trajectories;
    index first_trajectory;  // global number of trajectory 0: the index of its random numbers
    uint64 seed;
    uint32 stream;
    uint64 first_step;  // steps taken before this launch
    uint64 stride;      // steps a segment; a sample follows each
    index segments;
    float* x;  // (dim, trajectories)
    float* v;  // likewise, or null
    const float* center;     // (K, trajectories)
    const float* stiffness;  // (K, trajectories), energy / ξ²
    float* sample_x;         // (dim, sample_row), or null: column s · trajectories + i
    float* sample_xi;        // (K, sample_row)
    index sample_row;
    uint64* status;  // {non-finite lanes, min over (step << 32 | trajectory)}
};

inline constexpr uint64 kStatusClear = ~0ull;

// Normals come in blocks of four; a group is the fewest steps that use whole blocks.
template <int D>
struct NoiseLayout {
    static constexpr int common = D % 4 == 0 ? 4 : D % 2 == 0 ? 2 : 1;
    static constexpr int steps = 4 / common;
    static constexpr int blocks = D / common;
};

template <class M, class L, int D>
LANE_FN void noise_group(const PhiloxStream<L>& rng, uint64 group,
                         L (&z)[NoiseLayout<D>::steps][D]) {
    constexpr int blocks = NoiseLayout<D>::blocks;
LANE_UNROLL
    for (int b = 0; b < blocks; ++b) {
        L four[4];
        normal_block<M>(rng, group * blocks + static_cast<uint64>(b), four);
LANE_UNROLL
        for (int k = 0; k < 4; ++k) z[(4 * b + k) / D][(4 * b + k) % D] = four[k];
    }
}

template <class L>
LANE_FN void report_bad(const PathArgs& a, index i, uint64 step, Mask<L> bad) {
    if (!any(bad)) return;
    for (int j = 0; j < kWidth<L>; ++j) {
        if (!get_lane(bad, j)) continue;
        atomic_add(&a.status[0], 1);
        atomic_min(&a.status[1], step << 32 | static_cast<uint64>(i + j));
    }
}

template <class System, class Cv, template <class, int> class Bias, class Integrator, class M>
struct PathBody {
    static constexpr index kGrain = 1;  // a lane group is a long piece of work
    static constexpr int D = System::dim;
    static constexpr int K = Cv::n;
    System system;
    Cv cv;
    Integrator integrator;
    PathArgs a;

    template <class L>
    LANE_FN void total_force(const Bias<L, K>& bias, const L (&x)[D], L (&f)[D]) const {
        L xi[K], gradient[K][D];
        system.template force<M>(x, f);
        cv.template evaluate<M>(x, xi, gradient);
        bias.template add_force<Cv>(xi, gradient, f);
    }

    template <class L>
    LANE_FN void operator()(L, index i) const {
        constexpr int group_steps = NoiseLayout<D>::steps;
        L x[D], v[D], f[D], z[group_steps][D], z_previous[D];
        Bias<L, K> bias;
        for (int d = 0; d < D; ++d) {
            x[d] = load<L>(a.x + d * a.trajectories, i);
            v[d] = Integrator::has_velocity ? load<L>(a.v + d * a.trajectories, i)
                                            : broadcast<L>(0.0f);
            f[d] = z_previous[d] = broadcast<L>(0.0f);
        }
        for (int k = 0; k < K; ++k) {
            bias.center[k] = load<L>(a.center + k * a.trajectories, i);
            bias.stiffness[k] = load<L>(a.stiffness + k * a.trajectories, i);
        }
        const PhiloxStream<L> rng(a.seed, a.stream, a.first_trajectory + i);
        if (Integrator::needs_previous_noise && a.first_step > 0) {
            noise_group<M, L, D>(rng, (a.first_step - 1) / group_steps, z);
            for (int s = 0; s < group_steps; ++s)
                if (static_cast<uint64>(s) == (a.first_step - 1) % group_steps)
                    for (int d = 0; d < D; ++d) z_previous[d] = z[s][d];
        }
        if constexpr (Integrator::needs_initial_force) total_force(bias, x, f);

        uint64 step = a.first_step;
        for (index segment = 0; segment < a.segments; ++segment) {
            const uint64 end = step + a.stride;
            while (step < end) {
                const uint64 group = step / group_steps;
                const int from = static_cast<int>(step - group * group_steps);
                const int to = end - group * group_steps < group_steps
                                   ? static_cast<int>(end - group * group_steps)
                                   : group_steps;
                noise_group<M, L, D>(rng, group, z);
LANE_UNROLL
                for (int s = 0; s < group_steps; ++s) {
                    if (s < from || s >= to) continue;
                    L start[K][D];
                    if constexpr (Bias<L, K>::holds) {
                        L xi[K];
                        cv.template evaluate<M>(x, xi, start);
                    }
                    integrator.before(x, v, f, z[s]);
                    total_force(bias, x, f);
                    integrator.after(system, x, v, f, z[s], z_previous);
                    if constexpr (Bias<L, K>::holds) bias.template constrain<M>(cv, start, x);
                }
                step = group * group_steps + static_cast<uint64>(to);
            }
            Mask<L> bad = is_bad(x[0]);
            for (int d = 1; d < D; ++d) bad = bad | is_bad(x[d]);
            report_bad<L>(a, i, step, bad);
            if (a.sample_x) {
                const index column = segment * a.trajectories + i;
                L xi[K], gradient[K][D];
                cv.template evaluate<M>(x, xi, gradient);
                for (int d = 0; d < D; ++d) store(a.sample_x + d * a.sample_row, column, x[d]);
                for (int k = 0; k < K; ++k) store(a.sample_xi + k * a.sample_row, column, xi[k]);
            }
        }
        for (int d = 0; d < D; ++d) {
            store(a.x + d * a.trajectories, i, x[d]);
            if (Integrator::has_velocity) store(a.v + d * a.trajectories, i, v[d]);
        }
    }
};

}  // namespace microlift
