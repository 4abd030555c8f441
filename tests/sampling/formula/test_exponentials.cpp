// Sums of exponentials in logarithms and quotients: value and derivative in single and in double
// precision beside the formula as it is written, in numbers whose exponent ends at 11356.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "sampling/formula/program.h"

using namespace microlift;

namespace {

using Wide = long double;
static_assert(std::numeric_limits<Wide>::max_exponent10 > 4000);

struct Case {
    const char* text;
    std::function<Wide(Wide)> f;
    double size;  // of the exponents, by |x|: single precision rounds them
    double most = 1000;  // |x| where the formula as written, and its value, are within range
};

const Case kCases[] = {
    {"log(1+exp(x))", [](Wide x) { return std::log(1 + std::exp(x)); }, 1},
    {"-log(exp(-5*(x-1)^2-200)+exp(-5*(x+1)^2-200))",
     [](Wide x) {
         return -std::log(std::exp(-5 * (x - 1) * (x - 1) - 200) + std::exp(-5 * (x + 1) * (x + 1) - 200));
     },
     100, 40},
    {"-log(2^(-500-7*(x-1)^2)+2^(-500-7*(x+1)^2))",
     [](Wide x) {
         return -std::log(std::exp2(-500 - 7 * (x - 1) * (x - 1)) +
                          std::exp2(-500 - 7 * (x + 1) * (x + 1)));
     },
     250, 40},
    {"10^x/(1+10^x)", [](Wide x) { return std::pow(10.0L, x) / (1 + std::pow(10.0L, x)); }, 2.4},
    {"log(0.3*exp(2*x)+1e-30*exp(-3*x))",
     [](Wide x) { return std::log(0.3L * std::exp(2 * x) + 1e-30L * std::exp(-3 * x)); }, 70},
    {"log(exp(x)+exp(log(exp(2*x)+exp(-x))))",
     [](Wide x) { return std::log(std::exp(x) + std::exp(2 * x) + std::exp(-x)); }, 4},
    {"log((exp(x)+2)^3*exp(-x)/(1+exp(x+50)))",
     [](Wide x) {
         return 3 * std::log(std::exp(x) + 2) - x - std::log(1 + std::exp(x + 50));
     },
     50},
    {"log(3+exp(-x)+(x^2+1)*exp(4*x))",
     [](Wide x) { return std::log(3 + std::exp(-x) + (x * x + 1) * std::exp(4 * x)); }, 5},
    {"1/(1+exp(x))", [](Wide x) { return 1 / (1 + std::exp(x)); }, 1},
    {"exp(x)/(1+exp(x))", [](Wide x) { return std::exp(x) / (1 + std::exp(x)); }, 1},
    {"exp(x)*(1/(1+exp(x)))", [](Wide x) { return std::exp(x) / (1 + std::exp(x)); }, 1},
    {"1/(1+exp(20*x))^2", [](Wide x) { return 1 / std::pow(1 + std::exp(20 * x), 2); }, 20},
    {"1/sqrt(1+exp(2*x))", [](Wide x) { return 1 / std::sqrt(1 + std::exp(2 * x)); }, 2},
    {"(1+exp(20*x))^0.05*exp(-x)",
     [](Wide x) { return std::pow(1 + std::exp(20 * x), 0.05L) * std::exp(-x); }, 20, 40},
    {"exp(x)/sqrt(1+exp(2*x))",
     [](Wide x) { return std::exp(x) / std::sqrt(1 + std::exp(2 * x)); }, 2},
    {"log(exp(x)/(1+exp(x)))", [](Wide x) { return x - std::log(1 + std::exp(x)); }, 1},
    {"(exp(x)-exp(-x))/(exp(x)+exp(-x))", [](Wide x) { return std::tanh(x); }, 2},
    {"(x*exp(3*x)+2*exp(-3*x))/(exp(3*x)+exp(-3*x))",
     [](Wide x) {
         return (x * std::exp(3 * x) + 2 * std::exp(-3 * x)) / (std::exp(3 * x) + std::exp(-3 * x));
     },
     6},
    {"x*exp(-x)/(1+exp(-x))^2",
     [](Wide x) { return x * std::exp(-x) / std::pow(1 + std::exp(-x), 2); }, 2},
    {"(2+exp(2*x))/(3+exp(x)+5*exp(2*x))",
     [](Wide x) {
         return (2 + std::exp(2 * x)) / (3 + std::exp(x) + 5 * std::exp(2 * x));
     },
     3},
};

const double kPoints[] = {-900.5, -95.0, -30.25, -4.5, -1.0, -0.125, 0.0, 0.0625, 1.0, 3.5, 29.0, 91.5, 700.25};

double slope(const Case& c, double x) {
    const Wide h = 1e-6L;
    return static_cast<double>((c.f(x + h) - c.f(x - h)) / (2 * h));
}

}  // namespace

