#include "kernels/dynamics/systems.h"
#include "sampling/dynamics/system_kernels.h"

namespace microlift {

HOST_PASS_BEGIN

inline FastSlow make_fast_slow(std::span<const double> p, const PathSetup&) {
    return {static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2]),
            static_cast<float>(p[3])};
}

SystemInfo fast_slow_system() {
    return {.name = "fast_slow",
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
            .kernel = compiled_path<make_fast_slow>,
            .passage = compiled_passage<make_fast_slow>};
}

HOST_PASS_END

}  // namespace microlift
