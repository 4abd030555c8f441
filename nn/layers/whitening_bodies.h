// Kernel bodies that measure the whitening tables: each index is a fixed chunk of the data, so that
// the sums do not depend on threads.
#pragma once

#include "nn/layers/whitening.h"

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

// A least-squares fit of piecewise linear tables: out (chunk, knot, kStencil + states) holds the normal
// matrix, by the offset (−1…1, −1…1) of the other knot, and the right-hand sides of scaled states
// (v − center)/scale.
inline constexpr int kStencil = 9;
struct FitBody {
    static constexpr index kGrain = 1;
    WhiteningView view;
    const float *states, *conditions, *center, *scale;
    index row, columns, measured;
    double* out;
    LANE_FN void operator()(index chunk) const {
        const index cells = view.knots[0] * view.knots[1], entry = kStencil + view.states;
        double* mine = out + chunk * cells * entry;
        for (index m = chunk * measured / kMeasureChunks;
             m < (chunk + 1) * measured / kMeasureChunks; ++m) {
            const index j = measured_column(m, measured, columns);
            index knot[4];
            float weight[4];
            view.place(conditions + j, row, knot, weight);
            const int corners = view.axes == 1 ? 2 : 4;
            for (int c = 0; c < corners; ++c) {
                double* cell = mine + knot[c] * entry;
                const double w = static_cast<double>(weight[c]);
                for (int e = 0; e < corners; ++e) {
                    const int step0 = (e & 1) - (c & 1), step1 = (e >> 1) - (c >> 1);
                    cell[(step0 + 1) * 3 + step1 + 1] += w * static_cast<double>(weight[e]);
                }
                for (int d = 0; d < view.states; ++d)
                    cell[kStencil + d] += w * static_cast<double>(
                        (states[d * row + j] - center[d]) / scale[d]);
            }
        }
    }
};

// out (chunk, knot, 1 + states): hat-weighted count and squares of scaled residuals about the fitted
// means that `view` holds.
struct ResidualBody {
    static constexpr index kGrain = 1;
    WhiteningView view;
    const float *states, *conditions, *scale;
    index row, columns, measured;
    double* out;
    LANE_FN void operator()(index chunk) const {
        const index cells = view.knots[0] * view.knots[1], entry = 1 + view.states;
        double* mine = out + chunk * cells * entry;
        for (index m = chunk * measured / kMeasureChunks;
             m < (chunk + 1) * measured / kMeasureChunks; ++m) {
            const index j = measured_column(m, measured, columns);
            index knot[4];
            float weight[4];
            view.place(conditions + j, row, knot, weight);
            const int corners = view.axes == 1 ? 2 : 4;
            for (int c = 0; c < corners; ++c)
                mine[knot[c] * entry] += static_cast<double>(weight[c]);
            for (int d = 0; d < view.states; ++d) {
                const double u = static_cast<double>(
                    (states[d * row + j] - view.look_up(view.mean, d, knot, weight)) / scale[d]);
                for (int c = 0; c < corners; ++c)
                    mine[knot[c] * entry + 1 + d] += static_cast<double>(weight[c]) * u * u;
            }
        }
    }
};

// out (chunk, state, 2): least and greatest whitened value.
struct RangeBody {
    static constexpr index kGrain = 1;
    WhiteningView view;
    const float *states, *conditions;
    index row, columns, measured;
    float* out;
    LANE_FN void operator()(index chunk) const {
        float* mine = out + chunk * view.states * 2;
        for (int d = 0; d < view.states; ++d) mine[2 * d] = 3e38f, mine[2 * d + 1] = -3e38f;
        for (index m = chunk * measured / kMeasureChunks;
             m < (chunk + 1) * measured / kMeasureChunks; ++m) {
            const index j = measured_column(m, measured, columns);
            index knot[4];
            float weight[4];
            view.place(conditions + j, row, knot, weight);
            for (int d = 0; d < view.states; ++d) {
                const float u = (states[d * row + j] - view.look_up(view.mean, d, knot, weight)) /
                                view.look_up(view.deviation, d, knot, weight);
                mine[2 * d] = min(u, mine[2 * d]);
                mine[2 * d + 1] = max(u, mine[2 * d + 1]);
            }
        }
    }
};

}  // namespace microlift
