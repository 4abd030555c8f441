// The kernel behind sampling/estimate/accumulate.h (sampling/estimate/accumulate.ops.cpp compiles it).
#pragma once

#include "engine/device/stream.h"
#include "sampling/estimate/sample_kernels.h"

namespace microlift {

// One trajectory's samples of a chunk. Counts are integers and sums stay with their trajectory, so that
// neither depends on the order of threads.
struct CountSamples {
    static constexpr index kGrain = 64;
    index trajectories, number, row, segments, replicas, bins;  // number: of the first among all trajectories
    int dim, cvs;
    float from[2], per_width[2];
    index axis_bins[2];
    const float* x;   // (dim, row), column s · trajectories + i
    const float* xi;  // (cvs, row)
    uint64* counts;
    double* sums;
    // Where cell_counts is not null: cells of all windows together, apart by group of replicas and by
    // segment of time.
    CellGrid cells;
    index groups, times;   // segments of time
    index first, total;    // samples of each trajectory: before this chunk, in the end
    const float* center;   // (cvs, trajectories)
    uint64* cell_counts;   // (groups, times, cells), and the number of ξ that are not finite
    uint64* cell_offsets;  // (cvs, cells), as cell_histogram() makes them
    double* xi_sums;       // (times, 2, cvs, trajectory): Σ(ξ−c), Σ(ξ−c)²

    LANE_FN double cell_period(int k) const {
        return cells.round[k] ? static_cast<double>(cells.cells[k]) / cells.inverse_width[k] : 0.0;
    }

    LANE_FN void count_cells(index i) const {
        const index group = quotient(modulo(number + i, replicas) * groups, replicas);
        for (index time = times == 1 ? 0 : first * times / total; time < times; ++time) {
            index from_sample = 0, to_sample = segments;
            if (times > 1) {
                // Samples s with (first + s) · times / total = time, rounded down.
                const index begin = (time * total + times - 1) / times - first;
                const index end = ((time + 1) * total + times - 1) / times - first;
                if (begin >= segments) return;
                from_sample = begin > 0 ? begin : 0;
                to_sample = end < segments ? end : segments;
            }
            count_time(i, group * times + time, time, from_sample, to_sample);
        }
    }

    LANE_FN void count_time(index i, index group_time, index time, index from_sample, index to_sample) const {
        const index size = cells.size();
        uint64* const histogram = cell_counts + group_time * size;
        double* const sums_of_time = xi_sums + time * 2 * cvs * trajectories;
        double sum[2 * kMaxCvs] = {};
LANE_UNROLL  // here and below for arrays to stay in registers
        for (int k = 0; k < kMaxCvs; ++k) {
            if (k >= cvs) break;
            sum[2 * k] = sums_of_time[k * trajectories + i];
            sum[2 * k + 1] = sums_of_time[(cvs + k) * trajectories + i];
        }
        for (index s = from_sample; s < to_sample; ++s) {
            const index column = s * trajectories + i;
            double offset[kMaxCvs] = {};
            index cell = 0;
            bool bad = false;
LANE_UNROLL
            for (int k = 0; k < kMaxCvs; ++k) bad = bad || (k < cvs && is_bad(xi[k * row + column]));
            if (bad) {
                atomic_add(&cell_counts[groups * times * size], 1);
                continue;
            }
LANE_UNROLL
            for (int k = 0; k < kMaxCvs; ++k) {
                if (k >= cvs) break;
                const float value = xi[k * row + column];
                cell = cell * cells.cells[k] + cells.cell(k, static_cast<double>(value), &offset[k]);
                const double d = nearest_image(static_cast<double>(value) -
                                                   static_cast<double>(center[k * trajectories + i]),
                                               cell_period(k));
                sum[2 * k] += d;
                sum[2 * k + 1] = fma(d, d, sum[2 * k + 1]);
            }
            atomic_add(&histogram[cell], 1);
LANE_UNROLL
            for (int k = 0; k < kMaxCvs; ++k) {
                if (k >= cvs) break;
                atomic_add(&cell_offsets[k * size + cell],
                           static_cast<uint64>(offset[k] * kOffsetScale));
            }
        }
LANE_UNROLL
        for (int k = 0; k < kMaxCvs; ++k) {
            if (k >= cvs) break;
            sums_of_time[k * trajectories + i] = sum[2 * k];
            sums_of_time[(cvs + k) * trajectories + i] = sum[2 * k + 1];
        }
    }

    LANE_FN void operator()(index i) const {
        if (cell_counts) count_cells(i);
        uint64* const histogram = counts + quotient(number + i, replicas) * (bins + 1);
        for (index s = 0; s < segments; ++s) {
            const index column = s * trajectories + i;
            index bin = 0;
            bool inside = true;
LANE_UNROLL
            for (int k = 0; k < kMaxCvs; ++k) {
                if (k >= cvs) break;
                float at = (xi[k * row + column] - from[k]) * per_width[k];
                if (cells.round[k]) {  // rounding at the ends, which are one
                    const float most = static_cast<float>(axis_bins[k]);
                    at = at < 0.0f ? at + most : at >= most ? at - most : at;
                    at = at >= 0.0f && at < most ? at : 0.0f;
                }
                inside = inside && at >= 0.0f && at < static_cast<float>(axis_bins[k]);
                bin = bin * axis_bins[k] + (inside ? static_cast<index>(at) : 0);
            }
            atomic_add(&histogram[inside ? bin : bins], 1);
        }
        for (int d = 0; d < dim; ++d) {
            double* const first = sums + d * trajectories + i;
            double* const second = first + dim * trajectories;
            double m1 = *first, m2 = *second;
            for (index s = 0; s < segments; ++s) {
                const double value = static_cast<double>(x[d * row + s * trajectories + i]);
                m1 += value;
                m2 += value * value;
            }
            *first = m1;
            *second = m2;
        }
    }
};

// Counts the samples of every trajectory.
void count_samples(Stream& stream, const CountSamples& body);

}  // namespace microlift
