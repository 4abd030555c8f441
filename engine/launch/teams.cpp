#include "engine/launch/teams.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <string>

#if defined(MICROLIFT_HAVE_CUDA)
#include <cuda_runtime_api.h>
#endif

namespace microlift {

namespace {

constexpr int kWarpLanes = 32, kLeastLanes = 4;
// Threads that fill a multiprocessor, as far as these kernels' registers go; a quarter of them is a warp for each of
// its schedulers. Warps that keep it busy while some wait.
constexpr index kThreads = 512, kFewThreads = kThreads / 4, kBusyWarps = 12;
constexpr index kReserved = 1 << 10;  // bytes of shared memory that a block takes besides its own

struct DeviceProcessors {
    index count = 1, of_block = 0, of_all = 0;  // bytes of shared memory: of a block, of all blocks of one
};

DeviceProcessors processors_of(const Device& device) {
    DeviceProcessors p;
#if defined(MICROLIFT_HAVE_CUDA)
    const auto ask = [&](cudaDeviceAttr what) {
        int value = 0;
        CUDA_CHECK(cudaDeviceGetAttribute(&value, what, device.ordinal()));
        return static_cast<index>(value);
    };
    p.count = ask(cudaDevAttrMultiProcessorCount);
    p.of_block = ask(cudaDevAttrMaxSharedMemoryPerBlockOptin);
    p.of_all = ask(cudaDevAttrMaxSharedMemoryPerMultiprocessor);
#else
    (void)device;
#endif
    return p;
}

// Of the environment; 0 where it says nothing.
int asked_lanes() {
    const char* const text = std::getenv("MICROLIFT_TEAM");
    if (text == nullptr || *text == '\0') return 0;
    for (const int lanes : {1, 4, 8, 16, 32})
        if (text == std::to_string(lanes)) return lanes;
    throw InputError("MICROLIFT_TEAM is '" + std::string(text) + "': lanes of a replica's team are 1, 4, 8, 16 or 32");
}

}  // namespace

index team_stride(index numbers, int lanes) {
    const index wanted = 3 * lanes % kWarpLanes;
    return numbers + (wanted - numbers % kWarpLanes + kWarpLanes) % kWarpLanes;
}

int team_lanes(const Device& device, const TeamWork& work) {
    if (device.is_cpu()) return 1;
    const DeviceProcessors p = processors_of(device);
    const auto bytes = [&](int lanes) {  // of a warp
        return kWarpLanes / lanes * team_stride(work.numbers, lanes) * static_cast<index>(sizeof(float));
    };
    int lanes = 1;
    if (work.items < p.count * kFewThreads) {
        const auto share = static_cast<unsigned>(p.count * kThreads / std::max<index>(work.items, 1));
        lanes = static_cast<int>(std::bit_floor(std::min<unsigned>(share, kWarpLanes)));
        lanes = std::min(lanes, static_cast<int>(std::bit_floor(static_cast<unsigned>(work.most_lanes))));
    }
    if (work.large) {
        lanes = std::max(lanes, kLeastLanes);
        while (lanes < kWarpLanes && p.of_all / (bytes(lanes) + kReserved) < kBusyWarps) lanes *= 2;
    }
    if (const int asked = asked_lanes()) lanes = asked;
    if (lanes < kLeastLanes) return 1;
    while (bytes(lanes) > p.of_block) {
        if (lanes == kWarpLanes) return 1;
        lanes *= 2;
    }
    return lanes;
}

}  // namespace microlift
