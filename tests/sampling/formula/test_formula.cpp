// User formulas: parsing, derivatives, lowering, bytecode, systems.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>

#include "kernels/lane/simd.h"
#include "kernels/dynamics/systems.h"
#include "sampling/formula/execute.h"
#include "sampling/formula/system.h"

using namespace microlift;

namespace microlift {
// Generated source of the system in sample_text(): committed, so that a compiler sees it.
#include "tests/sampling/formula/formula_sample.inc"
}  // namespace microlift

namespace {

const Symbols kXyz{{"x", "y", "z"}, {{"a", 2.5}, {"eps", 0.01}}};

double value_of(std::string_view text, double x = 0.0, double y = 0.0, double z = 0.0) {
    Expressions graph;
    const double point[] = {x, y, z};
    return graph.evaluate(parse_formula(graph, text, kXyz), point);
}

struct Refusal {
    std::string message;
    int column = -1;
};

Refusal refusal(std::string_view text) {
    Expressions graph;
    try {
        parse_formula(graph, text, kXyz);
    } catch (const FormulaError& error) {
        return {error.message(), error.column()};
    }
    return {};
}

void check_refused(const std::string& text, int column, const std::string& part) {
    CAPTURE(text);
    const Refusal r = refusal(text);
    CAPTURE(r.message);
    CHECK(r.column == column);
    CHECK(r.message.find(part) != std::string::npos);
}

// Random formulas that are smooth and finite for variables in [0.3, 1.7].
class RandomFormula {
public:
    explicit RandomFormula(unsigned seed) : random_(seed) {}

    std::string operator()(int depth) {
        if (depth == 0) return pick(4) == 0 ? number() : std::string(1, "xyz"[pick(3)]);
        const std::string a = (*this)(depth - 1);
        switch (pick(20)) {
            case 0:
            case 1:
            case 2: return "(" + a + " + " + (*this)(depth - 1) + ")";
            case 3:
            case 4: return "(" + a + " - " + (*this)(depth - 1) + ")";
            case 5:
            case 6:
            case 7: return a + "*" + (*this)(depth - 1);
            case 8: return a + "/(1.5 + (" + (*this)(depth - 1) + ")^2)";
            case 9: return "(" + a + ")^" + std::to_string(2 + pick(4));
            case 10: return "exp(-0.3*(" + a + ")^2)";
            case 11: return "log(1.2 + (" + a + ")^2)";
            case 12: return "sqrt(0.8 + (" + a + ")^2)";
            case 13: return "sin(" + a + ")";
            case 14: return "cos(" + a + ")";
            case 15: return "tanh(" + a + ")";
            case 16: return "atan(" + a + ")";
            case 17: return "erf(0.5*(" + a + "))";
            case 18: return "(0.5 + (" + a + ")^2)^1.3";
            default: return "-(" + a + ")*" + number();
        }
    }
    unsigned pick(unsigned n) { return static_cast<unsigned>(random_() % n); }
    double uniform(double low, double high) {
        return low + (high - low) * static_cast<double>(random_()) / 4294967296.0;
    }
    std::string number() { return std::to_string(0.25 * (1 + pick(8))); }

private:
    std::mt19937 random_;
};

template <class L>
std::vector<float> run_at_width(const Program& program, const std::vector<float>& inputs,
                                int lanes) {
    std::vector<float> slots(static_cast<std::size_t>(program.slots) * kTile, 0.0f);
    std::copy(inputs.begin(), inputs.end(), slots.begin());
    const Instruction* first = program.instructions.data();
    interpret<L, Portable>(first, first + program.instructions.size(), slots.data(), kTile, lanes);
    return slots;
}

bool same_bits(const float* a, const float* b, int n) {
    return std::memcmp(a, b, static_cast<std::size_t>(n) * sizeof(float)) == 0;
}

const char* const kMullerBrown =
    "-200*exp(-(x - 1)^2 - 10*y^2) - 100*exp(-x^2 - 10*(y - 0.5)^2)"
    " - 170*exp(-6.5*(x + 0.5)^2 + 11*(x + 0.5)*(y - 1.5) - 6.5*(y - 1.5)^2)"
    " + 15*exp(0.7*(x + 1)^2 + 0.6*(x + 1)*(y - 1) + 0.7*(y - 1)^2)";

FormulaSystemText muller_brown_text() {
    FormulaSystemText text;
    text.variables = {"x", "y"};
    text.potential = kMullerBrown;
    text.cv = {"x"};
    text.beta = 1.0 / 15.0;
    return text;
}

// One of every instruction that has its own text.
FormulaSystemText sample_text() {
    FormulaSystemText text;
    text.variables = {"x", "y", "z"};
    text.parameters = {{"k", 1e-3}};
    text.drift = {"sin(x)*cos(x) - k*exp(-2*y*z) + 3*x - y", "tanh(x) + log(1 + y^2)/sqrt(z^2 + 4)",
                  "min(x, 2) - max(y, z) + abs(z)*erf(x) - atan(y)"};
    text.diffusion_matrix = {{"0.5", "0", "0"}, {"0", "sqrt(1 + x^2)", "y"}, {"0", "y", "exp(-z)"}};
    text.observe = {"sinh(x) - cosh(y)", "x/(2 + y^2) + 1/(3 + z^2)", "(1 + x^2)^1.3 - y*z"};
    text.cv = {"x*y + abs(z)", "max(x, y)^3 + sin(z)"};
    return text;
}

template <class L>
std::vector<float> lanes_of(const L* values, int n, int lane) {
    std::vector<float> result;
    for (int i = 0; i < n; ++i) result.push_back(get_lane(values[i], lane));
    return result;
}

}  // namespace

