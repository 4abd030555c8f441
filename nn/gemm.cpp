#include "nn/gemm.h"

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
void panel(const Gemm<Real>& g, index column) {
    constexpr int rows = kRowsForPacks[kPacks];
    index row = 0;
    for (; row + rows <= g.m; row += rows) block<Real, kTransposed, rows, kPacks>(g, row, column);
    last_rows<Real, kTransposed, rows - 1, kPacks>(g, row, column);
}

template <class Real, bool kTransposed>
void multiply(const Gemm<Real>& g) {
    constexpr int width = kPackWidth<Real>;
    index packs = g.n / width, column = 0;
    for (; packs >= kMostPacks; packs -= kMostPacks, column += kMostPacks * width)
        panel<Real, kTransposed, kMostPacks>(g, column);
    if constexpr (kMostPacks > 3)
        if (packs == 3) return panel<Real, kTransposed, 3>(g, column);
    if constexpr (kMostPacks > 2)
        if (packs == 2) return panel<Real, kTransposed, 2>(g, column);
    if (packs == 1) panel<Real, kTransposed, 1>(g, column);
}

}  // namespace

template <class Real>
void gemm_on_cpu(const Gemm<Real>& gemm) {
    if (gemm.transposed)
        multiply<Real, true>(gemm);
    else
        multiply<Real, false>(gemm);
}

template void gemm_on_cpu<float>(const Gemm<float>&);
template void gemm_on_cpu<double>(const Gemm<double>&);

#if !defined(MICROLIFT_HAVE_CUDA)
void gemm_on_cuda(Stream&, const Gemm<float>&, GemmPrecision) {}
#endif

}  // namespace microlift
