#include "sampling/lift/molecule_moves.h"

#include "kernels/random/streams.h"
#include "sampling/lift/proposal_kernels.h"
#include "sampling/molecule/files/read_molecule.h"

namespace microlift {

MoleculeMoves::MoleculeMoves(Stream& stream, const Model& model, Lifter& lifter, uint64 seed)
    : stream_(stream), model_(model), seed_(seed),
      proposer_(stream, model.molecule()->molecule, 1 / (kGasConstant * model.formulas().beta),
                lifter.coordinates(), lifter.generator()) {}

void MoleculeMoves::attempt(Ensemble& ensemble, uint64 attempt, Span<uint64> counters) {
    const index n = ensemble.size(), K = model_.n_cvs(), D = model_.dim();
    if (before_.size() != n) {
        values_ = Buffer<float>(stream_.device(), K * (1 + D) * n);
        proposal_ = Buffer<float>(stream_.device(), D * n);
        before_ = Buffer<float>(stream_.device(), n);
        after_ = Buffer<float>(stream_.device(), n);
    }
    model_.evaluate_cvs(stream_, ensemble.x(), n, n, values_.span(), n);
    const Matrix<const float> s{values_.data(), K, n, n};
    proposer_.weigh({ensemble.x().data, D, n, n}, s, before_.data());
    proposer_.propose(s, seed_, kStreamMove, attempt * static_cast<uint64>(n), {proposal_.data(), D, n, n},
                      after_.data());
    accept_moves(stream_, n, static_cast<int>(D), proposal_.data(), before_.data(), after_.data(), seed_,
                 attempt, ensemble.x().data, counters.data);
    model_.molecule_states(stream_).draw_velocities(
        stream_, seed_, kStreamVelocity, static_cast<index>(attempt) * n, n, ensemble.v());
}

}  // namespace microlift