TEST_CASE("angles of a right triangle are those of its legs, up to their ends") {
    Expressions graph;
    const Symbols symbols{{"x", "y", "z"}, {}};
    const auto parsed = [&](const std::string& text) { return parse_formula(graph, text, symbols); };
    for (const auto& [text, legs] : {std::pair{"acos(x/sqrt(x^2+y^2))", "atan2(abs(y), x)"},
                                     std::pair{"asin(-2*x/(4*x^2+y^2)^0.5)", "atan2(-2*x, abs(y))"},
                                     std::pair{"acos(-z/sqrt(z^2+x^2+y^2))", "atan2(sqrt(x^2+y^2), -z)"},
                                     std::pair{"acos((x-1)/sqrt(y^2+(x-1)^2))", "atan2(abs(y), x-1)"},
                                     std::pair{"asin(1/sqrt(1+x^2))", "atan2(1, abs(x))"}}) {
        CAPTURE(text);
        CHECK(parsed(text) == parsed(legs));
    }
    // Others keep their own form: lengths that are not of the same triangle.
    CHECK(parsed("acos(x/sqrt(2*x^2+y^2))") != parsed("atan2(sqrt(x^2+y^2), x)"));
    CHECK(graph.evaluate(parsed("acos(x/sqrt(2*x^2+y^2))"), std::vector<double>{1.0, 1.0, 0.0}) ==
          doctest::Approx(std::acos(1 / std::sqrt(3.0))).epsilon(1e-14));
    CHECK(graph.evaluate(parsed("asin(2*x/sqrt(x^2+9*y^2))"), std::vector<double>{1.0, 1.0, 0.0}) ==
          doctest::Approx(std::asin(2 / std::sqrt(10.0))).epsilon(1e-14));
}

TEST_CASE("a number over its size is a sign, which has no slope") {
    Expressions graph;
    const Symbols symbols{{"x", "y"}, {}};
    const NodeId sign = parse_formula(graph, "3*(x-y)/abs(x-y)", symbols);
    for (const auto& [x, y] : {std::pair{2.0, 1.0}, std::pair{-1.0, 5.0}})
        CHECK(graph.evaluate(sign, std::vector<double>{x, y}) == (x > y ? 3 : -3));
    for (const NodeId slope : graph.gradient(sign, 2)) CHECK(graph.is_constant(slope, 0.0));
    CHECK(parse_formula(graph, "x/sqrt(x^2)", symbols) == parse_formula(graph, "abs(x)/x", symbols));
}

TEST_CASE("formula: precedence and associativity") {
    CHECK(value_of("1 + 2*3") == 7.0);
    CHECK(value_of("-2^2") == -4.0);
    CHECK(value_of("(-2)^2") == 4.0);
    CHECK(value_of("2^3^2") == 512.0);
    CHECK(value_of("2^-1") == 0.5);
    CHECK(value_of("-x^2", 3) == -9.0);
    CHECK(value_of("2*-x", 3) == -6.0);
    CHECK(value_of("x - y - z", 7, 2, 1) == 4.0);
    CHECK(value_of("x/y/z", 24, 3, 2) == doctest::Approx(4.0));
    CHECK(value_of("x/y*z", 24, 3, 2) == doctest::Approx(16.0));
    CHECK(value_of("--x", 3) == 3.0);
    CHECK(value_of("+x", 3) == 3.0);
    CHECK(value_of("x^-2", 2) == 0.25);
    CHECK(value_of("-x^-y^2", 2, 1) == -0.5);
    CHECK(value_of(" x\t*\n y ", 2, 3) == 6.0);
}

TEST_CASE("formula: numbers, names, functions") {
    CHECK(value_of("1e-3 + .5 + 2. + 1E2") == doctest::Approx(102.501).epsilon(1e-15));
    CHECK(value_of("a*eps") == 0.025);
    CHECK(value_of("pi") == doctest::Approx(3.14159265358979).epsilon(1e-14));
    CHECK(value_of("pow(x, 3)", 2) == 8.0);
    CHECK(value_of("min(x, y) + 10*max(x, y)", 2, 3) == 32.0);
    CHECK(value_of("abs(x)", -2) == 2.0);
    CHECK(value_of("2^x", 3) == doctest::Approx(8.0));
    CHECK(value_of("asin(x)", 1) == doctest::Approx(std::asin(1.0)));
    CHECK(value_of("acos(x)", 1) == 0.0);
    CHECK(value_of("acos(x)", -1) == doctest::Approx(std::acos(-1.0)));
    // No difference of like numbers: the small angle keeps its digits.
    CHECK(value_of("acos(x)", 1 - 1e-10) == doctest::Approx(std::acos(1 - 1e-10)).epsilon(1e-6));
    for (double x : {-0.9, 0.4, 1.3}) {
        CHECK(value_of("exp(x)", x) == std::exp(x));
        CHECK(value_of("sin(x)*cos(x)", x) == doctest::Approx(std::sin(x) * std::cos(x)));
        CHECK(value_of("tan(x)", x) == doctest::Approx(std::tan(x)));
        CHECK(value_of("tanh(x)+sinh(x)+cosh(x)", x) ==
              doctest::Approx(std::tanh(x) + std::sinh(x) + std::cosh(x)));
        CHECK(value_of("atan(x)", x) == doctest::Approx(std::atan(x)));
        CHECK(value_of("erf(x)", x) == doctest::Approx(std::erf(x)));
        if (std::fabs(x) < 1) {
            CHECK(value_of("asin(x)", x) == doctest::Approx(std::asin(x)).epsilon(1e-14));
            CHECK(value_of("acos(x)", x) == doctest::Approx(std::acos(x)).epsilon(1e-14));
        }
        CHECK(value_of("log2(x^2) + log10(x^2)", x) ==
              doctest::Approx(std::log2(x * x) + std::log10(x * x)));
        CHECK(value_of("log(x^2)", x) == doctest::Approx(std::log(x * x)));
        CHECK(value_of("sqrt(x^2)", x) == doctest::Approx(std::fabs(x)));
    }
}

