// The time loop of Metropolis schemes: propose, and stay where the proposal is refused.
#pragma once

#include "kernels/dynamics/path.h"
#include "kernels/random/streams.h"

namespace microlift {

template <class System, class Cv, template <class, int> class Bias, class M, int Rounds>
struct PathBody<System, Cv, Bias, Mala, M, Rounds> {
    static constexpr index kGrain = 1;
    static constexpr int D = System::dim;
    static constexpr int K = Cv::n;
    static_assert(System::gradient, "a proposal is accepted by its energy");
    System system;
    Cv cv;
    Mala integrator;
    PathArgs a;

    // −∇(V + U), and V + U.
    template <class L>
    LANE_FN L force_and_energy(const Bias<L, K>& bias, const L (&x)[D], L (&f)[D]) const {
        L xi[K];
        total_force<M>(system, cv, bias, x, f, xi);
        return bias.energy(xi, system.template potential<M>(x));
    }

    template <class L>
    LANE_FN void one_step(const Bias<L, K>& bias, L (&x)[D], L (&f)[D], L& energy,
                          const L (&noise)[D], Uint<L> random, Uint<L>& accepted) const {
        L y[D], g[D], none[D];
LANE_UNROLL
        for (int d = 0; d < D; ++d) y[d] = x[d], none[d] = noise[d];
        integrator.after_scaled(y, f, noise, none);
        const L there = force_and_energy(bias, y, g);
        L sum = broadcast<L>(0.0f);
LANE_UNROLL
        for (int d = 0; d < D; ++d) sum = integrator.add_term(sum, f[d], g[d], noise[d]);
        const Mask<L> go =
            log<M>(uniform_open<L>(random)) < integrator.log_ratio(there - energy, sum);
LANE_UNROLL
        for (int d = 0; d < D; ++d) {
            x[d] = select(go, y[d], x[d]);
            f[d] = select(go, g[d], f[d]);
        }
        energy = select(go, there, energy);
        accepted = select(go, accepted + 1u, accepted);
    }

    template <class L>
    LANE_FN void operator()(L, index i) const {
        constexpr int steps = NoiseLayout<D>::steps;
        L x[D], f[D], z[steps][D];
        Bias<L, K> bias;
        for (int d = 0; d < D; ++d) x[d] = load<L>(a.x + d * a.trajectories, i);
        load_bias(a, i, bias);
        const PhiloxStream<L, Rounds> rng(a.seed, a.stream, a.first_trajectory + i);
        // One block of decisions goes with the noise of a group of at most four steps.
        const PhiloxStream<L, Rounds> decisions(a.seed, a.stream + kStreamMetropolis,
                                                a.first_trajectory + i);
        const NormalScale scale = normal_scale(system.noise_amplitude() * integrator.noise_factor());
        L energy = force_and_energy(bias, x, f);

        uint64 step = a.first_step;
        for (index segment = 0; segment < a.segments; ++segment) {
            const uint64 end = step + a.stride;
            Uint<L> accepted = as_uint(broadcast<L>(0.0f));
            while (step < end) {
                const uint64 group = step / steps, left = end - group * steps;
                const int from = static_cast<int>(step - group * steps);
                const int to = left < steps ? static_cast<int>(left) : steps;
                Uint<L> words[4];
                noise_group<M, L, D>(rng, group, z, scale);
                decisions.draw(group, words);
                for (int s = from; s < to; ++s) {
                    L now[D];
                    Uint<L> random = words[0];
                    select_step(z, s, now);
LANE_UNROLL
                    for (int other = 1; other < steps; ++other)
                        if (other == s) random = words[other];
                    one_step(bias, x, f, energy, now, random, accepted);
                }
                step = group * steps + static_cast<uint64>(to);
            }
            if constexpr (kWidth<L> == 1)
                a.accepted[i] += accepted;
            else
                for (int j = 0; j < kWidth<L>; ++j) a.accepted[i + j] += get_lane(accepted, j);
            Mask<L> bad = is_bad(energy);
            for (int d = 0; d < D; ++d) bad = bad | is_bad(x[d]);
            report_bad<L>(a, i, step, bad);
            if (a.sample_x) store_sample<M>(a, cv, segment * a.trajectories + i, x);
        }
        for (int d = 0; d < D; ++d) store(a.x + d * a.trajectories, i, x[d]);
    }
};

}  // namespace microlift
