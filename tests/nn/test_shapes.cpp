// Generators of many variables and of conditions of every kind (periodic or not, one, two or more; tables along them
// or one pair of moments for all), beside the CPU: an update's losses, states drawn with the same weights, densities.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "nn/generators/generator.h"
#include "nn/generators/registry.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

constexpr index kColumns = 2048, kDrawn = 70;

struct Shape {
    const char* name;
    int states;
    std::vector<double> periods;  // one a condition
    const char* whiten = "conditional";
    index waves = 3, latent = 0;
    std::vector<double> state_periods{};
};

// Numbers of variables, waves and latents that are no multiples of four.
const Shape kShapes[] = {{"seven of two, one of them periodic", 7, {0, 2}, "conditional", 7, 9},
                         {"two of two, the first periodic", 2, {2, 0}, "conditional", 2, 6},
                         {"six of one that is periodic", 6, {2}},
                         {"five of five", 5, {0, 2, 0, 0, 2}, "conditional", 1, 11},
                         {"three, whitened alike", 3, {0}, "global"},
                         {"five of one, two of which go round", 5, {2}, "conditional", 3, 0, {0, 8, 0, 0, 9}}};

struct Problem {
    const Shape& shape;
    int conditions;
    Stream stream;
    Buffer<float> x, s;

    Problem(const Device& device, const Shape& of)
        : shape(of), conditions(static_cast<int>(of.periods.size())), stream(device),
          x(device, of.states * kColumns), s(device, conditions * kColumns) {
        std::vector<float> at, values;
        for (int k = 0; k < conditions; ++k)
            for (index j = 0; j < kColumns; ++j) at.push_back(0.9f * std::tanh(normal(k, j)));
        for (int d = 0; d < shape.states; ++d)
            for (index j = 0; j < kColumns; ++j)
                values.push_back(std::cos(3.14159f * at[static_cast<std::size_t>(j)] + static_cast<float>(d)) +
                                 0.4f * normal(conditions + d, j));
        copy_to_device(stream, x.span(), values.data());
        copy_to_device(stream, s.span(), at.data());
    }
    static float normal(int which, index j) {
        float z[4];
        normal_block<Portable>(PhiloxStream<float>(5, kStreamTest, j), static_cast<uint64>(which), z);
        return z[0];
    }
    std::unique_ptr<GeneratorTrainer> trainer(const TrainerConfig& config) {
        auto made = make_trainer(stream, config, shape.states, conditions);
        made->set_data(x.span(), s.span(), kColumns, kColumns, 64);
        return made;
    }
    // Of the first columns, without gaps.
    Buffer<float> few(const Buffer<float>& all, int rows) {
        Buffer<float> out(stream.device(), rows * kDrawn);
        for (int k = 0; k < rows; ++k)
            copy<float>(stream, out.span().subspan(k * kDrawn, kDrawn), all.span().subspan(k * kColumns, kDrawn));
        return out;
    }
};

TrainerConfig config_of(const std::string& kind, const Shape& shape, Precision precision) {
    TrainerConfig c = TrainerConfig::defaults(kind);
    c.widths = {20};
    c.critic_widths = {16, 12};
    c.batch = 45;  // three tiles, the last ragged, and a row without a partner
    c.iterations = c.validation_every = 2;
    c.validation_samples = 64;
    c.validation_bins = 2;
    c.critic_steps = 2;
    c.flow_steps = 2;
    c.time_waves = 3;
    c.precision = precision;
    c.whiten = shape.whiten;
    c.periods = shape.periods;
    c.state_periods = shape.state_periods;
    c.waves = shape.waves;
    c.latent = shape.latent;
    return c;
}

// What the CPU found first, and what others are compared with.
struct Found {
    std::vector<double> losses;
    std::vector<float> states, density;
    SafeTensors weights;
};

// Of numbers that are finite in both, or in neither.
double farthest(const std::vector<float>& a, const std::vector<float>& b) {
    REQUIRE(a.size() == b.size());
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (std::isnan(a[i]) != std::isnan(b[i])) return HUGE_VAL;
        if (!std::isnan(a[i])) worst = std::max(worst, static_cast<double>(std::fabs(a[i] - b[i])));
    }
    return worst;
}

