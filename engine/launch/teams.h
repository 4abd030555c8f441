// Bodies whose items need more numbers than registers hold, and more work than a lane should have alone: the lanes of a
// team, neighbours in a warp, share an item's numbers in shared memory. On CUDA alone; a body has
//   template <class L, class Rows> LANE_FN void operator()(L, index i, int32 lane, const Rows& rows) const
// and meets the lanes of its warp at __syncwarp(): all its teams come by the same ones.
#pragma once

#include "engine/launch/lanes.h"
#include "kernels/lane/rows.h"

namespace microlift {

// How items are spread over a device.
struct TeamWork {
    index items;     // that are worked on at once
    index numbers;   // floats of an item
    bool large;      // too many numbers and too much work for one lane, however many items there are
    int most_lanes;  // that find work in an item
};
// Lanes of an item's team: 1, where each lane has an item of its own, 4, 8, 16 or 32. A large item's team is the
// smallest that leaves room for enough warps. Where items are too few to fill the device with a lane each, its lanes
// are shared out among them. MICROLIFT_TEAM in the environment says another number. On the CPU 1.
int team_lanes(const Device& device, const TeamWork& work);
// Floats from one item of a team of so many lanes to the next: lanes that are three numbers apart, as atoms are, then
// find these in banks of their own.
index team_stride(index numbers, int lanes);

// Defined in the CUDA pass of the file that launches the body.
template <class Body>
void launch_teams_on_cuda(Stream& stream, index n, int lanes, index numbers, const Body& body);

#if defined(__CUDACC__)

// A block is a warp, so that as many fit onto a processor as its shared memory holds: sixteen of them leave 128
// registers a thread.
inline constexpr int kTeamThreads = 32, kTeamBlocksPerProcessor = 16;

template <class Body>
__global__ void __launch_bounds__(kTeamThreads, kTeamBlocksPerProcessor)
    team_kernel(index n, int32 lanes, int32 stride, const __grid_constant__ Body body) {
    extern __shared__ float numbers[];
    const int32 thread = static_cast<int32>(threadIdx.x), team = thread / lanes;
    const index i = static_cast<index>(blockIdx.x) * (kTeamThreads / lanes) + team;
    if (i < n) body(float{}, i, thread % lanes, PackedRows<float>{numbers + team * stride});
}

template <class Body>
void launch_teams_on_cuda(Stream& stream, index n, int lanes, index numbers, const Body& body) {
    const index stride = team_stride(numbers, lanes), teams = kTeamThreads / lanes;
    const auto bytes = static_cast<std::size_t>(teams * stride) * sizeof(float);
    CUDA_CHECK(cudaFuncSetAttribute(team_kernel<Body>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(bytes)));
    team_kernel<Body><<<static_cast<unsigned>((n + teams - 1) / teams), kTeamThreads, bytes,
                        static_cast<cudaStream_t>(stream.cuda_stream())>>>(n, lanes, static_cast<int32>(stride), body);
    CUDA_CHECK(cudaGetLastError());
}

HOST_PASS_BEGIN
template <class Body>
void for_each_team_on_cuda(Stream& stream, index n, int lanes, index numbers, const Body& body) {
    launch_teams_on_cuda<Body>(stream, n, lanes, numbers, body);
}
HOST_PASS_END

#else

template <class Body>
void for_each_team_on_cuda(Stream& stream, index n, int lanes, index numbers, const Body& body) {
    if (n <= 0) return;
    count_launch<Body>(n, steps_of(body));
    if constexpr (kHaveCuda)
        launch_teams_on_cuda<Body>(stream, n, lanes, numbers, body);
}

#endif

}  // namespace microlift
