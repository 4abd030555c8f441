// The CUDA source of formula systems, compiled to PTX by NVRTC: needs the toolkit, no GPU.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "sampling/dynamics/cuda_path.h"

using namespace microlift;

namespace {

FormulaSystemText muller_brown() {
    FormulaSystemText text;
    text.variables = {"x", "y"};
    text.potential =
        "-200*exp(-(x-1)^2 - 10*y^2) - 100*exp(-x^2 - 10*(y-0.5)^2)"
        " - 170*exp(-6.5*(x+0.5)^2 + 11*(x+0.5)*(y-1.5) - 6.5*(y-1.5)^2)"
        " + 15*exp(0.7*(x+1)^2 + 0.6*(x+1)*(y-1) + 0.7*(y-1)^2)";
    text.cv = {"x"};
    text.beta = 1.0 / 15;
    return text;
}

// A chain of 16 variables in double wells, with a CV over all of them.
FormulaSystemText chain() {
    FormulaSystemText text;
    std::string sum;
    for (int d = 0; d < 16; ++d) {
        const std::string x = "x" + std::to_string(d);
        text.variables.push_back(x);
        text.potential += (d ? " + (" : "(") + x + "^2 - 1)^2";
        if (d) text.potential += " + 0.5*(" + x + " - x" + std::to_string(d - 1) + ")^2";
        sum += (d ? " + " : "") + x;
    }
    text.cv = {"(" + sum + ")/16"};
    text.beta = 2;
    return text;
}

FormulaSystemText matrix_noise() {
    FormulaSystemText text;
    text.variables = {"x", "y"};
    text.parameters = {{"a", 0.7}};
    text.drift = {"-a*x + sin(y)", "-y - x^3"};
    text.diffusion_matrix = {{"1 + 0.1*tanh(x)", "0"}, {"0.3*cos(y)", "0.8"}};
    text.observe = {"x*y", "exp(-x^2)"};
    text.cv = {"sqrt(x^2 + y^2 + 0.1)"};
    return text;
}

FormulaSystemText ring() {
    FormulaSystemText text;
    text.variables = {"x", "y"};
    text.potential = "(x^2 + y^2 - 1)^2 + 0.3*x";
    text.cv = {"x^2 + y"};
    text.beta = 3;
    return text;
}

// Compiles, and finds the entry point with the target asked for in the PTX; which it returns.
std::string check_compiles(const FormulaSystemText& text, const PathSetup& setup) {
    const FormulaSystem system = make_formula_system(text);
    const std::string source = formula_cuda_source(system, setup);
    std::string ptx;
#if defined(MICROLIFT_HAVE_CUDA)
    CHECK_NOTHROW(ptx = compile_formula_ptx(source, 90));
    CHECK(ptx.find(".entry microlift_path") != std::string::npos);
    CHECK(ptx.find(".target sm_90") != std::string::npos);
    // The portable mathematics is the CPU's, bit for bit: nothing approximate, nothing contracted.
    if (setup.portable_math) {
        CHECK(ptx.find(".approx") == std::string::npos);
        CHECK(ptx.find("mad.f32") == std::string::npos);
    }
#else
    CHECK_THROWS_AS(compile_formula_ptx(source, 90), DeviceError);
#endif
    return ptx;
}

}  // namespace

TEST_CASE("Mueller-Brown as a formula compiles with both mathematics") {
    // tools/checks/sass_report.py asks for the PTX to count its instructions.
    const char* folder = std::getenv("MICROLIFT_WRITE_PTX");
    for (const auto& [scheme, name] : {std::pair{Scheme::euler_maruyama, "EulerMaruyama"},
                                       std::pair{Scheme::leimkuhler_matthews, "LeimkuhlerMatthews"}})
        for (const bool portable : {true, false}) {
            PathSetup setup;
            setup.scheme = scheme;
            setup.portable_math = portable;
            const std::string ptx = check_compiles(muller_brown(), setup);
            if (folder && !portable) std::ofstream(std::string(folder) + "/" + name + ".ptx") << ptx;
        }
}

TEST_CASE("drift with a state-dependent diffusion matrix and a non-linear CV compiles") {
    PathSetup setup;
    setup.scheme = Scheme::euler_maruyama;
    for (const BiasKind bias : {BiasKind::harmonic, BiasKind::grid, BiasKind::level_set}) {
        setup.bias = bias;
        check_compiles(matrix_noise(), setup);
    }
}

TEST_CASE("Heun, MALA, BAOAB and Milstein compile") {
    PathSetup setup;
    setup.portable_math = true;
    for (const Scheme scheme : {Scheme::heun, Scheme::mala, Scheme::baoab}) {
        setup.scheme = scheme;
        check_compiles(muller_brown(), setup);
    }
    setup.scheme = Scheme::milstein;
    FormulaSystemText own = matrix_noise();
    own.diffusion_matrix.clear();
    own.diffusion.assign(own.variables.size(), "0.3");
    own.diffusion[0] = "1 + 0.1*tanh(" + own.variables[0] + ")";
    check_compiles(own, setup);
}

TEST_CASE("sixteen variables compile") { check_compiles(chain(), PathSetup{}); }

TEST_CASE("two CVs compile") {
    FormulaSystemText text = ring();
    text.cv = {"x", "y^3 + x"};
    check_compiles(text, PathSetup{});
}

TEST_CASE("constrained dynamics compiles, with the Fixman term where the CV is non-linear") {
    PathSetup setup;
    setup.bias = BiasKind::level_set;
    check_compiles(muller_brown(), setup);
    check_compiles(ring(), setup);
    const FormulaSystem system = make_formula_system(ring());
    PathSetup free = setup;
    free.bias = BiasKind::harmonic;
    CHECK(system_source(system, "S", true) != system_source(system, "S", false));
    CHECK(formula_cuda_source(system, setup).find(system_source(system, "UserSystem", true)) !=
          std::string::npos);
    CHECK(formula_cuda_source(system, free).find(system_source(system, "UserSystem", false)) !=
          std::string::npos);
}

#if defined(MICROLIFT_HAVE_CUDA)
TEST_CASE("a kernel that does not compile is a device error with the compiler's log") {
    CHECK_THROWS_WITH_AS(compile_formula_ptx("__global__ void f() { no_such_name; }", 90),
                         doctest::Contains("no_such_name"), DeviceError);
}
#endif
