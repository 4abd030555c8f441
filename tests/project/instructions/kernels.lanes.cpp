// Six benchmark kernels, as tools/checks/instruction_counts.py has them counted. Prints the compiler, and a line for
// each: its name, how many units of work it did, and what a unit is.
//
// usage: counted_kernels PRMTOP INPCRD
#include <cmath>
#include <cstdio>
#include <functional>
#include <numbers>

#include "kernels/dynamics/systems.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "nn/generators/cgan.h"
#include "nn/generators/latent_sampler.h"
#include "sampling/dynamics/bytecode_path.h"
#include "sampling/dynamics/molecule_path.h"
#include "sampling/estimate/mbar.h"
#include "sampling/molecule/files/amber_topology.h"
#include "sampling/molecule/files/coordinates.h"
#include "sampling/molecule/hydrogens.h"

namespace microlift {

// Instructions are counted from its call to its return, and nowhere else. Callgrind finds it by its name: it has one
// outside of this file, and is not inlined, nor its last call made a jump.
[[gnu::noipa]] void counted(const std::function<void()>& work) {
    work();
    asm volatile("");
}

namespace {

void count(const char* name, index units, const char* unit, const std::function<void()>& work) {
    work();  // once before: memory is touched, work areas are made
    counted(work);
    std::printf("%s %lld %s\n", name, static_cast<long long>(units), unit);
}

std::size_t at(index i) { return static_cast<std::size_t>(i); }

// Trajectories of a kernel, all from one state under one umbrella.
class Paths {
public:
    Paths(const std::vector<float>& start, int velocities, float center, float stiffness, index n)
        : n_(n), center_(at(n), center), stiffness_(at(n), stiffness), v_(at(velocities * n), 0.0f) {
        for (const float x : start) x_.insert(x_.end(), at(n), x);
    }
    void advance(const PathKernel& kernel, Stream& stream, uint64 steps) {
        kernel.launch(stream, {n_, 0, 5, kStreamNoise, done_, steps, 1, x_.data(), v_.empty() ? nullptr : v_.data(),
                               center_.data(), stiffness_.data(), nullptr, nullptr, 0, status_, nullptr, {}, 0});
        done_ += steps;
        if (status_[0] != 0) std::printf("not finite\n");  // a line that the counts do not have
    }

private:
    index n_;
    std::vector<float> center_, stiffness_, x_, v_;
    uint64 status_[2] = {0, kStatusClear}, done_ = 0;
};

void count_paths(Stream& stream, const char* name, const PathKernel& kernel) {
    constexpr index kTrajectories = 64, kSteps = 128;
    Paths paths({-0.5f, 1.5f}, 0, -0.5f, 1500, kTrajectories);
    count(name, kTrajectories * kSteps, "trajectory-step",
          [&] { paths.advance(kernel, stream, at(kSteps)); });
}

constexpr double kKt = 15, kTimeStep = 1e-4;

void muller_brown(Stream& stream) {
    const float dt = static_cast<float>(kTimeStep);
    count_paths(stream, "muller_brown",
                *typed_path_kernel<HarmonicBias>(MullerBrown{{static_cast<float>(std::sqrt(2 * kKt))}},
                                                 CoordinateCv<0, 2>{}, LeimkuhlerMatthews{dt, std::sqrt(dt)}, true));
}

void formula(Stream& stream) {
    FormulaSystemText text;
    text.variables = {"x", "y"};
    text.potential = "-200*exp(-(x - 1)^2 - 10*y^2) - 100*exp(-x^2 - 10*(y - 0.5)^2)"
                     " - 170*exp(-6.5*(x + 0.5)^2 + 11*(x + 0.5)*(y - 1.5) - 6.5*(y - 1.5)^2)"
                     " + 15*exp(0.7*(x + 1)^2 + 0.6*(x + 1)*(y - 1) + 0.7*(y - 1)^2)";
    text.cv = {"x"};
    text.beta = 1 / kKt;
    PathSetup setup;
    setup.dt = kTimeStep;
    setup.beta = text.beta;
    count_paths(stream, "formula", *make_formula_path_kernel(
                                       std::make_shared<FormulaSystem>(make_formula_system(text)), setup));
}

void networks(Stream& stream) {
    constexpr index kColumns = 1024, kTrajectories = 64, kStates = 512;
    TrainerConfig config;  // 3 × 64, five critic steps
    config.batch = 64;
    config.iterations = config.validation_every = 3;
    config.validation_bins = 2;
    config.validation_samples = 64;
    config.precision = Precision::fp32;
    std::vector<float> y(kColumns), s(kColumns);
    for (index j = 0; j < kColumns; ++j) {
        float z[4];
        normal_block<Portable>(PhiloxStream<float>(1, kStreamTest, j), 0, z);
        s[at(j)] = 2 * (static_cast<float>(j) + 0.5f) / kColumns - 1;
        y[at(j)] = s[at(j)] + (z[1] > 0 ? 0.5f : -0.5f) + 0.15f * z[0];
    }
    const std::unique_ptr<GeneratorTrainer> cgan = make_cgan(stream, config, 1, 1);
    cgan->set_data({y.data(), kColumns}, {s.data(), kColumns}, kColumns, kColumns, kTrajectories);
    count("training", 1, "update", [&] { cgan->advance(1); });
    cgan->advance(1);  // is validated

    const SafeTensors content = cgan->generator_tensors();
    const Whitening whitening(stream, content.tensors);
    const LoadedGenerator generator = load_latent(stream.device(), content, whitening.view());
    std::vector<float> states(kStates);
    count("sampling", kStates, "state", [&] {
        generator.sampler->run(stream, {whitening.view(), generator.parameters.data()}, {s.data(), 1, kStates, kStates},
                               {1, kStreamGenerate, 0}, {states.data(), 1, kStates, kStates}, Precision::fp32);
    });
}

// Windows k/2 (x − c)² on N(0, 1), as the benchmark has them.
void mbar(Stream& stream) {
    constexpr index kWindows = 16, kSamples = 400, kTotal = kWindows * kSamples, kPoints = 96;
    constexpr double kStiffness = 40, kReach = 3, kIterations = 2;
    Mixture mixture;
    mixture.windows = kWindows;
    mixture.population.assign(kWindows, static_cast<double>(kSamples));
    mixture.half_stiffness.assign(kWindows, kStiffness / 2);
    GatheredSamples gathered;
    gathered.count.assign(kPoints, 0.0);
    const double range[2] = {-kReach, kReach}, width = 2 * kReach / kPoints;
    for (index m = 0; m < kPoints; ++m) gathered.x.push_back((static_cast<double>(m) + 0.5) * width - kReach);
    std::vector<float> xi(kTotal), log_weight(kTotal);
    for (index w = 0; w < kWindows; ++w) {
        const double c = kReach * (2.0 * static_cast<double>(w) / (kWindows - 1) - 1);
        mixture.center.push_back(c);
        for (index k = 0; k < kSamples; ++k) {
            float z[4];
            normal_block<Portable>(PhiloxStream<float>(1, kStreamTest, w), at(k), z);
            const double x = (kStiffness * c + std::sqrt(1 + kStiffness) * static_cast<double>(z[0])) / (1 + kStiffness);
            const double inside = std::fmin(std::fmax(x, -kReach + 0.5 * width), kReach - 0.5 * width);
            xi[at(w * kSamples + k)] = static_cast<float>(inside);
            ++gathered.count[static_cast<std::size_t>((inside + kReach) / width)];
        }
    }
    BiasedSamples samples;
    samples.xi = {xi.data(), kTotal};
    samples.row = samples.n = kTotal;
    const std::vector<double> start(kWindows, std::log(static_cast<double>(kSamples)));
    count("mbar", kTotal * static_cast<index>(kIterations), "sample-iteration", [&] {
        solve_streaming(stream, mixture, samples, range, gathered, start, 0, static_cast<index>(kIterations),
                        log_weight.data());
    });
}

// Alanine dipeptide in vacuum: rigid X–H, 2 fs.
void molecule(Stream& stream, const char* topology, const char* coordinates) {
    constexpr index kReplicas = 8, kSteps = 32;
    const auto dipeptide = std::make_shared<Molecule>(read_amber_topology(TextFile(topology), {}));
    make_hydrogen_bonds_rigid(*dipeptide);
    MoleculeSetup setup;
    setup.dt = 0.002;
    setup.cvs = {{MoleculeCvKind::dihedral, {4, 6, 8, 14}}};
    const std::vector<double> read = read_amber_coordinates(TextFile(coordinates)).position;
    Paths paths(std::vector<float>(read.begin(), read.end()), static_cast<int>(read.size()),
                std::numbers::pi_v<float>, 200, kReplicas);
    const auto kernel = make_molecule_path_kernel(dipeptide, setup);
    count("molecule_vacuum", kReplicas * kSteps, "replica-step",
          [&] { paths.advance(*kernel, stream, at(kSteps)); });
}

}  // namespace
}  // namespace microlift

int main(int argc, char** argv) {
    using namespace microlift;
    if (argc != 3) return 2;
    std::printf("GCC %s\n", __VERSION__);
    Stream stream(Device::cpu(1));
    muller_brown(stream);
    formula(stream);
    networks(stream);
    mbar(stream);
    molecule(stream, argv[1], argv[2]);
}