// A training on the device; states and densities by the CPU's weights.
Found found_on(const Device& device, const Shape& shape, const TrainerConfig& config, const Found* cpu) {
    Problem problem(device, shape);
    const auto trainer = problem.trainer(config);
    trainer->advance(config.iterations);
    trainer->check();
    Found found;
    for (const auto& row : trainer->history().rows)
        found.losses.insert(found.losses.end(), row.values.begin(), row.values.end());
    found.weights = cpu ? cpu->weights : trainer->generator_tensors();

    Stream& stream = problem.stream;
    Generator generator(stream, found.weights);
    const Buffer<float> s = problem.few(problem.s, problem.conditions);
    Buffer<float> made(device, shape.states * kDrawn), q(device, kDrawn);
    generator.generate(stream, s.span(), kDrawn, 1, 0, made.span());
    found.states = to_host(stream, made.span());
    if (!generator.has_density()) return found;
    generator.propose(stream, s.span(), kDrawn, 1, kStreamProposal, 0, made.span(), q.span());
    found.density = to_host(stream, q.span());
    // Of the CPU's states.
    if (cpu) copy_to_device(stream, made.span(), cpu->states.data());
    else copy_to_device(stream, made.span(), found.states.data());
    generator.log_density(stream, s.span(), kDrawn, made.span(), q.span());
    const std::vector<float> given = to_host(stream, q.span());
    found.density.insert(found.density.end(), given.begin(), given.end());
    return found;
}

// tolerance: of losses and states of order one, relative.
void check_shape(const Shape& shape, const TrainerConfig& config, double tolerance) {
    CAPTURE(shape.name);
    CAPTURE(config.kind);
    CAPTURE(config.architecture);
    CAPTURE(std::string(precision_name(config.precision)));
    const Found cpu = found_on(test_devices()[0], shape, config, nullptr);
    for (std::size_t m = 1; m < test_devices().size(); ++m) {
        const Found found = found_on(test_devices()[m], shape, config, &cpu);
        REQUIRE(found.losses.size() == cpu.losses.size());
        for (std::size_t k = 0; k < cpu.losses.size(); ++k) {
            CAPTURE(k);
            CAPTURE(cpu.losses[k]);
            CAPTURE(found.losses[k]);
            CHECK(std::fabs(found.losses[k] - cpu.losses[k]) <= tolerance * (1 + std::fabs(cpu.losses[k])));
        }
        CHECK(farthest(found.states, cpu.states) <= 2 * tolerance);  // states of order two
        // Sums of as many logarithms as there are variables.
        CHECK(farthest(found.density, cpu.density) <= tolerance * shape.states);
    }
}

// Machines sum in other orders, and Adam's first steps are signs of gradients; factors are rounded.
constexpr double kSums = 1e-3;

}  // namespace

TEST_CASE("shapes: an adversary's updates agree for many variables and conditions of every kind") {
    const std::pair<Precision, double> choices[] = {{Precision::tf32x3, kSums},
                                                    {Precision::tf32, kSums + 4 * 0x1p-11},
                                                    {Precision::bf16, kSums + 4 * 0x1p-8},
                                                    {Precision::fp32, kSums}};
    int turn = 0;
    for (const Shape& shape : kShapes)
        for (const auto& [precision, tolerance] : choices) {
            TrainerConfig config = config_of("cgan", shape, precision);
            const char* const penalties[] = {"one_sided", "relativistic", "two_sided"};
            config.penalty = penalties[turn++ % 3];
            config.energy_weight = turn % 5 == 0 ? 0 : 1;  // without it rows have samples of their own
            check_shape(shape, config, tolerance);
        }
}

TEST_CASE("shapes: flows and the energy score agree for many variables and conditions of every kind") {
    for (const Shape& shape : kShapes)
        for (const char* kind : {"flow", "score", "energy"}) {
            TrainerConfig config = config_of(kind, shape, Precision::fp32);
            check_shape(shape, config, kSums);
        }
    // Variables on a ring, with and without convolutions.
    const Shape& ring = kShapes[0];
    for (const char* kind : {"flow", "energy"}) {
        TrainerConfig config = config_of(kind, ring, Precision::fp32);
        config.ring = true;
        check_shape(ring, config, kSums);
    }
    TrainerConfig config = config_of("flow", ring, Precision::fp32);
    config.ring = true;
    config.architecture = "conv";
    config.widths = {16, 32};
    config.kernel = 3;
    check_shape(ring, config, kSums);
}

TEST_CASE("shapes: in the portable mathematics every kind has the bits of the CPU") {
    for (const char* kind : {"cgan", "flow", "score", "energy"})
        for (const Shape& shape : kShapes) {
            CAPTURE(kind);
            CAPTURE(shape.name);
            const TrainerConfig config = config_of(kind, shape, Precision::fp32);
            const Found cpu = found_on(test_devices()[0], shape, config, nullptr);
            for (std::size_t m = 1; m < test_devices().size(); ++m) {
                Device device = test_devices()[m];
                device.compute_portably(true);
                const Found found = found_on(device, shape, config, &cpu);
                CHECK(found.losses == cpu.losses);
                CHECK(farthest(found.states, cpu.states) == 0);
                CHECK(farthest(found.density, cpu.density) == 0);
            }
        }
}

}  // namespace microlift
