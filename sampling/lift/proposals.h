// Lifting that is exact in the limit: a flow's states are proposals x ~ q(x | s) with a known density,
// and the physics decides, by importance weights exp(−βV(x)) / q(x | s), by independence Metropolis, or
// inside a running ensemble by jumps (sampling/lift/lifted_moves.h).
//
// Built for gradient systems whose collective variables are coordinates of the state. On the level set
// ξ(x) = s the conditional law of the other coordinates is then exp(−βV(x)) / Z(s), without a factor. For
// other ξ the law in coordinates of the level set has a factor 1/|∂ξ/∂x_c| (x_c the coordinate that ξ = s
// fixes), and a generator whose states are projected onto the level set has no density there: refused.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "nn/generators/generator.h"
#include "sampling/model/model.h"

namespace microlift {

// Why a generator's states cannot be weighted for this model; empty if they can.
std::string proposals_refusal(const Model& model, const Generator& generator);

// Log weights of states that no density is known of, or that the potential does not bear.
inline constexpr float kUnusable = -3.0e38f;

// A generator's states with the weights that make averages of them right.
class Proposer {
public:
    // InputError where proposals_refusal() has something to say. Keeps references.
    Proposer(Stream& stream, const Model& model, Generator& generator);

    // s (K, n) → states x (dim, n) with ξ(x) = s and ln [exp(−βV(x)) / q(x | s)], or kUnusable. Column
    // j depends on (seed, stream_id, first + j) and its s alone. No bytes to or from the host; allocates
    // when n grows.
    void propose(Span<const float> s, index n, uint64 seed, uint32 stream_id, uint64 first,
                 Span<float> x, Span<float> log_weight);
    // The same weights of given states x (dim, n) at their own s = ξ(x).
    void weigh(Span<const float> x, index n, Span<float> log_weight);
    // s (K, n) of states: their coordinates.
    void conditions(Span<const float> x, index n, Span<float> s);

private:
    void reserve(index n);
    void weights(Span<const float> x, index n, Span<float> log_weight);
    Stream& stream_;
    const Model& model_;
    Generator& generator_;
    std::vector<int> free_, coordinate_;  // variables that are generated; the variable of each CV
    index capacity_ = 0;
    Buffer<float> states_, log_density_, energy_, s_;
};

// Averages over the conditional law at several values of ξ, (function, value), with one standard error.
struct ConditionalAverages {
    index values = 0, functions = 0;
    std::vector<double> mean, error, variance;
    // By value:
    std::vector<double> quality;   // effective sample size over n; accepted over attempted
    std::vector<double> unusable;  // share of the proposals
    // importance only: ln ∫ exp(−βV) dx at ξ = s, so that F(s) = −kT times it, and its error
    std::vector<double> log_z, log_z_error;

    // Where a number stands in the arrays.
    std::size_t place(index function, index value) const {
        return static_cast<std::size_t>(function * values + value);
    }
};

// Functions f (functions, row) of proposals, `each` consecutive columns a value; their log weights.
struct WeightedColumns {
    Span<const float> f;
    index row = 0, functions = 0;
    Span<const float> log_weight;
    index values = 0, each = 0;
};

// Self-normalised importance sampling: Σ w f / Σ w. Its bias is of order 1/n, its error that of the
// weighted mean.
ConditionalAverages importance_averages(Stream& stream, const WeightedColumns& columns);
// Independence Metropolis: chains of `length` proposals each, the first quarter not counted; errors from
// the spread between chains. `each` must hold at least two chains.
ConditionalAverages metropolis_averages(Stream& stream, const WeightedColumns& columns,
                                        index length, uint64 seed);

// ∫ q(x | s) dx at each value of ξ: 1 for a density that is what it says. By the midpoint rule on
// `points` cells an axis over twice the range of what is drawn, for one or two generated variables; empty
// for more.
std::vector<double> density_integrals(Stream& stream, Generator& generator, int cvs,
                                      const std::vector<std::array<double, kMaxCvs>>& values,
                                      index points, uint64 seed);

}  // namespace microlift
