// Functions of formulas that are built of several operations, against their definitions.
#include <cmath>
#include <doctest/doctest.h>
#include <numbers>
#include <random>

#include "sampling/formula/formula.h"
#include "sampling/run/config/run_config.h"

using namespace microlift;

namespace {

const Symbols kAtoms{{"ax", "ay", "az", "bx", "by", "bz", "cx", "cy", "cz", "dx", "dy", "dz"}, {}};
constexpr const char* kDistance = "distance(ax, ay, az, bx, by, bz)";
constexpr const char* kAngle = "angle(ax, ay, az, bx, by, bz, cx, cy, cz)";
constexpr const char* kDihedral = "dihedral(ax, ay, az, bx, by, bz, cx, cy, cz, dx, dy, dz)";

double value_of(const std::string& text, const std::vector<double>& x, const Symbols& symbols) {
    Expressions graph;
    return graph.evaluate(parse_formula(graph, text, symbols), x);
}

// Atom d at angle phi about the bond b–c, seen along it: positions by rotation, not by a formula of angles.
std::vector<double> chain(double r, double theta, double phi) {
    const double s = r * std::sin(theta), c = r * std::cos(theta);
    return {c, s, 0, 0, 0, 0, 1.3, 0, 0, 1.3 - c, s * std::cos(phi), s * std::sin(phi)};
}

const std::string kChain = R"toml(
[system]
variables = ["ax", "ay", "az", "bx", "by", "bz", "cx", "cy", "cz", "dx", "dy", "dz"]
potential = "ax^2"
beta = 4.0
[cv]
variables = [{ kind = "dihedral", atoms = [3, 2, 1, 0] }]
[integrator]
dt = 1e-3
[umbrella]
from = 1.0
to = 5.0
windows = 4
stiffness = 100.0
)toml";

