#include "kernels/dynamics/systems.h"
#include "sampling/dynamics/system_kernels.h"

namespace microlift {

HOST_PASS_BEGIN

inline DoubleWell make_double_well(std::span<const double> p, const PathSetup& s) {
    return {thermal_noise(s), static_cast<float>(p[0])};
}

SystemInfo double_well_system() {
    return {.name = "double_well",
            .description = "one variable, two wells at x = -1 and 1",
            .variables = {"x"},
            .parameters = {{"height", 1, "energy", "barrier between the wells"}},
            .beta = 3,
            .potential = "height*(x^2 - 1)^2",
            .drift = {}, .diffusion = {}, .observe = {},
            .cv = "x",
            .initial = {-1},
            .kernel = compiled_path<make_double_well>,
            .passage = compiled_passage<make_double_well>};
}

HOST_PASS_END

}  // namespace microlift