TEST_CASE("formula: refusals say what is wrong and where") {
    check_refused("", 1, "empty");
    check_refused("   ", 4, "empty");
    check_refused("x + ", 5, "ends where a value is expected");
    check_refused("x + yy", 5, "unknown name 'yy'; known: x, y, z, a, eps; did you mean 'y'?");
    check_refused("x + sine(y)", 5, "did you mean 'sin'?");
    check_refused("ln(x)", 1, "log");
    check_refused("x + Sec(y)", 5, "write 1/cos(x)");
    check_refused("sign(x)", 1, "write x/abs(x)");
    for (const char* jump : {"step(x)", "heaviside(x)", "floor(x)", "ceil(x)", "round(x)", "where(x)"})
        check_refused(jump, 1, "has no force that a time step feels");
    check_refused("arcsin(x)", 1, "did you mean 'asin'?");
    check_refused("sqr(x)", 1, "write x^2");
    check_refused("2x", 2, "write 2*x");
    check_refused("x y", 3, "operator is missing");
    check_refused("x**2", 2, "written ^");
    check_refused("(x + y", 1, "never closed");
    check_refused("x + y)", 6, "')' without");
    check_refused("x*()", 3, "empty parentheses");
    check_refused("x +* y", 4, "value is expected before '*'");
    check_refused("exp(x, y)", 1, "takes 1 argument, 2 given");
    check_refused("min(x)", 1, "takes 2 arguments, 1 given");
    check_refused("exp()", 1, "takes 1 argument, 0 given");
    check_refused("exp + 1", 1, "needs its argument");
    check_refused("x(y)", 2, "not a function");
    check_refused("x, y", 2, "outside");
    check_refused("x ? y", 3, "unexpected character '?'");
    check_refused("x \u2212 y", 3, "a minus is written -");
    check_refused("\u03c0*x*q", 1, "write pi");
    check_refused("x*\x01", 3, "'\\x01'");
    check_refused("1/0", 2, "division by zero");
    check_refused("x/(1 - 1)", 2, "division by zero");
    check_refused("log(0)*x", 1, "no finite value");
    check_refused("exp(1000)", 1, "no finite value");
    check_refused("1e999", 1, "range of a double");
    check_refused("1.2.3", 4, "malformed number");
    check_refused("x + .", 5, "malformed number");
    check_refused("x^5000", 3, "exponent");
    check_refused("(-2)^x", 5, "positive");
    // Columns count characters, not bytes.
    check_refused("x + yy\u00e4", 5, "unknown name 'yy'");
}

TEST_CASE("formula: limits hold") {
    const auto repeated = [](const std::string& part, int n) {
        std::string text;
        for (int i = 0; i < n; ++i) text += part;
        return text;
    };
    CHECK(value_of(repeated("(", 190) + "x" + repeated(")", 190), 2) == 2.0);
    for (const char* part : {"(", "-", "x^", "sin(", "2-(", "max(x,"}) {
        CAPTURE(part);
        CHECK(refusal(repeated(part, 10000)).message.find("nested too deeply") !=
              std::string::npos);
    }
    CHECK(refusal(repeated("x+", 40000) + "x").message.find("too long") != std::string::npos);
    // A long chain is not deep.
    CHECK(value_of(repeated("x*y+", 10000) + "x", 1, 2) == doctest::Approx(20001));
    // Repeated squaring stays small as a graph, and a too large derivative is refused, not attempted.
    Expressions graph;
    NodeId f = graph.variable(0);
    for (int i = 0; i < 60; ++i) f = graph.add(graph.unary(Op::sin, f), graph.mul(f, f));
    CHECK(graph.gradient(f, 1).size() == 1);
    CHECK(graph.size() < 2000);
    CHECK_THROWS_AS(
        [&] {
            for (int i = 0; i < 200; ++i) f = graph.derivative(f, 0);
        }(),
        FormulaError);
}

TEST_CASE("formula: simplification and sharing") {
    Expressions graph;
    const auto parse = [&](std::string_view text) { return parse_formula(graph, text, kXyz); };
    const NodeId x = graph.variable(0);
    CHECK(graph.is_constant(parse("0*sin(x)"), 0.0));
    CHECK(parse("x + 0") == x);
    CHECK(parse("x^1") == x);
    CHECK(parse("1*x") == x);
    CHECK(parse("x/1") == x);
    CHECK(graph.is_constant(parse("x - x"), 0.0));
    CHECK(graph.is_constant(parse("x^0"), 1.0));
    CHECK(parse("x*x*x") == parse("x^3"));
    CHECK(parse("x^0.5") == parse("sqrt(x)"));
    CHECK(parse("2*x + 3*x") == parse("5*x"));
    CHECK(parse("x*y") == parse("y*x"));
    CHECK(parse("-(x - y)") == parse("y - x"));
    CHECK(parse("sin(-x)") == parse("-sin(x)"));
    CHECK(parse("cos(-2*x)") == parse("cos(2*x)"));
    CHECK(parse("log(exp(x*y))") == parse("x*y"));
    const NodeId before = graph.size();
    parse("x*y*2");
    CHECK(parse("x*y*2") == parse("(y*x)*2"));
    CHECK(graph.size() <= before + 2);
}

TEST_CASE("formula: known derivatives") {
    struct Case {
        const char *f, *derivative;
    };
    const Case cases[] = {
        {"x^2", "2*x"},
        {"x^7", "7*x^6"},
        {"sin(x*y)", "y*cos(x*y)"},
        {"exp(-x^2)", "-2*x*exp(-x^2)"},
        {"log(x)", "1/x"},
        {"sqrt(x)", "0.5/sqrt(x)"},
        {"tanh(x)", "1 - tanh(x)^2"},
        {"tan(x)", "1 + tan(x)^2"},
        {"atan(x)", "1/(1 + x^2)"},
        {"asin(x)", "1/sqrt(1 - x^2)"},
        {"acos(x)", "-1/sqrt(1 - x^2)"},
        {"log2(x)", "1/(x*log(2))"},
        {"log10(x)", "1/(x*log(10))"},
        {"erf(x)", "2/sqrt(pi)*exp(-x^2)"},
        {"sinh(x)", "cosh(x)"},
        {"cosh(x)", "sinh(x)"},
        {"x^y", "y*x^(y-1)"},
        {"y^x", "y^x*log(y)"},
        {"2^x", "2^x*log(2)"},
        {"x^2.5", "2.5*x^1.5"},
        {"1/x^2", "-2/x^3"},
        {"x/y", "1/y"},
        {"y/x", "-y/x^2"},
        {"abs(x - 1)", "(x - 1)/abs(x - 1)"},
        {"min(x^2, y)", "0.6"},  // x² < y here
        {"max(x^2, y)", "0"},
    };
    const double point[] = {0.3, 0.7, 0.0};
    for (const Case& c : cases) {
        CAPTURE(c.f);
        Expressions graph;
        const NodeId f = parse_formula(graph, c.f, kXyz);
        const double expected = value_of(c.derivative, point[0], point[1]);
        CHECK(graph.evaluate(graph.gradient(f, 3)[0], point) ==
              doctest::Approx(expected).epsilon(1e-13));
        CHECK(graph.evaluate(graph.derivative(f, 0), point) ==
              doctest::Approx(expected).epsilon(1e-13));
    }
}

