#include "kernels/dynamics/systems.h"
#include "sampling/dynamics/system_kernels.h"

namespace microlift {

HOST_PASS_BEGIN

inline HiddenBarrier make_hidden_barrier(std::span<const double>, const PathSetup& s) {
    return {thermal_noise(s)};
}

SystemInfo hidden_barrier_system() {
    return {.name = "hidden_barrier",
            .description = "two wells in y behind a barrier that biasing x cannot cross",
            .variables = {"x", "y"},
            .parameters = {},
            .beta = 1,
            .potential = "3*(x^2 - 1)^2 + (0.5 + 10*x^2)*(y^2 - 1)^2 - 0.4*x*y",
            .drift = {}, .diffusion = {}, .observe = {},
            .cv = "x",
            .initial = {-1, 1},
            .kernel = compiled_path<make_hidden_barrier>,
            .passage = compiled_passage<make_hidden_barrier>};
}

HOST_PASS_END

}  // namespace microlift
