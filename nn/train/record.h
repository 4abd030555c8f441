// The kernel at the end of an iteration: every `stride` of them it adds up numbers of the batch's rows for
// the history, in one block.
#pragma once

#include "kernels/block/reduce.cuh"
#include "nn/train/optimiser.h"

namespace microlift {

// A Record has kSums, schedule, clock, count(c) and term(c, i), the i-th summand of sum c, and
// write(iteration, sums), which puts them into the history.
template <class Record>
struct RecordKernel {
    static constexpr int kThreads = 512;
    struct Shared {
        BlockSum<kThreads> sum[Record::kSums];
    };
    Record record;

    template <class Block>
    LANE_FN void operator()(Block& block, Shared& shared) const {
        const uint64 it = record.clock->iteration;
        const bool wanted = it % record.schedule.stride == 0;
        block.barrier();  // everyone has read the counter
        double sums[Record::kSums] = {};
        if (wanted)
            for (int c = 0; c < Record::kSums; ++c) {
                for (index i = block.thread(); i < record.count(c); i += kThreads)
                    sums[c] = sums[c] + record.term(c, i);
                sums[c] = shared.sum[c].total(block, sums[c]);
            }
        if (block.thread() > 0) return;
        if (wanted) record.write(it, sums);
        record.clock->iteration = it + 1;
    }
};

struct RecordOnCpu {
    template <class Record>
    void operator()(const RecordKernel<Record>& k, index) const {
        constexpr int kThreads = RecordKernel<Record>::kThreads;
        const uint64 it = k.record.clock->iteration;
        if (it % k.record.schedule.stride == 0) {
            double sums[Record::kSums];
            for (int c = 0; c < Record::kSums; ++c) {
                double parts[kThreads] = {};
                for (index i = 0; i < k.record.count(c); ++i)
                    parts[i % kThreads] = parts[i % kThreads] + k.record.term(c, i);
                sums[c] = BlockSum<kThreads>::total(parts);
            }
            k.record.write(it, sums);
        }
        k.record.clock->iteration = it + 1;
    }
};

// A number of the history that is not finite is kept where it first appears.
LANE_FN void note_bad(TrainClock* clock, uint64 iteration, int column, float value) {
    if (is_bad(value) && clock->bad_iteration == ~uint64{0}) {
        clock->bad_iteration = iteration;
        clock->bad_what = static_cast<float>(column);
    }
}

}  // namespace microlift
