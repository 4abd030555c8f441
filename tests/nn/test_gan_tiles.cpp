// The fused kernels of training and generation, executed by real threads, against the layered path.
#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "nn/generators/gan_tiles.h"
#include "nn/generators/latent_sampler.h"
#include "tests/support/devices.h"
#include "tests/emulator/block.h"

namespace microlift {
namespace {

// One product of fragments by the harness, against sums in double precision.
template <Precision kPrecision>
struct FragmentKernel {
    static constexpr int kThreads = 32;
    struct Shared {};
    const float *a, *b;  // (16, depth), (depth, 16)
    int depth;
    float* c;
    template <class Block>
    LANE_FN void operator()(Block& block, Shared&) const {
        float sum[2][4] = {};
        tile_mma<kPrecision>(
            block, depth, [&](int i, int p) { return p < depth ? a[i * depth + p] : 0.0f; },
            [&](int p, int j) { return p < depth ? b[p * 16 + j] : 0.0f; }, sum);
        const int g = block.lane() / 4, t = block.lane() % 4;
        for (int j = 0; j < 2; ++j)
            for (int i = 0; i < 4; ++i)
                c[(g + i / 2 * 8) * 16 + 8 * j + 2 * t + i % 2] = sum[j][i];
    }
};

template <Precision kPrecision>
double fragment_error(int depth) {
    std::mt19937 random(9);
    std::normal_distribution<float> normal;
    std::vector<float> a(static_cast<std::size_t>(16 * depth)), b(a.size()), c(256);
    for (auto* list : {&a, &b})
        for (float& v : *list) v = normal(random);
    run_blocks(1, FragmentKernel<kPrecision>{a.data(), b.data(), depth, c.data()});
    double worst = 0;
    for (int i = 0; i < 16; ++i)
        for (int j = 0; j < 16; ++j) {
            double sum = 0, size = 0;
            for (int p = 0; p < depth; ++p) {
                const double product = static_cast<double>(a[static_cast<std::size_t>(i * depth + p)]) *
                                       static_cast<double>(b[static_cast<std::size_t>(p * 16 + j)]);
                sum += product;
                size += std::fabs(product);
            }
            worst = std::max(worst, std::fabs(static_cast<double>(
                                                  c[static_cast<std::size_t>(i * 16 + j)]) -
                                              sum) / size);
        }
    return worst;
}

TEST_CASE("tile products: every precision within its rounding of the exact sums") {
    for (const int depth : {1, 8, 18, 33}) {
        CAPTURE(depth);
        // Each factor is rounded by half a unit of its mantissa; the sum by one of fp32 an addition.
        const double sums = static_cast<double>(depth) * 0x1p-24;
        CHECK(fragment_error<Precision::fp32>(depth) < sums + 0x1p-24);
        CHECK(fragment_error<Precision::tf32x3>(depth) < 3 * sums + 0x1p-21);
        const double tf32 = fragment_error<Precision::tf32>(depth);
        CHECK(tf32 < 2 * 0x1p-11 + 0x1p-22 + sums);
        CHECK(tf32 > 0x1p-20);  // it did round
        const double bf16 = fragment_error<Precision::bf16>(depth);
        CHECK(bf16 < 2 * 0x1p-8 + 0x1p-16 + sums);
        CHECK(bf16 > 0x1p-14);
    }
}

// A small training problem: two states, one condition, ragged last tile.
struct Problem {
    static constexpr index kRows = 37, kColumns = 64, kTrajectories = 8;
    static constexpr int kStates = 2, kLatent = 5;
    Stream stream{Device::cpu(1)};
    Buffer<float> x{stream.device(), kStates * kColumns}, s{stream.device(), kColumns};
    Buffer<int32> kept{stream.device(), kTrajectories};
    Buffer<TrainClock> clock{stream.device(), 1};
    Whitening whitening;
    MlpLayout generator, critic;
    std::vector<float> generator_values, critic_values, generator_transposed, critic_transposed;
    TrainingColumns columns;

    Problem() {
        std::mt19937 random(2);
        std::normal_distribution<float> normal;
        for (index i = 0; i < kColumns; ++i) {
            s.data()[i] = normal(random);
            x.data()[i] = s.data()[i] + 0.3f * normal(random);
            x.data()[kColumns + i] = normal(random);
        }
        for (int32 k = 0; k < kTrajectories; ++k) kept.data()[k] = k;
        whitening = Whitening(stream, Whitening::Kind::conditional,
                              {x.data(), kStates, kColumns, kColumns},
                              {s.data(), 1, kColumns, kColumns}, {}, 3);
        const index features = whitening.view().features;
        generator = MlpLayout({kLatent + features, 20, 32, kStates}, Activation::silu);
        critic = MlpLayout({kStates + features, 32, 24, 1}, Activation::silu);
        generator_values = generator.initial(1, 0);
        critic_values = critic.initial(1, 1);
        for (float& v : critic_values) v *= 2;  // gradients beyond 1, so that every penalty acts
        generator_transposed = generator.transpose(generator_values);
        critic_transposed = critic.transpose(critic_values);
        columns.kept = kept.data();
        columns.kept_count = kTrajectories;
        columns.trajectories = kTrajectories;
        columns.samples = kColumns / kTrajectories;
        *clock.data() = TrainClock{};
        clock.data()->critic_share = 0.7f;
    }
};

// One side of the comparison: scratch, gradients and the bodies that point into them.
struct Side {
    Problem& problem;
    index places, slots;
    int groups, penalised;
    bool of_critic;
    std::vector<float> generator_memory, critic_memory, gradient, penalties, outputs;
    MlpScratch<float> g, d;
    GanTilePlan plan{};