TEST_CASE("formula: derivatives of random formulas against central differences") {
    RandomFormula random(20240611);
    int informative = 0;
    for (int trial = 0; trial < 300; ++trial) {
        const std::string text = random(1 + static_cast<int>(random.pick(4)));
        CAPTURE(text);
        Expressions graph;
        const NodeId f = parse_formula(graph, text, kXyz);
        const std::vector<NodeId> gradient = graph.gradient(f, 3);
        const double point[] = {random.uniform(0.3, 1.7), random.uniform(0.3, 1.7),
                                random.uniform(0.3, 1.7)};
        // Fourth-order central differences at two step sizes: the better one, and how far to trust
        // it: their distance, and rounding (1e-16 scale / h, with room).
        const auto difference = [&](NodeId g, int d, double& tolerance) {
            double scale = 0.0;
            const auto with_step = [&](double h) {
                const auto at = [&](double shift) {
                    double p[] = {point[0], point[1], point[2]};
                    p[d] += shift;
                    const double v = graph.evaluate(g, p);
                    scale = std::max(scale, std::fabs(v));
                    return v;
                };
                return (8.0 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12.0 * h);
            };
            const double coarse = with_step(1e-3), fine = with_step(5e-4);
            tolerance = std::fabs(coarse - fine) + 1e-11 * (1.0 + scale);
            return fine;
        };
        for (int d = 0; d < 3; ++d) {
            const NodeId g = gradient[static_cast<std::size_t>(d)];
            double tolerance = 0.0;
            const double expected = difference(f, d, tolerance);
            const double actual = graph.evaluate(g, point);
            CHECK(std::isfinite(actual));
            CHECK(std::fabs(actual - expected) <= tolerance);
            informative += tolerance < 1e-6 * (1e-3 + std::fabs(expected));
            CHECK(graph.evaluate(graph.derivative(f, d), point) ==
                  doctest::Approx(actual).epsilon(1e-9));
            // Second derivatives, one row of the Hessian.
            const std::vector<NodeId> row = graph.gradient(g, 3);
            for (int e = 0; e < 3; ++e) {
                const double expected2 = difference(g, e, tolerance);
                CHECK(std::fabs(graph.evaluate(row[static_cast<std::size_t>(e)], point) -
                                expected2) <= tolerance);
            }
        }
    }
    CHECK(informative > 800);  // of 900 comparisons, sharp to six digits
}

TEST_CASE("formula: a gradient is linear in the size of the formula") {
    Expressions graph;
    Symbols symbols;
    std::string text = "0";
    for (int d = 0; d < 64; ++d) symbols.variables.push_back("x" + std::to_string(d));
    for (int d = 0; d + 1 < 64; ++d)
        text += " + (x" + std::to_string(d + 1) + " - x" + std::to_string(d) + "^2)^2*exp(-x" +
                std::to_string(d) + ")";
    const NodeId f = parse_formula(graph, text, symbols);
    const NodeId before = graph.size();
    const std::vector<NodeId> gradient = graph.gradient(f, 64);
    CHECK(graph.size() < 6 * before);
    CHECK(lower(graph, gradient, 64).instructions.size() < 1000);
}

TEST_CASE("formula: batch evaluation equals single points") {
    Expressions graph;
    const NodeId f = parse_formula(graph, "x*sin(y) + min(x, z)^2/3", kXyz);
    const NodeId g = graph.derivative(f, 0);
    const BatchEvaluator batch(graph, {f, g, graph.constant(4.0), graph.variable(1)});
    const std::size_t n = 150, stride = 160;
    std::vector<double> x(3 * stride), values(4 * n);
    RandomFormula random(5);
    for (double& v : x) v = random.uniform(-2, 2);
    batch(x.data(), stride, n, values.data());
    for (std::size_t p = 0; p < n; ++p) {
        const double point[] = {x[p], x[stride + p], x[2 * stride + p]};
        CHECK(values[p] == graph.evaluate(f, point));
        CHECK(values[n + p] == graph.evaluate(g, point));
        CHECK(values[2 * n + p] == 4.0);
        CHECK(values[3 * n + p] == point[1]);
    }
}

TEST_CASE("formula: bytecode equals the graph in double, and every width bit for bit") {
    RandomFormula random(77);
    double worst = 0.0;
    for (int trial = 0; trial < 300; ++trial) {
        const std::string text = random(1 + static_cast<int>(random.pick(4)));
        CAPTURE(text);
        Expressions graph;
        const NodeId f = parse_formula(graph, text, kXyz);
        std::vector<NodeId> outputs{f};
        for (NodeId g : graph.gradient(f, 3)) outputs.push_back(g);
        const Program program = lower(graph, outputs, 3);
        std::vector<float> inputs(3 * kTile);
        for (float& v : inputs) v = static_cast<float>(random.uniform(0.3, 1.7));
        const std::vector<float> narrow = run_at_width<float>(program, inputs, kTile);
        CHECK(narrow == run_at_width<Pack<float, 4>>(program, inputs, kTile));
        CHECK(narrow == run_at_width<Pack<float, 8>>(program, inputs, kTile));
        CHECK(narrow == run_at_width<Pack<float, 16>>(program, inputs, kTile));
        CHECK(same_bits(narrow.data(), inputs.data(), 3 * kTile));  // inputs are never written
        alignas(64) static float tile[kTile * 4096];
        REQUIRE(program.slots <= 4096);
        std::copy(inputs.begin(), inputs.end(), tile);
        execute(program, tile);
        for (int lane = 0; lane < kTile; lane += 37) {
            const float x[] = {inputs[static_cast<std::size_t>(lane)],
                               inputs[static_cast<std::size_t>(kTile + lane)],
                               inputs[static_cast<std::size_t>(2 * kTile + lane)]};
            const double point[] = {x[0], x[1], x[2]};
            float single[4];
            execute_scalar(program, x, single);
            for (std::size_t o = 0; o < outputs.size(); ++o) {
                const ProgramOutput& out = program.outputs[o];
                const float from_tile =
                    out.kind == ProgramOutput::Kind::constant ? out.value
                                                              : tile[out.slot * kTile + lane];
                CHECK(same_bits(&from_tile, &single[o], 1));
                // The condition of a sum is not known here, so the scale is that of all outputs.
                const double exact = graph.evaluate(outputs[o], point);
                double scale = 1.0;
                for (NodeId id : graph.reachable({&outputs[o], 1}))
                    scale = std::max(scale, std::fabs(graph.evaluate(id, point)));
                const double error = std::fabs(from_tile - exact) / scale;
                worst = std::max(worst, error);
                CHECK(error < 2e-5);
            }
        }
    }
    MESSAGE("largest error of single precision relative to the largest intermediate: ", worst);
}

