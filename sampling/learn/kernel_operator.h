// The Gaussian kernel matrix of a set of points, k_ij = exp(−d²_ij / 4ε), as an operator on blocks
// of vectors: recomputed at every product (nothing of size n² is stored), kept in memory, or
// restricted to nearest neighbours.
#pragma once

#include <vector>

#include "sampling/numerics/eigen.h"

namespace microlift {

// Points variable-major on the device: x[d * row + i]. With `metric`, the upper triangle of a
// symmetric matrix A_i a point (entry e at metric[e * row + i], order (0,0) (0,1) … (1,1) …), the
// distance is d²_ij = ½ (x_i − x_j)ᵀ (A_i + A_j) (x_i − x_j): the Mahalanobis distance of Singer
// and Coifman (2008) for inverse local covariances A.
struct PointSet {
    Span<const float> x;
    index row = 0, n = 0;
    int dim = 0;
    Span<const float> metric;
};

// sums[e * points.n + i] = Σ_j weight_j exp(−d²_ij / 4 epsilon_e), for several bandwidths.
void kernel_sums(Stream& stream, const PointSet& points, Span<const float> weight,
                 Span<const float> epsilon, Span<float> sums);

// The nearest neighbours of every point, itself among them: neighbour[i * k + …] (unordered) and
// squared distances.
void nearest_neighbours(Stream& stream, const PointSet& points, int k, Span<float> distance2,
                        Span<uint32> neighbour);

class KernelOperator {
public:
    enum class Form { recomputed, stored, neighbours };

    // neighbours = 0: dense; stored if n² floats fit `stored_bytes` and recomputing them costs more
    // than reading. Else the symmetric graph of everyone's `neighbours` nearest points.
    KernelOperator(Stream& stream, const PointSet& points, double epsilon, int neighbours = 0,
                   double stored_bytes = 2e9);

    Form form() const { return form_; }
    index size() const { return points_.n; }
    double entries() const;  // of the matrix, as it is kept

    // y[b * n + i] = Σ_j k_ij x[j * columns + b]; columns 1 or kEigenBlock.
    void multiply(Span<const float> x, int columns, Span<float> y);

private:
    void build_neighbours(int k);

    Stream& stream_;
    PointSet points_;
    double epsilon_;
    Form form_ = Form::recomputed;
    Buffer<float> values_;      // stored, or of the neighbours
    Buffer<index> first_;       // n + 1
    Buffer<uint32> neighbour_;  // ascending in every row
};

// --- the device pass (sampling/learn/kernel_operator.ops.cpp) ------------------------------------

inline constexpr index kKernelTile = 16;  // rows that lie together in a stored matrix

void fill_kernel(Stream& stream, const PointSet& points, float inverse_4_epsilon,
                 Span<float> values);
void multiply_stored(Stream& stream, index n, Span<const float> values, Span<const float> x,
                     int columns, Span<float> y);
void multiply_recomputed(Stream& stream, const PointSet& points, float inverse_4_epsilon,
                         Span<const float> x, int columns, Span<float> y);
void multiply_neighbours(Stream& stream, index n, Span<const index> first,
                         Span<const uint32> neighbour, Span<const float> values,
                         Span<const float> x, int columns, Span<float> y);

}  // namespace microlift
