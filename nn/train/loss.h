// The record of a loss that is one number a row.
#pragma once

#include "nn/train/record.h"

namespace microlift {

inline constexpr int kLossColumns = 2;  // iteration, loss

struct LossRecord {
    static constexpr int kSums = 1;
    Schedule schedule;
    TrainClock* clock;
    const float* loss;
    index batch;
    float* history;
    LANE_FN index count(int) const { return batch; }
    LANE_FN double term(int, index i) const { return static_cast<double>(loss[i]); }
    LANE_FN void write(uint64 it, const double (&sums)[kSums]) const {
        float* row = history + static_cast<index>(it / schedule.stride) * kLossColumns;
        row[0] = static_cast<float>(it);
        row[1] = static_cast<float>(sums[0]);
        note_bad(clock, it, 1, row[1]);
    }
};

}  // namespace microlift
