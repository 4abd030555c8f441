// Block kernels of the windows' moments and autocorrelation. Sums are over fixed pieces, and the pieces are
// added in order.
#pragma once

#include "kernels/block/reduce.cuh"
#include "sampling/estimate/sample_kernels.h"
#include "sampling/numerics/statistics.h"

namespace microlift {

// Samples of one trajectory and segment of time that one thread adds.
inline constexpr index kMomentSamples = 64;

// Σ(ξ−c), Σ(ξ−c)² of each trajectory over the pieces of each segment of time: block b takes a tile of
// trajectories and the piece b / tiles.
struct MomentsKernel {
    static constexpr int kThreads = 128;
    struct Shared {};
    const float* xi;
    index row;
    int32 trajectories, replicas, samples, time_segments, tiles, pieces;  // pieces of a segment
    int dims;
    const double* centers;  // (windows, dims)
    double* out;            // (segment, piece, dims, 2, trajectory)

    LANE_FN int32 first_of(int32 segment) const {
        return static_cast<int32>(
            (static_cast<index>(segment) * samples + time_segments - 1) / time_segments);
    }
    // Samples [from, to) of a piece; none in the last of a shorter segment.
    LANE_FN void range(index piece, int32& from, int32& to) const {
        const int32 segment = static_cast<int32>(piece / pieces);
        const int32 end = first_of(segment + 1);
        from = first_of(segment) + static_cast<int32>(piece % pieces * kMomentSamples);
        to = from + static_cast<int32>(kMomentSamples);
        from = from < end ? from : end;
        to = to < end ? to : end;
    }
    LANE_FN double* place(index piece, int k) const {
        return out + (piece * dims + k) * 2 * trajectories;
    }

    template <class Block>
    LANE_FN void operator()(Block& block, Shared&) const {
        const index piece = block.block() / tiles;
        const int32 t =
            static_cast<int32>(block.block() % tiles) * kThreads + block.thread();
        if (t >= trajectories) return;
        int32 from, to;
        range(piece, from, to);
        for (int k = 0; k < dims; ++k) {
            const double center = centers[t / replicas * dims + k];
            const float* x = xi + k * row + t;
            double sum = 0.0, squares = 0.0;
            for (int32 s = from; s < to; ++s) {
                const double d =
                    static_cast<double>(x[static_cast<index>(s) * trajectories]) - center;
                sum += d;
                squares = fma(d, d, squares);
            }
            place(piece, k)[t] = sum;
            place(piece, k)[trajectories + t] = squares;
        }
    }
};

// What is known of a window's autocorrelation after some lags.
struct WindowCorrelation {
    double mean, variance;
    InefficiencySum sum;
};

// Products (x_s − mean)(x_{s+lag} − mean) of each window, or the x themselves where no mean is known yet:
// block b adds up piece b % pieces of window b / pieces. Of the products in the order (sample, replica),
// thread t takes every kThreads-th of the piece; the threads' sums meet in a tree.
template <bool kProducts>
struct LagKernel {
    static constexpr int kThreads = 128;
    static constexpr int32 kPiece = 4096;
    struct Shared {
        BlockSum<kThreads> sum;
    };
    const float* x;
    index trajectories;
    int32 replicas, samples, lag, pieces;
    const WindowCorrelation* windows;
    double* out;  // (window, piece)

    LANE_FN index count() const { return static_cast<index>(samples - lag) * replicas; }

    template <class Block>
    LANE_FN void operator()(Block& block, Shared& shared) const {
        const index w = block.block() / pieces, first = block.block() % pieces * kPiece;
        if (kProducts && windows[w].sum.done) return;
        const double mean = kProducts ? windows[w].mean : 0.0;
        const float* const own = x + w * replicas;
        const index left = count() - first;
        const int32 size = left < kPiece ? static_cast<int32>(left) : kPiece;
        // Of the piece's first product; from there on 32 bits will do.
        const index s0 = first / replicas;
        const int32 r0 = static_cast<int32>(first - s0 * replicas);
        double sum = 0.0;
        for (int32 e = block.thread(); e < size; e += kThreads) {
            const uint32 from = static_cast<uint32>(r0) + static_cast<uint32>(e);
            const uint32 s = from / static_cast<uint32>(replicas);
            const float* a = own + (s0 + s) * trajectories + (from - s * static_cast<uint32>(replicas));
            sum = kProducts ? fma(static_cast<double>(a[0]) - mean,
                                  static_cast<double>(a[lag * trajectories]) - mean, sum)
                            : sum + static_cast<double>(a[0]);
        }
        const double total = shared.sum.total(block, sum);
        if (block.thread() == 0) out[block.block()] = total;
    }
};

}  // namespace microlift
