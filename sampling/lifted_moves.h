// Jumps to lifted states, accepted by Metropolis, so that a trajectory crosses barriers that its
// collective variable does not see and the window's distribution stays exact.
//
// Proposals need a density. It is that of a mixture: around each of `points` lifted states of a
// window stands a Gaussian as wide as the distance to its nearest fellows. Any kind of generator
// serves, and where it is wrong only the acceptance suffers. Half of the points are lifted at the
// window's centre, the others at values of ξ nearby, whose states may show what is missing here.
#pragma once

#include "sampling/lifting.h"

namespace microlift {

struct LiftedMovesConfig {
    index points = 256;                          // lifted states of each window
    std::array<double, kMaxCvs> spread{};        // deviation of the ξ of the second half
    std::array<double, kMaxCvs> from{}, to{};    // range that ξ is kept to
    uint64 seed = 1;
};

class LiftedMoves {
public:
    // Whether jumps can be accepted: the states themselves are generated, and V is known.
    static bool possible(const Model& model);

    LiftedMoves(Stream& stream, const Model& model, Lifter& lifter,
                const std::vector<std::array<double, kMaxCvs>>& centers,
                const LiftedMovesConfig& config);

    // Every trajectory of the ensemble, `replicas` for each centre, tries one jump. accepted[0] counts
    // jumps, accepted[1] attempts (device memory). Nothing moves between host and device.
    void attempt(Ensemble& ensemble, index replicas, uint64 attempt, Span<uint64> accepted);
    static constexpr double kEnergiesPerAttempt = 2;

    // `each` proposals for every centre with ξ at the centre: x (dim, centres*each) and their
    // logarithmic importance weights −βV − ln q, up to a constant. Only where every collective
    // variable is one of the variables.
    void propose(index each, uint64 attempt, Span<float> x, Span<float> log_weight);
    bool coordinates() const { return coordinates_; }
    // `replicas` states for every centre, drawn from many proposals by their weights: x (dim,
    // centres*replicas). Weights are flattened where too few proposals would share them.
    void start(index replicas, Span<float> x);

private:
    void energies(Span<const float> x, index n, Span<float> v, Span<float> xi);

    Stream& stream_;
    const Model& model_;
    LiftedMovesConfig config_;
    index windows_;
    std::vector<int> free_;
    bool coordinates_;
    std::vector<int> coordinate_of_cv_;
    ColumnProgram potential_;
    Buffer<int32> free_list_;
    Buffer<float> points_, scale_, width_, centers_;  // (window, free, point), (window, free), (window, point)
    Buffer<float> proposal_, v_, xi_, log_q_;
};

}  // namespace microlift
