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
// On the CPU every element is one chain of fma over ascending p, so that its bits do not depend on
// where its row lies.
template <class Real>
struct Gemm {
    const Real* a = nullptr;
    const Real* b = nullptr;
    const Real* bias = nullptr;
    Real* c = nullptr;
    index m = 0, n = 0, k = 0, lda = 0, ldb = 0, ldc = 0;
    bool transposed = false, accumulate = false;
};

template <class Real>
void gemm_on_cpu(const Gemm<Real>& gemm);

// Precision of the products on CUDA; the CPU always computes in fp32.
enum class GemmPrecision { tf32, fp32 };
void gemm_on_cuda(Stream& stream, const Gemm<float>& gemm, GemmPrecision precision);

}  // namespace microlift
