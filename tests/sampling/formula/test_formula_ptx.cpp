// Formula kernels as the run-time compiler makes them, executed from their PTX: with portable
// mathematics the bits of the CPU's bytecode, with the hardware's functions close to them. Needs
// the CUDA toolkit, no GPU.
#include <doctest/doctest.h>
#include <cmath>
#include <cstring>

#include "engine/launch/lanes.h"
#include "kernels/random/streams.h"
#include "sampling/dynamics/bytecode_path.h"
#include "sampling/dynamics/cuda_path.h"
#include "tests/emulator/kernel.h"

#if defined(MICROLIFT_HAVE_CUDA)

namespace microlift {
namespace {

FormulaSystemText two_wells() {
    FormulaSystemText text;
    text.variables = {"x", "y"};
    text.potential = "(x^2 - 1)^2 + 3*(y - sin(x))^2 + 0.1*exp(-y^2)";
    text.cv = {"x"};
    text.beta = 3;
    return text;
}

FormulaSystemText matrix_noise() {
    FormulaSystemText text;
    text.variables = {"x", "y"};
    text.drift = {"-0.7*x + sin(y)", "-y - x^3"};
    text.diffusion_matrix = {{"1 + 0.1*tanh(x)", "0"}, {"0.3*cos(y)", "0.8"}};
    text.cv = {"sqrt(x^2 + y^2 + 0.1)"};
    return text;
}

// Arrays of a launch, on the host; the pointers of `args` are the host's or the device's.
struct Arrays {
    static constexpr index n = 301, steps = 40;  // whole warps and a tail
    std::vector<float> x, v, center, stiffness;
    std::vector<uint64> status{0, kStatusClear}, accepted;

