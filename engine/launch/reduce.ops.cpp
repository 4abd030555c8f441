#include "engine/launch/reduce.h"

#include <stdexcept>

#include "engine/launch/blocks.h"
#include "engine/launch/lanes.h"
#include "kernels/block/reduce.cuh"

namespace microlift {

// --- what one block does, on the CPU -------------------------------------------------------------

struct ReduceOnCpu {
    template <class Op, class T>
    void operator()(const ReduceKernel<Op, T>& k, index b) const {
        const index row = b / k.chunks, first = b % k.chunks * kReduceChunk;
        const T* x = k.x + row * k.stride + first;
        const index count = k.columns - first < kReduceChunk ? k.columns - first : kReduceChunk;
        const Op op = k.op;
        double v[kReduceThreads];
        for (double& value : v) value = op.identity();
        for (index from = 0; from < count; from += kReduceThreads) {
            const index width = count - from < kReduceThreads ? count - from : kReduceThreads;
            for (index t = 0; t < width; ++t)
                v[t] = op.add(v[t], static_cast<double>(x[from + t]), row);
        }
        for (int w = 0; w < kReduceWarps; ++w) {
            double* lane = v + w * kWarp;
            for (int by = kWarp / 2; by > 0; by /= 2)
                for (int l = 0; l < by; ++l) lane[l] = op.combine(lane[l], lane[l + by]);
        }
        for (int by = kReduceWarps / 2; by > 0; by /= 2)
            for (int w = 0; w < by; ++w)
                v[w * kWarp] = op.combine(v[w * kWarp], v[(w + by) * kWarp]);
        k.out[b] = v[0];
    }
};

struct ScanOnCpu {
    template <class T>
    void operator()(const ScanKernel<T>& k, index b) const {
        const index first = b * kReduceChunk;
        const index count = k.n - first < kReduceChunk ? k.n - first : kReduceChunk;
        double prefix[kReduceChunk], inclusive[kReduceThreads];
        for (int t = 0; t < kReduceThreads; ++t) {
            double sum = 0.0;
            for (int j = t * kReducePerThread; j < (t + 1) * kReducePerThread; ++j) {
                if (j < count) sum = sum + static_cast<double>(k.x[first + j]);
                prefix[j] = sum;
            }
            inclusive[t] = sum;
        }
        double offset = 0.0;
        for (int w = 0; w < kReduceWarps; ++w) {
            double* lane = inclusive + w * kWarp;
            for (int by = 1; by < kWarp; by *= 2)
                for (int l = kWarp - 1; l >= by; --l) lane[l] = lane[l - by] + lane[l];
            for (int l = 0; l < kWarp; ++l) {
                const double before = l > 0 ? offset + lane[l - 1] : offset;
                const int at = (w * kWarp + l) * kReducePerThread;
                for (int j = at; j < at + kReducePerThread && j < count; ++j)
                    k.out[first + j] = before + prefix[j];
            }
            if (w == kReduceWarps - 1) k.total[b] = offset + lane[kWarp - 1];
            offset = offset + lane[kWarp - 1];
        }
    }
};

struct ScanOffsetOnCpu {
    void operator()(const ScanOffsetKernel& k, index b) const {
        if (b == 0) return;
        const index first = b * kReduceChunk;
        const index end = first + kReduceChunk < k.n ? first + kReduceChunk : k.n;
        const double offset = k.prefix[b - 1];
        for (index i = first; i < end; ++i) k.out[i] = offset + k.out[i];
    }
};

struct ColumnSumOnCpu {
    void operator()(const ColumnSumKernel& k, index b) const {
        const index column = b % k.tiles * kColumnThreads, place = b / k.tiles;
        const index first = place % k.chunks * kColumnRows;
        const index width =
            k.columns - column < kColumnThreads ? k.columns - column : kColumnThreads;
        const index count = k.rows - first < kColumnRows ? k.rows - first : kColumnRows;
        const double* from = k.x + (place / k.chunks * k.rows + first) * k.stride + column;
        double sum[kColumnThreads] = {};
        for (index r = 0; r < count; ++r)
            for (index c = 0; c < width; ++c) sum[c] = sum[c] + from[r * k.stride + c];
        double* to = k.out + place * k.columns + column;
        for (index c = 0; c < width; ++c) to[c] = k.add ? to[c] + sum[c] : sum[c];
    }
};

struct DivideRowsBody {
    double* values;
    double divisor;
    LANE_FN void operator()(index r) const { values[r] = values[r] / divisor; }
};

struct FinishLogSumExpBody {
    double* out;  // the sums of exponentials
    const double* maximum;
    LANE_FN void operator()(index r) const { out[r] = maximum[r] + log<Portable>(out[r]); }
};

inline index reduce_chunks(index columns) {
    return columns <= kReduceChunk ? 1 : (columns + kReduceChunk - 1) / kReduceChunk;
}

inline index column_chunks(index rows) {
    return rows <= kColumnRows ? 1 : (rows + kColumnRows - 1) / kColumnRows;
}

inline index column_scratch(index batches, index rows, index columns) {
    index size = 1;
    for (index chunks = column_chunks(rows); chunks > 1; chunks = column_chunks(chunks))
        size += batches * chunks * columns;
    return size;
}

HOST_PASS_BEGIN

inline constexpr index kChunksPerTask = 8;

template <class Op, class T>
void reduce_rows(Stream& stream, const Op& op, const Rows<T>& x, Span<double> out,
                 Span<double> scratch) {
    if (x.rows <= 0) return;
    if (out.size < x.rows) throw std::logic_error("reduction: fewer results than rows");
    index chunks = reduce_chunks(x.columns);
    double* free = scratch.data;
    double* end = scratch.data + scratch.size;
    const auto target = [&](index level_chunks) {
        if (level_chunks == 1) return out.data;
        double* at = free;
        free += x.rows * level_chunks;
        if (free > end) throw std::logic_error("reduction: scratch is too small");
        return at;
    };
    double* level = target(chunks);
    for_each_block(stream, x.rows * chunks,
                   ReduceKernel<Op, T>{op, x.data, x.columns, x.stride, chunks, level},
                   ReduceOnCpu{}, kChunksPerTask);
    while (chunks > 1) {
        const index columns = chunks;
        chunks = reduce_chunks(columns);
        double* next = target(chunks);
        for_each_block(
            stream, x.rows * chunks,
            ReduceKernel<CombineOp<Op>, double>{{op}, level, columns, columns, chunks, next},
            ReduceOnCpu{}, kChunksPerTask);
        level = next;
    }
}

template <class T>
void mean_variance(Stream& stream, const Rows<T>& x, Span<double> mean, Span<double> variance,
                   Span<double> scratch) {
    const double n = static_cast<double>(x.columns);
    reduce_rows(stream, SumOp{}, x, mean, scratch);
    for_each_index(stream, x.rows, DivideRowsBody{mean.data, n});
    reduce_rows(stream, SquaresAboutMeanOp{mean.data}, x, variance, scratch);
    for_each_index(stream, x.rows, DivideRowsBody{variance.data, n});
}

template <class T>
void log_sum_exp(Stream& stream, const Rows<T>& x, Span<double> out, Span<double> maximum,
                 Span<double> scratch) {
    reduce_rows(stream, MaxOp{}, x, maximum, scratch);
    reduce_rows(stream, ExpBelowMaxOp{maximum.data}, x, out, scratch);
    for_each_index(stream, x.rows, FinishLogSumExpBody{out.data, maximum.data});
}

template <class T>
void scan(Stream& stream, const T* x, index n, double* out, double* scratch, const double* end) {
    const index chunks = reduce_chunks(n);
    if (scratch + chunks > end) throw std::logic_error("prefix sum: scratch is too small");
    for_each_block(stream, chunks, ScanKernel<T>{x, n, out, scratch}, ScanOnCpu{}, kChunksPerTask);
    if (chunks == 1) return;
    scan<double>(stream, scratch, chunks, scratch, scratch + chunks, end);
    for_each_block(stream, chunks, ScanOffsetKernel{out, n, scratch}, ScanOffsetOnCpu{},
                   kChunksPerTask);
}

index table_scratch(const Tables& t) { return column_scratch(t.batches, t.rows, t.columns); }

void sum_tables(Stream& stream, const Tables& t, Span<double> out, Span<double> scratch, bool add) {
    if (out.size < t.batches * t.columns || scratch.size < column_scratch(t.batches, t.rows, t.columns))
        throw std::logic_error("sum of tables: too little space");
    const index tiles = (t.columns + kColumnThreads - 1) / kColumnThreads;
    const double* from = t.data;
    double* free = scratch.data;
    for (index rows = t.rows, stride = t.stride;;) {
        const index chunks = column_chunks(rows);
        const bool last = chunks == 1;
        for_each_block(stream, t.batches * chunks * tiles,
                       ColumnSumKernel{from, rows, t.columns, stride, chunks, tiles,
                                       last ? out.data : free, last && add},
                       ColumnSumOnCpu{}, kChunksPerTask);
        if (last) return;
        from = free;
        free += t.batches * chunks * t.columns;
        rows = chunks;
        stride = t.columns;
    }
}

index reduce_scratch(index rows, index columns) {
    index size = 1;
    for (index chunks = reduce_chunks(columns); chunks > 1; chunks = reduce_chunks(chunks))
        size += rows * chunks;
    return size;
}

void row_sum(Stream& stream, Rows<float> x, Span<double> out, Span<double> scratch) {
    reduce_rows(stream, SumOp{}, x, out, scratch);
}
void row_sum(Stream& stream, Rows<double> x, Span<double> out, Span<double> scratch) {
    reduce_rows(stream, SumOp{}, x, out, scratch);
}
void row_min(Stream& stream, Rows<float> x, Span<double> out, Span<double> scratch) {
    reduce_rows(stream, MinOp{}, x, out, scratch);
}
void row_min(Stream& stream, Rows<double> x, Span<double> out, Span<double> scratch) {
    reduce_rows(stream, MinOp{}, x, out, scratch);
}
void row_max(Stream& stream, Rows<float> x, Span<double> out, Span<double> scratch) {
    reduce_rows(stream, MaxOp{}, x, out, scratch);
}
void row_max(Stream& stream, Rows<double> x, Span<double> out, Span<double> scratch) {
    reduce_rows(stream, MaxOp{}, x, out, scratch);
}
void row_non_finite(Stream& stream, Rows<float> x, Span<double> out, Span<double> scratch) {
    reduce_rows(stream, NonFiniteOp{}, x, out, scratch);
}
void row_non_finite(Stream& stream, Rows<double> x, Span<double> out, Span<double> scratch) {
    reduce_rows(stream, NonFiniteOp{}, x, out, scratch);
}
void row_mean_variance(Stream& stream, Rows<float> x, Span<double> mean, Span<double> variance,
                       Span<double> scratch) {
    mean_variance(stream, x, mean, variance, scratch);
}
void row_mean_variance(Stream& stream, Rows<double> x, Span<double> mean, Span<double> variance,
                       Span<double> scratch) {
    mean_variance(stream, x, mean, variance, scratch);
}
void row_log_sum_exp(Stream& stream, Rows<float> x, Span<double> out, Span<double> maximum,
                     Span<double> scratch) {
    log_sum_exp(stream, x, out, maximum, scratch);
}
void row_log_sum_exp(Stream& stream, Rows<double> x, Span<double> out, Span<double> maximum,
                     Span<double> scratch) {
    log_sum_exp(stream, x, out, maximum, scratch);
}
void prefix_sum(Stream& stream, Span<const float> x, Span<double> out, Span<double> scratch) {
    if (x.size > 0)
        scan(stream, x.data, x.size, out.data, scratch.data, scratch.data + scratch.size);
}
void prefix_sum(Stream& stream, Span<const double> x, Span<double> out, Span<double> scratch) {
    if (x.size > 0)
        scan(stream, x.data, x.size, out.data, scratch.data, scratch.data + scratch.size);
}

HOST_PASS_END

}  // namespace microlift
