// One source, every machine: the same small work on each device, compared with the CPU's two threads. Where
// there is no GPU the other machine is the CPU with one thread. tools/cuda_suite.sh runs this file under
// compute-sanitizer too, so it stays small.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <memory>

#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "nn/generators/generator.h"
#include "nn/generators/registry.h"
#include "sampling/dynamics/systems.h"
#include "sampling/estimate/free_energy.h"
#include "sampling/model/model.h"
#include "sampling/run/config/run_config.h"
#include "tests/support/devices.h"
#include "tests/support/ensemble_state.h"

namespace microlift {
namespace {

const std::vector<Device>& machines() {
    static const std::vector<Device> all = [] {
        std::vector<Device> list = test_devices();  // the first is the CPU with two threads
        list.push_back(Device::cpu(1));
        return list;
    }();
    return all;
}

std::vector<float> end_state(const Device& device, const RunConfig& run,
                             const std::vector<double>& start) {
    constexpr index n = 1037;  // whole packs and blocks, and a tail
    const Model model(run);
    Stream stream(device);
    PathSetup setup = model.path_setup(run.integrator);
    setup.portable_math = true;
    const std::shared_ptr<const PathKernel> kernel = model.path_kernel(setup);
    std::vector<float> x, center, stiffness(static_cast<std::size_t>(n));
    for (const double value : start)
        for (index t = 0; t < n; ++t)
            x.push_back(static_cast<float>(value + 1e-4 * static_cast<double>(t)));
    for (index t = 0; t < n; ++t) {
        center.push_back(static_cast<float>(start[0]));
        stiffness[static_cast<std::size_t>(t)] = static_cast<float>(t % 7);
    }
    return advanced_state(stream, kernel, n, x, center, stiffness);
}

RunConfig config(const std::string& system, const std::string& cv, const std::string& scheme,
                 const std::string& dt) {
    return parse_run_config("[system]\n" + system + "\n[cv]\nvariables = [\"" + cv +
                                "\"]\n[integrator]\nscheme = \"" + scheme + "\"\ndt = " + dt +
                                "\n[umbrella]\nfrom = -1.0\nto = 1.0\nwindows = 2\n"
                                "stiffness = 1.0\nreplicas = 1\nsteps = 10\nstride = 10\n",
                            "test.toml");
}

}  // namespace

TEST_CASE("machines: portable trajectories have the same bits") {
    struct Case {
        std::string system, cv, dt;
        std::vector<double> start;
        bool gradient;
    };
    std::vector<Case> cases;
    for (const SystemInfo& info : system_registry()) {
        const bool gradient = info.gradient();
        const std::string beta =
            info.name.starts_with("muller_brown") ? "0.0666667" : "1.0";  // kT = 15, its usual temperature
        cases.push_back({"name = \"" + info.name + "\"" + (gradient ? "\nbeta = " + beta : ""),
                         info.variables[0], info.name.starts_with("muller_brown") ? "1e-4" : "1e-3",
                         info.initial, gradient});
    }
    cases.push_back({"variables = [\"x\", \"y\"]\nbeta = 2.0\n"
                     "potential = \"(x^2-1)^2 + 0.3*sin(3*x)*y + exp(-y^2) + y^2*sqrt(1+x^2)\"",
                     "x", "1e-3", {-0.5, 0.3}, true});
    cases.push_back({"variables = [\"x\", \"y\"]\nbeta = 2.0\npotential = \"(x^2-1)^2 + exp(-y^2) + y^2\"",
                     "x + 0.1*y^2", "1e-3", {-0.5, 0.3}, true});
    cases.push_back({"variables = [\"x\", \"y\"]\ndrift = [\"-x*y^2\", \"-y\"]\n"
                     "diffusion = [[\"0.7\", \"0.2\"], [\"-0.3\", \"0.8\"]]",
                     "x", "1e-3", {-0.5, 0.3}, false});
    for (const Case& c : cases)
        for (const std::string scheme :
             {"euler_maruyama", "leimkuhler_matthews", "heun", "mala", "baoab"}) {
            if (!c.gradient && (scheme == "baoab" || scheme == "mala")) continue;
            CAPTURE(c.system);
            CAPTURE(scheme);
            const RunConfig run = config(c.system, c.cv, scheme, c.dt);
            const std::vector<float> expected = end_state(machines()[0], run, c.start);
            CHECK(expected[0] != static_cast<float>(c.start[0]));
            for (std::size_t m = 1; m < machines().size(); ++m) {
                CAPTURE(machines()[m].description());
                const std::vector<float> found = end_state(machines()[m], run, c.start);
                REQUIRE(found.size() == expected.size());
                index different = 0;
                for (std::size_t i = 0; i < found.size(); ++i)
                    if (std::memcmp(&found[i], &expected[i], sizeof(float)) != 0) ++different;
                CHECK(different == 0);
            }
        }
}

namespace {

// A small cGAN with its data.
struct Training {
    static constexpr index columns = 4096;
    Stream stream;
    Buffer<float> states, conditions;
    std::unique_ptr<GeneratorTrainer> cgan;

