// The time loop: a trajectory is loaded, stepped in registers, stored every `stride` steps.
#pragma once

#include "kernels/dynamics/bias.h"
#include "kernels/dynamics/grid_bias.h"
#include "kernels/dynamics/step.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"

namespace microlift {

// The random numbers of lanes that are no neighbours: lane j has the index numbers[i + j].
template <class L, int Rounds = kPhiloxRounds>
LANE_FN PhiloxStream<L, Rounds> numbered_stream(uint64 seed, uint32 id, const uint32* numbers, index i,
                                                int lanes) {
    PhiloxStream<L, Rounds> stream(seed, id, 0);
    Uint<L> number;
    if constexpr (kWidth<L> == 1)
        number = numbers[i];
    else
        number = load<Uint<L>>(numbers, i, lanes);
    mul_hi_lo(kPhiloxM0, number, stream.hi0, stream.lo0);
    return stream;
}

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
    uint64* status;  // {non-finite lanes, min over (step − checked << 32 | trajectory)}
    uint64* accepted = nullptr;  // (trajectories): steps not refused so far, of Metropolis schemes
    GridView grid;               // of a bias that is a table
    uint64 checked = 0;          // the step from which the status counts
    // (trajectories): the indices of their random numbers, where these are not first_trajectory + i
    const uint32* numbers = nullptr;
    CvPeriods periods{};

    LANE_FN uint64 steps() const { return stride * static_cast<uint64>(segments); }

    // The random numbers of trajectories i, i + 1, …
    template <class L, int Rounds>
    LANE_FN PhiloxStream<L, Rounds> random(uint32 id, index i, int lanes) const {
        if (numbers) return numbered_stream<L, Rounds>(seed, id, numbers, i, lanes);
        return PhiloxStream<L, Rounds>(seed, id, first_trajectory + i);
    }

