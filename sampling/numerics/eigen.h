// Symmetric eigenproblems: small dense ones on the host, and the leading pairs of an operator that
// is known by its products with blocks of vectors, on the device.
#pragma once

#include <functional>
#include <vector>

#include "engine/device/buffer.h"

namespace microlift {

// All eigenpairs of the symmetric a (n, n), largest value first; vectors (pair, n), orthonormal.
struct DenseEigen {
    std::vector<double> values, vectors;
};
DenseEigen eigen_symmetric(int n, std::vector<double> a);

// Solves a x = b for a symmetric positive a (n, n) and `columns` right-hand sides b[c * n + i], in
// place, by Cholesky's factorisation; false where a is singular.
bool solve_positive(int n, std::vector<double>& a, std::vector<double>& b, int columns = 1);

// Vectors come in blocks of so many columns, by rows: component i of column b is x[i * width + b].
inline constexpr int kEigenBlock = 16;

struct LeadingPairs {
    std::vector<double> values;   // largest first
    std::vector<double> vectors;  // (pair, n), orthonormal
    double residual = 0.0;        // the largest ‖A u − λ u‖ of the wanted pairs
    int products = 0;             // of the operator with a block
    bool converged = false;
};

struct EigenOptions {
    double tolerance = 3e-6;  // of the residual; a float kernel carries no more
    int max_cycles = 60;
};

// The `wanted` largest eigenvalues of a symmetric operator, `apply(x, y)`: y = A x of one block.
// Block Krylov spaces, restarted with their best vectors, so degenerate pairs are found; `start`
// (n, or empty) is a guess of the first vector. The arithmetic does not depend on the number of
// threads; only matrices of kEigenBlock² go to the host.
LeadingPairs leading_eigenpairs(Stream& stream, index n, int wanted,
                                const std::function<void(Span<const double>, Span<double>)>& apply,
                                Span<const double> start = {}, const EigenOptions& options = {});

// --- the device pass (sampling/numerics/eigen_blocks.ops.cpp) ------------------------------------

// Independent normal numbers; column 0 is `start` where it is given.
void fill_eigen_block(Stream& stream, index n, Span<const double> start, Span<double> x);
// gram[a * width + b] = Σ_i q[i, a] w[i, b], summed in a fixed order; scratch: gram_scratch(n).
index gram_scratch(index n);
void block_gram(Stream& stream, index n, Span<const double> q, Span<const double> w,
                Span<double> gram, Span<double> scratch);
// w −= q g
void block_subtract(Stream& stream, index n, Span<const double> q, Span<const double> g,
                    Span<double> w);
// y = Σ_s basis_s z_s: `blocks` blocks one after another, z (blocks · width, width).
void block_combine(Stream& stream, index n, int blocks, Span<const double> basis,
                   Span<const double> z, Span<double> y);
// r = ay − y diag(theta)
void block_residual(Stream& stream, index n, Span<const double> ay, Span<const double> y,
                    Span<const double> theta, Span<double> r);

}  // namespace microlift
