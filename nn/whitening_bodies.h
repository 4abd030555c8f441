// Kernel bodies that measure the whitening tables: each index is a fixed chunk of the data, so that
// the sums do not depend on threads.
#pragma once

#include "nn/whitening.h"

namespace microlift {

inline constexpr index kMeasureChunks = 64;
inline constexpr index kMostMeasured = 1 << 20;

// The m-th of `measured` columns spread over all, jittered so that no period of the layout is met.
LANE_FN index measured_column(index m, index measured, index columns) {
    if (measured == columns) return m;
    const uint32 hash = (static_cast<uint32>(m) * 2654435761u) >> 16;
    const double at = (static_cast<double>(m) + hash * (1.0 / 65536.0)) *
                      (static_cast<double>(columns) / static_cast<double>(measured));
    const index j = static_cast<index>(at);
    return j < columns ? j : columns - 1;
}

// out (chunk, variable, 4): sum and square sum about the first column's value, least, greatest.
struct MomentsBody {
    static constexpr index kGrain = 1;
    const float* values;
    index row, columns, measured;
    int variables;
    double* out;
    LANE_FN void operator()(index chunk) const {
        for (int d = 0; d < variables; ++d) {
            const float* x = values + d * row;
            const double shift = static_cast<double>(x[0]);
            double sum = 0, squares = 0, least = shift, most = shift;
            for (index m = chunk * measured / kMeasureChunks;
                 m < (chunk + 1) * measured / kMeasureChunks; ++m) {
                const double v = static_cast<double>(x[measured_column(m, measured, columns)]);
                const double u = v - shift;
                sum += u;
                squares += u * u;
                least = v < least ? v : least;
                most = v > most ? v : most;
            }
            double* mine = out + (chunk * variables + d) * 4;
            mine[0] = sum, mine[1] = squares, mine[2] = least, mine[3] = most;
        }
    }
};

// out (chunk, knot, 1 + 2·states): hat-weighted count, sums and square sums of scaled states. The
// tables that `view` points at hold one global mean and deviation each.
struct ConditionalMomentsBody {
    static constexpr index kGrain = 1;
    WhiteningView view;
    const float *states, *conditions;
    index row, columns, measured;
    double* out;
    LANE_FN void operator()(index chunk) const {
        const index cells = view.knots[0] * view.knots[1], entry = 1 + 2 * view.states;
        double* mine = out + chunk * cells * entry;
        for (index m = chunk * measured / kMeasureChunks;
             m < (chunk + 1) * measured / kMeasureChunks; ++m) {
            const index j = measured_column(m, measured, columns);
            index knot[4];
            float weight[4];
            view.place(conditions + j, row, knot, weight);
            for (int c = 0; c < (view.axes == 1 ? 2 : 4); ++c) {
                double* cell = mine + knot[c] * entry;
                const double w = static_cast<double>(weight[c]);
                cell[0] += w;
                for (int d = 0; d < view.states; ++d) {
                    const double u = static_cast<double>(
                        (states[d * row + j] - view.mean[d]) / view.deviation[d]);
                    cell[1 + d] += w * u;
                    cell[1 + view.states + d] += w * u * u;
                }
            }
        }
    }
};

}  // namespace microlift