    static TrainerConfig small(Precision precision) {
        TrainerConfig config;
        config.widths = config.critic_widths = {24, 24};
        config.batch = 80;
        config.iterations = 3;
        config.validation_every = 3;
        config.precision = precision;
        return config;
    }
    Training(const Device& device, Precision precision, bool graph) : Training(device, [&] {
        TrainerConfig config = small(precision);
        config.graph = graph;
        return config;
    }()) {}
    Training(const Device& device, const TrainerConfig& config)
        : stream(device), states(device, columns), conditions(device, columns) {
        std::vector<float> x, s;
        for (index j = 0; j < columns; ++j) {
            const PhiloxStream<float> rng(5, kStreamTest, j);
            float z[4];
            normal_block<Portable>(rng, 0, z);
            s.push_back(std::tanh(z[0]));
            x.push_back(s.back() + 0.3f * z[1]);
        }
        copy_to_device(stream, states.span(), x.data());
        copy_to_device(stream, conditions.span(), s.data());
        cgan = make_trainer(stream, config, 1, 1);
        cgan->set_data(states.span(), conditions.span(), columns, columns, 64);
    }
};

}  // namespace

TEST_CASE("machines: three updates of a generator agree, in every precision") {
    struct Choice {
        Precision precision;
        double tolerance;  // of losses of order one, where the device computes in it
    };
    // In fp32 machines sum in other orders, and Adam's first steps are signs of gradients: 1e-3. On the
    // CPU, factors rounded to tf32 and bf16 moved these losses by up to 1.6e-4 and 1.1e-3; five times
    // that is added.
    const Choice choices[] = {{Precision::fp32, 1e-3},
                              {Precision::tf32x3, 1e-3},
                              {Precision::tf32, 2e-3},
                              {Precision::bf16, 7e-3}};
    std::vector<TrainingHistory::Row> expected;
    for (const Choice& choice : choices)
        for (const Device& device : machines()) {
            CAPTURE(device.description());
            CAPTURE(std::string(precision_name(choice.precision)));
            Training training(device, choice.precision, true);
            GeneratorTrainer& cgan = *training.cgan;
            CHECK(cgan.precision() == (device.is_cpu() ? Precision::fp32 : choice.precision));
            cgan.advance(3);
            cgan.check();
            const auto rows = cgan.history().rows;
            REQUIRE(rows.size() == 3);
            if (expected.empty()) expected = rows;
            // The CPU has the same bits with one thread and two, whatever is asked for.
            const double tolerance = device.is_cpu() ? 0 : choice.tolerance;
            for (std::size_t k = 0; k < 3; ++k) {
                REQUIRE(rows[k].values.size() == 3);
                for (std::size_t loss = 0; loss < 3; ++loss) {
                    CAPTURE(k);
                    CAPTURE(loss);
                    CAPTURE(expected[k].values[loss]);
                    CHECK(std::fabs(rows[k].values[loss] - expected[k].values[loss]) <= tolerance);
                }
            }
            // The weights say in which precision they want to be used.
            const SafeTensors weights = cgan.generator_tensors();
            CHECK(weights.text("precision") == precision_name(choice.precision));
            Stream& stream = training.stream;
            Generator generator(stream, weights);
            Buffer<float> made(device, Training::columns);
            generator.generate(stream, training.conditions.span(), Training::columns, 1, 0,
                               made.span());
            for (const float value : to_host(stream, made.span())) REQUIRE(std::isfinite(value));
        }
}

TEST_CASE("machines: an update agrees with every activation, penalty and width") {
    const char* const activations[] = {"silu", "leaky_relu", "tanh", "softplus"};
    const char* const penalties[] = {"one_sided", "two_sided", "relativistic"};
    const std::vector<index> widths[] = {{24, 40}, {128, 16}, {17, 64, 33}, {56}};
    struct Choice {
        Precision precision;
        double tolerance;  // of losses of order one: as above in fp32, and four roundings of a factor
    };
    const double fp32 = 1e-3;
    const Choice choices[] = {{Precision::tf32x3, fp32},
                              {Precision::tf32, fp32 + 4 * 0x1p-11},
                              {Precision::bf16, fp32 + 4 * 0x1p-8},
                              {Precision::fp32, fp32}};
    for (std::size_t a = 0; a < 4; ++a)
        // With each activation the fused kernels' three precisions have every penalty.
        for (const std::size_t k : {0, 1, 2, 3, 4, 5, 6, 8, 9, 10}) {
            const std::size_t p = k % 4;
            const bool large = k / 4 == 1;  // tiles of 32 rows, and a tail
            TrainerConfig config = Training::small(choices[p].precision);
            config.activation = activations[a];
            config.penalty = penalties[(a + p + k / 4) % 3];
            config.widths = widths[a];
            config.critic_widths = widths[(a + p + 1) % 4];
            config.batch = 40 + static_cast<index>(7 * a);
            config.iterations = 1;
            if (k >= 4) config.widths = {16}, config.critic_widths = {24}, config.critic_steps = 1;
            if (large) config.batch = 4300;
            CAPTURE(config.batch);
            CAPTURE(config.activation);
            CAPTURE(config.penalty);
            CAPTURE(std::string(precision_name(config.precision)));
            std::vector<double> expected;
            std::vector<float> states;
            std::unique_ptr<SafeTensors> weights;  // of the CPU's generator
            for (const Device& device : test_devices()) {
                Training training(device, config);
                training.cgan->advance(1);
                training.cgan->check();
                const auto rows = training.cgan->history().rows;
                REQUIRE(rows.size() == 1);
                const std::vector<double> found(rows[0].values.begin(), rows[0].values.end());
                if (expected.empty()) expected = found;
                for (std::size_t loss = 0; loss < 3; ++loss) {
                    CAPTURE(loss);
                    CAPTURE(expected[loss]);
                    CHECK(std::fabs(found[loss] - expected[loss]) <= choices[p].tolerance);
                }
                if (!weights)
                    weights = std::make_unique<SafeTensors>(training.cgan->generator_tensors());
                const index n = large ? 4300 : 300;
                std::vector<float> at;
                for (index j = 0; j < n; ++j) at.push_back(-0.9f + 1.8f * static_cast<float>(j) / static_cast<float>(n));
                Buffer<float> conditions(device, n), made(device, n);
                copy_to_device(training.stream, conditions.span(), at.data());
                Generator generator(training.stream, *weights);
                generator.generate(training.stream, conditions.span(), n, 1, 0, made.span());
                const std::vector<float> now = to_host(training.stream, made.span());
                if (states.empty()) states = now;
                double worst = 0;
                for (std::size_t j = 0; j < now.size(); ++j)
                    worst = std::max(worst, static_cast<double>(std::fabs(now[j] - states[j])));
                CHECK(worst <= 2 * choices[p].tolerance);  // states of order two
            }
        }
}

TEST_CASE("machines: an update of a generator is eight launches where its kernels are fused") {
    for (const Device& device : machines()) {
        CAPTURE(device.description());
        Training training(device, Precision::tf32, false);
        const uint64 before = transfer_counters().kernel_launches;
        training.cgan->advance(1);
        // Sweeps and Adam of two critic steps; sweeps, rates, Adam and the record of the generator's.
        // Only unfused, a critic step advances its rates by a launch of its own.
        CHECK(transfer_counters().kernel_launches - before == (device.is_cpu() ? 8 + 2 : 8));
    }
}

TEST_CASE("machines: free energies agree") {
    constexpr index windows = 6, replicas = 20, samples = 30, total = windows * replicas * samples;
    BiasWindows bias;
    bias.beta = {1, 1};
    for (index w = 0; w < windows; ++w) {
        bias.center.push_back({0.4 * static_cast<double>(w) - 1, 0});
        bias.stiffness.push_back({10, 0});
    }
    std::vector<float> xi;
    for (index s = 0; s < samples; ++s)
        for (index t = 0; t < windows * replicas; ++t) {
            const PhiloxStream<float> rng(6, kStreamTest, t);
            float z[4];
            normal_block<Portable>(rng, static_cast<uint64>(s), z);
            const double c = bias.center[static_cast<std::size_t>(t / replicas)][0];
            xi.push_back(static_cast<float>(10 * c / 11 + static_cast<double>(z[0]) / std::sqrt(11.0)));
        }
    std::vector<std::vector<double>> found;
    for (const Device& device : machines()) {
        Stream stream(device);
        Buffer<float> on_device(device, total);
        copy_to_device(stream, on_device.span(), xi.data());
        BiasedSamples biased;
        biased.xi = on_device.span();
        biased.row = biased.n = total;
        biased.blocks = {{0, 0, windows, replicas, samples}};
        Grid grid;
        grid.from[0] = -1;
        grid.to[0] = 1;
        grid.bins[0] = 20;
        const FreeEnergyResult result = estimate_free_energy(stream, biased, bias, grid, {});
        REQUIRE(result.converged);
        found.push_back(result.window_f);
    }
    for (std::size_t m = 1; m < found.size(); ++m)
        for (index w = 0; w < windows; ++w)
            CHECK(found[m][static_cast<std::size_t>(w)] ==
                  doctest::Approx(found[0][static_cast<std::size_t>(w)]).epsilon(1e-8));
}

}  // namespace microlift
