// Kernels that measure the whitening tables: over fixed chunks of the data, which are added up in order.
#pragma once

#include "kernels/block/block.h"
#include "kernels/lane/whole.h"
#include "nn/layers/whitening.h"

namespace microlift {

inline constexpr index kMostMeasured = 1 << 20;
inline constexpr int kRangeColumns = 8;  // of one thread

// The m-th of `measured` columns spread over all, jittered so that no period of the layout is met.
LANE_FN index measured_column(index m, index measured, index columns) {
    if (measured == columns) return m;
    const uint32 hash = (static_cast<uint32>(m) * 2654435761u) >> 16;
    const double at = (static_cast<double>(m) + hash * (1.0 / 65536.0)) *
                      (static_cast<double>(columns) / static_cast<double>(measured));
    const index j = static_cast<index>(at);
    return j < columns ? j : columns - 1;
}

// to (variable, measured).
struct GatherMeasuredBody {
    const float* values;
    index row, columns, measured;
    float* to;
    LANE_FN void operator()(index i) const {
        const index d = quotient(i, measured);
        to[i] = values[d * row + measured_column(i - d * measured, measured, columns)];
    }
};

// What the tables are measured on.
struct MeasuredData {
    WhiteningView view;
    const float *states, *conditions;
    index row, columns, measured, chunks;

    LANE_FN index cells() const { return view.knots[0] * view.knots[1]; }
    LANE_FN int corners() const { return view.axes == 1 ? 2 : 4; }
    LANE_FN index first(index chunk) const { return chunk * measured / chunks; }
};

// Enough chunks for a GPU's threads, one of which owns a knot of a chunk; none smaller than 512 samples.
inline index measure_chunks(index measured, index cells) {
    constexpr index kWanted = 131072, kLeastSamples = 512;
    const index wanted = (kWanted + cells - 1) / cells, most = measured / kLeastSamples;
    return most < 1 ? 1 : wanted < most ? wanted : most;
}

// A least-squares fit of piecewise linear tables: a table (knot, kStencil + states) holds the normal
// matrix, by the offset (−1…1, −1…1) of the other knot, and the right-hand sides of scaled states
// (v − center)/scale.
inline constexpr int kStencil = 9;
struct FitSums {
    MeasuredData data;
    const float *center, *scale;
    LANE_FN index entry() const { return kStencil + data.view.states; }
    // What corner c of a sample adds to its knot.
    LANE_FN void add(index j, int c, const index (&)[4], const float (&weight)[4],
                     double* cell) const {
        const double w = static_cast<double>(weight[c]);
        for (int e = 0; e < data.corners(); ++e) {
            const int step0 = (e & 1) - (c & 1), step1 = (e >> 1) - (c >> 1);
            cell[(step0 + 1) * 3 + step1 + 1] += w * static_cast<double>(weight[e]);
        }
        for (int d = 0; d < data.view.states; ++d)
            cell[kStencil + d] += w * static_cast<double>(
                (data.states[d * data.row + j] - center[d]) / scale[d]);
    }
};

// A table (knot, 1 + states): hat-weighted count and squares of scaled residuals about the fitted means
// that the view holds.
struct ResidualSums {
    MeasuredData data;
    const float* scale;
    LANE_FN index entry() const { return 1 + data.view.states; }
    LANE_FN void add(index j, int c, const index (&knot)[4], const float (&weight)[4],
                     double* cell) const {
        cell[0] += static_cast<double>(weight[c]);
        for (int d = 0; d < data.view.states; ++d) {
            const float mean = data.view.look_up(data.view.mean, d, knot, weight);
            const double u =
                static_cast<double>((data.states[d * data.row + j] - mean) / scale[d]);
            cell[1 + d] += static_cast<double>(weight[c]) * u * u;
        }
    }
};

// A thread owns a knot and looks at every sample of its chunk: block b takes a tile of knots of chunk
// b / tiles into out (chunk, knot, entry).
template <class Sums>
struct MeasureKernel {
    static constexpr int kThreads = 128;
    struct Shared {
        int32 knot[4][kThreads];
        float weight[4][kThreads];
        index column[kThreads];
    };
    Sums sums;
    index tiles;
    double* out;