TEST_CASE("formula: every function in bytecode") {
    struct Case {
        const char* text;
        double low, high, tolerance;
    };
    const Case cases[] = {
        {"exp(x)", -20, 20, 1e-6},        {"exp(-3*x)", -5, 5, 2e-6},
        {"log(x)", 0.01, 50, 1e-6},       {"sqrt(x)", 0, 50, 1e-7},
        {"sin(x)", -30, 30, 1e-6},        {"cos(x)", -30, 30, 1e-6},
        {"sin(x)*cos(x)", -9, 9, 1e-6},   {"tan(x)", -1.4, 1.4, 1e-5},
        {"tanh(x)", -12, 12, 1e-6},       {"sinh(x)", -20, 20, 3e-6},
        {"cosh(x)", -20, 20, 3e-6},       {"atan(x)", -40, 40, 1e-6},
        {"atan2(x, y)", -4, 4, 1e-6},     {"atan2(x, -0.7)", 0.1, 4, 1e-6},
        {"asin(x)", -0.9, 0.9, 1e-6},     {"acos(x)", -0.9, 0.9, 1e-6},
        {"log2(x)", 0.01, 50, 1e-6},      {"log10(x)", 0.01, 50, 1e-6},
        {"erf(x)", -5, 5, 3e-7},          {"abs(x)", -2, 2, 1e-7},
        {"min(x, y)", -2, 2, 1e-7},       {"max(x, y)", -2, 2, 1e-7},
        {"min(x, 0.5)", -2, 2, 1e-7},     {"max(0.5, x)", -2, 2, 1e-7},
        {"x^3", -2, 2, 1e-6},             {"x^-3", 0.1, 2, 1e-6},
        {"x^2.5", 0.1, 5, 1e-6},          {"x^1.7", 0.1, 5, 3e-6},
        {"x^y", 0.1, 5, 1e-5},            {"3^x", -5, 5, 3e-6},
        {"1/x", 0.1, 5, 1e-7},            {"x/y", 0.1, 5, 1e-7},
        {"3 - x", -5, 5, 1e-6},           {"3 - x*y", 0, 1, 1e-6},
        {"x*y + 3", 0, 1, 1e-6},          {"2*x + 3*y + 4", 0, 5, 1e-6},
        {"2*x - 3*y*z", 0, 5, 1e-5},      {"-x*y - z", 0, 5, 1e-6},
        {"exp(-(x + y))", 0, 5, 1e-6},    {"exp(-x*y)", 0, 2, 1e-6},
    };
    RandomFormula random(3);
    for (const Case& c : cases) {
        CAPTURE(c.text);
        Expressions graph;
        const NodeId f = parse_formula(graph, c.text, kXyz);
        const NodeId slope = graph.derivative(f, 0);
        const NodeId outputs[] = {f, slope};
        const Program program = lower(graph, outputs, 3);
        for (int i = 0; i < 300; ++i) {
            const float x[] = {static_cast<float>(random.uniform(c.low, c.high)),
                               static_cast<float>(random.uniform(c.low, c.high)),
                               static_cast<float>(random.uniform(c.low, c.high))};
            const double point[] = {x[0], x[1], x[2]};
            float y[2];
            execute_scalar(program, x, y);
            const double exact = graph.evaluate(f, point);
            CAPTURE(x[0]);
            CHECK(std::fabs(y[0] - exact) <= c.tolerance * std::max(1.0, std::fabs(exact)));
            const double exact_slope = graph.evaluate(slope, point);
            CHECK(std::fabs(y[1] - exact_slope) <=
                  10 * c.tolerance * std::max(1.0, std::fabs(exact_slope)));
        }
    }
}

TEST_CASE("formula: outputs that are constants or inputs are flagged") {
    Expressions graph;
    const NodeId x = graph.variable(0), y = graph.variable(1);
    const NodeId outputs[] = {graph.constant(3.0), y, graph.mul(x, y)};
    const Program program = lower(graph, outputs, 2);
    CHECK(program.is_constant(0));
    CHECK(program.outputs[0].value == 3.0f);
    CHECK(program.outputs[1].kind == ProgramOutput::Kind::input);
    CHECK(program.outputs[1].slot == 1);
    CHECK(program.outputs[2].kind == ProgramOutput::Kind::slot);
    CHECK(program.instructions.size() == 1);
    CHECK(program.slots == 3);
}

TEST_CASE("formula: lowering fuses and shares") {
    const auto size_of = [](std::string_view text) {
        Expressions graph;
        const NodeId f = parse_formula(graph, text, kXyz);
        return lower(graph, {&f, 1}, 3).instructions.size();
    };
    CHECK(size_of("x*y + z") == 1);
    CHECK(size_of("x*y - z") == 1);
    CHECK(size_of("z - x*y") == 1);
    CHECK(size_of("2*x + 3*y - 1") == 1);
    CHECK(size_of("exp(-3*x)") == 1);
    CHECK(size_of("5*x*y") == 1);
    CHECK(size_of("x^8") == 3);
    CHECK(size_of("x^3 - 2*x^2 + x - 7") <= 4);       // Horner
    CHECK(size_of("sin(x)*y + cos(x)*z") == 3);       // one sincos
    CHECK(size_of("exp(x)*y + 3*exp(x)*z") <= 3);     // exp(x)*(y + 3z)
    // The gradient of e^q takes two instructions more than e^q, which shares the linear forms of q: two
    // forms, two products, the power of two; two products with it.
    {
        Expressions graph;
        const NodeId f = parse_formula(graph, "-7*exp(3*x*y - x^2 - 2*y^2)", kXyz);
        const std::vector<NodeId> gradient = graph.gradient(f, 2);
        CHECK(lower(graph, gradient, 3).instructions.size() == 7);
    }
    // Only what differs from a large offset survives in single precision.
    Expressions graph;
    const NodeId f = parse_formula(graph, "(x - 100000) + y", kXyz);
    const Program program = lower(graph, {&f, 1}, 3);
    const float in[] = {100000.0f, 0.001f, 0.0f};
    float out;
    execute_scalar(program, in, &out);
    CHECK(out == 0.001f);
}

