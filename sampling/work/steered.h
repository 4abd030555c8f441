// A moving restraint: the centre of each walker's parabola goes along a path, of one half of them from its first point
// to the last, of the others back. Between two moves the bias is constant, and a move does the work U(ξ; next) −
// U(ξ; now) on a walker, so that Jarzynski's and Crooks' relations hold for any length of the moves.
#pragma once

#include "sampling/bias/method.h"
#include "sampling/work/pulled_path.h"

namespace microlift {

struct SteeredOptions {
    std::vector<CvValue> path;  // two points or more
    CvValue stiffness{}, period{};
    index start = 0;            // the step of the first move
    index moves = 1, move = 1;  // how many, and the steps between two
    index stride = 1;           // moves from one frame to the next
    double kt = 1;
};

// Where the centre is after so many of all moves: at a constant pace, in units of what the bias lets walkers off.
CvValue steered_center(const SteeredOptions& options, index moves);

class Steered final : public BiasMethod {
public:
    Steered(Stream& stream, const BiasSetup& setup);
    BiasKind kind() const override { return BiasKind::harmonic; }
    void begin(Ensemble& ensemble) override;
    index period() const override { return options_.move; }
    // A move, at steps from `start` on; none once all are made.
    void step(Ensemble& ensemble, Span<const float> xi) override;
    void energy(Stream& stream, Span<const float> xi, index row, index n, Span<float> out) const override;
    void save(Stream& stream, Store& store) const override;
    void load(Stream& stream, const Store& store) override;

    const SteeredOptions& options() const { return options_; }
    index moved() const { return moved_; }
    bool done() const { return moved_ == options_.moves; }
    PulledPath path() const;  // of all frames, once done

private:
    index frames() const { return options_.moves / options_.stride + 1; }
    void put_centers();

    Stream& stream_;
    BiasSetup setup_;
    SteeredOptions options_;
    index walkers_;
    index moved_ = 0;
    Buffer<float> center_, stiffness_;  // (K, trajectories)
    Buffer<double> work_;               // (trajectories)
    Buffer<float> frame_xi_;            // (frame, K, trajectories)
    Buffer<double> frame_work_;         // (frame, trajectories)
};

}  // namespace microlift
