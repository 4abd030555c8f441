// Jumps to lifted states, accepted by Metropolis, so that a trajectory crosses barriers that its
// collective variable does not see and the window's distribution stays exact.
//
// Proposals need a density. It is that of a mixture: around each of `points` lifted states of a
// window stands a Gaussian as wide as the distance to its nearest fellows. Any kind of generator
// serves, and where it is wrong only the acceptance suffers. Half of the points are lifted at the
// window's centre, the others at values of ξ nearby, whose states may show what is missing here.
//
// Where the generator knows its own density (sampling/lift/proposals.h), every kExactEvery-th attempt offers
// x' ~ q(x' | ξ(x)) at the trajectory's current ξ, so that the bias cancels, and accepts with
// probability min(1, [π(x') q(x | ξ)] / [π(x) q(x' | ξ)]), π = exp(−βV). More of those are accepted, but
// each costs some hundred passes through the network, and what the generator does not make at ξ only
// the mixture finds. Each kind alone keeps the law.
#pragma once

#include <memory>

#include "sampling/bias/table.h"
#include "sampling/lift/lifted_moves_kernels.h"
#include "sampling/lift/lifting.h"
#include "sampling/lift/proposals.h"

namespace microlift {

struct LiftedMovesConfig {
    index points = 256;                          // lifted states of each window
    std::array<double, kMaxCvs> spread{};        // deviation of the ξ of the second half
    std::array<double, kMaxCvs> from{}, to{};    // range that ξ is kept to
    std::array<bool, kMaxCvs> round{};           // all round a period it needs none
    uint64 seed = 1;
    // One bias for all trajectories, which may be anywhere along ξ: the centres then lie on this grid. Null: each
    // stays in its window, and has the ensemble's parabola.
    const BiasMethod* bias = nullptr;
    GridAxes places;
};

class LiftedMoves {
public:
    // Device counters of attempt(): jumps and attempts of the mixture, then of the exact density.
    static constexpr index kCounters = 4;
    static constexpr uint64 kExactEvery = 10;

    // Whether jumps can be accepted: the states themselves are generated, and V is known.
    static bool possible(const Model& model);

    // Keeps a reference to the lifter.
    LiftedMoves(Stream& stream, const Model& model, Lifter& lifter,
                const std::vector<std::array<double, kMaxCvs>>& centers,
                const LiftedMovesConfig& config);

    // Every trajectory of the ensemble, `replicas` for each centre unless they share a bias, tries one jump;
    // velocities stay.
    // Attempts are numbered: the number chooses the kind and the random draws. Adds to `counters`
    // (kCounters, device memory). Nothing moves between host and device.
    void attempt(Ensemble& ensemble, index replicas, uint64 attempt, Span<uint64> counters);
    bool exact_density() const { return proposer_ != nullptr; }
    static constexpr double kEnergiesPerAttempt = 2;

    // `each` proposals for every centre with ξ at the centre: x (dim, centres*each) and their
    // logarithmic importance weights −βV − ln q, up to a constant. Only where every collective
    // variable is one of the variables.
    void propose(index each, uint64 attempt, Span<float> x, Span<float> log_weight);
    bool coordinates() const { return !coordinate_of_cv_.empty(); }
    // `replicas` states for every centre, drawn from many proposals by their weights: x (dim,
    // centres*replicas). Weights are flattened where too few proposals would share them. `exact`: the
    // proposals are the generator's own at the centres, with their exact density, where there is one.
    void start(index replicas, Span<float> x, bool exact = false);

private:
    void energies(Span<const float> x, index n, Span<float> v, Span<float> xi);
    Buffer<float> repeated_centers(index each);  // (K, centres*each)
    void attempt_exact(Ensemble& ensemble, uint64 attempt, Span<uint64> counters);

    Stream& stream_;
    const Model& model_;
    LiftedMovesConfig config_;
    index windows_;
    std::vector<int> free_;
    std::vector<int> coordinate_of_cv_;  // empty unless every CV is one of the variables
    Buffer<int32> free_list_;
    Buffer<float> points_, scale_, width_, centers_;  // (window, free, point), (window, free), (window, point)
    Buffer<float> proposal_, v_, xi_, u_, log_q_;
    PlaceGrid places_;
    std::unique_ptr<Proposer> proposer_;  // null: the generator has no density
    Buffer<float> s_;
};

}  // namespace microlift
