// Kernel bodies of the energy score in groups. Rows are batch entries, in whitened units.
#pragma once

#include "kernels/lane/whole.h"
#include "nn/train/batch.h"

namespace microlift {

// The condition's features and the whitened sample, each shared by `group` rows.
struct EnergyBatchBody {
    TrainingColumns columns;
    WhiteningView white;
    const float *states, *conditions;
    index row_size;
    const TrainClock* clock;
    uint64 seed;
    int group, latent;
    bool ring;
    float *input, *target;
    index input_ld, target_ld;
    LANE_FN void operator()(index row) const {
        const uint64 block = clock->iteration;
        uint32 counter[4] = {static_cast<uint32>(row / group), kStreamBatch,
                             static_cast<uint32>(block), static_cast<uint32>(block >> 32)};
        philox4x32(counter, philox_key(seed));
        const index j = columns.pick(counter[0], counter[1]);
        const float* s = conditions + j;
        index knot[4];
        float weight[4];
        white.place(s, row_size, knot, weight);
        for (int d = 0; d < white.states; ++d)
            target[row * target_ld + d] =
                (states[ring_site(ring, counter[3], d, white.states) * row_size + j] - white.look_up(white.mean, d, knot, weight)) /
                white.look_up(white.deviation, d, knot, weight);
        white.write_features(s, row_size, input + row * input_ld + latent);
    }
};

// The energy score (Gneiting and Raftery, J. Am. Stat. Assoc. 102 (2007) 359) of groups of M generated
// states x_i for one sample x: mean |x_i − x| − Σ_{i≠j} |x_i − x_j| / (2 M (M − 1)), an unbiased
// estimate of a proper score; its seed and each row's share of the batch's mean.
struct EnergyGroupBody {
    int states, group;
    index rows;
    float scale;  // 1/batch
    const float *generated, *real;
    float *seed, *loss;
    index ld;
    LANE_FN void operator()(index row) const {
        const index first = quotient(row, group) * group;
        const index end = first + group < rows ? first + group : rows;
        const float* a = generated + row * ld;
        const float* x = real + row * ld;
        float* out = seed + row * ld;
        float to_real = 1e-12f;
        for (int d = 0; d < states; ++d) to_real = fma(a[d] - x[d], a[d] - x[d], to_real);
        to_real = sqrt_exact(to_real);
        for (int d = 0; d < states; ++d) out[d] = scale * (a[d] - x[d]) / to_real;
        float share = scale * to_real;
        const float others = end - first > 1 ? scale / static_cast<float>(end - first - 1) : 0.0f;
        for (index j = first; j < end; ++j) {
            if (j == row) continue;
            const float* b = generated + j * ld;
            float apart = 1e-12f;
            for (int d = 0; d < states; ++d) apart = fma(a[d] - b[d], a[d] - b[d], apart);
            apart = sqrt_exact(apart);
            for (int d = 0; d < states; ++d) out[d] -= others * (a[d] - b[d]) / apart;
            share -= 0.5f * others * apart;
        }
        loss[row] = share;
    }
};

}  // namespace microlift
