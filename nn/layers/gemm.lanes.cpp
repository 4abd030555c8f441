#include "nn/layers/gemm.h"

#include <type_traits>

#include "engine/error.h"
#include "kernels/lane/simd.h"

namespace microlift {
namespace {

// Register blocks: rows × packs of accumulators for a panel of that many packs.
#if defined(__AVX512F__)
constexpr int kMostPacks = 4;
constexpr int kRowsForPacks[] = {0, 12, 12, 8, 6};
#else
constexpr int kMostPacks = 2;
constexpr int kRowsForPacks[] = {0, 6, 6};
#endif

template <class Real>
constexpr int kPackWidth = kNativeWidth * 4 / static_cast<int>(sizeof(Real));

template <class Real, bool kTransposed, int kRows, int kPacks>
[[gnu::noinline]] void block(const Gemm<Real>& g, index row, index column) {
    constexpr int width = kPackWidth<Real>;
    using P = Pack<Real, width>;
    P sum[kRows][kPacks];
    Real* c = g.c + row * g.ldc + column;
    if (g.accumulate) {
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 8
            for (int j = 0; j < kPacks; ++j) sum[i][j] = load<P>(c, i * g.ldc + j * width);
    } else {
#pragma GCC unroll 8
        for (int j = 0; j < kPacks; ++j) {
            const P first = g.bias ? load<P>(g.bias, column + j * width) : broadcast<P>(Real(0));
#pragma GCC unroll 16
            for (int i = 0; i < kRows; ++i) sum[i][j] = first;
        }
    }
    const index lda = g.lda, ldb = g.ldb, k = g.k;
    const Real* a = g.a + (kTransposed ? row : row * lda);
    const Real* b = g.b + column;
    // Fewer instructions an FMA: they bind where a core is shared with another hyperthread.
#pragma GCC unroll 4
    for (index p = 0; p < k; ++p) {
        P right[kPacks];
#pragma GCC unroll 8
        for (int j = 0; j < kPacks; ++j) right[j] = load<P>(b, j * width);
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i) {
            const P left = broadcast<P>(a[kTransposed ? i : i * lda]);
#pragma GCC unroll 8
            for (int j = 0; j < kPacks; ++j) sum[i][j] = fma(left, right[j], sum[i][j]);
        }
        b += ldb;
        a += kTransposed ? lda : 1;
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 8
        for (int j = 0; j < kPacks; ++j) store(c, i * g.ldc + j * width, sum[i][j]);
}

// The last rows, fewer than a block.
template <class Real, bool kTransposed, int kRows, int kPacks>
void last_rows(const Gemm<Real>& g, index row, index column) {
    if constexpr (kRows > 0) {
        if (g.m - row >= kRows)
            block<Real, kTransposed, kRows, kPacks>(g, row, column);
        else
            last_rows<Real, kTransposed, kRows - 1, kPacks>(g, row, column);
    }
}

template <class Real, bool kTransposed, int kPacks>
void panel(const Gemm<Real>& g, const GemmAfter& after, index column) {
    constexpr int rows = kRowsForPacks[kPacks];
    constexpr index columns = kPacks * kPackWidth<Real>;
    index row = 0;
    for (; row + rows <= g.m; row += rows) {
        block<Real, kTransposed, rows, kPacks>(g, row, column);
        if (after.call) after.call(after.context, row, rows, column, columns);
    }
    if (row == g.m) return;
    last_rows<Real, kTransposed, rows - 1, kPacks>(g, row, column);
    if (after.call) after.call(after.context, row, g.m - row, column, columns);
}

template <class Real, bool kTransposed>
void multiply(const Gemm<Real>& g, const GemmAfter& after) {
    constexpr int width = kPackWidth<Real>;
    index packs = g.n / width, column = 0;
    for (; packs >= kMostPacks; packs -= kMostPacks, column += kMostPacks * width)
        panel<Real, kTransposed, kMostPacks>(g, after, column);
    if constexpr (kMostPacks > 3)
        if (packs == 3) return panel<Real, kTransposed, 3>(g, after, column);
    if constexpr (kMostPacks > 2)
        if (packs == 2) return panel<Real, kTransposed, 2>(g, after, column);
    if (packs == 1) panel<Real, kTransposed, 1>(g, after, column);
}

// --- few columns -----------------------------------------------------------------------------------

// A panel of packs would be mostly padding, so the lanes run along k (products) or along m (weight
// gradients) instead.
template <class Real, int kLanes>
LANE_FN Real sum_of_lanes(Pack<Real, kLanes> x) {
    if constexpr (kLanes == 1) {
        return x.v[0];
    } else if constexpr (kLanes == 2) {
        return Real(x.v[0]) + Real(x.v[1]);
    } else if constexpr (kLanes == 4) {
        const Pack<Real, 2> low{__builtin_shufflevector(x.v, x.v, 0, 1)};
        return sum_of_lanes(low + Pack<Real, 2>{__builtin_shufflevector(x.v, x.v, 2, 3)});
    } else if constexpr (kLanes == 8) {
        const Pack<Real, 4> low{__builtin_shufflevector(x.v, x.v, 0, 1, 2, 3)};
        return sum_of_lanes(low + Pack<Real, 4>{__builtin_shufflevector(x.v, x.v, 4, 5, 6, 7)});
    } else {
        const Pack<Real, 8> low{__builtin_shufflevector(x.v, x.v, 0, 1, 2, 3, 4, 5, 6, 7)};
        return sum_of_lanes(low + Pack<Real, 8>{__builtin_shufflevector(x.v, x.v, 8, 9, 10, 11, 12,
                                                                        13, 14, 15)});
    }
}

// Lane j meets lane j + 8, then j + 4, … : the same tree for every width of a pack.
template <class Real>
void few_columns(const Gemm<Real>& g) {
    constexpr int width = kPackWidth<Real>, packs = 16 / width;
    using P = Pack<Real, width>;
    alignas(64) Real column[kMostDepth];
    const index depth = (g.k + 15) / 16 * 16, lda = g.lda, ldc = g.ldc, rows = g.m;
    for (index j = 0; j < g.columns; ++j) {
        for (index p = 0; p < g.k; ++p) column[p] = g.b[p * g.ldb + j];
        for (index p = g.k; p < depth; ++p) column[p] = 0;
        const Real first = g.bias ? g.bias[j] : Real(0);
        const Real* a = g.a;
        Real* c = g.c + j;
        for (index i = 0; i < rows; ++i, a += lda, c += ldc) {
            P sum[packs];
#pragma GCC unroll 8
            for (int q = 0; q < packs; ++q) sum[q] = broadcast<P>(Real(0));
            for (index p = 0; p < depth; p += 16)
#pragma GCC unroll 8
                for (int q = 0; q < packs; ++q)
                    sum[q] = fma(load<P>(a, p + q * width), load<P>(column, p + q * width),
                                 sum[q]);
#pragma GCC unroll 8
            for (int half = packs / 2; half > 0; half /= 2)
                for (int q = 0; q < half; ++q) sum[q] = sum[q] + sum[q + half];
            *c = first + sum_of_lanes(sum[0]);
        }
    }
}

// c += aᵀ b for the first columns of b.
template <class Real, int kPacks>
void few_columns_of_gradient(const Gemm<Real>& g, index from, index j) {
    constexpr int width = kPackWidth<Real>;
    using P = Pack<Real, width>;
    P sum[kPacks];
    alignas(64) Real spread[kPacks * width];
    const index count = g.m - from < kPacks * width ? g.m - from : kPacks * width;
    for (index i = 0; i < kPacks * width; ++i)
        spread[i] = i < count ? g.c[(from + i) * g.ldc + j] : Real(0);
#pragma GCC unroll 16
    for (int c = 0; c < kPacks; ++c) sum[c] = load<P>(spread, c * width);
    for (index p = 0; p < g.k; ++p) {
        const P right = broadcast<P>(g.b[p * g.ldb + j]);
#pragma GCC unroll 16
        for (int c = 0; c < kPacks; ++c)
            sum[c] = fma(load<P>(g.a, p * g.lda + from + c * width), right, sum[c]);
    }
#pragma GCC unroll 16
    for (int c = 0; c < kPacks; ++c) store(spread, c * width, sum[c]);
    for (index i = 0; i < count; ++i) g.c[(from + i) * g.ldc + j] = spread[i];
}

template <class Real>
void few_columns_of_gradient(const Gemm<Real>& g) {
    constexpr int width = kPackWidth<Real>;
    for (index j = 0; j < g.columns; ++j) {
        index from = 0;
        for (; from + 4 * width <= g.m; from += 4 * width)
            few_columns_of_gradient<Real, 4>(g, from, j);
        for (; from < g.m; from += width) few_columns_of_gradient<Real, 1>(g, from, j);
    }
}

}  // namespace

template <class Real>
void gemm_on_cpu(const Gemm<Real>& gemm, const GemmAfter& after) {
    if (gemm.transposed) {
        if (gemm.columns > 0 && gemm.columns <= kFewColumns && !after.call && gemm.accumulate &&
            gemm.lda % kPad == 0)
            few_columns_of_gradient(gemm);
        else
            multiply<Real, true>(gemm, after);
    } else if (!after.call && sums_by_tree(gemm)) {
        few_columns(gemm);
    } else {
        multiply<Real, false>(gemm, after);
    }
}

template <class Real>
void add_column_sums_on_cpu(const Real* b, index ldb, index rows, index n, Real* sum) {
    constexpr int width = kPackWidth<Real>;
    using P = Pack<Real, width>;
    index column = 0;
    const auto add = [&]<int kPacks>(std::integral_constant<int, kPacks>) {
        for (; column + kPacks * width <= n; column += kPacks * width) {
            P total[kPacks];
#pragma GCC unroll 8
            for (int j = 0; j < kPacks; ++j) total[j] = load<P>(sum, column + j * width);
            for (index row = 0; row < rows; ++row)
#pragma GCC unroll 8
                for (int j = 0; j < kPacks; ++j)
                    total[j] = total[j] + load<P>(b, row * ldb + column + j * width);
#pragma GCC unroll 8
            for (int j = 0; j < kPacks; ++j) store(sum, column + j * width, total[j]);
        }
    };
    add(std::integral_constant<int, 8>{});
    add(std::integral_constant<int, 4>{});
    add(std::integral_constant<int, 1>{});
}

template void gemm_on_cpu<float>(const Gemm<float>&, const GemmAfter&);
template void gemm_on_cpu<double>(const Gemm<double>&, const GemmAfter&);
template void add_column_sums_on_cpu<float>(const float*, index, index, index, float*);
template void add_column_sums_on_cpu<double>(const double*, index, index, index, double*);

#if !defined(MICROLIFT_HAVE_CUDA)
void gemm_on_cuda(Stream&, const Gemm<float>&, Precision) {}
#endif

namespace {
constexpr const char* kPrecisionNames[] = {"tf32", "bf16", "tf32x3", "fp32"};
}  // namespace

const char* precision_name(Precision precision) {
    return kPrecisionNames[static_cast<int>(precision)];
}

Precision precision_from(const std::string& name) {
    for (int k = 0; k < 4; ++k)
        if (name == kPrecisionNames[k]) return static_cast<Precision>(k);
    throw InputError("there is no precision '" + name + "'; write tf32, bf16, tf32x3 or fp32");
}

}  // namespace microlift
