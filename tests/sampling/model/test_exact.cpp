// Quadrature over the other variable: every well is found, in any unit, or there is no answer.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "sampling/formula/formula.h"
#include "sampling/model/exact.h"

namespace microlift {
namespace {

// Of a potential in x (which is ξ) and y, with the length L and the energy E.
ExactModel model_of(const std::string& potential, double beta = 1, double L = 1, double E = 1,
                    std::vector<double> start = {0, 0}) {
    Expressions graph;
    const NodeId v = parse_formula(graph, potential, {{"x", "y"}, {{"L", L}, {"E", E}}});
    auto values = std::make_shared<BatchEvaluator>(graph, std::vector<NodeId>{v});
    auto bounds = std::make_shared<IntervalEvaluator>(graph, v);
    return ExactModel(
        2, 0, beta, std::move(start),
        [values](const double* x, index n, double* out) {
            (*values)(x, static_cast<std::size_t>(n), static_cast<std::size_t>(n), out);
        },
        [bounds](std::span<const Interval> x) { return (*bounds)(x); });
}

constexpr const char* kHidden =
    "E*(3*((x/L)^2-1)^2+(0.5+10*(x/L)^2)*((y/L)^2-1)^2-0.4*(x/L)*(y/L))";

}  // namespace

TEST_CASE("quadrature finds the second well, whatever the start") {
    for (const double start : {-1.0, 1.0}) {
        const ExactModel exact = model_of(kHidden, 20, 1, 1, {0, start});
        double shift = 0;
        for (const double x : {-1.5, -1.0, -0.3, 0.0, 0.8, 1.2}) {
            // The trapezoid rule, exact to rounding for a function that has decayed at both ends.
            double z = 0, first = 0, second = 0;
            for (int i = -250000; i <= 250000; ++i) {
                const double y = 1e-5 * i, w = y * y - 1;
                const double p = std::exp(-20 * ((0.5 + 10 * x * x) * w * w - 0.4 * x * y) +
                                          8 * std::fabs(x) - 8);
                z += p, first += p * y, second += p * y * y;
            }
            const ExactConditional law = exact.at(x);
            const double mean = first / z;
            CHECK(law.mean == doctest::Approx(mean).epsilon(1e-9));
            CHECK(law.variance == doctest::Approx(second / z - mean * mean).epsilon(1e-7));
            const double log_z =
                std::log(z) - 60 * (x * x - 1) * (x * x - 1) - 8 * std::fabs(x) + 8;
            if (x == -1.5) shift = law.log_z - log_z;
            CHECK(law.log_z - log_z == doctest::Approx(shift).epsilon(1e-9));
            CHECK(law.cdf.back() == doctest::Approx(1).epsilon(1e-9));
            CHECK(std::is_sorted(law.y.begin(), law.y.end()));
        }
        CHECK(exact.at(-1.0).mean == doctest::Approx(-1.0).epsilon(0.01));
    }
}

TEST_CASE("quadrature in any unit of length and energy") {
    const ExactConditional one = model_of(kHidden).at(-0.7);
    for (double L = 1e-12; L < 2e12; L *= 100)
        for (const double E : {1e-21, 1e-6, 1.0, 1e6}) {
            CAPTURE(L);
            CAPTURE(E);
            const ExactConditional law = model_of(kHidden, 1 / E, L, E).at(-0.7 * L);
            CHECK(law.mean / L == doctest::Approx(one.mean).epsilon(1e-7));
            CHECK(law.variance / (L * L) == doctest::Approx(one.variance).epsilon(1e-7));
            CHECK(law.log_z - std::log(L) == doctest::Approx(one.log_z).epsilon(1e-7));
            CHECK(law.quantile(0.3) / L == doctest::Approx(one.quantile(0.3)).epsilon(1e-4));
        }
}

TEST_CASE("quadrature finds wells far away, narrow ones, tails and walls") {
    SUBCASE("ten million widths from the start") {
        const ExactConditional law = model_of("(y-1e7)^2/2 + x^2").at(0);
        CHECK(law.mean == doctest::Approx(1e7).epsilon(1e-12));
        CHECK(law.variance == doctest::Approx(1).epsilon(1e-6));
        CHECK(law.log_z == doctest::Approx(0.5 * std::log(2 * M_PI)).epsilon(1e-8));
    }
    SUBCASE("two wells of equal weight a million widths apart") {
        const ExactConditional law =
            model_of("-log(exp(-(y-1e6)^2/2)+exp(-(y+3)^2/2)) + x^2").at(0);
        CHECK(law.mean == doctest::Approx(0.5 * (1e6 - 3)).epsilon(1e-7));
        CHECK(law.log_z == doctest::Approx(std::log(2 * std::sqrt(2 * M_PI))).epsilon(1e-8));
    }
    SUBCASE("a needle that no even spacing of points would meet") {
        // 1e-5 wide, 25 kT deep: it holds ∫ e^(25 e^(−u²/2)) du 1e-5 e^(−c²/2).
        const double c = 1.2345678, width = 1e-5;
        double needle = 0, rest = std::sqrt(2 * M_PI);
        for (int i = -80000; i <= 80000; ++i) {
            const double u = 1e-4 * i;
            needle += 1e-4 * width * std::expm1(25 * std::exp(-0.5 * u * u)) *
                      std::exp(-0.5 * c * c);
        }
        const ExactConditional law =
            model_of("y^2/2 - 25*exp(-0.5*((y-1.2345678)/1e-5)^2) + x^2").at(0);
        CHECK(law.log_z == doctest::Approx(std::log(needle + rest)).epsilon(1e-5));
        CHECK(law.mean == doctest::Approx(c * needle / (needle + rest)).epsilon(1e-4));
    }
    SUBCASE("a power law") {
        const ExactConditional law = model_of("3*log(1+y^2) + x^2").at(0);
        CHECK(law.mean == doctest::Approx(0).scale(1).epsilon(1e-8));
        CHECK(law.variance == doctest::Approx(1.0 / 3).epsilon(1e-6));
        CHECK(law.log_z == doctest::Approx(std::log(3 * M_PI / 8)).epsilon(1e-8));
    }
    SUBCASE("a formula that has values on one side only") {
        const ExactConditional law = model_of("y - 2*log(y) + x^2", 1, 1, 1, {0, 1}).at(0);
        CHECK(law.mean == doctest::Approx(3).epsilon(1e-6));
        CHECK(law.variance == doctest::Approx(3).epsilon(1e-6));
    }
    SUBCASE("a kink and a wall") {
        const ExactConditional law = model_of("abs(y - 0.3)*5 + max(0, y - 0.7)*1e4 + x^2").at(0);
        const double left = 0.2, middle = 0.2 * (1 - std::exp(-2.0)),
                     right = std::exp(-2.0) / (5 + 1e4);
        CHECK(law.log_z == doctest::Approx(std::log(left + middle + right)).epsilon(1e-7));
    }
}

TEST_CASE("quadrature that cannot be sure gives no answer and says why") {
    for (const char* potential :
         {"cos(y) + x^2", "x^2", "0.5*log(1+y^2) + x^2", "y + x^2", "-y^2 + x^2", "-1/y^2 + x^2"}) {
        CAPTURE(potential);
        std::string why;
        CHECK_FALSE(model_of(potential, 1, 1, 1, {0, 0.5}).law(0, &why));
        CHECK_FALSE(why.empty());
    }
}

TEST_CASE("bounds of formulas hold") {
    Expressions graph;
    const std::vector<std::string> formulas{
        "x^3 - 2*x^2 + x*y", "sin(3*x)*cos(y)", "tan(x/4)", "exp(-x^2) + log(2 + y)", "abs(x*y)",
        "sqrt(x + 4)/(y^2 + 1)", "tanh(x) + sinh(y) + cosh(x - y)", "atan(x) + erf(y)",
        "min(x, y)*max(x, -y)", "x/(y - 0.5)", "(x + 4)^1.5", "(x+4)^y"};
    for (const std::string& formula : formulas) {
        CAPTURE(formula);
        const NodeId f = parse_formula(graph, formula, {{"x", "y"}, {}});
        const IntervalEvaluator bounds(graph, f);
        std::uint64_t state = 1;
        const auto uniform = [&] {
            state = state * 6364136223846793005ull + 1442695040888963407ull;
            return static_cast<double>(state >> 11) / 9007199254740992.0;
        };
        for (int i = 0; i < 2000; ++i) {
            Interval box[2];
            double at[2];
            for (int k = 0; k < 2; ++k) {
                const double centre = 4 * uniform() - 2, half = std::pow(10, -4 * uniform());
                box[k] = {std::max(centre - half, -2.0), std::min(centre + half, 2.0)};
                at[k] = box[k].low + uniform() * (box[k].high - box[k].low);
            }
            const Interval all = bounds(box);
            const double value = graph.evaluate(f, at);
            REQUIRE(all.low <= value);
            REQUIRE(value <= all.high);
        }
    }
}

TEST_CASE("a variable that does not vary is judged by nothing") {
    CHECK_FALSE(ReferenceLaw(std::vector<float>(500, 0.0f), std::nullopt).known());
    std::vector<float> samples(500, 0.0f);
    samples[0] = 1;
    CHECK(ReferenceLaw(samples, std::nullopt).known());
}

}  // namespace microlift
