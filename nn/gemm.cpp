#include "nn/gemm.h"

#include <cstring>
#include <type_traits>

#include "kernels/lane_simd.h"

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
constexpr index kFewColumns = 3;
constexpr index kMostDepth = 1024;  // of a column that is copied

// 16 numbers, whatever the width of a pack.
template <class Real>
struct Sixteen {
    static constexpr int kPacks = 16 / kPackWidth<Real>;
    using P = Pack<Real, kPackWidth<Real>>;
    P part[kPacks];
    LANE_FN static Sixteen zero() {
        Sixteen x;
        for (int j = 0; j < kPacks; ++j) x.part[j] = broadcast<P>(Real(0));
        return x;
    }
};

template <class Real, int kLanes>
LANE_FN Real sum_of_lanes(Pack<Real, kLanes> x) {
    if constexpr (kLanes == 1) {
        return x.v[0];
    } else {
        Pack<Real, kLanes / 2> low, high;
        std::memcpy(&low, &x, sizeof low);
        std::memcpy(&high, reinterpret_cast<const char*>(&x) + sizeof low, sizeof high);
        if constexpr (kLanes == 2)
            return Real(low.v[0]) + Real(high.v[0]);
        else
            return sum_of_lanes<Real, kLanes / 2>(low + high);
    }
}

// Lane j meets lane j + 8, then j + 4, … : the same tree for every width.
template <class Real>
LANE_FN Real sum_of_lanes(const Sixteen<Real>& x) {
    typename Sixteen<Real>::P part[Sixteen<Real>::kPacks];
    for (int j = 0; j < Sixteen<Real>::kPacks; ++j) part[j] = x.part[j];
    for (int half = Sixteen<Real>::kPacks / 2; half > 0; half /= 2)
        for (int j = 0; j < half; ++j) part[j] = part[j] + part[j + half];
    return sum_of_lanes<Real, kPackWidth<Real>>(part[0]);
}

template <class Real>
void few_columns(const Gemm<Real>& g) {
    using S = Sixteen<Real>;
    constexpr int width = kPackWidth<Real>;
    alignas(64) Real column[kMostDepth];
    const index depth = (g.k + 15) / 16 * 16;
    for (index j = 0; j < g.columns; ++j) {
        for (index p = 0; p < g.k; ++p) column[p] = g.b[p * g.ldb + j];
        for (index p = g.k; p < depth; ++p) column[p] = 0;
        const Real first = g.bias ? g.bias[j] : Real(0);
        for (index i = 0; i < g.m; ++i) {
            S sum = S::zero();
            for (index p = 0; p < depth; p += 16)
                for (int c = 0; c < S::kPacks; ++c)
                    sum.part[c] = fma(load<typename S::P>(g.a, i * g.lda + p + c * width),
                                      load<typename S::P>(column, p + c * width), sum.part[c]);
            g.c[i * g.ldc + j] = first + sum_of_lanes(sum);
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
    const bool few = gemm.columns > 0 && gemm.columns <= kFewColumns && !after.call;
    if (gemm.transposed) {
        if (few && gemm.accumulate && gemm.lda % kPad == 0)
            few_columns_of_gradient(gemm);
        else
            multiply<Real, true>(gemm, after);
    } else if (few && !gemm.accumulate && gemm.k <= kMostDepth && gemm.lda % kPad == 0) {
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
void gemm_on_cuda(Stream&, const Gemm<float>&, GemmPrecision) {}
#endif

}  // namespace microlift