TEST_CASE("logarithms and quotients of sums of exponentials, at any size") {
    for (const Case& c : kCases) {
        Expressions graph;
        const NodeId f = parse_formula(graph, c.text, {{"x"}, {}});
        const std::vector<NodeId> outputs{f, graph.gradient(f, 1)[0], graph.derivative(f, 0)};
        const Program program = lower(graph, outputs, 1);
        for (const double x : kPoints) {
            if (std::fabs(x) > c.most) continue;
            CAPTURE(c.text);
            CAPTURE(x);
            const double value = static_cast<double>(c.f(x)), gradient = slope(c, x);
            const double expected[] = {value, gradient, gradient};
            const auto at = static_cast<float>(x);
            float single[3];
            execute_scalar(program, &at, single);
            for (int o = 0; o < 3; ++o) {
                CAPTURE(o);
                // A few roundings of the exponents, of the result, and of slopes that cancel.
                const double size = 1 + c.size * (1 + std::fabs(x)), scale = std::fabs(expected[o]);
                CHECK(std::fabs(static_cast<double>(single[o]) - expected[o]) <=
                      4 * 1.2e-7 * (size * std::fmin(1.0, scale) + scale + c.size));
                CHECK(std::fabs(graph.evaluate(outputs[static_cast<std::size_t>(o)], {&x, 1}) -
                                expected[o]) <= 1e-8 * (1 + scale));
            }
        }
    }
}

TEST_CASE("second derivatives of a softmax") {
    Expressions graph;
    const NodeId f = parse_formula(graph, "log(exp(2*x+40*y)+exp(x^2)+1)", {{"x", "y"}, {}});
    const std::vector<NodeId> g = graph.gradient(f, 2);
    const NodeId xy = graph.derivative(g[0], 1);
    for (const double y : {-3.0, 0.01, 2.5, 40.0}) {
        const double at[] = {0.5, y};
        // With weights p of the terms and slopes a, b of the exponents: Σ p a b − (Σ p a)(Σ p b).
        const Wide u = std::exp(Wide{1} + 40 * Wide{y}), v = std::exp(Wide{0.25}), z = u + v + 1;
        const Wide exact = 80 * u / z - (2 * u + v) / z * 40 * u / z;
        CHECK(graph.evaluate(xy, at) == doctest::Approx(static_cast<double>(exact)).epsilon(1e-9));
    }
}

TEST_CASE("sums of exponentials that stay within reach are left as they are") {
    Expressions graph;
    const NodeId x = graph.variable(0);
    const NodeId sum = graph.add(graph.unary(Op::exp, graph.neg(graph.pow(x, graph.constant(2.0)))),
                                 graph.constant(1e-10));
    CHECK(graph.node(graph.unary(Op::log, sum)).op == Op::log);
    CHECK(graph.node(graph.div(x, sum)).op == Op::div);
    CHECK(graph.unary(Op::log, graph.unary(Op::exp, x)) == x);
}
