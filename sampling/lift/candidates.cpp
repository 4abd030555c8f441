#include "sampling/lift/candidates.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "kernels/random/streams.h"
#include "sampling/lift/molecule_proposals.h"
#include "sampling/lift/proposal_kernels.h"
#include "sampling/lift/proposals.h"
#include "sampling/molecule/files/read_molecule.h"

namespace microlift {

namespace {

constexpr index kPiece = 1 << 14;  // states made at a time

}  // namespace

std::string candidates_refusal(const Model& model, const Generator& generator,
                               const MoleculeCoordinates* coordinates) {
    return coordinates ? MoleculeProposer::refusal(model.molecule()->molecule, *coordinates, generator)
                       : proposals_refusal(model, generator);
}

void lift_by_weight(Stream& stream, const Model& model, Generator& generator, MoleculeCoordinates* coordinates,
                    Span<const float> s, index n, index candidates, uint64 seed, uint64 first, Span<float> x) {
    std::optional<MoleculeProposer> of_molecule;
    std::optional<Proposer> of_variables;
    if (coordinates)
        of_molecule.emplace(stream, model.molecule()->molecule, model.kt() / kGasConstant, *coordinates, generator);
    else
        of_variables.emplace(stream, model, generator);
    const index piece = std::min(n, kPiece), K = model.n_cvs(), D = model.dim();
    Buffer<float> at(stream.device(), K * piece), made(stream.device(), D * piece), weight(stream.device(), piece),
        best(stream.device(), piece);
    for (index from = 0; from < n; from += piece) {
        const index count = std::min(piece, n - from);
        for (index k = 0; k < K; ++k)
            copy(stream, at.span().subspan(k * count, count), s.subspan(k * n + from, count));
        const uint64 column = first + static_cast<uint64>(from);
        for (index c = 0; c < candidates; ++c) {
            const uint64 own = seed + 0x9E3779B97F4A7C15ull * static_cast<uint64>(c);  // noise of its own
            const Span<float> states = made.span().subspan(0, D * count);
            if (of_molecule)
                of_molecule->propose({at.data(), K, count, count}, own, kStreamProposal, column,
                                     {states.data, D, count, count}, weight.data());
            else
                of_variables->propose(std::as_const(at).span().subspan(0, K * count), count, own, kStreamProposal,
                                      column, states, weight.span().subspan(0, count));
            choose_proposals(stream, count, static_cast<int>(D), made.data(), weight.data(), own, column, c == 0,
                             best.data(), x.data + from, n);
        }
    }
}

}  // namespace microlift
