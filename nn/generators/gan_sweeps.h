// One critic update's and one generator update's sweeps, from filled inputs to weight gradients.
#pragma once

#include "nn/generators/gan_bodies.h"
#include "nn/layers/mlp.h"

namespace microlift {

// Groups of rows in the critic's arrays: generated, real, and points between them. The relativistic
// loss needs the first two, both penalised (R2 and R1).
LANE_FN constexpr int groups_of(Penalty kind) { return kind == Penalty::relativistic ? 2 : 3; }
LANE_FN constexpr int penalised_of(Penalty kind) { return kind == Penalty::relativistic ? 2 : 1; }

// Loss of the critic: mean D(fake) − mean D(real) + penalty, or mean softplus(D(fake) − D(real)) +
// penalties. The penalty's weight gradient takes three sweeps: reverse for g = ∂D/∂x, a forward tangent
// seeded by ∂penalty/∂g, and the reverse of the loss, which collects the φ″ terms on its way.
// penalty_values: (penalised_of(kind), rows). weight 0: no penalty, whose sweeps are left out.
template <class Real, class Program>
LANE_FN void critic_sweeps(Program& program, const Mlp<Real>& critic, Penalty kind, Real weight,
                   int states, Real* penalty_values) {
    const auto last = static_cast<std::size_t>(critic.layout.layers);
    // Places of a group, which is not the batch where threads keep one tile only.
    const index rows = critic.rows, ld = critic.layout.ld[last], ld0 = critic.layout.ld[0];
    const bool with_penalty = weight > 0;
    const int groups = with_penalty ? groups_of(kind) : 2, penalised = with_penalty ? penalised_of(kind) : 0;
    const MlpScratch<Real>& scratch = critic.scratch;
    const Real scale = Real(1) / static_cast<Real>(program.rows());

    critic.forward(program, groups, Derivatives<2>{});
    Real* seeds = scratch.r[last];
    if (kind == Penalty::relativistic) {
        const Real* out = scratch.h[last];
        program.each_row(RelativisticSeedBody<Real>{true, scale, out, out + rows * ld, seeds,
                                                    seeds + rows * ld, ld});
    } else {
        program.each_row(SeedBody<Real>{seeds, ld, scale});
        program.each_row(SeedBody<Real>{seeds + rows * ld, ld, -scale});
        if (with_penalty) program.each_row(SeedBody<Real>{seeds + 2 * rows * ld, ld, Real(0)});
    }
    if (with_penalty) {
        critic.input_gradient(program, penalised, states);
        for (int c = 0; c < penalised; ++c)
            program.each_row(PenaltyBody<Real>{kind, weight, scale, states,
                                               scratch.g[0] + c * rows * ld0,
                                               scratch.t[0] + c * rows * ld0,
                                               penalty_values + c * program.rows(), ld0});
        critic.tangent(program, penalised, states);
    }
    critic.reverse(program, groups, penalised, false);
    critic.weight_gradients(program, groups, penalised, states);
}

// Loss of the generator: −mean D(fake), or mean softplus(D(real) − D(fake)), and `energy_weight` times
// the energy score of pairs of rows. The critic's rows are filled; the generator has run forward with
// derivatives.
template <class Real, class Program>
LANE_FN void generator_sweeps(Program& program, const Mlp<Real>& generator,
                      const Mlp<Real>& critic, Penalty kind, int states, Real energy_weight = 0,
                      const float* critic_share = nullptr) {
    const auto last = static_cast<std::size_t>(critic.layout.layers);
    const auto generator_last = static_cast<std::size_t>(generator.layout.layers);
    const index rows = critic.rows, ld = critic.layout.ld[last];
    const MlpScratch<Real>& scratch = critic.scratch;
    const Real scale = Real(1) / static_cast<Real>(program.rows());
    const bool relativistic = kind == Penalty::relativistic;

    critic.forward(program, relativistic ? 2 : 1, Derivatives<1>{});
    const Real* out = scratch.h[last];
    if (relativistic)
        program.each_row(RelativisticSeedBody<Real>{false, scale, out, out + rows * ld,
                                                    scratch.r[last], nullptr, ld});
    else
        program.each_row(SeedBody<Real>{scratch.r[last], ld, -scale});
    critic.reverse(program, 1, 0, true, states);
    program.each_row(HandOverBody<Real>{states, critic_share, scratch.r[0], generator.scratch.r[generator_last],
                                        critic.layout.ld[0], generator.layout.ld[generator_last]});
    if (energy_weight > 0)
        program.each_row(EnergyScoreBody<Real>{
            states, energy_weight * scale, program.rows(), generator.scratch.h[generator_last],
            scratch.h[0] + rows * critic.layout.ld[0], generator.scratch.r[generator_last],
            generator.layout.ld[generator_last], critic.layout.ld[0]});
    generator.reverse(program, 1, 0, false);
    generator.weight_gradients(program, 1, 0);
}

}  // namespace microlift