TEST_CASE("formula: constants that do not fit single precision are refused") {
    for (const char* text : {"1e60*x", "x + 1e60", "1e-60*x"}) {
        CAPTURE(text);
        Expressions graph;
        const NodeId f = parse_formula(graph, text, kXyz);
        CHECK_THROWS_AS(lower(graph, {&f, 1}, 3), FormulaError);
    }
    Expressions graph;
    const NodeId f = parse_formula(graph, "x + 1e-60", kXyz);  // a summand may vanish
    CHECK_NOTHROW(lower(graph, {&f, 1}, 3));
}

TEST_CASE("formula: Müller-Brown from its formula") {
    const FormulaSystem system = make_formula_system(muller_brown_text());
    const auto potential = [&](double x, double y) {
        const double point[] = {x, y};
        return system.graph.evaluate(system.potential_node, point);
    };
    CHECK(potential(-0.558224, 1.441726) == doctest::Approx(-146.699517).epsilon(1e-8));
    CHECK(potential(-0.822002, 0.624313) == doctest::Approx(-40.664843).epsilon(1e-7));
    const double minimum[] = {-0.558224, 1.441726}, saddle[] = {-0.822002, 0.624313};
    for (NodeId f : system.drift_nodes) {
        // Curvatures reach 1e3, the coordinates above hold 6 digits.
        CHECK(std::fabs(system.graph.evaluate(f, minimum)) < 2e-3);
        CHECK(std::fabs(system.graph.evaluate(f, saddle)) < 2e-3);
    }
    CHECK(system.force.instructions.size() <= 34);
    // Against the hand-written system; forces reach 1e3 where the noise of single precision is 1e-4.
    const MullerBrown built_in{{1.0f}};
    for (float x = -1.5f; x <= 1.0f; x += 0.125f) {
        for (float y = -0.25f; y <= 2.0f; y += 0.125f) {
            const float point[2] = {x, y};
            float ours[2], theirs[2];
            execute_scalar(system.force, point, ours);
            built_in.force<Portable>(point, theirs);
            for (int d = 0; d < 2; ++d)
                CHECK(std::fabs(ours[d] - theirs[d]) <= 4e-6 * (200.0 + std::fabs(theirs[d])));
        }
    }
}

TEST_CASE("formula system: gradient system with a linear CV") {
    FormulaSystemText text = muller_brown_text();
    text.cv = {"0.5*x - (y - 3)/4"};
    const FormulaSystem system = make_formula_system(text);
    CHECK(system.gradient);
    CHECK(system.noise_constant);
    CHECK(system.noise_values == std::vector<double>(2, std::sqrt(30.0)));
    CHECK(system.noise_amplitude() == std::sqrt(30.0f));
    REQUIRE(system.cvs.size() == 1);
    CHECK(system.cvs[0].linear);
    CHECK(system.cvs[0].weights == std::vector<double>{0.5, -0.25});
    CHECK(system.cvs[0].offset == 0.75);
    CHECK(system.force.outputs.size() == 2);
    CHECK(system.fixman.outputs.empty());
    CHECK(system.closure.is_constant(1));
    CHECK(system.closure.outputs[1].value == doctest::Approx(15.0 * (0.25 + 0.0625)));
    // No Laplacian: the drift integrand is -grad V . w.
    const double point[] = {-0.4, 0.9};
    CHECK(system.graph.evaluate(system.closure_nodes[0], point) ==
          doctest::Approx(0.5 * system.graph.evaluate(system.drift_nodes[0], point) -
                          0.25 * system.graph.evaluate(system.drift_nodes[1], point)));
}

TEST_CASE("formula system: non-linear CVs, Laplacian and Fixman term") {
    FormulaSystemText text;
    text.variables = {"x", "y"};
    text.potential = "k*(x^2 + y^2)/2";
    text.parameters = {{"k", 3.0}};
    text.beta = 2.0;
    text.cv = {"sqrt(x^2 + y^2)"};
    {
        const FormulaSystem system = make_formula_system(text);
        CHECK_FALSE(system.cvs[0].linear);
        CHECK(system.cvs[0].value_output == 2);
        CHECK(system.cvs[0].pull_output == 3);
        CHECK(system.force.outputs.size() == 5);
        const double point[] = {0.6, 0.8};
        const auto at = [&](NodeId id) { return system.graph.evaluate(id, point); };
        // r = 1: -k r + (1/r) / beta, and 1/beta.
        CHECK(at(system.closure_nodes[0]) == doctest::Approx(-3.0 + 0.5).epsilon(1e-13));
        CHECK(at(system.closure_nodes[1]) == doctest::Approx(0.5).epsilon(1e-13));
        for (NodeId id : system.fixman_nodes)  // |grad r| = 1 everywhere
            CHECK(std::fabs(at(id)) < 1e-13);
    }
    text.cv = {"x^2*y + y"};
    {
        const FormulaSystem system = make_formula_system(text);
        const double x = 0.7, y = -1.3;
        const double point[] = {x, y};
        const auto at = [&](NodeId id) { return system.graph.evaluate(id, point); };
        const double gx = 2 * x * y, gy = x * x + 1, g2 = gx * gx + gy * gy;
        CHECK(at(system.closure_nodes[0]) ==
              doctest::Approx(-3 * x * gx - 3 * y * gy + 0.5 * 2 * y).epsilon(1e-13));
        CHECK(at(system.closure_nodes[1]) == doctest::Approx(0.5 * g2).epsilon(1e-13));
        // (1/2 beta) grad ln g2
        CHECK(at(system.fixman_nodes[0]) ==
              doctest::Approx(0.25 * (2 * gx * 2 * y + 2 * gy * 2 * x) / g2).epsilon(1e-13));
        CHECK(at(system.fixman_nodes[1]) ==
              doctest::Approx(0.25 * (2 * gx * 2 * x) / g2).epsilon(1e-13));
        float out[5];
        const float in[] = {0.7f, -1.3f};
        execute_scalar(system.force, in, out);
        CHECK(out[2] == doctest::Approx(x * x * y + y).epsilon(1e-6));
        CHECK(out[3] == doctest::Approx(gx).epsilon(1e-6));
        CHECK(out[4] == doctest::Approx(gy).epsilon(1e-6));
    }
    text.cv = {"x^2 + y", "x*y"};
    {
        const FormulaSystem system = make_formula_system(text);
        const double x = 0.7, y = -1.3;
        const double point[] = {x, y};
        const auto at = [&](NodeId id) { return system.graph.evaluate(id, point); };
        REQUIRE(system.closure_nodes.size() == 5);
        CHECK(at(system.closure_nodes[3]) == doctest::Approx(0.5 * (2 * x * y + x)));
        // det of the Gram matrix = (2x·x − y)²
        const auto term = [](double u, double v) {
            return 0.25 * std::log(std::pow(2 * u * u - v, 2.0));
        };
        const double h = 1e-5;
        CHECK(at(system.fixman_nodes[0]) ==
              doctest::Approx((term(x + h, y) - term(x - h, y)) / (2 * h)).epsilon(1e-7));
        CHECK(at(system.fixman_nodes[1]) ==
              doctest::Approx((term(x, y + h) - term(x, y - h)) / (2 * h)).epsilon(1e-7));
    }
}