    template <class Block>
    LANE_FN void operator()(Block& block, Shared& shared) const {
        const MeasuredData& data = sums.data;
        const int me = block.thread(), corners = data.corners();
        const index chunk = block.block() / tiles;
        const index own = block.block() % tiles * kThreads + me;
        double* const mine = out + (chunk * data.cells() + own) * sums.entry();
        if (own < data.cells())
            for (index e = 0; e < sums.entry(); ++e) mine[e] = 0.0;
        const index end = data.first(chunk + 1);
        for (index base = data.first(chunk); base < end; base += kThreads) {
            block.barrier();  // the tile before has been read
            if (base + me < end) {
                const index j = measured_column(base + me, data.measured, data.columns);
                index knot[4];
                float weight[4];
                data.view.place(data.conditions + j, data.row, knot, weight);
                LANE_UNROLL
                for (int c = 0; c < 4; ++c) {
                    shared.knot[c][me] = static_cast<int32>(knot[c]);
                    shared.weight[c][me] = weight[c];
                }
                shared.column[me] = j;
            }
            block.barrier();
            const int here = end - base < kThreads ? static_cast<int>(end - base) : kThreads;
            for (int e = 0; e < here; ++e)
                for (int c = 0; c < corners; ++c) {
                    if (shared.knot[c][e] != own) continue;
                    const index knot[4] = {shared.knot[0][e], shared.knot[1][e], shared.knot[2][e],
                                           shared.knot[3][e]};
                    const float weight[4] = {shared.weight[0][e], shared.weight[1][e],
                                             shared.weight[2][e], shared.weight[3][e]};
                    sums.add(shared.column[e], c, knot, weight, mine);
                }
        }
    }
};

// All knots of a chunk at once, sample by sample.
struct MeasureOnCpu {
    template <class Sums>
    void operator()(const MeasureKernel<Sums>& k, index chunk) const {
        const MeasuredData& data = k.sums.data;
        const index entry = k.sums.entry();
        double* const mine = k.out + chunk * data.cells() * entry;
        for (index i = 0; i < data.cells() * entry; ++i) mine[i] = 0.0;
        for (index m = data.first(chunk); m < data.first(chunk + 1); ++m) {
            const index j = measured_column(m, data.measured, data.columns);
            index knot[4];
            float weight[4];
            data.view.place(data.conditions + j, data.row, knot, weight);
            for (int c = 0; c < data.corners(); ++c)
                k.sums.add(j, c, knot, weight, mine + knot[c] * entry);
        }
    }
};

// out (state, 2, piece): least and greatest whitened value of kRangeColumns columns.
struct RangeBody {
    static constexpr index kGrain = 64;
    MeasuredData data;
    float* out;
    LANE_FN void operator()(index piece) const {
        const WhiteningView& view = data.view;
        index column[kRangeColumns], knot[kRangeColumns][4];
        float weight[kRangeColumns][4];
        LANE_UNROLL
        for (int k = 0; k < kRangeColumns; ++k) {
            const index m = piece * kRangeColumns + k, last = data.measured - 1;
            column[k] = measured_column(m < last ? m : last, data.measured, data.columns);
            view.place(data.conditions + column[k], data.row, knot[k], weight[k]);
        }
        for (int d = 0; d < view.states; ++d) {
            float least = 3e38f, most = -3e38f;
            LANE_UNROLL
            for (int k = 0; k < kRangeColumns; ++k) {
                const float mean = view.look_up(view.mean, d, knot[k], weight[k]);
                const float u = (data.states[d * data.row + column[k]] - mean) /
                                view.look_up(view.deviation, d, knot[k], weight[k]);
                least = min(u, least);
                most = max(u, most);
            }
            out[2 * d * data.chunks + piece] = least;
            out[(2 * d + 1) * data.chunks + piece] = most;
        }
    }
};

}  // namespace microlift
