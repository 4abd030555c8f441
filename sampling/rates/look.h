// What a kernel sees of trajectories side by side after each look at them.
#pragma once

#include "kernels/dynamics/first_passage.h"

namespace microlift {

struct RateLook {
    index columns;
    int numbers;           // of a state: variables, and velocities where there are some
    float* state;          // (numbers, columns)
    float* q;              // (3, columns): progress, distance from `from`, distance from `to`
    float* before;         // (2, columns): the distances at the look before
    const float* variance;  // (columns) of the noise along both distances since then, or null
    float same_variance;    // of all, where there are no others; 0: crossings are seen at looks alone
    const uint32* number;   // (columns): whose arrays by number belong to it
    float* alive;           // (columns): 1, and 0 once it is over
    uint64 seed;
    uint64 look;            // how many there were, with this one

    LANE_FN float progress(index i) const { return q[i]; }
    LANE_FN float to_from(index i) const { return q[columns + i]; }
    LANE_FN float to_to(index i) const { return q[2 * columns + i]; }
    // Which of the states that are looked for trajectory i entered first since the look before.
    LANE_FN Passage passage(index i, bool from, bool to) const {
        constexpr float kFar = 1e30f;
        StepEnds<float> ends;
        ends.before[0] = from ? before[i] : kFar;
        ends.before[1] = to ? before[columns + i] : kFar;
        ends.after[0] = from ? to_from(i) : kFar;
        ends.after[1] = to ? to_to(i) : kFar;
        const float s = variance ? variance[i] : same_variance;
        ends.variance[0] = ends.variance[1] = s;
        if (!ends.near(0) && !ends.near(1)) return {-1, 0.0f};
        return find_passage<Portable>(ends, PhiloxStream<float>(seed, kStreamRateBridge, i), look);
    }
    LANE_FN void remember(index i) const {
        before[i] = to_from(i);
        before[columns + i] = to_to(i);
    }
    // Looks so far, this one included, or a part of it.
    LANE_FN double now(float moment = 1.0f) const { return static_cast<double>(look - 1) + static_cast<double>(moment); }
    LANE_FN void store(index i, float* to, index row, index column) const {
        for (int d = 0; d < numbers; ++d) to[d * row + column] = state[d * columns + i];
    }
    LANE_FN void load(index i, const float* from, index row, index column) const {
        for (int d = 0; d < numbers; ++d) state[d * columns + i] = from[d * row + column];
    }
};

}  // namespace microlift
