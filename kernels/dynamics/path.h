// The time loop: a trajectory is loaded, stepped in registers, stored every `stride` steps.
#pragma once

#include "kernels/dynamics/bias.h"
#include "kernels/dynamics/integrators.h"
#include "kernels/random/philox.h"

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
    uint64* accepted = nullptr;  // (trajectories): steps not refused so far, of Metropolis schemes
};

inline constexpr uint64 kStatusClear = ~0ull;

// Normals come in blocks of four; a group is the fewest steps that use whole blocks.
template <int D>
struct NoiseLayout {
    static constexpr int common = D % 4 == 0 ? 4 : D % 2 == 0 ? 2 : 1;
    static constexpr int steps = 4 / common;
    static constexpr int blocks = D / common;
};

template <class M, class L, int D, int Rounds>
LANE_FN void noise_group(const PhiloxStream<L, Rounds>& rng, uint64 group,
                         L (&z)[NoiseLayout<D>::steps][D], NormalScale scale = {}) {
    constexpr int blocks = NoiseLayout<D>::blocks;
LANE_UNROLL
    for (int b = 0; b < blocks; ++b) {
        L four[4];
        normal_block<M>(rng, group * blocks + static_cast<uint64>(b), four, scale);
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

// The normals of step s of a group; s is the same in all lanes.
template <class L, int D, int Steps>
LANE_FN void select_step(const L (&group)[Steps][D], int s, L (&z)[D]) {
LANE_UNROLL
    for (int d = 0; d < D; ++d) {
        z[d] = group[0][d];
LANE_UNROLL
        for (int other = 1; other < Steps; ++other)
            if (other == s) z[d] = group[other][d];
    }
}

template <class L, int K, template <class, int> class Bias>
LANE_FN void load_bias(const PathArgs& a, index i, Bias<L, K>& bias) {
    for (int k = 0; k < K; ++k) {
        bias.center[k] = load<L>(a.center + k * a.trajectories, i);
        bias.stiffness[k] = load<L>(a.stiffness + k * a.trajectories, i);
    }
}

// f = the system's drift and the bias's; xi = the CVs at x, of which the bias is a function.
template <class M, class System, class Cv, class Bias, class L, int D, int K>
LANE_FN void total_force(const System& system, const Cv& cv, const Bias& bias, const L (&x)[D],
                         L (&f)[D], L (&xi)[K]) {
    L gradient[K][D];
    system.template force<M>(x, f);
    cv.template evaluate<M>(x, xi, gradient);
    bias.template add_force<Cv>(xi, gradient, f);
}

// What a trajectory keeps of itself at the end of a segment.
template <class M, class Cv, class L, int D>
LANE_FN void store_sample(const PathArgs& a, const Cv& cv, index column, const L (&x)[D]) {
    constexpr int K = Cv::n;
    L xi[K], gradient[K][D];
    cv.template evaluate<M>(x, xi, gradient);
    for (int d = 0; d < D; ++d) store(a.sample_x + d * a.sample_row, column, x[d]);
    for (int k = 0; k < K; ++k) store(a.sample_xi + k * a.sample_row, column, xi[k]);
}

template <class System, class Cv, template <class, int> class Bias, class Integrator, class M,
          int Rounds = kPhiloxRounds>
struct PathBody {
    static constexpr index kGrain = 1;  // a lane group is a long piece of work
    static constexpr int D = System::dim;
    static constexpr int K = Cv::n;
    // One amplitude of the noise for all variables and states: it is folded into the normals.
    static constexpr bool kScaled =
        Integrator::scales_noise && requires(const System& s) { s.noise_amplitude(); };
    System system;
    Cv cv;
    Integrator integrator;
    PathArgs a;

    LANE_FN NormalScale noise_scale() const {
        if constexpr (kScaled)
            return normal_scale(system.noise_amplitude() * integrator.noise_factor());
        else
            return {};
    }

    template <class L>
    LANE_FN void one_step(const Bias<L, K>& bias, L (&x)[D], L (&v)[D], L (&f)[D],
                          const L (&z)[D], L (&z_previous)[D]) const {
        L start[K][D];
        if constexpr (Bias<L, K>::holds) {
            L xi[K];
            cv.template evaluate<M>(x, xi, start);
        }
        integrator.before(x, v, f, z);
        force(bias, x, f);
        if constexpr (Integrator::averages_force) {
            L y[D], g[D];
LANE_UNROLL
            for (int d = 0; d < D; ++d) y[d] = x[d];
            end_step(y, v, f, z, z_previous);
            force(bias, y, g);
LANE_UNROLL
            for (int d = 0; d < D; ++d) f[d] = broadcast<L>(0.5f) * (f[d] + g[d]);
        }
        end_step(x, v, f, z, z_previous);
        if constexpr (Bias<L, K>::holds) bias.template constrain<M>(cv, start, x);
    }

    template <class L>
    LANE_FN void end_step(L (&x)[D], L (&v)[D], const L (&f)[D], const L (&z)[D],
                          L (&z_previous)[D]) const {
        if constexpr (kScaled)
            integrator.after_scaled(x, f, z, z_previous);
        else
            integrator.after(system, x, v, f, z, z_previous);
    }

    template <class L>
    LANE_FN void force(const Bias<L, K>& bias, const L (&x)[D], L (&f)[D]) const {
        L xi[K];
        total_force<M>(system, cv, bias, x, f, xi);
    }

    template <class L>
    LANE_FN void operator()(L, index i) const {
        L x[D], v[D], f[D], z[kGroupSteps][D], z_previous[D];
        Bias<L, K> bias;
        for (int d = 0; d < D; ++d) {
            x[d] = load<L>(a.x + d * a.trajectories, i);
            v[d] = Integrator::has_velocity ? load<L>(a.v + d * a.trajectories, i)
                                            : broadcast<L>(0.0f);
            f[d] = z_previous[d] = broadcast<L>(0.0f);
        }
        load_bias(a, i, bias);
        const PhiloxStream<L, Rounds> rng(a.seed, a.stream, a.first_trajectory + i);
        const NormalScale scale = noise_scale();
        if (Integrator::needs_previous_noise && a.first_step > 0) {
            noise_group<M, L, D>(rng, (a.first_step - 1) / kGroupSteps, z, scale);
            select_step(z, static_cast<int>((a.first_step - 1) % kGroupSteps), z_previous);
        }
        if constexpr (Integrator::needs_initial_force) force(bias, x, f);

        uint64 step = a.first_step;
        for (index segment = 0; segment < a.segments; ++segment) {
            const uint64 end = step + a.stride;
            while (step < end) {
                uint64 group = step / kGroupSteps;
                const int from = static_cast<int>(step - group * kGroupSteps);
                noise_group<M, L, D>(rng, group, z, scale);
                if (from == 0) {
                    // Whole groups but the last: the loop where the time goes. The next group's noise does
                    // not wait for the steps, so that a processor can work on both at once.
                    const uint64 last = group + (end - step - 1) / kGroupSteps;
                    while (group < last) {
LANE_UNROLL
                        for (int s = 0; s < kGroupSteps; ++s)
                            one_step(bias, x, v, f, z[s], z_previous);
                        noise_group<M, L, D>(rng, ++group, z, scale);
                    }
                }
                // The last group, or a part of one.
                const uint64 left = end - group * kGroupSteps;
                const int to = left < kGroupSteps ? static_cast<int>(left) : kGroupSteps;
                for (int s = from; s < to; ++s) {
                    L now[D];
                    select_step(z, s, now);
                    one_step(bias, x, v, f, now, z_previous);
                }
                step = group * kGroupSteps + static_cast<uint64>(to);
            }
            Mask<L> bad = is_bad(x[0]);
            for (int d = 1; d < D; ++d) bad = bad | is_bad(x[d]);
            report_bad<L>(a, i, step, bad);
            if (a.sample_x) store_sample<M>(a, cv, segment * a.trajectories + i, x);
        }
        for (int d = 0; d < D; ++d) {
            store(a.x + d * a.trajectories, i, x[d]);
            if (Integrator::has_velocity) store(a.v + d * a.trajectories, i, v[d]);
        }
    }

private:
    static constexpr int kGroupSteps = NoiseLayout<D>::steps;
};

}  // namespace microlift
