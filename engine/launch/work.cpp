#include "engine/launch/work.h"

#include <algorithm>

#include "engine/error.h"

#if defined(MICROLIFT_HAVE_CUDA)
#include <cuda_runtime_api.h>
#endif

namespace microlift {

namespace {

int multiprocessors(const Device& device) {
    int count = 1;
#if defined(MICROLIFT_HAVE_CUDA)
    CUDA_CHECK(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device.ordinal()));
#else
    (void)device;
#endif
    return count;
}

}  // namespace

uint64 launch_steps(const Device& device, index trajectories, double cost) {
    // Trajectory-steps, and trajectories that are worked on at once: fewer take as long. Of a core, and of
    // a multiprocessor.
    constexpr double kOfCpu = 6e7, kTogetherOnCpu = 64, kOfCuda = 1.2e8, kTogetherOnCuda = 512;
    const double processors = device.is_cpu() ? 1 : multiprocessors(device);
    const double work = processors * (device.is_cpu() ? kOfCpu : kOfCuda);
    const double together = processors * (device.is_cpu() ? kTogetherOnCpu : kTogetherOnCuda);
    const double each = std::max(static_cast<double>(trajectories), together) * cost;
    // Of few steps loading and storing the states shows, and so does noise that is drawn twice: then up to sixteen
    // times the work, which is what a run that is stopped may wait for. Whole groups of noise.
    constexpr double kFew = 32, kMore = 16;
    const auto steps = static_cast<uint64>(
        std::clamp(std::max(work / each, std::min(kFew, kMore * work / each)), 1.0, 0x1p30));
    return steps < 4 ? steps : steps / 4 * 4;
}

index floats_at_once(const Device& device, index on_cpu) {
    if (device.is_cpu()) return on_cpu;
    constexpr index kShare = 64 * sizeof(float);
    return std::max(static_cast<index>(device.memory_bytes()) / kShare, on_cpu);
}

index rows_at_once(const Device& device, index on_cpu, index bytes) {
    constexpr index kOfCuda = index{1} << 17;
    if (device.is_cpu()) return on_cpu;
    const index fit = static_cast<index>(device.memory_bytes()) / 16 / std::max<index>(bytes, 1);
    return std::clamp(fit / 64 * 64, on_cpu, kOfCuda);
}

}  // namespace microlift
