// Formula systems compiled while a run goes on: the bits of the bytecode.
#include <doctest/doctest.h>

#include <cstdlib>
#include <typeinfo>

#include "sampling/dynamics/compiled_path.h"
#include "sampling/dynamics/bytecode_path.h"
#include "sampling/dynamics/ensemble.h"
#include "sampling/model/model.h"

namespace microlift {
namespace {

// With what is told on the way: samples, and steps that were not refused.
std::vector<float> end_state(const std::shared_ptr<const FormulaSystem>& system, PathSetup setup,
                             double compile_after) {
    constexpr index n = 1037;  // whole packs and a tail
    setup.compile_after = compile_after;
    Stream stream(Device::cpu(2));
    const std::shared_ptr<const PathKernel> kernel = make_formula_path_kernel(system, setup);
    std::vector<float> x, center, stiffness;
    for (int d = 0; d < system->dim; ++d)
        for (index t = 0; t < n; ++t)
            x.push_back(0.5f + 0.1f * static_cast<float>(d) + 1e-4f * static_cast<float>(t));
    for (std::size_t k = 0; k < system->cvs.size(); ++k)
        for (index t = 0; t < n; ++t) {
            center.push_back(0.8f);
            stiffness.push_back(static_cast<float>(stiffness.size() % 7));
        }
    Ensemble ensemble(stream, kernel, n, 11, kStreamNoise);
    copy_to_device(stream, ensemble.x(), x.data());
    copy_to_device(stream, ensemble.center(), center.data());
    copy_to_device(stream, ensemble.stiffness(), stiffness.data());
    SampleSet samples(stream.device(), system->dim, kernel->n_cvs(), 3 * n);
    ensemble.advance(33);  // an odd number: half of a block of normals is left
    ensemble.sample(17, 3, samples);
    ensemble.advance(64);
    ensemble.check_finite([](index) { return std::string("test"); });
    std::vector<float> all = ensemble.save_state();
    for (const std::vector<float>& more : {to_host(stream, samples.x.span()), to_host(stream, samples.xi.span())})
        all.insert(all.end(), more.begin(), more.end());
    for (const uint64 accepted : ensemble.accepted()) all.push_back(static_cast<float>(accepted));
    return all;
}

// In the compiled loop, too, and not in bytecode that stayed.
void check_same_bits(const FormulaSystemText& text, const PathSetup& setup) {
    const auto system = std::make_shared<const FormulaSystem>(make_formula_system(text));
    std::string why_not;
    if (!compile_formula_path(*system, setup, "native", why_not)) {
        MESSAGE("not compiled here: " << why_not);
        return;
    }
    CAPTURE(text.cv.front());
    const uint64 before = launch_count(typeid(CompiledFormula)).launches;
    const std::vector<float> compiled = end_state(system, setup, 0);
    const uint64 after = launch_count(typeid(CompiledFormula)).launches;
    CHECK(after > before);
    CHECK(compiled == end_state(system, setup, -1));
    CHECK(launch_count(typeid(CompiledFormula)).launches == after);
}

FormulaSystemText two_wells() {
    FormulaSystemText text;
    text.variables = {"x", "y"};
    text.potential = "(x^2 - 1)^2 + 3*(y - sin(x))^2 + 0.1*exp(-y^2)";
    text.cv = {"x"};
    text.beta = 3;
    return text;
}

}  // namespace

TEST_CASE("formula compiled: umbrella runs have the bits of the bytecode") {
    PathSetup setup;
    setup.dt = 1e-3;
    setup.beta = 3;
    for (const Scheme scheme :
         {Scheme::euler_maruyama, Scheme::leimkuhler_matthews, Scheme::heun, Scheme::mala,
          Scheme::baoab}) {
        setup.scheme = scheme;
        check_same_bits(two_wells(), setup);
    }
    setup.scheme = Scheme::leimkuhler_matthews;
    setup.philox_rounds = kPhiloxFewRounds;
    check_same_bits(two_wells(), setup);
}

TEST_CASE("formula compiled: umbrellas all round a period have the bits of the bytecode") {
    FormulaSystemText text;
    text.variables = {"x", "y"};
    text.potential = "cos(x) + 0.5*cos(2*y) + 0.3*cos(x - y)";
    text.beta = 1;
    PathSetup setup;
    setup.dt = 1e-2;
    setup.periods.period[0] = 1.5f;  // so short that trajectories cross the seam
    setup.periods.middle[0] = 0.2f;
    for (const Scheme scheme : {Scheme::leimkuhler_matthews, Scheme::mala, Scheme::baoab}) {
        setup.scheme = scheme;
        text.cv = {"x"};
        check_same_bits(text, setup);
        text.cv = {"x - y", "x + y"};
        setup.periods.period[1] = 2.0f;
        check_same_bits(text, setup);
        setup.periods.period[1] = 0.0f;
    }
}

TEST_CASE("formula compiled: Milstein has the bits of the bytecode") {
    FormulaSystemText text;
    text.variables = {"x", "y"};
    text.drift = {"x - x^3 + 0.2*y", "-y"};
    text.diffusion = {"0.3 + 0.1*tanh(x)", "0.5*sqrt(1 + y^2)"};
    PathSetup setup;
    setup.dt = 1e-3;
    setup.scheme = Scheme::milstein;
    text.cv = {"x"};
    check_same_bits(text, setup);
    text.cv = {"x^2 + y", "y"};
    check_same_bits(text, setup);
    setup.philox_rounds = kPhiloxFewRounds;
    check_same_bits(text, setup);
}

TEST_CASE("formula compiled: curved variables have the bits of the bytecode with every scheme") {
    FormulaSystemText text = two_wells();
    PathSetup setup;
    setup.dt = 1e-3;
    setup.beta = 3;
    for (const Scheme scheme : {Scheme::euler_maruyama, Scheme::leimkuhler_matthews, Scheme::heun,
                                Scheme::mala, Scheme::baoab}) {
        setup.scheme = scheme;
        for (const std::vector<std::string>& cv : {std::vector<std::string>{"sqrt(x^2 + y^2 + 0.1)"},
                                                   {"x", "x*y"}, {"x^2 - y", "atan(y + x)"}}) {
            text.cv = cv;
            check_same_bits(text, setup);
        }
    }
}

TEST_CASE("formula compiled: held variables have the bits of the bytecode, flat or curved, one or two") {
    PathSetup setup;
    setup.dt = 1e-3;
    setup.beta = 3;
    setup.bias = BiasKind::level_set;
    FormulaSystemText text = two_wells();
    text.variables.push_back("z");
    text.potential += " + (z - 0.3*x*y)^2";
    for (const std::vector<std::string>& cv :
         {std::vector<std::string>{"x"}, {"0.3*x + 0.7*y - 0.1*z"}, {"x + y", "z - 0.2*x"},
          {"sqrt(x^2 + y^2 + 0.1)"}, {"x", "z*y + x"}, {"x + 0.1*sin(z)", "y + 0.2*x^2"}}) {
        text.cv = cv;
        check_same_bits(text, setup);
    }
    setup.periods.period[0] = 1.5f;
    check_same_bits(text, setup);
    setup.periods.period[0] = 0.0f;
    FormulaSystemText driven;  // no potential: projections along D∇ξ
    driven.variables = {"x", "y"};
    driven.drift = {"-x + sin(y)", "-y"};
    driven.diffusion = {"1", "0.5"};
    driven.cv = {"x + 0.5*y"};
    check_same_bits(driven, setup);
    driven.diffusion = {"1 + 0.1*tanh(x)", "0.5"};
    check_same_bits(driven, setup);
    driven.diffusion.clear();
    driven.diffusion_matrix = {{"1", "0.2"}, {"0", "0.5 + 0.1*cos(y)"}};
    check_same_bits(driven, setup);
}

TEST_CASE("formula compiled: noise by a matrix, a curved variable and constraints keep their bits") {
    FormulaSystemText text;
    text.variables = {"x", "y", "z"};
    text.drift = {"-x + sin(y)", "-y - y^3", "-2*z"};
    text.diffusion_matrix = {{"1 + 0.1*tanh(x)", "0", "0"}, {"0.3*cos(y)", "0.8", "0"}, {"0", "0.1", "0.5"}};
    text.cv = {"sqrt(x^2 + y^2 + 0.1)"};
    PathSetup setup;
    setup.dt = 1e-3;
    setup.scheme = Scheme::euler_maruyama;
    check_same_bits(text, setup);
    text.diffusion_matrix.clear();
    text.diffusion = {"1", "0.5", "2"};
    text.cv = {"x - 0.3*y", "2*z"};
    check_same_bits(text, setup);

    FormulaSystemText curved = two_wells();
    curved.cv = {"sqrt(x^2 + y^2 + 0.1)"};
    setup.beta = 3;
    check_same_bits(curved, setup);
    setup.bias = BiasKind::level_set;
    check_same_bits(curved, setup);
    check_same_bits(two_wells(), setup);
}

TEST_CASE("formula compiled: without a compiler the bytecode goes on, and the reason is known") {
    FormulaSystemText text = two_wells();
    text.potential += " + 0.25*y^4";  // not compiled by another case
    const auto system = std::make_shared<const FormulaSystem>(make_formula_system(text));
    PathSetup setup;
    setup.dt = 1e-3;
    setup.beta = 3;
    setenv("MICROLIFT_CXX", "/nonexistent/compiler", 1);
    std::string why_not;
    const bool compiled = compile_formula_path(*system, setup, "native", why_not) != nullptr;
    CHECK(!compiled);
    CHECK(why_not.find("/nonexistent/compiler") != std::string::npos);
    CHECK(end_state(system, setup, 0) == end_state(system, setup, -1));
    unsetenv("MICROLIFT_CXX");
}

}  // namespace microlift