    explicit Arrays(const FormulaSystem& system)
        : v(static_cast<std::size_t>(system.dim * n), 0.1f),
          accepted(static_cast<std::size_t>(n), 0) {
        for (index t = 0; t < system.dim * n; ++t)
            x.push_back(0.5f + 1e-3f * static_cast<float>(t));
        for (std::size_t k = 0; k < system.cvs.size() * static_cast<std::size_t>(n); ++k) {
            center.push_back(0.8f);
            stiffness.push_back(static_cast<float>(k % 7));
        }
    }
};

template <class Pointer>
PathArgs arguments(const Pointer& p, Arrays& a) {
    PathArgs args{};
    args.trajectories = Arrays::n;
    args.seed = 11;
    args.stream = kStreamNoise;
    args.stride = static_cast<uint64>(Arrays::steps);
    args.segments = 1;
    args.x = p(a.x);
    args.v = p(a.v);
    args.center = p(a.center);
    args.stiffness = p(a.stiffness);
    args.status = p(a.status);
    args.accepted = p(a.accepted);
    return args;
}

std::vector<float> on_cpu(const std::shared_ptr<const FormulaSystem>& system,
                          const PathSetup& setup) {
    Arrays a(*system);
    Stream stream(Device::cpu(1));
    make_formula_path_kernel(system, setup)
        ->launch(stream, arguments([](auto& host) { return host.data(); }, a));
    stream.synchronize();
    return a.x;
}

std::vector<float> emulated(const FormulaSystem& system, const PathSetup& setup) {
    Arrays a(system);
    std::vector<std::uint64_t> buffers;
    emulator::Memory& memory = emulator::Memory::device();
    const PathArgs args = arguments(
        [&]<class T>(std::vector<T>& host) {
            buffers.push_back(memory.allocate(host.size() * sizeof(T), "argument"));
            std::memcpy(memory.at(buffers.back(), host.size() * sizeof(T), emulator::Access::write),
                        host.data(), host.size() * sizeof(T));
            return reinterpret_cast<T*>(buffers.back());
        },
        a);
    const auto module =
        emulator::Module::parse(compile_formula_ptx(formula_cuda_source(system, setup), 90));
    const emulator::Kernel& kernel = *module->kernel("microlift_path");
    visit_scheme(effective_scheme(system, setup), [&](const auto& scheme) {
        const auto integrator = scheme.make(setup);
        const emulator::KernelFacts& f = emulator::facts(kernel);
        REQUIRE(f.parameter_sizes == std::vector<std::size_t>{sizeof integrator, sizeof args});
        std::vector<std::byte> packed(f.parameter_bytes);
        std::memcpy(packed.data() + f.parameter_offsets[0], &integrator, sizeof integrator);
        std::memcpy(packed.data() + f.parameter_offsets[1], &args, sizeof args);
        emulator::execute(kernel, {2, 1, 1}, {256, 1, 1}, 0, packed);
    });
    std::memcpy(a.x.data(),
                memory.at(buffers[0], a.x.size() * sizeof(float), emulator::Access::read),
                a.x.size() * sizeof(float));
    for (const std::uint64_t buffer : buffers) memory.free(buffer);
    return a.x;
}

void check_same_bits(const FormulaSystemText& text, PathSetup setup) {
    const auto system = std::make_shared<const FormulaSystem>(make_formula_system(text));
    setup.portable_math = true;
    const std::vector<float> cpu = on_cpu(system, setup), device = emulated(*system, setup);
    CHECK(std::memcmp(cpu.data(), device.data(), cpu.size() * sizeof(float)) == 0);
    CHECK(cpu != Arrays(*system).x);
}

}  // namespace

TEST_CASE(
    "ptx: formula kernels have the bits of the CPU in portable mathematics, for every scheme") {
    PathSetup setup;
    setup.dt = 1e-3;
    setup.beta = 3;
    for (const Scheme scheme : {Scheme::euler_maruyama, Scheme::leimkuhler_matthews, Scheme::heun,
                                Scheme::mala, Scheme::baoab}) {
        setup.scheme = scheme;
        check_same_bits(two_wells(), setup);
    }
    setup.scheme = Scheme::euler_maruyama;
    check_same_bits(matrix_noise(), setup);
    setup.bias = BiasKind::level_set;
    check_same_bits(two_wells(), setup);
}

// The bytecode computes force, noise and directions in one program, whose parts share subexpressions.
TEST_CASE("ptx: curved variables, noise of the state, matrices and constraints keep the bits") {
    PathSetup setup;
    setup.dt = 1e-3;
    setup.beta = 3;
    FormulaSystemText curved = two_wells(), two = two_wells(), own = matrix_noise(),
                      mixed = matrix_noise();
    curved.cv = {"x + 0.1*y^2"};
    two.cv = {"y^2 + x", "x"};
    own.diffusion_matrix.clear();
    own.diffusion = {"sqrt(1 + 0.1*y^2)", "exp(-y^2)"};
    own.cv = {"x*exp(-y^2)"};
    mixed.diffusion_matrix = {{"0.7", "0.2"}, {"-0.3", "0.8"}};  // and averaged noise
    for (const FormulaSystemText& text : {curved, two, mixed}) check_same_bits(text, setup);
    setup.scheme = Scheme::mala;
    check_same_bits(curved, setup);
    setup.scheme = Scheme::euler_maruyama;
    for (const BiasKind bias : {BiasKind::harmonic, BiasKind::level_set}) {
        setup.bias = bias;
        for (const FormulaSystemText& text : {curved, own, mixed}) check_same_bits(text, setup);
    }
}

// Angles of the noise are made from the same bits in another way, so the numbers differ and their law does not.
TEST_CASE("ptx: in the hardware's functions trajectories have the law of the portable ones") {
    PathSetup setup;
    setup.dt = 1e-3;
    setup.beta = 3;
    const auto system = std::make_shared<const FormulaSystem>(make_formula_system(two_wells()));
    const std::vector<float> cpu = on_cpu(system, setup), device = emulated(*system, setup);
    CHECK(cpu != device);
    // By variable, mean and variance of what 40 steps add: 4.5 standard errors, that of ln(variance) being
    // sqrt(2/n) for each.
    constexpr auto n = static_cast<std::size_t>(Arrays::n);
    const std::vector<float> start = Arrays(*system).x;
    for (std::size_t d = 0; d < 2; ++d) {
        double mean[2] = {}, square[2] = {};
        for (std::size_t i = d * n; i < (d + 1) * n; ++i)
            for (int m = 0; m < 2; ++m) {
                const double moved = static_cast<double>((m ? device : cpu)[i] - start[i]);
                mean[m] += moved / n;
                square[m] += moved * moved / n;
            }
        for (int m = 0; m < 2; ++m) square[m] -= mean[m] * mean[m];
        CHECK(std::fabs(mean[0] - mean[1]) < 4.5 * std::sqrt((square[0] + square[1]) / n));
        CHECK(std::fabs(std::log(square[0] / square[1])) < 4.5 * std::sqrt(4.0 / n));
    }
}

}  // namespace microlift

#else

TEST_CASE("ptx: without the toolkit no formula kernel is made") {
    CHECK_THROWS_AS(microlift::compile_formula_ptx("", 90), microlift::DeviceError);
}

#endif
