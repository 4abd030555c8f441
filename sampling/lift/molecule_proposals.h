// States of a molecule from a flow, with their weights: what the physics makes of them. The weight of x, made
// from y at ξ = s, is exp(−V(x)/kT) |∂x/∂y| √|Z| / q(y | s); Z, of each star of rigid bonds, is the part of
// the measure that rigid bonds leave behind (Fixman, Proc. Natl. Acad. Sci. USA 71 (1974) 3050). Places and
// turns of the molecule are integrated out; it must not be held in space.
#pragma once

#include "nn/generators/generator.h"
#include "sampling/dynamics/molecule_path.h"
#include "sampling/molecule/coordinates/molecule_coordinates.h"
#include "sampling/molecule/forces.h"

namespace microlift {

class MoleculeProposer {
public:
    // Why states have no weights; empty: they have.
    static std::string refusal(const Molecule& molecule, const MoleculeCoordinates& coordinates,
                               const Generator& generator);
    // Keeps references. InputError where there is a refusal.
    MoleculeProposer(Stream& stream, const Molecule& molecule, double temperature,
                     MoleculeCoordinates& coordinates, Generator& generator);

    // s (condition, n) → states x (3 · atoms, n) and the logarithms of their weights (n), kUnusable
    // (sampling/lift/proposals.h) where there is none. Column j depends on (seed, stream_id, first + j) and its
    // s alone. Allocates when n grows.
    void propose(Matrix<const float> s, uint64 seed, uint32 stream_id, uint64 first, Matrix<float> x,
                 float* log_weight);
    // Of given states, at s.
    void weigh(Matrix<const float> x, Matrix<const float> s, float* log_weight);

private:
    void reserve(index n);
    void weights(Matrix<const float> x, float* log_weight);

    Stream& stream_;
    const Molecule& molecule_;
    double beta_;
    MoleculeCoordinates& coordinates_;
    Generator& generator_;
    Buffer<StarEntry> stars_;
    index star_count_ = 0, capacity_ = 0;
    std::unique_ptr<MoleculeForces<float>> forces_;
    Buffer<float> conditions_, states_, log_density_, log_jacobian_, force_, energy_, x_;
};

}  // namespace microlift
