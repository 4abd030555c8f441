// Batches: rows picked from the data or drawn, whitened on the way in and back on the way out. Rows are
// batch entries.
#pragma once

#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "nn/layers/whitening.h"
#include "nn/train/optimiser.h"

namespace microlift {

// Which columns training may pick: sample·trajectories + kept[k], sample < samples.
struct TrainingColumns {
    const int32* kept = nullptr;
    uint32 kept_count = 0;
    index trajectories = 0, samples = 0;
    LANE_FN index pick(uint32 a, uint32 b) const {
        const uint64 n = static_cast<uint64>(samples) * kept_count;
        // (a + b/2^32)/2^32 · n, without 128-bit products as long as n < 2^32.
        const uint64 k = (a * n + ((b * n) >> 32)) >> 32;
        return static_cast<index>(k / kept_count) * trajectories +
               kept[static_cast<index>(k % kept_count)];
    }
};

// Of words and packs of words.
template <class U>
LANE_FN uint32 lane_word(const U& x, int w) {
    if constexpr (sizeof(U) == sizeof(uint32))
        return x;
    else
        return x.v[w];
}

// The random words that row `row` of a batch gets from a stream; one row a lane.
template <class L>
LANE_FN void batch_words(uint64 seed, uint32 stream, uint64 block, Uint<L> row, Uint<L> (&out)[4]) {
    const Uint<L> zero = row ^ row;
    out[0] = row;
    out[1] = zero | stream;
    out[2] = zero | static_cast<uint32>(block);
    out[3] = zero | static_cast<uint32>(block >> 32);
    philox4x32(out, philox_key(seed));
}

// The variable from which variable d of a training sample is taken: d itself, or, on a ring of n like
// sites, turned and mirrored as `word` says.
LANE_FN int ring_site(bool ring, uint32 word, int d, int n) {
    if (!ring) return d;
    const int shift = static_cast<int>((static_cast<uint64>(word >> 1) * static_cast<uint64>(n)) >> 31);
    const int at = (word & 1u) != 0 ? shift + n - 1 - d : shift + d;
    return at < n ? at : at - n;
}

// A training batch: picks columns, writes whitened states and features to the critic's real rows and
// the features to every other row that needs them.
struct GatherBody {
    TrainingColumns columns;
    WhiteningView white;
    const float *states, *conditions;
    index row_size;  // of the data
    const TrainClock* clock;
    uint64 seed;
    uint32 steps, step;  // batches in an iteration, and which of them this is
    int latent;
    bool paired;  // rows 2i and 2i+1 share a sample: two generated states for one condition
    float *generator_input, *fake, *real, *mixed;  // mixed may be null
    index generator_ld, critic_ld;
    template <class L>
    LANE_FN void operator()(L, index row, index place) const {
        constexpr int width = kWidth<L>;
        Uint<L> number = lane_numbers<L>(row), words[4];
        if (paired) number = number >> 1;
        batch_words<L>(seed, kStreamBatch, clock->iteration * steps + step, number, words);
        index j[width];
        for (int w = 0; w < width; ++w)
            j[w] = columns.pick(lane_word(words[0], w), lane_word(words[1], w));
        if constexpr (width > 1)  // samples lie anywhere: their cache misses wait together
            for (int w = 0; w < width; ++w) {
                for (int k = 0; k < white.conditions; ++k)
                    __builtin_prefetch(conditions + k * row_size + j[w]);
                for (int d = 0; d < white.states; ++d)
                    __builtin_prefetch(states + d * row_size + j[w]);
            }
        float* first = real + place * critic_ld;
        for (int w = 0; w < width; ++w) {
            index knot[4];
            float weight[4];
            white.place(conditions + j[w], row_size, knot, weight);
            for (int d = 0; d < white.states; ++d)
                first[w * critic_ld + d] = (states[d * row_size + j[w]] -
                                            white.look_up(white.mean, d, knot, weight)) /
                                           white.look_up(white.deviation, d, knot, weight);
        }
        const auto condition = [&](int k) {
            float s[width];
            for (int w = 0; w < width; ++w) s[w] = conditions[k * row_size + j[w]];
            return load<L>(s, 0);
        };
        white.write_features_of<L>(condition, first + white.states, critic_ld);
        for (int w = 0; w < width; ++w) {
            const index at = place + w;
            const float* features = real + at * critic_ld + white.states;
            float* inputs = generator_input + at * generator_ld + latent;
            float* fakes = fake + at * critic_ld + white.states;
            for (int k = 0; k < white.features; ++k) {
                const float f = features[k];
                inputs[k] = f;
                fakes[k] = f;
            }
            if (!mixed) continue;
            float* middle = mixed + at * critic_ld + white.states;
            for (int k = 0; k < white.features; ++k) middle[k] = features[k];
        }
    }
    LANE_FN void operator()(index row) const { (*this)(float{}, row, row); }
};

// Standard normal latents into columns 0…latent−1 of the generator's input.
struct LatentBody {
    uint64 seed;
    uint32 stream;
    const TrainClock* clock;  // null: block 0
    uint32 steps, step;
    index first;  // number of the first row
    int latent;
    float* out;
    index ld;
    template <class L>
    LANE_FN void operator()(L, index row, index place) const {
        const PhiloxStream<L> random(seed, stream, first + row);
        const uint64 blocks = static_cast<uint64>((latent + 3) / 4);
        const uint64 block = clock ? (clock->iteration * steps + step) * blocks : 0;
        for (int k = 0; k < latent; k += 4) {
            L z[4];
            normal_block<Portable>(random, block + static_cast<uint64>(k / 4), z);
            for (int c = 0; c < 4 && k + c < latent; ++c)
                store_strided(out + place * ld + k + c, ld, z[c]);
        }
    }
    template <class L>
    LANE_FN void operator()(L, index i) const {
        (*this)(L{}, i, i);
    }
};

struct FeatureBody {
    WhiteningView white;
    const float* conditions;
    index row_size;
    int latent;
    float* out;
    index ld;
    template <class L>
    LANE_FN void operator()(L, index row, index place) const {
        white.write_features_of<L>(
            [&](int k) { return load<L>(conditions, k * row_size + row); },
            out + place * ld + latent, ld);
    }
    LANE_FN void operator()(index row) const { (*this)(float{}, row, row); }
};

struct UnwhitenBody {
    WhiteningView white;
    const float *generated, *conditions;
    index ld, condition_row, state_row;
    float* states;
    LANE_FN void operator()(index row) const { (*this)(row, row); }
    LANE_FN void operator()(index row, index place) const {
        index knot[4];
        float weight[4];
        white.place(conditions + row, condition_row, knot, weight);
        for (int d = 0; d < white.states; ++d) {
            // No further out than any sample was: dynamics that starts from here must not blow up.
            const float u = min(max(generated[place * ld + d], white.range[2 * d]),
                                white.range[2 * d + 1]);
            states[d * state_row + row] = fma(u,
                                              white.look_up(white.deviation, d, knot, weight),
                                              white.look_up(white.mean, d, knot, weight));
        }
    }
};

}  // namespace microlift
