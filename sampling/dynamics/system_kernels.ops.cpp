#include "sampling/dynamics/system_kernels.h"

#include "kernels/dynamics/systems.h"

namespace microlift {

inline ThermalNoise thermal_noise(const PathSetup& s) {
    return {static_cast<float>(std::sqrt(2 / s.beta))};
}

HOST_PASS_BEGIN

std::unique_ptr<PathKernel> double_well_kernel(std::span<const double> p, const PathSetup& s) {
    return make_path_kernel(DoubleWell{thermal_noise(s), static_cast<float>(p[0])}, s);
}

std::unique_ptr<PathKernel> channel_kernel(std::span<const double> p, const PathSetup& s) {
    return make_path_kernel(Channel{thermal_noise(s), static_cast<float>(p[0])}, s);
}

std::unique_ptr<PathKernel> hidden_barrier_kernel(std::span<const double>, const PathSetup& s) {
    return make_path_kernel(HiddenBarrier{thermal_noise(s)}, s);
}

std::unique_ptr<PathKernel> muller_brown_kernel(std::span<const double>, const PathSetup& s) {
    return make_path_kernel(MullerBrown{thermal_noise(s)}, s);
}

std::unique_ptr<PathKernel> fast_slow_kernel(std::span<const double> p, const PathSetup& s) {
    return make_path_kernel(FastSlow{static_cast<float>(p[0]), static_cast<float>(p[1]),
                                     static_cast<float>(p[2]), static_cast<float>(p[3])},
                            s);
}

HOST_PASS_END

}  // namespace microlift
