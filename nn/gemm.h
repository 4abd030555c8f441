// nn/: networks, losses, optimiser, the conditional GAN, weight files. May include kernels/, engine/.
//
// Matrix products of small layers. Matrices are row-major; the leading dimension of every activation
// and weight matrix is its width rounded up to kPad, and the padding columns hold zeros.
// One signature, two implementations: register-blocked SIMD on the CPU (gemm.cpp), cuBLASLt on CUDA
// (gemm_cuda.cpp).
#pragma once

#include "engine/stream.h"

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

// Precision of the products on CUDA; the CPU always computes in fp32.
enum class GemmPrecision { tf32, fp32 };
void gemm_on_cuda(Stream& stream, const Gemm<float>& gemm, GemmPrecision precision);

}  // namespace microlift
