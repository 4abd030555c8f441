// Kernel bodies of the judge: distances of generated to held-out samples, and the best state so far.
#pragma once

#include "nn/train/optimiser.h"

namespace microlift {

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
