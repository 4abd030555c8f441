// nn/: networks, losses, optimiser, the conditional GAN, weight files. May include kernels/, engine/.
//
// Matrix products of small layers. Matrices are row-major; the leading dimension of every activation
// and weight matrix is its width rounded up to kPad, and the padding columns hold zeros.
// One signature, two implementations: register-blocked SIMD on the CPU (gemm.lanes.cpp), cuBLASLt on CUDA
// (gemm_cuda.cpp).
#pragma once

#include <string>

#include "engine/device/stream.h"
#include "kernels/lane/precision.h"

namespace microlift {

inline constexpr index kPad = 16;
inline constexpr index padded_width(index n) { return (n + kPad - 1) / kPad * kPad; }

// C (m, n) = op(A) (m, k) B (k, n), + bias (n) for every row if there is one, + C if accumulate.
// op(A)(i, p) = transposed ? a[p*lda + i] : a[i*lda + p]. ldb, ldc and n are multiples of kPad.
// On the CPU every element is one chain of fma over ascending p, or 16 interleaved ones that meet in a
// tree, so that its bits depend neither on where its row lies nor on the width of the packs.
template <class Real>
struct Gemm {
    const Real* a = nullptr;
    const Real* b = nullptr;
    const Real* bias = nullptr;
    Real* c = nullptr;
    index m = 0, n = 0, k = 0, lda = 0, ldb = 0, ldc = 0;
    bool transposed = false, accumulate = false;
    // How many columns matter; 0: all n. The CPU may leave the others of C as they are, and then
    // reads A up to lda: what lies there must be finite, and is multiplied by zero.
    index columns = 0;
};

// Called on the CPU for every part of C as soon as it is final, while it is in the cache.
struct GemmAfter {
    void (*call)(const void* context, index row, index rows, index column, index columns) = nullptr;
    const void* context = nullptr;
};

template <class Real>
void gemm_on_cpu(const Gemm<Real>& gemm, const GemmAfter& after = {});

// sum (n) += the column sums of b (rows, n).
template <class Real>
void add_column_sums_on_cpu(const Real* b, index ldb, index rows, index n, Real* sum);

void gemm_on_cuda(Stream& stream, const Gemm<float>& gemm, Precision precision);

const char* precision_name(Precision precision);
// InputError unless it is one of tf32, bf16, tf32x3, fp32.
Precision precision_from(const std::string& name);

// Of a product by itself: a row of few columns is summed by 16 chains that meet in a tree.
inline constexpr index kFewColumns = 3;
inline constexpr index kMostDepth = 1024;
template <class Real>
bool sums_by_tree(const Gemm<Real>& g) {
    return g.columns > 0 && g.columns <= kFewColumns && !g.transposed && !g.accumulate &&
           g.k <= kMostDepth && g.lda % kPad == 0;
}

// What these products are really computed in where `asked` for: fp32 in the portable mathematics, and
// instead of tf32x3, which cuBLASLt does not have.
inline Precision product_precision(const Device& device, Precision asked) {
    return device.portable() || asked == Precision::tf32x3 ? Precision::fp32 : asked;
}

}  // namespace microlift