TEST_CASE("formula system: drift and diffusion") {
    FormulaSystemText text;
    text.variables = {"x", "y"};
    text.parameters = {{"eps", 0.01}};
    text.drift = {"x - y^3", "-(y - x)/eps"};
    text.diffusion = {"0", "1/sqrt(eps)"};
    text.observe = {"y*cos(x)", "x"};
    text.cv = {"x*y"};
    {
        const FormulaSystem system = make_formula_system(text);
        CHECK_FALSE(system.gradient);
        CHECK(system.noise_constant);
        CHECK(system.noise_values[0] == 0.0);
        CHECK(system.noise_values[1] == doctest::Approx(10.0));
        CHECK(system.noise_amplitude() == 0.0f);  // not one for all
        CHECK(system.observe.outputs.size() == 2);
        CHECK(system.potential.outputs.empty());
        CHECK(system.fixman.outputs.empty());
        const double point[] = {2.0, 3.0};
        const auto at = [&](NodeId id) { return system.graph.evaluate(id, point); };
        CHECK(at(system.closure_nodes[0]) == doctest::Approx((2.0 - 27.0) * 3 - 100.0 * 2));
        CHECK(at(system.closure_nodes[1]) == doctest::Approx(0.5 * 100 * 4));
    }
    text.diffusion.clear();
    text.diffusion_matrix = {{"1", "x"}, {"y", "2"}};
    text.cv = {"x^2*y"};
    {
        const FormulaSystem system = make_formula_system(text);
        CHECK(system.noise == FormulaSystem::Noise::matrix);
        CHECK_FALSE(system.noise_constant);
        CHECK(system.noise_amplitude() == 0.0f);
        CHECK(system.noise_output == 2);
        CHECK(system.force.is_constant(2));
        const double x = 2.0, y = 3.0;
        const double point[] = {x, y};
        const auto at = [&](NodeId id) { return system.graph.evaluate(id, point); };
        // sigma sigma^T = [[1 + x², y + 2x], [y + 2x, y² + 4]]
        const double gx = 2 * x * y, gy = x * x;
        const double trace = (1 + x * x) * 2 * y + 2 * (y + 2 * x) * 2 * x;
        CHECK(at(system.closure_nodes[0]) ==
              doctest::Approx((x - 27) * gx - 100 * (y - x) * gy + 0.5 * trace));
        const double s1 = gx + y * gy, s2 = x * gx + 2 * gy;
        CHECK(at(system.closure_nodes[1]) == doctest::Approx(0.5 * (s1 * s1 + s2 * s2)));
    }
}

TEST_CASE("formula system: refusals name the key") {
    const auto refused = [](const FormulaSystemText& text, const std::string& key, int column,
                            const std::string& part) {
        CAPTURE(key);
        try {
            make_formula_system(text);
            FAIL("accepted");
        } catch (const FormulaError& error) {
            CAPTURE(error.message());
            CHECK(error.key() == key);
            CHECK(error.column() == column);
            CHECK(error.message().find(part) != std::string::npos);
            CHECK(error.exit_code() == 2);
        }
    };
    FormulaSystemText good;
    good.variables = {"x", "y"};
    good.potential = "x^2 + y^2";
    good.beta = 1.0;
    CHECK_NOTHROW(make_formula_system(good));

    FormulaSystemText t = good;
    t.potential = "x^2 + w";
    refused(t, "system.potential", 7, "unknown name 'w'");
    t = good;
    t.beta = 0.0;
    refused(t, "system.beta", 0, "beta > 0");
    t = good;
    t.variables = {"x", "x"};
    refused(t, "system.variables", 0, "used twice");
    t = good;
    t.variables = {"x", "exp"};
    refused(t, "system.variables", 0, "name of a function");
    t = good;
    t.variables = {"x", "2y"};
    refused(t, "system.variables", 0, "cannot be the name");
    t = good;
    t.variables = {};
    refused(t, "system.variables", 0, "no variables");
    t = good;
    t.variables.assign(65, "x");
    refused(t, "system.variables", 0, "at most 64");
    t = good;
    t.parameters = {{"y", 1.0}};
    refused(t, "system.parameters", 0, "used twice");
    t = good;
    t.parameters = {{"pi", 3.0}};
    refused(t, "system.parameters", 0, "name of a constant");
    t = good;
    t.parameters = {{"k", std::nan("")}};
    refused(t, "system.parameters", 0, "finite");
    t = good;
    t.drift = {"x", "y"};
    refused(t, "system.drift", 0, "not both");
    t = good;
    t.diffusion = {"1", "1"};
    refused(t, "system.diffusion", 0, "sqrt(2/beta)");
    t = good;
    t.potential = "";
    refused(t, "system.potential", 0, "no dynamics");
    t.drift = {"x"};
    refused(t, "system.drift", 0, "1 formula for 2 variables");
    t.drift = {"x", "y +"};
    refused(t, "system.diffusion", 0, "needs a diffusion");
    t.diffusion = {"1", "1"};
    refused(t, "system.drift[1]", 4, "value is expected");
    t.drift = {"x", "y"};
    t.diffusion = {"1", "1", "1"};
    refused(t, "system.diffusion", 0, "3 formulas for 2 variables");
    t.diffusion = {"1", "q"};
    refused(t, "system.diffusion[1]", 1, "unknown name");
    t.diffusion = {};
    t.diffusion_matrix = {{"1", "0"}, {"0"}};
    refused(t, "system.diffusion[1]", 0, "1 formula for 2 variables");
    t.diffusion_matrix = {{"1", "0"}, {"0", "y*"}};
    refused(t, "system.diffusion[1][1]", 3, "value is expected");
    t = good;
    t.cv = {"x", "3"};
    refused(t, "cv.variables[1]", 0, "does not depend");
    t = good;
    t.observe = {"x", "y z"};
    refused(t, "system.observe[1]", 3, "operator is missing");
    t = good;
    t.potential = "1e50*x^2";
    refused(t, "system.potential", 0, "single precision");
}

