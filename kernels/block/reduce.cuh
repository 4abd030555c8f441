// Block kernels of reductions and prefix sums over rows, in one fixed order.
//
// A row is cut into chunks of 4096. In a chunk, "thread" t of 256 takes the elements t, t + 256, …;
// the 256 values meet in a tree (32 by halves, then the 8 results by halves); the chunks' results
// are a row again and are reduced the same way. engine/reduce.cpp follows the same order on the
// CPU, so both give the same bits.
#pragma once

#include "kernels/block/block.h"
#include "kernels/lane/math.h"

namespace microlift {

inline constexpr int kReduceThreads = 256;
inline constexpr int kReducePerThread = 16;
inline constexpr int kReduceChunk = kReduceThreads * kReducePerThread;
inline constexpr int kReduceWarps = kReduceThreads / kWarp;

// --- what is reduced
// --------------------------------------------------------------------------------- identity(),
// add(value so far, element, row), combine(value, value); all values are doubles.

struct SumOp {
    LANE_FN double identity() const { return 0.0; }
    LANE_FN double add(double a, double x, index) const { return a + x; }
    LANE_FN double combine(double a, double b) const { return a + b; }
};

// NaN is skipped: it compares false. An empty row gives +∞.
struct MinOp {
    LANE_FN double identity() const { return __builtin_huge_val(); }
    LANE_FN double add(double a, double x, index) const { return x < a ? x : a; }
    LANE_FN double combine(double a, double b) const { return b < a ? b : a; }
};

struct MaxOp {
    LANE_FN double identity() const { return -__builtin_huge_val(); }
    LANE_FN double add(double a, double x, index) const { return x > a ? x : a; }
    LANE_FN double combine(double a, double b) const { return b > a ? b : a; }
};

struct NonFiniteOp {
    LANE_FN double identity() const { return 0.0; }
    LANE_FN double add(double a, double x, index) const {
        return a + (abs(x) <= 1.7976931348623157e308 ? 0.0 : 1.0);
    }
    LANE_FN double combine(double a, double b) const { return a + b; }
};

// Σ (x − mean of its row)².
struct SquaresAboutMeanOp {
    const double* mean;  // (rows)
    LANE_FN double identity() const { return 0.0; }
    LANE_FN double add(double a, double x, index row) const {
        const double d = x - mean[row];
        return fma(d, d, a);
    }
    LANE_FN double combine(double a, double b) const { return a + b; }
};

// Σ e^(x − maximum of its row). The maximum counts as 1 even if it is infinite; NaN stays NaN.
struct ExpBelowMaxOp {
    const double* maximum;  // (rows)
    LANE_FN double identity() const { return 0.0; }
    LANE_FN double add(double a, double x, index row) const {
        const double d = x == maximum[row] ? 0.0 : x - maximum[row];
        // exp is held above e^-708; what is smaller than that adds nothing.
        return a + (d < -708.0 ? 0.0 : d <= 0.0 ? exp<Portable>(d) : d);
    }
    LANE_FN double combine(double a, double b) const { return a + b; }
};

// The second level: values are combined, not added as elements.
template <class Op>
struct CombineOp {
    Op op;
    LANE_FN double identity() const { return op.identity(); }
    LANE_FN double add(double a, double b, index) const { return op.combine(a, b); }
    LANE_FN double combine(double a, double b) const { return op.combine(a, b); }
};

// --- reduction of one chunk by one block
// ---------------------------------------------------------------

// Block b reduces chunk b % chunks of row b / chunks into out[b].
template <class Op, class T>
struct ReduceKernel {
    static constexpr int kThreads = kReduceThreads;
    struct Shared {
        double warp[kReduceWarps];
    };
    Op op;
    const T* x;  // (rows, stride), the first `columns` of each row count
    index columns, stride, chunks;
    double* out;  // (rows, chunks)

    template <class Block>
    LANE_FN void operator()(Block& block, Shared& shared) const {
        const index row = block.block() / chunks;
        const index first = block.block() % chunks * kReduceChunk + block.thread();
        double value = op.identity();
        for (int j = 0; j < kReducePerThread; ++j) {
            const index i = first + j * kReduceThreads;
            if (i < columns) value = op.add(value, static_cast<double>(x[row * stride + i]), row);
        }
        for (int by = kWarp / 2; by > 0; by /= 2)
            value = op.combine(value, block.shuffle_down(value, by));
        if (block.lane() == 0) shared.warp[block.warp()] = value;
        block.barrier();
        if (block.warp() > 0) return;
        value = block.lane() < kReduceWarps ? shared.warp[block.lane()] : op.identity();
        for (int by = kReduceWarps / 2; by > 0; by /= 2)
            value = op.combine(value, block.shuffle_down(value, by));
        if (block.thread() == 0) out[block.block()] = value;
    }
};

// --- inclusive prefix sum of one chunk by one block
// ------------------------------------------------------

// Thread t sums elements 16 t … 16 t + 15 in order; the 256 sums are scanned by doubling distances
// within warps, then over the warps. out = prefix sums within the chunk, total[b] = the chunk's
// sum.
template <class T>
struct ScanKernel {
    static constexpr int kThreads = kReduceThreads;
    struct Shared {
        double warp[kReduceWarps];
    };
    const T* x;
    index n;
    double* out;    // (n), may be x
    double* total;  // (chunks)

