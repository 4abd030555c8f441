// Normals of a trajectory, those of several blocks at a time, whose chains of rounds run side by side: the same as of
// normal_block.
#pragma once

#include "kernels/random/philox.h"

namespace microlift {

template <class L>
class NormalBlocks {
public:
    LANE_FN NormalBlocks(uint64 seed, uint32 stream_id, index first_index)
        : start_(seed, stream_id, first_index) {}

    template <class M, int Rounds, int Blocks>
    LANE_FN void draw(uint64 block, L (&z)[Blocks][4]) const {
        Uint<L> u[Blocks][4];
LANE_UNROLL
        for (int b = 0; b < Blocks; ++b) start_.draw(block + static_cast<uint64>(b), u[b]);
        PhiloxKey key = start_.key;
        for (int r = 1; r < kStart; ++r) advance(key);
LANE_UNROLL
        for (int r = kStart; r < Rounds; ++r) {
            advance(key);
LANE_UNROLL
            for (int b = 0; b < Blocks; ++b) philox_round(u[b], key);
        }
LANE_UNROLL
        for (int b = 0; b < Blocks; ++b) {
            box_muller<M>(u[b][0], u[b][1], z[b][0], z[b][1]);
            box_muller<M>(u[b][2], u[b][3], z[b][2], z[b][3]);
        }
    }

private:
    static constexpr int kStart = 3;  // rounds that are folded
    static LANE_FN void advance(PhiloxKey& key) {
        key.k0 += kPhiloxW0;
        key.k1 += kPhiloxW1;
    }
    PhiloxStream<L, kStart> start_;
};

}  // namespace microlift