    Side(Problem& p, Penalty kind, bool critic, index place_count, index slot_count)
        : problem(p), places(place_count), slots(slot_count), groups(groups_of(kind)),
          penalised(penalised_of(kind)), of_critic(critic) {
        const auto size = [](index n) { return static_cast<std::size_t>(n); };
        generator_memory.resize(size(MlpScratch<float>::size(p.generator, places, 1, 0)));
        critic_memory.resize(size(MlpScratch<float>::size(p.critic, places, groups, penalised)));
        const index parameters = critic ? p.critic.parameters : p.generator.parameters;
        gradient.resize(size(slots * parameters));
        penalties.resize(size(2 * Problem::kRows));
        outputs.resize(size(2 * Problem::kRows));
        g = MlpScratch<float>(p.generator, places, 1, 0, generator_memory.data());
        d = MlpScratch<float>(p.critic, places, groups, penalised, critic_memory.data());
        float* fake = d.h[0];
        float* real = fake + places * p.critic.ld[0];
        float* mixed = kind == Penalty::relativistic || !critic ? nullptr
                                                                : real + places * p.critic.ld[0];
        plan.generator_layout = p.generator, plan.critic_layout = p.critic;
        plan.generator_scratch = g, plan.critic_scratch = d;
        plan.generator_parameters = p.generator_values.data();
        plan.generator_transposed = p.generator_transposed.data();
        plan.critic_parameters = p.critic_values.data();
        plan.critic_transposed = p.critic_transposed.data();
        plan.gradient = gradient.data();
        plan.parameters = parameters;
        plan.places = places;
        plan.gather = GatherBody{p.columns, p.whitening.view(), p.x.data(), p.s.data(),
                                 Problem::kColumns, p.clock.data(), 7, 6, 2, Problem::kLatent,
                                 !critic, g.h[0], fake, real, mixed, p.generator.ld[0],
                                 p.critic.ld[0]};
        plan.latent = LatentBody{7, kStreamLatent, p.clock.data(), 6, 2, 0, Problem::kLatent,
                                 g.h[0], p.generator.ld[0]};
        plan.fake = FakeBody{p.clock.data(), 7, 6, 2, Problem::kStates,
                             g.h[static_cast<std::size_t>(p.generator.layers)], real, fake, mixed,
                             p.generator.ld[static_cast<std::size_t>(p.generator.layers)],
                             p.critic.ld[0]};
        plan.penalty = kind, plan.energy_weight = 0.8f;
        plan.states = Problem::kStates;
        plan.penalty_values = penalties.data();
        const auto last = static_cast<std::size_t>(p.critic.layers);
        plan.keep[0] = {d.h[last], p.critic.ld[last], outputs.data()};
        plan.keep[1] = {d.h[last] + places * p.critic.ld[last], p.critic.ld[last],
                        outputs.data() + Problem::kRows};
        plan.kept = critic ? 2 : 1;
        plan.advance = AdvanceBody{Schedule{}, p.clock.data(), true};
        plan.critic_share = &p.clock.data()->critic_share;
    }

    void layered() {
        RowProgram<float> program(problem.stream, Problem::kRows, gradient.data(), plan.parameters);
        const Mlp<float> gn{plan.generator_layout, plan.generator_parameters,
                            plan.generator_transposed, g, places};
        const Mlp<float> dn{plan.critic_layout, plan.critic_parameters, plan.critic_transposed, d,
                            places};
        program.each_row(plan.gather);
        program.row_lanes(plan.latent);
        if (of_critic)
            gn.forward(program, 1, Derivatives<0>{});
        else
            gn.forward(program, 1, Derivatives<1>{});
        program.each_row(plan.fake);
        if (of_critic)
            critic_sweeps(program, dn, plan.penalty, plan.penalty_weight, plan.states,
                          penalties.data());
        else
            generator_sweeps(program, gn, dn, plan.penalty, plan.states, plan.energy_weight,
                             plan.critic_share);
        for (int k = 0; k < plan.kept; ++k) program.each_row(plan.keep[k]);
        program.finish();
    }

