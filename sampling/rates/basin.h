// Trajectories that leave `from` and come back: where they enter it, where they cross the first level, and how long
// that takes.
#pragma once

#include "sampling/rates/lanes.h"

namespace microlift {

class Basin {
public:
    // n trajectories with `loops` ways out each, which are timed.
    Basin(Stream& stream, const RateSetup& setup, RateLanes& lanes, index n, index loops);

    void begin();
    // One look; false once all are over.
    bool advance();
    double share() const { return static_cast<double>(n_ - left_) / static_cast<double>(n_); }

    index size() const { return n_; }
    // Device arrays: states on entering `from`, (numbers, n), and on crossing the first level, (numbers, n · loops), those
    // of a trajectory side by side.
    Span<const float> entrance() const { return entrance_.span(); }
    Span<const float> start() const { return start_.span(); }
    // Looks from entering to crossing, mean of a trajectory's ways.
    std::vector<double> way_out() const;

    void save(Store& store) const;
    void load(const Store& store);

private:
    // By name, what a checkpoint has of the device.
    template <class Self, class Each>
    static void each_kept(Self& self, const Each& each) {
        each("rates.basin.entrance", self.entrance_);
        each("rates.basin.start", self.start_);
        each("rates.basin.phase", self.phase_);
        each("rates.basin.ways", self.ways_);
        each("rates.basin.since", self.since_);
        each("rates.basin.out", self.out_);
    }

    Stream& stream_;
    const RateSetup& setup_;
    RateLanes& lanes_;
    index n_, loops_, left_;
    LevelLadder ladder_;
    Buffer<float> entrance_, start_;
    Buffer<int32> phase_, ways_, action_;
    Buffer<double> since_, out_;
    Buffer<uint64> both_;  // looks at which a trajectory was in both states; in `to` short of the first level
};

}  // namespace microlift
