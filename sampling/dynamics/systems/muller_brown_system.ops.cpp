#include "kernels/dynamics/systems.h"
#include "sampling/dynamics/system_kernels.h"

namespace microlift {

HOST_PASS_BEGIN

inline MullerBrown make_muller_brown(std::span<const double>, const PathSetup& s) {
    return {thermal_noise(s)};
}

SystemInfo muller_brown_system() {
    return {.name = "muller_brown",
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
            .kernel = compiled_path<make_muller_brown>,
            .passage = compiled_passage<make_muller_brown>};
}

HOST_PASS_END

}  // namespace microlift