    std::vector<float> summed() const {
        std::vector<float> out(gradient.begin(), gradient.begin() + plan.parameters);
        for (index k = 1; k < slots; ++k)
            for (index i = 0; i < plan.parameters; ++i)
                out[static_cast<std::size_t>(i)] +=
                    gradient[static_cast<std::size_t>(k * plan.parameters + i)];
        return out;
    }
};

// The norm of the difference by the norm.
double distance(const std::vector<float>& a, const std::vector<float>& b) {
    double off = 0, size = 0;
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double u = static_cast<double>(a[i]), v = static_cast<double>(b[i]);
        off += (u - v) * (u - v);
        size += v * v;
    }
    return std::sqrt(off / size);
}

template <Precision kPrecision>
void compare(Penalty kind, bool critic, double bound, index most_blocks, float penalty_weight = 0.5f) {
    Problem problem;
    const TileShape shape(Problem::kRows, most_blocks);
    Side expected(problem, kind, critic, Problem::kRows,
                  gradient_slots(problem.stream.device(), Problem::kRows));
    expected.plan.penalty_weight = penalty_weight;
    expected.layered();
    Side got(problem, kind, critic, shape.blocks * kMostTileRows, shape.blocks);
    got.plan.penalty_weight = penalty_weight;
    got.plan.shape = shape;
    std::fill(got.gradient.begin(), got.gradient.end(), 1e9f);  // the kernel clears its slots
    if (critic)
        run_blocks(shape.blocks, CriticTileKernel<kPrecision>{got.plan});
    else
        run_blocks(shape.blocks, GeneratorTileKernel<kPrecision>{got.plan});
    CAPTURE(static_cast<int>(kind));
    CAPTURE(critic);
    CHECK(distance(got.summed(), expected.summed()) < bound);
    CHECK(distance(got.outputs, expected.outputs) < bound);
    if (critic) {
        if (penalty_weight > 0) CHECK(distance(got.penalties, expected.penalties) < 3 * bound);
        CHECK(problem.clock.data()->critic.beta2_power < 1);  // the rates advanced, once
        CHECK(problem.clock.data()->critic.beta2_power == static_cast<double>(AdamRates{}.beta2));
    }
}

TEST_CASE("fused critic and generator kernels equal the layered sweeps") {
    // fp32 differs by the order of sums. tf32 rounds factors to 11 bits; relative to the norm of a
    // gradient, errors of some layers add up: four units.
    for (const bool critic : {true, false}) {
        compare<Precision::fp32>(Penalty::one_sided, critic, 2e-6, 2);
        compare<Precision::fp32>(Penalty::relativistic, critic, 2e-6, 132);
        compare<Precision::tf32>(Penalty::two_sided, critic, 4 * 0x1p-11, 132);
        compare<Precision::tf32x3>(Penalty::one_sided, critic, 1e-5, 1);
        compare<Precision::bf16>(Penalty::one_sided, critic, 4 * 0x1p-8, 1);
    }
    compare<Precision::fp32>(Penalty::one_sided, true, 2e-6, 2, 0.0f);
}

TEST_CASE("the fused generation kernel equals the layered path") {
    Problem problem;
    Stream& stream = problem.stream;
    const index n = 50;
    std::vector<float> s(n), states(static_cast<std::size_t>(2 * n)), expected(states);
    for (index i = 0; i < n; ++i)
        s[static_cast<std::size_t>(i)] = -1.5f + 0.06f * static_cast<float>(i);
    LatentSampler sampler(stream.device(), problem.generator, Problem::kLatent);
    sampler.run(stream, {problem.whitening.view(), problem.generator_values.data()},
                {s.data(), 1, n, n}, {3, kStreamGenerate, 100},
                {expected.data(), Problem::kStates, n, n}, Precision::fp32);
    const TileShape shape(n, 2);
    const index places = shape.blocks * kMostTileRows;
    std::vector<float> memory(
        static_cast<std::size_t>(MlpScratch<float>::size(problem.generator, places, 1, 0)));
    GenerateTilePlan plan{};
    plan.layout = problem.generator;
    plan.scratch = MlpScratch<float>(problem.generator, places, 1, 0, memory.data());
    plan.parameters = problem.generator_values.data();
    plan.shape = shape;
    plan.places = places;
    const auto last = static_cast<std::size_t>(problem.generator.layers);
    plan.features = {problem.whitening.view(), s.data(), n, Problem::kLatent, plan.scratch.h[0],
                     problem.generator.ld[0]};
    plan.latent = {3, kStreamGenerate, nullptr, 0, 0, 100, Problem::kLatent, plan.scratch.h[0],
                   problem.generator.ld[0]};
    plan.unwhiten = {problem.whitening.view(), plan.scratch.h[last], s.data(),
                     problem.generator.ld[last], n, n, states.data()};
    const auto error = [&](const auto& kernel) {
        std::fill(states.begin(), states.end(), 0.0f);
        run_blocks(shape.blocks, kernel);
        return distance(states, expected);
    };
    CHECK(error(GenerateTileKernel<Precision::fp32>{plan}) < 1e-6);
    CHECK(error(GenerateTileKernel<Precision::tf32x3>{plan}) < 2e-6);
    CHECK(error(GenerateTileKernel<Precision::tf32>{plan}) < 2 * 0x1p-11);
    CHECK(error(GenerateTileKernel<Precision::bf16>{plan}) < 2 * 0x1p-8);
}

}  // namespace
}  // namespace microlift