TEST_CASE("formula system: 64 variables") {
    FormulaSystemText text;
    text.beta = 1.0;
    text.potential = "0";
    std::string cv = "0";
    for (int d = 0; d < 64; ++d) {
        const std::string x = "x" + std::to_string(d);
        text.variables.push_back(x);
        text.potential += " + (" + x + "^2 - 1)^2";
        cv += " + " + x + "^2";
    }
    text.cv = {cv};
    const FormulaSystem system = make_formula_system(text);
    CHECK(system.force.outputs.size() == 64 + 1 + 64);
    const std::vector<double> point(64, 0.5);
    CHECK(system.graph.evaluate(system.closure_nodes[0], point) ==
          doctest::Approx(64 * (1.5 * 1.0 + 2.0)));
    CHECK(system.graph.evaluate(system.closure_nodes[1], point) == doctest::Approx(64 * 1.0));
}

TEST_CASE("formula system: generated source computes the bits of the bytecode") {
    const FormulaSystem system = make_formula_system(sample_text());
    const std::string source = "// Generated by tests/sampling/formula/test_formula.cpp; to renew it, run the tests with\n"
                               "// MICROLIFT_WRITE_SAMPLE set to the path of this file.\n" +
                               system_source(system, "FormulaSample") +
                               cv_source(system, "FormulaSampleCv");
    if (const char* path = std::getenv("MICROLIFT_WRITE_SAMPLE")) std::ofstream(path) << source;
    std::ifstream file(std::string(MICROLIFT_SOURCE_DIR) + "/tests/sampling/formula/formula_sample.inc");
    std::stringstream committed;
    committed << file.rdbuf();
    CHECK(committed.str() == source);  // what is compiled below is what is generated now

    CHECK(FormulaSample::dim == 3);
    CHECK(FormulaSample::n_observed == 3);
    CHECK_FALSE(FormulaSample::gradient);
    CHECK(FormulaSampleCv::n == 2);
    using L = NativeLane;
    RandomFormula random(8);
    for (int trial = 0; trial < 50; ++trial) {
        float points[kNativeWidth][3];
        L x[3], z[3], f[3], g[3], y[3], xi[2], gradient[2][3];
        for (int d = 0; d < 3; ++d) {
            float column[kNativeWidth];
            for (int j = 0; j < kNativeWidth; ++j)
                column[j] = points[j][d] = static_cast<float>(random.uniform(-3.0, 3.0));
            x[d] = load<L>(column, 0);
            z[d] = broadcast<L>(0.25f * static_cast<float>(d + 1));
            g[d] = broadcast<L>(0.0f);
        }
        const FormulaSample sample{};
        sample.force<Portable>(x, f);
        sample.observe<Portable>(x, y);
        sample.add_noise(x, z, 2.0f, g);
        FormulaSampleCv{}.evaluate<Portable>(x, xi, gradient);
        L pulled[2], pull[2][3];
        FormulaSampleCv{}.evaluate_pull<Portable>(x, pulled, pull);
        for (int j = 0; j < kNativeWidth; ++j) {
            // One program yields drift, noise and CVs, and rounds shared sums in one way for all.
            std::vector<float> force(system.force.outputs.size()), seen(3);
            execute_scalar(system.force, points[j], force.data());
            const auto part = [&](int from, int count) {
                return std::vector<float>(force.begin() + from, force.begin() + from + count);
            };
            CHECK(part(0, 3) == lanes_of(f, 3, j));
            for (int k = 0; k < 2; ++k) {
                const FormulaSystem::Cv& of = system.cvs[static_cast<std::size_t>(k)];
                if (!of.linear) CHECK(part(of.value_output, 1)[0] == get_lane(pulled[k], j));
                if (of.pull.empty()) CHECK(part(of.pull_output, 3) == lanes_of(pull[k], 3, j));
            }
            execute_scalar(system.observe, points[j], seen.data());
            CHECK(seen == lanes_of(y, 3, j));
            std::vector<float> cv(8);
            execute_scalar(system.cv, points[j], cv.data());
            CHECK(std::vector<float>(cv.begin(), cv.begin() + 2) == lanes_of(xi, 2, j));
            CHECK(std::vector<float>(cv.begin() + 2, cv.begin() + 5) ==
                  lanes_of(gradient[0], 3, j));
            CHECK(std::vector<float>(cv.begin() + 5, cv.end()) == lanes_of(gradient[1], 3, j));
            const std::vector<float> noise = part(system.noise_output, 9);
            for (int d = 0; d < 3; ++d) {
                double expected = 0.0;
                for (int e = 0; e < 3; ++e)
                    expected += 2.0 * noise[static_cast<std::size_t>(3 * d + e)] * 0.25 * (e + 1);
                CHECK(get_lane(g[d], j) == doctest::Approx(expected).epsilon(1e-5));
            }
        }
    }
}
