// The record of a loss that is one number a row.
#pragma once

#include "nn/train/optimiser.h"

namespace microlift {

inline constexpr int kLossColumns = 2;  // iteration, loss

// At the end of an iteration: the batch's loss every `stride`, the counter.
struct LossRecordBody {
    Schedule schedule;
    TrainClock* clock;
    const float* loss;
    index batch;
    float* history;
    LANE_FN void operator()(index) const {
        const uint64 it = clock->iteration;
        if (it % schedule.stride == 0) {
            double sum = 0;
            for (index i = 0; i < batch; ++i) sum += static_cast<double>(loss[i]);
            float* row = history + static_cast<index>(it / schedule.stride) * kLossColumns;
            row[0] = static_cast<float>(it);
            row[1] = static_cast<float>(sum);
            if (is_bad(row[1]) && clock->bad_iteration == ~uint64{0}) {
                clock->bad_iteration = it;
                clock->bad_what = 1;
            }
        }
        clock->iteration = it + 1;
    }
};

}  // namespace microlift
