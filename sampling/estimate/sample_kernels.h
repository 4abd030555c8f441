// Device passes over biased samples: range, moments, autocorrelation, histograms.
// Chunks are fixed and partial sums are added in a fixed order, so no result depends on the thread
// count.
#pragma once

#include "kernels/dynamics/period.h"
#include "kernels/lane/whole.h"
#include "sampling/estimate/window_statistics.h"

namespace microlift {

// Which independent block a column belongs to.
struct BlockDivision {
    int32 trajectories, replicas, samples;
    int32 replica_groups, time_segments;

    LANE_FN int32 block(index j) const {
        const int32 s = static_cast<int32>(quotient(j, trajectories));
        const int32 t = static_cast<int32>(j - static_cast<index>(s) * trajectories);
        return block(s, t % replicas);
    }
    LANE_FN int32 block(int32 s, int32 r) const {
        const int32 g = static_cast<int32>(static_cast<index>(r) * replica_groups / replicas);
        const int32 q = static_cast<int32>(static_cast<index>(s) * time_segments / samples);
        return g * time_segments + q;
    }
};
BlockDivision block_division(const SampleBlock& run, const ErrorBlocks& blocks);

// Fine cells over the samples; cells nest in the bins of a Grid.
struct CellGrid {
    int32 dims = 1;
    double from[kMaxCvs] = {0, 0}, inverse_width[kMaxCvs] = {0, 0};
    int32 cells[kMaxCvs] = {1, 1};
    bool round[kMaxCvs] = {false, false};  // a period of cells

    // Outliers go to the edge cells, or all round to where their image lies.
    LANE_FN int32 cell(int k, double x, double* offset) const {
        double u = (x - from[k]) * inverse_width[k];
        if (round[k]) {
            const double half = 0.5 * static_cast<double>(cells[k]);
            u = half + nearest_image(u - half, static_cast<double>(cells[k]));
        }
        const double top = static_cast<double>(cells[k] - 1);
        const double c =
            u < 0.0 ? 0.0 : (u > top ? top : static_cast<double>(static_cast<int32>(u)));
        const double inside = u - c;
        *offset = inside < 0.0 ? 0.0 : (inside > 1.0 ? 1.0 : inside);
        return static_cast<int32>(c);
    }
    LANE_FN index size() const { return static_cast<index>(cells[0]) * cells[1]; }
};
inline constexpr double kOffsetScale = 1048576.0;  // offsets inside a cell are summed as integers

// Least and greatest of each CV, out[2*k], out[2*k+1]; returns the first non-finite column of CV k
// in bad[k], or −1.
void sample_range(Stream& stream, const BiasedSamples& samples, double* out, index* bad);

// Per window of one run and block: count, Σ(ξ−c), Σ(ξ−c)² for each CV: out[(w*blocks +
// g)*(1+2*cvs)].
// Doubles of scratch.
index window_moments_scratch(const SampleBlock& run, index time_segments, int cvs);
void window_moments(Stream& stream, const BiasedSamples& samples, const SampleBlock& run,
                    const BlockDivision& division, index blocks, Span<const double> centers,
                    Span<double> out);

// Statistical inefficiency of each window of one run: out[w].
void window_inefficiency(Stream& stream, Span<const float> xi, const SampleBlock& run,
                         Span<double> out);

// xi of one run, columns as in BiasedSamples, become the images nearest to their windows' centres.
void near_windows(Stream& stream, const SampleBlock& run, Span<const float> centers, float period,
                  Span<float> xi);

// Mean of x (columns as in BiasedSamples) over the second half of each trajectory of one run, less that
// over its first half: out[t].
void half_change(Stream& stream, Span<const float> x, const SampleBlock& run, Span<float> out);

// 1 for each trajectory of one run whose x is the same in every sample (where there is one sample only, in
// the window's first trajectory), else 0: out[t].
void still_trajectories(Stream& stream, Span<const float> x, const SampleBlock& run,
                        Span<int32> out);

// counts[cell] and Σ offset (times kOffsetScale) in each cell, offsets[k*cells + cell].
void cell_histogram(Stream& stream, const BiasedSamples& samples, const CellGrid& grid,
                    Span<uint64> counts, Span<uint64> offsets);
// counts[g*kept + map[cell]] over the cells with map[cell] ≥ 0.
void block_histogram(Stream& stream, const BiasedSamples& samples, const SampleBlock& run,
                     const BlockDivision& division, const CellGrid& grid, Span<const int32> map,
                     index kept, Span<uint64> counts);

}  // namespace microlift
