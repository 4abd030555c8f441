// Kernel bodies of the judge: distances of generated to held-out samples, and the best state so far.
#pragma once

#include "kernels/block/reduce.cuh"
#include "nn/train/optimiser.h"

namespace microlift {

// W1/σ of one (variable, bin) a block: both samples sorted.
struct DistanceKernel {
    static constexpr int kThreads = 128;
    struct Shared {
        BlockSum<kThreads> sum;
    };
    const float *physics, *generated, *inverse_deviation;
    index samples;
    float* out;
    LANE_FN double gap(index i) const {
        return static_cast<double>(abs(physics[i] - generated[i]));
    }
    LANE_FN float scaled(index segment, double sum) const {
        return static_cast<float>(sum / static_cast<double>(samples)) * inverse_deviation[segment];
    }
    template <class Block>
    LANE_FN void operator()(Block& block, Shared& shared) const {
        const index segment = block.block(), first = segment * samples;
        double sum = 0.0;
        for (index i = block.thread(); i < samples; i += kThreads) sum = sum + gap(first + i);
        sum = shared.sum.total(block, sum);
        if (block.thread() == 0) out[segment] = scaled(segment, sum);
    }
};

struct DistanceOnCpu {
    void operator()(const DistanceKernel& k, index segment) const {
        constexpr int kThreads = DistanceKernel::kThreads;
        double sums[kThreads] = {};
        for (index i = 0; i < k.samples; ++i)
            sums[i % kThreads] = sums[i % kThreads] + k.gap(segment * k.samples + i);
        k.out[segment] = k.scaled(segment, BlockSum<kThreads>::total(sums));
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
    float near_floor;  // what the floor cannot be told from
    TrainClock* clock;
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
        const float before = best->rows > 1 ? row[1 - kValidationColumns] : mean;
        clock->at_floor = best->rows > 1 && mean <= near_floor && before <= near_floor ? 1.0f : 0.0f;
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