std::string refusal(std::string text, const std::string& from, const std::string& to) {
    text.replace(text.find(from), from.size(), to);
    try {
        parse_run_config(text, "run.toml");
    } catch (const InputError& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("formula: atan2 in all quadrants, on the axes, and its slopes") {
    const Symbols plane{{"y", "x"}, {}};
    Expressions graph;
    const NodeId f = parse_formula(graph, "atan2(y, x)", plane);
    const std::vector<NodeId> slope = graph.gradient(f, 2);
    for (int k = 0; k < 64; ++k) {
        const double angle = (k - 32) * std::numbers::pi / 32, r = 0.1 + 0.3 * (k % 7);
        // On the axes exactly, too.
        const double y = k % 32 == 0 ? 0.0 : r * std::sin(angle);
        const double x = k % 32 == 16 ? 0.0 : r * std::cos(angle);
        const double point[] = {y, x};
        CAPTURE(y);
        CAPTURE(x);
        CHECK(graph.evaluate(f, point) == doctest::Approx(std::atan2(y, x)).epsilon(1e-14));
        CHECK(graph.evaluate(slope[0], point) * r == doctest::Approx(x / r).epsilon(1e-13));
        CHECK(graph.evaluate(slope[1], point) * r == doctest::Approx(-y / r).epsilon(1e-13));
    }
}

TEST_CASE("formula: distances, angles and dihedral angles") {
    for (const double theta : {0.3, 1.9, 2.8})
        for (const double phi : {-3.1, -1.2, -0.01, 0.0, 0.4, 1.7, 3.0, std::numbers::pi}) {
            CAPTURE(theta);
            CAPTURE(phi);
            const std::vector<double> x = chain(0.8, theta, phi);
            CHECK(value_of(kDistance, x, kAtoms) == doctest::Approx(0.8).epsilon(1e-14));
            CHECK(value_of(kAngle, x, kAtoms) == doctest::Approx(theta).epsilon(1e-13));
            const double found = value_of(kDihedral, x, kAtoms);
            CHECK(std::remainder(found - phi, 2 * std::numbers::pi) == doctest::Approx(0).scale(1).epsilon(1e-13));
        }
}

TEST_CASE("formula: forces of angles have no sum and no torque, and are their slopes") {
    std::mt19937 random(5);
    std::uniform_real_distribution<double> uniform(-1, 1);
    for (int trial = 0; trial < 20; ++trial) {
        std::vector<double> x(12);
        for (double& v : x) v = uniform(random);
        for (const char* text : {kDistance, kAngle, kDihedral}) {
            CAPTURE(text);
            Expressions graph;
            const NodeId f = parse_formula(graph, text, kAtoms);
            const std::vector<NodeId> ids = graph.gradient(f, 12);
            std::vector<double> g;
            double scale = 0;
            for (const NodeId id : ids) {
                g.push_back(graph.evaluate(id, x));
                scale = std::max(scale, std::fabs(g.back()));
            }
            for (std::size_t d = 0; d < 3; ++d) {
                const std::size_t e = (d + 1) % 3, h = (d + 2) % 3;
                double sum = 0, torque = 0;
                for (std::size_t a = 0; a < 12; a += 3) {
                    sum += g[a + d];
                    torque += x[a + e] * g[a + h] - x[a + h] * g[a + e];
                }
                CHECK(std::fabs(sum) < 1e-12 * scale);
                CHECK(std::fabs(torque) < 1e-12 * scale);
            }
            for (std::size_t i = 0; i < 12; ++i) {
                std::vector<double> up = x, down = x;
                const double h = 1e-5;
                up[i] += h, down[i] -= h;
                const double turn = 2 * std::numbers::pi;
                const double difference =
                    std::remainder(value_of(text, up, kAtoms) - value_of(text, down, kAtoms), turn);
                // Central differences: h² of a third derivative that grows as the cube of the slope.
                CHECK(std::fabs(difference / (2 * h) - g[i]) <
                      1e-9 * (1 + scale) + 10 * h * h * (1 + scale * scale * scale));
            }
        }
    }
}

TEST_CASE("a dihedral angle as collective variable: cut opposite to the windows, refusals") {
    const RunConfig run = parse_run_config(kChain, "run.toml");
    REQUIRE(run.cv.count() == 1);
    const CvVariable& cv = run.cv.variables[0];
    CHECK(cv.name == "dihedral_3_2_1_0");
    CHECK(cv.unit == "rad");
    // From both ends a dihedral angle is the same; the windows' middle is 3.
    for (const double phi : {0.01, 1.0, 3.1, 3.2, 5.0, 6.1}) {
        CAPTURE(phi);
        CHECK(value_of(cv.formula, chain(1, 1.9, phi), kAtoms) == doctest::Approx(phi).epsilon(1e-12));
    }
    const auto says = [](const std::string& message, const char* part) {
        CAPTURE(message);
        CAPTURE(part);
        CHECK(message.find(part) != std::string::npos);
        CHECK(message.rfind("run.toml:", 0) == 0);
    };
    for (const char* atoms : {"[0, 1, 2]", "[0, 1, 2, 4]", "[0, 1, 2, -1]", "[0, 1, 2, 2]"})
        says(refusal(kChain, "[3, 2, 1, 0]", atoms), "four different atoms of 4");
    says(refusal(kChain, ", atoms = [3, 2, 1, 0]", ""), "four different atoms of 4");
    says(refusal(kChain, "atoms = [3, 2, 1, 0]", "formula = \"ax\""),
         "'cv.variables[].formula' does not go with kind = \"dihedral\"");
    says(refusal(kChain, "kind = \"dihedral\"", "formula = \"ax\""),
         "'cv.variables[].atoms' does not go with kind = \"formula\"");
    // 2 rad either side and 4/√400 = 0.2 beyond: fits. With a quarter of the stiffness 0.4; with 2.8 not.
    CHECK(refusal(kChain, "stiffness = 100.0", "stiffness = 25.0") == "");
    says(refusal(kChain, "to = 5.0", "to = 6.9"), "windows of the dihedral angle");
    says(refusal(kChain, "stiffness = 100.0", "stiffness = 1.0"), "windows of the dihedral angle");
}
