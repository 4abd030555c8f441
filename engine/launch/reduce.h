// Reductions and prefix sums over device arrays, in double, in one fixed order
// (kernels/block/reduce.cuh): the bits do not depend on the number of threads, and CUDA computes those of
// the CPU. Results stay on the device; nothing allocates, so all of it may be recorded in a graph.
#pragma once

#include "engine/device/buffer.h"

namespace microlift {

// `rows` rows of `columns` values; row r starts at data + r · stride.
template <class T>
struct Rows {
    const T* data = nullptr;
    index rows = 0, columns = 0, stride = 0;

    Rows() = default;
    Rows(const T* d, index r, index c, index s) : data(d), rows(r), columns(c), stride(s) {}
    Rows(Span<const T> x) : Rows(x.data, 1, x.size, x.size) {}
    Rows(Span<T> x) : Rows(x.data, 1, x.size, x.size) {}
};

// Doubles of scratch space that every function below needs for such an array.
index reduce_scratch(index rows, index columns);

// out[r] = the sum, smallest or largest value of row r (NaN is skipped by min and max; of an empty
// row they are ±∞), or how many values are infinite or NaN.
void row_sum(Stream& stream, Rows<float> x, Span<double> out, Span<double> scratch);
void row_sum(Stream& stream, Rows<double> x, Span<double> out, Span<double> scratch);
void row_min(Stream& stream, Rows<float> x, Span<double> out, Span<double> scratch);
void row_min(Stream& stream, Rows<double> x, Span<double> out, Span<double> scratch);
void row_max(Stream& stream, Rows<float> x, Span<double> out, Span<double> scratch);
void row_max(Stream& stream, Rows<double> x, Span<double> out, Span<double> scratch);
void row_non_finite(Stream& stream, Rows<float> x, Span<double> out, Span<double> scratch);
void row_non_finite(Stream& stream, Rows<double> x, Span<double> out, Span<double> scratch);

// mean and variance (rows), in two passes, so that a large mean costs no digits. The variance is that of
// the sample: divided by n.
void row_mean_variance(Stream& stream, Rows<float> x, Span<double> mean, Span<double> variance,
                       Span<double> scratch);
void row_mean_variance(Stream& stream, Rows<double> x, Span<double> mean, Span<double> variance,
                       Span<double> scratch);

// ln Σ e^x of each row; −∞ of an empty row, NaN where a value is NaN. `maximum` (rows) is work
// space that holds each row's largest value afterwards.
void row_log_sum_exp(Stream& stream, Rows<float> x, Span<double> out, Span<double> maximum,
                     Span<double> scratch);
void row_log_sum_exp(Stream& stream, Rows<double> x, Span<double> out, Span<double> maximum,
                     Span<double> scratch);

// out[i] = x[0] + … + x[i]; out may be x. Scratch as for one row of x.size columns.
void prefix_sum(Stream& stream, Span<const float> x, Span<double> out, Span<double> scratch);
void prefix_sum(Stream& stream, Span<const double> x, Span<double> out, Span<double> scratch);

// `batches` arrays of `rows` tables of `columns` doubles, one table every `stride`.
struct Tables {
    const double* data = nullptr;
    index batches = 0, rows = 0, columns = 0, stride = 0;
};
// Numbers of scratch that sum_tables asks for.
index table_scratch(const Tables& tables);
// out (batch, column) = the tables of each batch added up, in order 64 at a time; or added to what `out`
// holds.
void sum_tables(Stream& stream, const Tables& tables, Span<double> out, Span<double> scratch,
                bool add = false);

}  // namespace microlift
