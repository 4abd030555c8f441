// Kernel bodies of GAN training and generation. Rows are batch entries; all offsets, rates and counters
// that change from step to step are read from device memory.
#pragma once

#include "kernels/net/adam.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "nn/layers/mlp_bodies.h"
#include "nn/layers/whitening.h"

namespace microlift {

// The training's state that is not weights; one in device memory.
struct TrainClock {
    uint64 iteration = 0;
    uint64 bad_iteration = ~uint64{0};  // the first with a loss that is not finite
    AdamStep critic, generator;
    float ema = 0;  // weight of the new parameters in the moving average
    float bad_what = 0;
    float critic_share = 1;  // of the critic in the generator's loss
    float padding = 0;
};

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

// Generated states into the critic's fake rows, and points between real and fake into the mixed ones.
struct FakeBody {
    const TrainClock* clock;
    uint64 seed;
    uint32 steps, step;
    int states;
    const float *generated, *real;
    float *fake, *mixed;  // mixed may be null
    index generated_ld, critic_ld;
    template <class L>
    LANE_FN void operator()(L, index row, index place) const {
        constexpr int width = kWidth<L>;
        for (int w = 0; w < width; ++w)
            for (int d = 0; d < states; ++d)
                fake[(place + w) * critic_ld + d] = generated[(place + w) * generated_ld + d];
        if (!mixed) return;
        Uint<L> words[4];
        batch_words<L>(seed, kStreamPenalty, clock->iteration * steps + step, lane_numbers<L>(row),
                       words);
        float u[width];
        store(u, 0, uniform_open<L>(words[0]));
        for (int w = 0; w < width; ++w) {
            const index at = (place + w) * critic_ld;
            for (int d = 0; d < states; ++d)
                mixed[at + d] = fma(u[w], real[at + d] - fake[at + d], fake[at + d]);
        }
    }
    LANE_FN void operator()(index row) const { (*this)(float{}, row, row); }
};

enum class Penalty : int32 { one_sided, two_sided, relativistic };

// The penalty's value and its derivative by the input gradient g; only the state columns count.
// one_sided: weight·max(0, |g| − 1)², two_sided: weight·(|g| − 1)², relativistic: weight/2·|g|².
template <class Real>
struct PenaltyBody {
    Penalty kind;
    Real weight, scale;  // scale = 1/batch
    int states;
    const Real* gradient;
    Real *seed, *value;
    index ld;
    LANE_FN void operator()(index row) const { (*this)(row, row); }
    LANE_FN void operator()(index row, index place) const {
        const Real* g = gradient + place * ld;
        Real norm = 0;
        for (int d = 0; d < states; ++d) norm = fma(g[d], g[d], norm);
        Real factor = weight;
        if (kind == Penalty::relativistic) {
            value[row] = Real(0.5) * weight * norm;
        } else {
            norm = sqrt_exact(norm);
            Real excess = norm - Real(1);
            if (kind == Penalty::one_sided) excess = max(excess, Real(0));
            value[row] = weight * excess * excess;
            factor = Real(2) * weight * excess / max(norm, Real(1e-12));
        }
        for (int d = 0; d < states; ++d) seed[place * ld + d] = scale * factor * g[d];
    }
};

// Seeds of the relativistic losses softplus(D(fake) − D(real)) for the critic and
// softplus(D(real) − D(fake)) for the generator (Huang et al., 2024).
template <class Real>
struct RelativisticSeedBody {
    bool for_critic;
    Real scale;
    const Real *fake, *real;
    Real *fake_seed, *real_seed;  // real_seed may be null
    index ld;
    LANE_FN void operator()(index row) const {
        const Real gap = fake[row * ld] - real[row * ld];
        const Real s = sigmoid<Portable>(for_critic ? gap : -gap) * scale;
        fake_seed[row * ld] = for_critic ? s : -s;
        if (real_seed) real_seed[row * ld] = for_critic ? -s : s;
    }
};

// What the critic said of each row, kept for the history.
struct KeepOutputBody {
    const float* from;
    index ld;
    float* to;
    LANE_FN void operator()(index row, index place) const { to[row] = from[place * ld]; }
    LANE_FN void operator()(index row) const { (*this)(row, row); }
};

// The critic's gradient by its states, times *share, becomes the seed of the generator's reverse sweep.
template <class Real>
struct HandOverBody {
    int states;
    const float* share;  // null: 1
    const Real* from;
    Real* to;
    index from_ld, to_ld;
    LANE_FN void operator()(index row) const {
        const Real factor = share ? static_cast<Real>(*share) : Real(1);
        for (int d = 0; d < states; ++d) to[row * to_ld + d] = factor * from[row * from_ld + d];
    }
};

// Adds the gradient of the energy score (Gneiting and Raftery, J. Am. Stat. Assoc. 102 (2007) 359),
// E|x' − x| − ½ E|x' − x''| in whitened units, to the seed of the generator's reverse sweep: x' and x''
// are the states of rows 2i and 2i+1, x the sample whose condition both share. A proper score, so it
// pulls towards p(x|s) itself and steadies what the critic teaches.
template <class Real>
struct EnergyScoreBody {
    int states;
    Real scale;  // weight/batch
    index rows;
    const Real *generated, *real;
    Real* seed;
    index generated_ld, real_ld;
    LANE_FN void operator()(index row) const { (*this)(row, row); }
    // The pair's places are neighbours as its rows are: tiles begin at even rows.
    LANE_FN void operator()(index row, index place) const {
        const index other = row % 2 == 0 ? (row + 1 < rows ? 1 : 0) : -1;
        const Real* a = generated + place * generated_ld;
        const Real* b = a + other * generated_ld;
        const Real* x = real + place * real_ld;
        Real to_real = Real(1e-12), to_other = Real(1e-12);
        for (int d = 0; d < states; ++d) {
            to_real = fma(a[d] - x[d], a[d] - x[d], to_real);
            to_other = fma(a[d] - b[d], a[d] - b[d], to_other);
        }
        const Real wr = scale / sqrt_exact(to_real), wo = scale / sqrt_exact(to_other);
        for (int d = 0; d < states; ++d)
            seed[place * generated_ld + d] += wr * (a[d] - x[d]) - wo * (a[d] - b[d]);
    }
};

// --- optimiser --------------------------------------------------------------------------------------

// Where the elements of a flat parameter span go in the transposed copy.
struct TransposeMap {
    int layers = 0;
    int32 begin[kMostLayers] = {}, end[kMostLayers] = {};  // of the weights
    int32 out[kMostLayers] = {}, ld[kMostLayers] = {};     // width and padded width
    int32 target[kMostLayers] = {}, target_ld[kMostLayers] = {};
};

// Sums the gradient's slots in order, steps, keeps the transposed copy and the moving average.
struct AdamBody {
    static constexpr index kGrain = 512;
    const AdamStep* step;
    const float* average_weight;  // null: no moving average
    AdamRates rates;
    const float* gradient;
    index slots, size;
    float *parameter, *first, *second, *transposed, *average;
    TransposeMap map;
    template <class L>
    LANE_FN void operator()(L, index i) const {
        L g = load<L>(gradient, i);
        for (index s = 1; s < slots; ++s) g = g + load<L>(gradient + s * size, i);
        L m = load<L>(first, i), v = load<L>(second, i);
        const L p = adam_update(*step, rates, load<L>(parameter, i), g, m, v);
        store(first, i, m);
        store(second, i, v);
        store(parameter, i, p);
        if (average) {
            const L old = load<L>(average, i);
            store(average, i, fma(broadcast<L>(*average_weight), p - old, old));
        }
        const int32 at = static_cast<int32>(i);
        for (int l = 0; l < map.layers; ++l) {
            if (at < map.begin[l] || at >= map.end[l]) continue;
            // A pack never crosses a row: rows are padded to kPad, packs divide it and are aligned.
            const int32 row = (at - map.begin[l]) / map.ld[l];
            const int32 column = (at - map.begin[l]) - row * map.ld[l];
            float* target = transposed + map.target[l] + row;
            float values[kWidth<L>];
            store(values, 0, p);
            for (int w = 0; w < kWidth<L> && column + w < map.out[l]; ++w)
                target[(column + w) * map.target_ld[l]] = values[w];
        }
    }
};

// What a run of iterations looks like: rates, history.
struct Schedule {
    uint64 iterations = 1, stride = 1;  // stride: iterations between history rows
    float generator_rate = 0, critic_rate = 0, ema = 0;
    bool fade_critic = false;
    AdamRates rates;
    LANE_FN float shape(uint64 iteration) const {
        const float u = static_cast<float>(static_cast<double>(iteration) /
                                           static_cast<double>(iterations));
        float s, c;
        sincos<Portable>(3.14159265f * min(u, 1.0f), s, c);
        return 0.5f * (1.0f + c);
    }
};

// Before an optimiser step: the rate of this step.
struct AdvanceBody {
    Schedule schedule;
    TrainClock* clock;
    bool critic;
    LANE_FN void operator()(index) const {
        const float shape = schedule.shape(clock->iteration);
        if (critic) {
            adam_advance(clock->critic, schedule.rates, shape * schedule.critic_rate);
            return;
        }
        adam_advance(clock->generator, schedule.rates, shape * schedule.generator_rate);
        // With an energy score the critic finds the modes early on; later the score, which has no
        // adversary to circle, gains weight.
        if (schedule.fade_critic) clock->critic_share = fma(0.7f, shape, 0.3f);
        // The average forgets its start quickly.
        const float t = static_cast<float>(clock->iteration);
        clock->ema = 1.0f - min(schedule.ema, (1.0f + t) / (10.0f + t));
    }
};

inline constexpr int kHistoryColumns = 4;  // iteration, Wasserstein estimate, penalty, generator loss

// At the end of an iteration: losses every `stride`, the counter.
struct RecordBody {
    Schedule schedule;
    TrainClock* clock;
    // D of the last critic batch, D(fake) of the generator's; penalties by row and group.
    const float *fake, *real, *after, *penalty;
    index batch, penalties;
    float* history;
    LANE_FN void operator()(index) const {
        const uint64 it = clock->iteration;
        if (it % schedule.stride == 0) {
            double gap = 0, extra = 0, generated = 0;
            for (index i = 0; i < batch; ++i) {
                gap += static_cast<double>(real[i]) - static_cast<double>(fake[i]);
                generated -= static_cast<double>(after[i]);
            }
            for (index i = 0; i < penalties; ++i) extra += static_cast<double>(penalty[i]);
            const double scale = 1.0 / static_cast<double>(batch);
            float* row = history + static_cast<index>(it / schedule.stride) * kHistoryColumns;
            row[0] = static_cast<float>(it);
            row[1] = static_cast<float>(gap * scale);
            row[2] = static_cast<float>(extra * scale);
            row[3] = static_cast<float>(generated * scale);
            for (int c = 1; c < kHistoryColumns; ++c)
                if (is_bad(row[c]) && clock->bad_iteration == ~uint64{0}) {
                    clock->bad_iteration = it;
                    clock->bad_what = static_cast<float>(c);
                }
        }
        clock->iteration = it + 1;
    }
};

// --- generation and validation ------------------------------------------------------------------------

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

// Selected columns of a data array, (variables, total).
struct PickBody {
    const float* from;
    index row;
    const int64* columns;
    int variables;
    index total;
    float* out;
    LANE_FN void operator()(index i) const {
        for (int d = 0; d < variables; ++d) out[d * total + i] = from[d * row + columns[i]];
    }
};

// W1/σ of one (variable, bin): both samples sorted.
struct DistanceBody {
    static constexpr index kGrain = 1;
    const float *physics, *generated, *inverse_deviation;
    index samples;
    float* out;
    LANE_FN void operator()(index segment) const {
        double sum = 0;
        for (index i = segment * samples; i < (segment + 1) * samples; ++i)
            sum += static_cast<double>(abs(physics[i] - generated[i]));
        out[segment] = static_cast<float>(sum / static_cast<double>(samples)) *
                       inverse_deviation[segment];
    }
};

struct BestState {
    float best = 3e38f;
    uint32 rows = 0;  // of the validation history
    uint64 best_iteration = 0;
    uint32 improved = 0, padding = 0;
};
inline constexpr int kValidationColumns = 3;  // iteration, mean, worst

struct JudgeBody {
    const float* distances;
    index segments;
    const TrainClock* clock;
    BestState* best;
    float* history;
    LANE_FN void operator()(index) const {
        double sum = 0;
        float worst = 0;
        for (index k = 0; k < segments; ++k) {
            sum += static_cast<double>(distances[k]);
            worst = distances[k] > worst ? distances[k] : worst;
        }
        const float mean = static_cast<float>(sum / static_cast<double>(segments));
        float* row = history + static_cast<index>(best->rows++) * kValidationColumns;
        row[0] = static_cast<float>(clock->iteration);
        row[1] = mean;
        row[2] = worst;
        best->improved = mean < best->best ? 1 : 0;
        if (!best->improved) return;
        best->best = mean;
        best->best_iteration = clock->iteration;
    }
};

struct KeepBestBody {
    const BestState* best;
    const float* from;
    float* to;
    template <class L>
    LANE_FN void operator()(L, index i) const {
        if (best->improved) store(to, i, load<L>(from, i));
    }
};

}  // namespace microlift
