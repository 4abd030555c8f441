#include "sampling/dynamics/systems.h"

#include <cmath>
#include <cstdio>

#include "engine/config/names.h"
#include "sampling/formula/formula.h"
#include "sampling/dynamics/system_kernels.h"

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

// The Mueller-Brown surface V(x, y) with eight harmonic bath variables b_i of stiffness
// bath (1 + (i - 1)/2), all nine seen through rotations by angles that depend on x: in the planes
// (y, b1), (b1, b2), ..., (b7, b8) in turn by twist x + 0.3 j. At a given x that is an orthogonal map,
// so volume, F(x) and p(y, b | x) are those of the unmixed system: exact averages of w are rotated
// ones, E[w | x] = R(x) (E[y | x], 0, ..., 0).
SystemInfo muller_brown_bath() {
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

// A ring of 64 double wells, V = sum_i height (p_i^2 - 1)^2 + coupling/2 (p_i - p_(i+1))^2.
SystemInfo phi4_chain() {
    SystemInfo info;
    info.name = "phi4_chain";
    info.description = "a ring of 64 coupled double wells; its mean is the coarse variable";
    info.parameters = {{"height", 1, "energy", "barrier of each well"},
                       {"coupling", 2, "energy", "stiffness between neighbours"}};
    info.beta = 1;
    for (int i = 1; i <= 64; ++i) {
        const std::string p = "p" + std::to_string(i), next = "p" + std::to_string(i % 64 + 1);
        info.variables.push_back(p);
        info.potential += (i > 1 ? " + " : "") + std::string("height*(") + p +
                          "^2 - 1)^2 + coupling/2*(" + p + " - " + next + ")^2";
        info.cv += (i > 1 ? " + " : "(") + p;
        info.initial.push_back(0);
    }
    info.cv += ")/64";
    return info;
}

}  // namespace

const std::vector<SystemInfo>& system_registry() {
    static const std::vector<SystemInfo> registry{
        {.name = "double_well",
         .description = "one variable, two wells at x = -1 and 1",
         .variables = {"x"},
         .parameters = {{"height", 1, "energy", "barrier between the wells"}},
         .beta = 3,
         .potential = "height*(x^2 - 1)^2",
         .drift = {}, .diffusion = {}, .observe = {},
         .cv = "x",
         .initial = {-1},
         .kernel = double_well_kernel},
        {.name = "channel",
         .description = "a double well in x followed by y through a spring: x alone closes wrongly",
         .variables = {"x", "y"},
         .parameters = {{"k", 10, "energy/length^2", "stiffness of the spring between x and y"}},
         .beta = 3,
         .potential = "(x^2 - 1)^2 + k/2*(y - x)^2",
         .drift = {}, .diffusion = {}, .observe = {},
         .cv = "x",
         .initial = {-1, -1},
         .kernel = channel_kernel},
        {.name = "hidden_barrier",
         .description = "two wells in y behind a barrier that biasing x cannot cross",
         .variables = {"x", "y"},
         .parameters = {},
         .beta = 1,
         .potential = "3*(x^2 - 1)^2 + (0.5 + 10*x^2)*(y^2 - 1)^2 - 0.4*x*y",
         .drift = {}, .diffusion = {}, .observe = {},
         .cv = "x",
         .initial = {-1, 1},
         .kernel = hidden_barrier_kernel},
        {.name = "muller_brown",
         .description = "the Mueller-Brown surface: three minima, two saddles, a curved valley",
         .variables = {"x", "y"},
         .parameters = {},
         .beta = 1.0 / 15,
         .potential = "-200*exp(-(x - 1)^2 - 10*y^2) - 100*exp(-x^2 - 10*(y - 0.5)^2)"
                      " - 170*exp(-6.5*(x + 0.5)^2 + 11*(x + 0.5)*(y - 1.5) - 6.5*(y - 1.5)^2)"
                      " + 15*exp(0.7*(x + 1)^2 + 0.6*(x + 1)*(y - 1) + 0.7*(y - 1)^2)",
         .drift = {}, .diffusion = {}, .observe = {},
         .cv = "x",
         .initial = {-0.558, 1.442},
         .kernel = muller_brown_kernel},
        {.name = "fast_slow",
         .description = "a slow drifting phase x1 and a fast radius x2, seen only through y",
         .variables = {"x1", "x2"},
         .parameters = {{"a1", 1e-3, "1/time", "drift of x1"},
                        {"a2", 1e-3, "1/sqrt(time)", "noise of x1"},
                        {"a3", 1e-1, "1/time", "relaxation rate of x2"},
                        {"a4", 1e-1, "1/sqrt(time)", "noise of x2"}},
         .beta = 0,
         .potential = "",
         .drift = {"a1", "a3*(1 - x2)"},
         .diffusion = {"a2", "a4"},
         .observe = {"x2*cos(x1 + x2 - 1)", "x2*sin(x1 + x2 - 1)"},
         .cv = "x1",
         .initial = {0, 1},
         .kernel = fast_slow_kernel},
        muller_brown_bath(),
        phi4_chain(),
    };
    return registry;
}

const SystemInfo& find_system(const std::string& name) {
    std::vector<std::string> known;
    for (const SystemInfo& info : system_registry()) {
        if (info.name == name) return info;
        known.push_back(info.name);
    }
    const std::string nearest = nearest_name(name, known);
    std::string list;
    for (const std::string& k : known) list += (list.empty() ? "" : ", ") + k;
    throw InputError("unknown system '" + name + "'; " +
                     (nearest.empty() ? "" : "did you mean '" + nearest + "'? ") + "known: " + list);
}

}  // namespace microlift
