// Moves of a molecule's trajectories to lifted states at their own value of the collective variables: a
// Metropolis decision with the flow's exact density, so that they leave the conditional law as it is, and
// cross whatever dynamics does not.
#pragma once

#include "sampling/lift/lifting.h"
#include "sampling/lift/molecule_proposals.h"

namespace microlift {

class MoleculeMoves {
public:
    // Keeps references. InputError where states have no weights.
    MoleculeMoves(Stream& stream, const Model& model, Lifter& lifter, uint64 seed);

    // One move of every trajectory; velocities are drawn anew. counters: accepted, attempted (device).
    void attempt(Ensemble& ensemble, uint64 attempt, Span<uint64> counters);

private:
    Stream& stream_;
    const Model& model_;
    uint64 seed_;
    MoleculeProposer proposer_;
    Buffer<float> values_, proposal_, before_, after_;
};

}  // namespace microlift