    // What each bias reads.
    LANE_FN explicit operator WindowView() const {
        return {center, stiffness, trajectories, periods};
    }
    LANE_FN explicit operator GridView() const { return grid; }
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
LANE_FN void report_bad(const PathArgs& a, index i, int lanes, uint64 step, Mask<L> bad) {
    if (!any(bad)) return;
    const uint64 since = step - a.checked, most = 0xffffffffull;
    const uint64 stamp = (since < most ? since : most) << 32;
    for (int j = 0; j < lanes; ++j) {
        if (!get_lane(bad, j)) continue;
        atomic_add(&a.status[0], 1);
        atomic_min(&a.status[1], stamp | static_cast<uint64>(i + j));
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

// What a trajectory keeps of itself at the end of a segment.
template <class M, class Cv, class Bias, class L, int D>
LANE_FN void store_sample(const PathArgs& a, const Cv& cv, const Bias& bias, index column, int lanes,
                          const L (&x)[D]) {
    constexpr int K = Cv::n;
    L xi[K], gradient[K][D];
    cv.template evaluate<M>(x, xi, gradient);
    if constexpr (requires { bias.fold(xi); })
        bias.fold(xi);
    else if constexpr (requires { Bias::of_launch; })
        for (int k = 0; k < K; ++k) xi[k] = a.periods.image(k, xi[k]);
    for (int d = 0; d < D; ++d) store(a.sample_x + d * a.sample_row, column, x[d], lanes);
    for (int k = 0; k < K; ++k) store(a.sample_xi + k * a.sample_row, column, xi[k], lanes);
}

template <class System, class Cv, template <class, int> class Bias, class Integrator, class M,
          int Rounds = kPhiloxRounds>
struct PathBody {
    static constexpr index kGrain = 1;  // a lane group is a long piece of work
    static constexpr bool kPartialPacks = true;
    static constexpr int D = System::dim;
    static constexpr int K = Cv::n;
    static_assert(!Integrator::metropolis || System::gradient, "a proposal is accepted by its energy");
    // One amplitude of the noise for all variables and states: it is folded into the normals.
    static constexpr bool kScaled =
        Integrator::scales_noise && requires(const System& s) { s.noise_amplitude(); };
    System system;
    Cv cv;
    Integrator integrator;
    PathArgs a;

    LANE_FN uint64 steps() const { return a.steps(); }

private:
    static constexpr int kGroupSteps = NoiseLayout<D>::steps;

    // The random numbers of a step, and of a group of steps.
    template <class L>
    struct Noise {
        L z[D];
        Uint<L> decision;
    };
    template <class L>
    struct Group {
        L z[kGroupSteps][D];
        Uint<L> decisions[4];

        LANE_FN Noise<L> step(int s) const {
            Noise<L> noise;
            select_step(z, s, noise.z);
            if constexpr (Integrator::metropolis) {
                noise.decision = decisions[0];
LANE_UNROLL
                for (int other = 1; other < kGroupSteps; ++other)
                    if (other == s) noise.decision = decisions[other];
            }
            return noise;
        }
    };
    template <class L>
    struct Draws {
        PhiloxStream<L, Rounds> normals, decisions;
        NormalScale scale;

        LANE_FN Draws(const PathArgs& a, index i, int lanes, NormalScale s)
            : normals(a.random<L, Rounds>(a.stream, i, lanes)),
              decisions(a.random<L, Rounds>(a.stream + kStreamMetropolis, i, lanes)), scale(s) {}
        LANE_FN void draw(uint64 group, Group<L>& out) const {
            noise_group<M, L, D>(normals, group, out.z, scale);
            // One block of decisions goes with the noise of a group of at most four steps.
            if constexpr (Integrator::metropolis) decisions.draw(group, out.decisions);
        }
    };

    // A pack of trajectories, as take_step() wants it.
    template <class L>
    struct Trajectories {
        const PathBody& p;
        const Bias<L, K> bias;
        L x[D], v[D], f[D], z_previous[D];
        L direction[K][D];                         // at the step's start, where the bias holds
        L x_start[D], f_start[D], energy_start;    // where a step may have to go back
        L energy;
        Uint<L> accepted;

        LANE_FN Trajectories(const PathBody& body, index i, int lanes)
            : p(body), bias(static_cast<typename Bias<L, K>::View>(body.a), i, lanes) {}
        LANE_FN void keep_directions() {
            if constexpr (Bias<L, K>::holds) {
                L xi[K];
                evaluate_pull<M>(p.cv, x, xi, direction);
            }
        }
        LANE_FN void before(const Noise<L>& noise) { p.integrator.before(x, v, f, noise.z); }
        LANE_FN void force() {
            L xi[K], g[K][D];
            p.system.template force<M>(x, f);
            evaluate_pull<M>(p.cv, x, xi, g);
            add_bias_force<Cv>(bias, xi, g, f);
            if constexpr (Integrator::metropolis)
                energy = bias.energy(xi, p.system.template potential<M>(x));
        }
        LANE_FN void end_step(const Noise<L>& noise) {
            if constexpr (kScaled)
                p.integrator.after_scaled(x, f, noise.z, z_previous);
            else
                p.integrator.after(p.system, x, v, f, noise.z, z_previous);
        }
        LANE_FN void keep_start() {
LANE_UNROLL
            for (int d = 0; d < D; ++d) {
                x_start[d] = x[d];
                f_start[d] = f[d];
            }
            energy_start = energy;
        }
        LANE_FN void return_with_mean_force() {
LANE_UNROLL
            for (int d = 0; d < D; ++d) {
                x[d] = x_start[d];
                f[d] = broadcast<L>(0.5f) * (f_start[d] + f[d]);
            }
        }
        LANE_FN void decide(const Noise<L>& noise) {
            L sum = broadcast<L>(0.0f);
LANE_UNROLL
            for (int d = 0; d < D; ++d)
                sum = p.integrator.add_term(sum, f_start[d], f[d], noise.z[d]);
            const Mask<L> go = log<M>(uniform_open<L>(noise.decision)) <
                               p.integrator.log_ratio(energy - energy_start, sum);
LANE_UNROLL
            for (int d = 0; d < D; ++d) {
                x[d] = select(go, x[d], x_start[d]);
                f[d] = select(go, f[d], f_start[d]);
            }
            energy = select(go, energy, energy_start);
            accepted = select(go, accepted + 1u, accepted);
        }
        LANE_FN void constrain() {
            if constexpr (Bias<L, K>::holds) bias.template constrain<M>(p.cv, direction, x);
        }
    };

    LANE_FN NormalScale noise_scale() const {
        if constexpr (kScaled)
            return normal_scale(system.noise_amplitude() * integrator.noise_factor());
        else
            return {};
    }

    // After `step` steps: what is counted, and the sample.
    template <class L>
    LANE_FN void end_segment(const Trajectories<L>& t, index i, int lanes, uint64 step,
                             index column) const {
        Mask<L> bad = is_bad(t.x[0]);
        for (int d = 1; d < D; ++d) bad = bad | is_bad(t.x[d]);
        if constexpr (Integrator::metropolis) {
            bad = bad | is_bad(t.energy);
            for (int j = 0; j < lanes; ++j) a.accepted[i + j] += get_lane(t.accepted, j);
        }
        report_bad<L>(a, i, lanes, step, bad);
        if (a.sample_x) store_sample<M>(a, cv, t.bias, column, lanes, t.x);
    }

public:
    template <class L>
    LANE_FN void operator()(L, index i) const {
        const int lanes = lanes_before<L>(a.trajectories, i);
        Trajectories<L> t(*this, i, lanes);
        for (int d = 0; d < D; ++d) {
            t.x[d] = load<L>(a.x + d * a.trajectories, i, lanes);
            t.v[d] = Integrator::has_velocity ? load<L>(a.v + d * a.trajectories, i, lanes)
                                              : broadcast<L>(0.0f);
            t.f[d] = t.z_previous[d] = broadcast<L>(0.0f);
        }
        Group<L> group_noise;
        const Draws<L> draws(a, i, lanes, noise_scale());
        if (Integrator::needs_previous_noise && a.first_step > 0) {
            draws.draw((a.first_step - 1) / kGroupSteps, group_noise);
            select_step(group_noise.z, static_cast<int>((a.first_step - 1) % kGroupSteps),
                        t.z_previous);
        }
        if constexpr (Integrator::needs_initial_force) t.force();

        uint64 step = a.first_step;
        for (index segment = 0; segment < a.segments; ++segment) {
            const uint64 end = step + a.stride;
            if constexpr (Integrator::metropolis) t.accepted = as_uint(broadcast<L>(0.0f));
            while (step < end) {
                uint64 group = step / kGroupSteps;
                const int from = static_cast<int>(step - group * kGroupSteps);
                draws.draw(group, group_noise);
                if (from == 0) {
                    // Whole groups but the last: the loop where the time goes. The next group's noise does
                    // not wait for the steps, so that a processor can work on both at once.
                    const uint64 last = group + (end - step - 1) / kGroupSteps;
                    while (group < last) {
LANE_UNROLL
                        for (int s = 0; s < kGroupSteps; ++s)
                            take_step<Integrator>(t, group_noise.step(s));
                        draws.draw(++group, group_noise);
                    }
                }
                // The last group, or a part of one.
                const uint64 left = end - group * kGroupSteps;
                const int to = left < kGroupSteps ? static_cast<int>(left) : kGroupSteps;
                LANE_ROLLED_FOR (int s = from; s < to; ++s) take_step<Integrator>(t, group_noise.step(s));
                step = group * kGroupSteps + static_cast<uint64>(to);
            }
            end_segment(t, i, lanes, step, segment * a.trajectories + i);
        }
        for (int d = 0; d < D; ++d) {
            store(a.x + d * a.trajectories, i, t.x[d], lanes);
            if (Integrator::has_velocity) store(a.v + d * a.trajectories, i, t.v[d], lanes);
        }
    }
};

}  // namespace microlift
