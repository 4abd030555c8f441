// The device pass of sampling/estimate/conditional.h.
#pragma once

#include "kernels/block/block.h"
#include "kernels/lane/whole.h"
#include "sampling/estimate/sample_kernels.h"

namespace microlift {

// Moments of one bin and block: Σ1, Σz, Σzz (upper triangle), then for each variable Σy, Σyz, Σyy;
// z = (ξ − centre)/width.
LANE_FN int base_moments(int dims) {
    return dims == 1 ? 3 : 6;
}
LANE_FN int variable_moments(int dims) {
    return dims == 1 ? 3 : 4;
}

struct ConditionalBins {
    int32 dims = 1;
    double from[kMaxCvs] = {0, 0}, inverse_width[kMaxCvs] = {0, 0};
    index bins[kMaxCvs] = {1, 1};
    bool round[kMaxCvs] = {false, false};  // the first and the last bin repeat those at the other end
};

// Adds one run to sums[(block * bins + bin) * moments + i]; blocks are merged `merge` at a time.
void conditional_sums(Stream& stream, const BiasedSamples& samples, const SampleBlock& run,
                      const ErrorBlocks& blocks, index merge, Span<const float> y, index y_row,
                      index variables, const ConditionalBins& bins, Span<double> sums);

// A thread owns a bin and looks at every sample of its chunk, so that a bin's sums have one order and need
// no atomics. Block b takes a tile of bins of chunk b / tiles % chunks of merged block b / tiles / chunks.
struct ConditionalKernel {
    static constexpr int kThreads = 128;
    struct Shared {
        int32 bin[kThreads];
        double z[kMaxCvs][kThreads], weight[kThreads];
        index column[kThreads];
    };
    const float* xi;  // of the run's first column
    const float* y;
    index row, y_row, variables;
    index windows, replicas, samples;
    index replica_groups, time_segments, merge, chunks, tiles;
    ConditionalBins grid;
    double* tables;  // (merged, chunk, bin, moments)
    const float* weight;  // of the run's first column, or null: all alike

    LANE_FN index bins() const { return grid.bins[0] * grid.bins[1]; }
    LANE_FN index moments() const {
        return base_moments(grid.dims) + variable_moments(grid.dims) * variables;
    }
    LANE_FN index blocks() const { return replica_groups * time_segments; }

    // Samples of block g in a chunk: `length` replicas from `first` on of the rows [from, to), a row being
    // one window at one time.
    struct Part {
        index from, to, first, length;
        LANE_FN index count() const { return (to - from) * length; }
    };
    LANE_FN Part part(index g, index chunk) const {
        const index group = g / time_segments, segment = g - group * time_segments;
        // The inverse of BlockDivision::block: floor(r * groups / replicas) == group.
        const index r0 = (group * replicas + replica_groups - 1) / replica_groups;
        const index r1 = ((group + 1) * replicas + replica_groups - 1) / replica_groups;
        const index s0 = (segment * samples + time_segments - 1) / time_segments;
        const index s1 = ((segment + 1) * samples + time_segments - 1) / time_segments;
        const index rows = (s1 - s0) * windows;
        return {s0 * windows + chunk * rows / chunks, s0 * windows + (chunk + 1) * rows / chunks, r0,
                r1 - r0};
    }
    // The bin of column j, or −1, and where in it.
    LANE_FN int32 place(index j, double (&z)[kMaxCvs]) const {
        index bin = 0;
        for (int k = 0; k < grid.dims; ++k) {
            double u = (static_cast<double>(xi[k * row + j]) - grid.from[k]) * grid.inverse_width[k];
            if (grid.round[k]) {
                const double inner = static_cast<double>(grid.bins[k] - 2), half = 0.5 * inner;
                u = 1.0 + half + nearest_image(u - 1.0 - half, inner);
                u = u < 1.0 || u >= inner + 1.0 ? 1.0 : u;  // rounding at the ends, which are one
            }
            if (!(u >= 0.0) || u >= static_cast<double>(grid.bins[k])) return -1;
            const index b = static_cast<index>(u);
            z[k] = u - static_cast<double>(b) - 0.5;
            bin = bin * grid.bins[k] + b;
        }
        return static_cast<int32>(bin);
    }
    LANE_FN double weight_of(index j) const { return weight ? static_cast<double>(weight[j]) : 1.0; }
    LANE_FN void add(index j, double w, const double (&z)[kMaxCvs], double* sum) const {
        const int base = base_moments(grid.dims), each = variable_moments(grid.dims);
        sum[0] += w;
        sum[1] += w * z[0];
        if (grid.dims == 1) {
            sum[2] += w * (z[0] * z[0]);
        } else {
            sum[2] += w * z[1];
            sum[3] += w * (z[0] * z[0]);
            sum[4] += w * (z[0] * z[1]);
            sum[5] += w * (z[1] * z[1]);
        }
        for (index v = 0; v < variables; ++v) {
            const double value = static_cast<double>(y[v * y_row + j]), part = w * value;
            double* t = sum + base + each * v;
            t[0] += part;
            t[1] += part * z[0];
            if (grid.dims == 2) t[2] += part * z[1];
            t[each - 1] += part * value;
        }
    }

    template <class Block>
    LANE_FN void operator()(Block& block, Shared& shared) const {
        const int me = block.thread();
        const index table = block.block() / tiles, width = moments();
        const index own = block.block() % tiles * kThreads + me, merged = table / chunks;
        double* const sum = tables + (table * bins() + own) * width;
        if (own < bins())
            for (index i = 0; i < width; ++i) sum[i] = 0.0;
        for (index g = merged * merge; g < (merged + 1) * merge && g < blocks(); ++g) {
            const Part p = part(g, table % chunks);
            const index count = p.count();
            for (index base = 0; base < count; base += kThreads) {
                block.barrier();  // the tile before has been read
                if (base + me < count) {
                    const index e = base + me, line = quotient(e, p.length);
                    const index j = (p.from + line) * replicas + p.first + (e - line * p.length);
                    double z[kMaxCvs] = {0.0, 0.0};
                    shared.bin[me] = place(j, z);
                    for (int k = 0; k < kMaxCvs; ++k) shared.z[k][me] = z[k];
                    shared.column[me] = j;
                    shared.weight[me] = weight_of(j);
                }
                block.barrier();
                const int here = count - base < kThreads ? static_cast<int>(count - base) : kThreads;
                for (int e = 0; e < here; ++e)
                    if (shared.bin[e] == own) {
                        const double z[kMaxCvs] = {shared.z[0][e], shared.z[1][e]};
                        add(shared.column[e], shared.weight[e], z, sum);
                    }
            }
        }
    }
};

// Chunks of a merged block: enough for a GPU's threads, none smaller than eight samples a bin, all tables
// within 128 MiB.
inline index conditional_chunks(index samples, index tables, index bins, index width) {
    constexpr index kWanted = 131072, kDoubles = index{1} << 24;
    index chunks = (kWanted + tables * bins - 1) / (tables * bins);
    const index fed = samples / (tables * bins * 8), fit = kDoubles / (tables * bins * width);
    chunks = chunks < fed ? chunks : fed;
    chunks = chunks < fit ? chunks : fit;
    return chunks < 1 ? 1 : chunks;
}

}  // namespace microlift
