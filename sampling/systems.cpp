#include "sampling/systems.h"

#include "engine/config.h"
#include "sampling/formula.h"
#include "sampling/system_kernels.h"

namespace microlift {

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
