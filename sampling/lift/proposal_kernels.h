// Launchers of the passes over proposals (sampling/lift/proposals.h). Chunks are fixed and are added up in
// order, so that no result depends on threads.
#pragma once

#include "engine/device/buffer.h"

namespace microlift {

inline constexpr index kProposalChunk = 64;

// log_weight = −beta·energy − log_density, kUnusable where that is not finite.
void proposal_weights(Stream& stream, index n, float beta, const float* energy,
                      const float* log_density, float* log_weight);

// For chunk c of value v, at out[(v*chunks + c)*(3 + 4·functions)] with w = exp(log_weight − greatest[v]):
// Σw, Σw², number of unusable ones; of each f about its value in the first column of v:
// Σwf, Σwf², Σw²f, Σw²f².
void weighted_sums(Stream& stream, index values, index each, index chunks, index functions,
                   const float* f, index row, const float* log_weight, const double* greatest,
                   double* out);

// out (function, value): each f in the first column of each value.
void first_columns(Stream& stream, index values, index each, index functions, const float* f, index row,
                   float* out);

// Chain c of value v walks over its own `length` proposals; at out[(v*chains + c)*(1 + 2·functions)]
// after `skip` steps: accepted, then Σf, Σf² of each f, shifted as above.
void metropolis_chains(Stream& stream, index values, index each, index chains, index length,
                       index skip, index functions, const float* f, index row,
                       const float* log_weight, uint64 seed, double* out);

// Metropolis: proposed states (dim, n) replace those of x (dim, n) by their weights; counts {accepted,
// attempted}.
void accept_moves(Stream& stream, index n, int dim, const float* proposed, const float* old_weight,
                  const float* new_weight, uint64 seed, uint64 attempt, float* x, uint64* counts);

// Of proposals that come one after another, the first by weight so far (Gumbel's way of drawing with given odds):
// proposed (dim, n) goes into x (dim, row) where log_weight and a random number from (seed, column + i) exceed
// `best`, and where it is the first.
void choose_proposals(Stream& stream, index n, int dim, const float* proposed, const float* log_weight,
                      uint64 seed, uint64 column, bool is_first, float* best, float* x, index row);

}  // namespace microlift
