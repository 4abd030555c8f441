// Diffusion maps (Coifman and Lafon, 2006): coarse variables learned from samples. The Gaussian
// kernel exp(−d²/4ε) is normalised by powers of the sampling density (α = 0: the random walk on the
// samples; ½: the dynamics whose stationary law the samples have; 1: the geometry alone) and made a
// Markov matrix; its slowest eigenfunctions φ_k are the coordinates. Weights stand for biased
// samples.
#pragma once

#include <string>
#include <vector>

#include "sampling/learn/kernel_operator.h"

namespace microlift {

// How a map is made.
struct DiffusionMapOptions {
    double alpha = 0.5;
    double epsilon = 0.0;       // squared length; 0: choose_bandwidth, more where samples are thin
    int coordinates = 8;        // eigenfunctions beside the constant one
    int neighbours = 0;         // 0: dense; else only everyone's nearest points
    double stored_bytes = 2e9;  // the kernel matrix is kept in memory up to this size
};

// Σ_ij w_i w_j exp(−d²_ij/4ε) grows like ε^{d/2} where ε resolves a manifold of dimension d: the
// bandwidth is where the slope of its logarithm is steepest (Coifman, Shkolnisky, Sigworth and
// Singer 2008; Berry and Harlim 2016), found on at most `most_points` of the points.
struct Bandwidth {
    double epsilon = 0.0, dimension = 0.0;
    std::vector<double> ladder, slope;  // d ln Σ / d ln ε at each rung
};
// weights: of the points, up to a factor; empty: equal.
Bandwidth choose_bandwidth(Stream& stream, const PointSet& points,
                           const std::vector<double>& weights, index most_points = 2048);

// The map of n samples.
struct DiffusionMap {
    index n = 0;
    double alpha = 0.0, epsilon = 0.0;
    double dimension = 0.0;  // of the manifold, from the bandwidth's slope; 0: not estimated
    std::vector<double> eigenvalues;  // [0] = 1
    std::vector<double> functions;    // (k, i); Σ_i stationary_i φ_k(i)² = 1, φ_0 = 1
    std::vector<double> stationary;   // of the Markov matrix, Σ = 1
    std::vector<double> mass;         // P_ij ∝ k_ij mass_j: what Nyström's extension needs
    // The leave-one-out residual of φ_k in a local linear regression on φ_1 … φ_{k−1} (Dsilva,
    // Talmon, Coifman and Kevrekidis 2018): near 0 where φ_k is a harmonic of them. [0] unused.
    std::vector<double> novelty;
    std::vector<int> independent;  // the coordinates that are no harmonics, ascending from 1
    int gap = 0;                   // coordinates before the widest gap of the rates
    double residual = 0.0;         // of the eigenproblem
    index left_out = 0;            // samples too far from all others to take part
    bool converged = true;         // the eigenproblem
    bool flat = false;             // is the bandwidth so large that all samples are the same to it?
    bool connected = true;         // does the kernel reach from every sample to every other?
    int products = 0;
    std::vector<std::string> warnings;

    // How many, without the constant one; and φ_k, (n).
    int coordinates() const { return static_cast<int>(eigenvalues.size()) - 1; }
    const double* function(int k) const {
        return functions.data() + static_cast<std::size_t>(k) * static_cast<std::size_t>(n);
    }
    // −ln λ_k / ε, an eigenvalue of −(Δ + (2 − 2α) ∇ ln p · ∇) for a density p: with α = ½ and β
    // its inverse temperature, β times a relaxation rate of overdamped dynamics at mobility 1.
    double rate(int k) const;
};

inline constexpr double kHarmonicNovelty = 0.4;  // below: a harmonic

// The fewest samples that so many coordinates are made of.
constexpr index least_samples(int coordinates) {
    return 4 * (coordinates < kEigenBlock ? kEigenBlock : coordinates + 1);
}

// weights: of the samples, up to a factor; empty: equal. InputError where there are too few
// samples.
DiffusionMap diffusion_map(Stream& stream, const PointSet& points,
                           const std::vector<double>& weights,
                           const DiffusionMapOptions& options = {});

// φ_1 … φ_K of any states: values (k − 1, query), φ_k(x) = λ_k⁻¹ Σ_j P(x, j) φ_k(j). K ≤ 15. Points
// without a metric only.
void nystrom(Stream& stream, const PointSet& points, const DiffusionMap& map,
             Span<const float> query, index query_row, index queries, int coordinates,
             Span<float> values, index values_row);

// Local linear residuals of the functions (k, n), k = 0 … count − 1 (Dsilva et al., eq. 12), over
// at most `most_points` of the points. The first is 1.
std::vector<double> regression_novelty(const std::vector<double>& functions, int count, index n,
                                       index most_points = 600);

// --- the device pass (sampling/learn/diffusion_map.ops.cpp) --------------------------------------

// x_float = scale_i x, y = scale_i y_float (column-major to rows): the two sides of S = D K D.
void scale_block(Stream& stream, index n, Span<const double> scale, Span<const double> x,
                 Span<float> x_float);
void unscale_block(Stream& stream, index n, Span<const double> scale, Span<const float> y_float,
                   Span<double> y);
// out[b] of each query: Σ_j k f[j * kEigenBlock + b] / Σ_j k f[j * kEigenBlock], b = 1 …
void kernel_averages(Stream& stream, const PointSet& points, float inverse_4_epsilon,
                     Span<const float> f, int columns, Span<const float> query, index query_row,
                     index queries, Span<float> out, index out_row);

}  // namespace microlift
