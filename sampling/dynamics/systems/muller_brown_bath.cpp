#include <cmath>
#include <cstdio>

#include "sampling/dynamics/systems.h"

namespace microlift {

namespace {

constexpr const char* kMullerBrown =
    "-200*exp(-(x - 1)^2 - 10*Y^2) - 100*exp(-x^2 - 10*(Y - 0.5)^2)"
    " - 170*exp(-6.5*(x + 0.5)^2 + 11*(x + 0.5)*(Y - 1.5) - 6.5*(Y - 1.5)^2)"
    " + 15*exp(0.7*(x + 1)^2 + 0.6*(x + 1)*(Y - 1) + 0.7*(Y - 1)^2)";

std::string replaced(std::string text, const std::string& what, const std::string& by) {
    for (std::size_t at = text.find(what); at != std::string::npos;
         at = text.find(what, at + by.size()))
        text.replace(at, what.size(), by);
    return text;
}

}  // namespace

// The Mueller-Brown surface V(x, y) with eight harmonic bath variables b_i of stiffness
// bath (1 + (i - 1)/2), all nine seen through rotations by angles that depend on x: in the planes
// (y, b1), (b1, b2), ..., (b7, b8) in turn by twist x + 0.3 j. At a given x that is an orthogonal map,
// so volume, F(x) and p(y, b | x) are those of the unmixed system: exact averages of w are rotated
// ones, E[w | x] = R(x) (E[y | x], 0, ..., 0).
SystemInfo muller_brown_bath_system() {
    SystemInfo info;
    info.name = "muller_brown_bath";
    info.description = "Mueller-Brown with eight bath variables, mixed by rotations that depend on x";
    info.variables = {"x"};
    for (int i = 1; i <= 9; ++i) info.variables.push_back("w" + std::to_string(i));
    info.parameters = {{"twist", 1, "1/length", "how fast the mixing turns with x"},
                       {"bath", 400, "energy/length^2", "stiffness of the softest bath variable"}};
    info.beta = 1.0 / 15;
    // The inverse of w = G8 ... G1 (y, b): the last plane turns back first.
    std::vector<std::string> v(info.variables.begin() + 1, info.variables.end());
    for (int j = 8; j >= 1; --j) {
        const auto i = static_cast<std::size_t>(j);
        char shift[16];
        std::snprintf(shift, sizeof shift, "%.1f", 0.3 * j);
        const std::string angle = "(twist*x + " + std::string(shift) + ")";
        const std::string a = v[i - 1], b = v[i];
        v[i - 1] = "(cos" + angle + "*" + a + " + sin" + angle + "*" + b + ")";
        v[i] = "(cos" + angle + "*" + b + " - sin" + angle + "*" + a + ")";
    }
    info.potential = replaced(kMullerBrown, "Y", v[0]);
    for (int i = 1; i <= 8; ++i) {
        char share[16];
        std::snprintf(share, sizeof share, "%.2f", 0.5 * (1 + 0.5 * (i - 1)));
        info.potential += " + " + std::string(share) + "*bath*" + v[static_cast<std::size_t>(i)] + "^2";
    }
    info.cv = "x";
    // The deep minimum, mixed.
    std::vector<double> w(9, 0.0);
    w[0] = 1.442;
    for (int j = 1; j <= 8; ++j) {
        const auto i = static_cast<std::size_t>(j);
        const double angle = -0.558 + 0.3 * j, a = w[i - 1], b = w[i];
        w[i - 1] = std::cos(angle) * a - std::sin(angle) * b;
        w[i] = std::sin(angle) * a + std::cos(angle) * b;
    }
    info.initial = {-0.558};
    info.initial.insert(info.initial.end(), w.begin(), w.end());
    return info;
}

}  // namespace microlift
