// The optimiser's step and its schedule, as kernel bodies: all rates and counters that change from step to
// step are read from device memory.
#pragma once

#include "kernels/net/adam.h"
#include "nn/layers/transpose.h"

namespace microlift {

// The training's state that is not weights; one in device memory.
struct TrainClock {
    uint64 iteration = 0;
    uint64 bad_iteration = ~uint64{0};  // the first with a loss that is not finite
    AdamStep critic, generator;
    float ema = 0;  // weight of the new parameters in the moving average
    float bad_what = 0;  // its column of the record
    float critic_share = 1;  // of the critic in the generator's loss
    float at_floor = 0;  // whether the last two looks at held-out samples were within kAtFloor of the floor
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

}  // namespace microlift
