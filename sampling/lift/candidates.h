// Lifted states chosen by their weights: of several states that a generator with a density makes at a value, one,
// with the odds exp(−βV)/q (sampling importance resampling: Rubin, J. Am. Stat. Assoc. 82 (1987) 543). What the
// generator makes too often is chosen the less, and the more candidates the nearer the law is to that of the
// physics.
#pragma once

#include "sampling/model/model.h"
#include "sampling/molecule/coordinates/molecule_coordinates.h"
#include "nn/generators/generator.h"

namespace microlift {

// Why states cannot be chosen by weight; empty if they can. `coordinates`: of a molecule.
std::string candidates_refusal(const Model& model, const Generator& generator,
                               const MoleculeCoordinates* coordinates);

// s (K, n) → x (dim, n), each the one of `candidates` ≥ 1. Column j depends on (seed, first + j) and its s alone.
// InputError where there is a refusal.
void lift_by_weight(Stream& stream, const Model& model, Generator& generator, MoleculeCoordinates* coordinates,
                    Span<const float> s, index n, index candidates, uint64 seed, uint64 first, Span<float> x);

}  // namespace microlift
