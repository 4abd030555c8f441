// Philox4x32 counter-based random numbers (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as
// easy as 1, 2, 3", SC11): no state, so a number depends only on what it is for. Integer output equals
// the published test vectors; the first two rounds are folded where counter words are the same in all
// lanes or in all steps, which changes no bit.
#pragma once

#include "kernels/lane/math.h"

namespace microlift {

inline constexpr uint32 kPhiloxM0 = 0xD2511F53u, kPhiloxM1 = 0xCD9E8D57u;
inline constexpr uint32 kPhiloxW0 = 0x9E3779B9u, kPhiloxW1 = 0xBB67AE85u;
inline constexpr int kPhiloxRounds = 10;
// The fewest that pass BigCrush (table 2 of the paper): three tenths of the generator's time less.
inline constexpr int kPhiloxFewRounds = 7;

// What tells one sequence from another.
struct PhiloxKey {
    uint32 k0, k1;
};

// That of a seed.
LANE_FN PhiloxKey philox_key(uint64 seed) {
    return {static_cast<uint32>(seed), static_cast<uint32>(seed >> 32)};
}

// One round on words of any mix of uniform (uint32) and lane (U) types.
template <class U>
LANE_FN void philox_round(U (&c)[4], PhiloxKey key) {
    U hi0, lo0, hi1, lo1;
    mul_hi_lo(kPhiloxM0, c[0], hi0, lo0);
    mul_hi_lo(kPhiloxM1, c[2], hi1, lo1);
    c[0] = hi1 ^ c[1] ^ key.k0;
    c[1] = lo1;
    c[2] = hi0 ^ c[3] ^ key.k1;
    c[3] = lo0;
}

// The generator in its general form: counter c in, four random words out.
template <int Rounds = kPhiloxRounds, class U>
LANE_FN void philox4x32(U (&c)[4], PhiloxKey key) {
LANE_UNROLL
    for (int r = 0; r < Rounds; ++r) {
        philox_round(c, key);
        key.k0 += kPhiloxW0;
        key.k1 += kPhiloxW1;
    }
}

// Counter words: {index, stream, block low, block high}. `index` (a trajectory, a sample) varies over
// lanes and stays in a loop; `block` is the same in all lanes and counts through the loop.
template <class L, int Rounds = kPhiloxRounds>
struct PhiloxStream {
    using U = Uint<L>;
    PhiloxKey key;
    uint32 stream;
    U hi0, lo0;  // first-round product of the index word

    LANE_FN PhiloxStream(uint64 seed, uint32 stream_id, index first_index)
        : key(philox_key(seed)),
          // The index is 32 bits in the lane; its upper bits go into the stream word.
          stream(stream_id ^ (static_cast<uint32>(static_cast<uint64>(first_index) >> 32) << 8)) {
        mul_hi_lo(kPhiloxM0, lane_numbers<L>(first_index & 0xffffffffll), hi0, lo0);
    }

    // Four random words for each lane: the numbers of `block`.
    LANE_FN void draw(uint64 block, U (&out)[4]) const {
        uint32 hi1, lo1, hi2, lo2, u0, u1;
        U h, l;
        PhiloxKey k = key;
        // Round 1: words 0 and 1 of the result are uniform.
        mul_hi_lo(kPhiloxM1, static_cast<uint32>(block), hi1, lo1);
        u0 = hi1 ^ stream ^ k.k0;
        u1 = lo1;
        const U v2 = hi0 ^ (static_cast<uint32>(block >> 32) ^ k.k1);
        k.k0 += kPhiloxW0;
        k.k1 += kPhiloxW1;
        // Round 2: the product of word 0 is uniform, that of word 2 does not depend on the low block.
        mul_hi_lo(kPhiloxM0, u0, hi2, lo2);
        mul_hi_lo(kPhiloxM1, v2, h, l);
        out[0] = h ^ (u1 ^ k.k0);
        out[1] = l;
        out[2] = lo0 ^ (hi2 ^ k.k1);
        k.k0 += kPhiloxW0;
        k.k1 += kPhiloxW1;
        // Round 3: word 3 is uniform.
        U hi3, lo3, hi4, lo4;
        mul_hi_lo(kPhiloxM0, out[0], hi3, lo3);
        mul_hi_lo(kPhiloxM1, out[2], hi4, lo4);
        out[0] = hi4 ^ out[1] ^ k.k0;
        out[1] = lo4;
        out[2] = hi3 ^ (lo2 ^ k.k1);
        out[3] = lo3;
LANE_UNROLL
        for (int r = 3; r < Rounds; ++r) {
            k.k0 += kPhiloxW0;
            k.k1 += kPhiloxW1;
            philox_round(out, k);
        }
    }
};

// Uniform in (0, 1], 31 random bits, never 0.
template <class L>
LANE_FN L uniform_open(Uint<L> u) {
    return fma(to_float(as_int(u >> 1)), broadcast<L>(0x1p-31f), broadcast<L>(0x1p-32f));
}

// Box–Muller: two normals from two random words, standard ones unless scaled. The angle lies in one octant pair, random
// bits choose the image, so that sine and cosine need no range reduction.
template <class M, class L>
LANE_FN void box_muller(Uint<L> a, Uint<L> b, L& z0, L& z1, NormalScale scale = {}) {
    const L radius = sqrt<M>(minus_two_log<M>(uniform_open<L>(a), scale));
    L s, c;
    random_direction<M>(b, s, c);
    z0 = radius * s;
    z1 = radius * c;
}

// Four normals of one block.
template <class M, class L, int Rounds>
LANE_FN void normal_block(const PhiloxStream<L, Rounds>& stream, uint64 block, L (&z)[4],
                          NormalScale scale = {}) {
    Uint<L> u[4];
    stream.draw(block, u);
    box_muller<M>(u[0], u[1], z[0], z[1], scale);
    box_muller<M>(u[2], u[3], z[2], z[3], scale);
}

}  // namespace microlift
