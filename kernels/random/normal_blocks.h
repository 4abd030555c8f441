// Normals of a trajectory, eight at a time: the same as of normal_block, from two blocks whose chains of
// rounds run side by side.
#pragma once

#include "kernels/random/philox.h"

namespace microlift {

template <class L>
class NormalBlocks {
public:
    LANE_FN NormalBlocks(uint64 seed, uint32 stream_id, index first_index)
        : start_(seed, stream_id, first_index) {}

    template <class M, int Rounds>
    LANE_FN void draw(uint64 block, L (&z)[2][4]) const {
        Uint<L> u[2][4];
        start_.draw(block, u[0]);
        start_.draw(block + 1, u[1]);
        PhiloxKey key = start_.key;
        for (int r = 1; r < kStart; ++r) advance(key);
LANE_UNROLL
        for (int r = kStart; r < Rounds; ++r) {
            advance(key);
            philox_round(u[0], key);
            philox_round(u[1], key);
        }
LANE_UNROLL
        for (int b = 0; b < 2; ++b) {
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