    template <class Block>
    LANE_FN void operator()(Block& block, Shared& shared) const {
        const index first = block.block() * kReduceChunk + block.thread() * kReducePerThread;
        double prefix[kReducePerThread], sum = 0.0;
        for (int j = 0; j < kReducePerThread; ++j) {
            if (first + j < n) sum = sum + static_cast<double>(x[first + j]);
            prefix[j] = sum;
        }
        double inclusive = sum;
        for (int by = 1; by < kWarp; by *= 2) {
            const double below = block.shuffle_up(inclusive, by);
            if (block.lane() >= by) inclusive = below + inclusive;
        }
        if (block.lane() == kWarp - 1) shared.warp[block.warp()] = inclusive;
        const double before = block.shuffle_up(inclusive, 1);
        block.barrier();
        double offset = 0.0;
        for (int w = 0; w < block.warp(); ++w) offset = offset + shared.warp[w];
        if (block.thread() == kReduceThreads - 1) total[block.block()] = offset + inclusive;
        if (block.lane() > 0) offset = offset + before;
        for (int j = 0; j < kReducePerThread; ++j)
            if (first + j < n) out[first + j] = offset + prefix[j];
    }
};

// Adds to every chunk but the first the prefix sum of the chunks before it.
struct ScanOffsetKernel {
    static constexpr int kThreads = kReduceThreads;
    struct Shared {};
    double* out;  // (n)
    index n;
    const double* prefix;  // (chunks), inclusive

    template <class Block>
    LANE_FN void operator()(Block& block, Shared&) const {
        if (block.block() == 0) return;
        const double offset = prefix[block.block() - 1];
        for (int j = 0; j < kReducePerThread; ++j) {
            const index i = block.block() * kReduceChunk + j * kReduceThreads + block.thread();
            if (i < n) out[i] = offset + out[i];
        }
    }
};

// --- the sum of one value of each thread of a block ------------------------------------------------

// By halves within each warp, then by halves over the warps.
template <int kThreads>
struct BlockSum {
    static constexpr int kWarps = kThreads / kWarp;
    double warp[kWarps];  // in shared memory

    // The sum, in thread 0. Has a barrier.
    template <class Block>
    LANE_FN double total(Block& block, double value) {
        for (int by = kWarp / 2; by > 0; by /= 2) value = value + block.shuffle_down(value, by);
        if (block.lane() == 0) warp[block.warp()] = value;
        block.barrier();
        return block.thread() == 0 ? by_halves(warp, kWarps, 1) : 0.0;
    }
    // The same on the CPU; the values are used up.
    static double total(double (&values)[kThreads]) {
        for (int w = 0; w < kWarps; ++w) by_halves(values + w * kWarp, kWarp, 1);
        return by_halves(values, kWarps, kWarp);
    }

private:
    static LANE_FN double by_halves(double* x, int n, int stride) {
        for (int by = n / 2; by > 0; by /= 2)
            for (int i = 0; i < by; ++i)
                x[i * stride] = x[i * stride] + x[(i + by) * stride];
        return x[0];
    }
};

// --- sums over tables ----------------------------------------------------------------------------

inline constexpr int kColumnThreads = 128;
inline constexpr index kColumnRows = 64;  // that one thread adds, in order

// Each of `batches` arrays (rows, stride) is summed over its rows, column by column: block b takes a
// tile of columns of chunk b / tiles % chunks of batch b / tiles / chunks into out (batch, chunk, column).
struct ColumnSumKernel {
    static constexpr int kThreads = kColumnThreads;
    struct Shared {};
    const double* x;
    index rows, columns, stride, chunks, tiles;
    double* out;
    bool add;  // to what `out` holds

    template <class Block>
    LANE_FN void operator()(Block& block, Shared&) const {
        const index column = block.block() % tiles * kColumnThreads + block.thread();
        const index place = block.block() / tiles, first = place % chunks * kColumnRows;
        if (column >= columns) return;
        const double* from = x + (place / chunks * rows + first) * stride + column;
        const index count = rows - first < kColumnRows ? rows - first : kColumnRows;
        double sum = 0.0;
        for (index r = 0; r < count; ++r) sum = sum + from[r * stride];
        double& to = out[place * columns + column];
        to = add ? to + sum : sum;
    }
};

}  // namespace microlift
