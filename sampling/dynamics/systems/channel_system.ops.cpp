#include "kernels/dynamics/systems.h"
#include "sampling/dynamics/system_kernels.h"

namespace microlift {

HOST_PASS_BEGIN

inline Channel make_channel(std::span<const double> p, const PathSetup& s) {
    return {thermal_noise(s), static_cast<float>(p[0])};
}

SystemInfo channel_system() {
    return {.name = "channel",
            .description = "a double well in x followed by y through a spring: x alone closes wrongly",
            .variables = {"x", "y"},
            .parameters = {{"k", 10, "energy/length^2", "stiffness of the spring between x and y"}},
            .beta = 3,
            .potential = "(x^2 - 1)^2 + k/2*(y - x)^2",
            .drift = {}, .diffusion = {}, .observe = {},
            .cv = "x",
            .initial = {-1, -1},
            .kernel = compiled_path<make_channel>,
            .passage = compiled_passage<make_channel>};
}

HOST_PASS_END

}  // namespace microlift
