// Trajectories of rare events, side by side: advanced from look to look, and those that are over taken out.
#pragma once

#include "sampling/rates/coordinate.h"
#include "sampling/rates/look.h"

namespace microlift {

class Store;

// What a method is made for.
struct RateSetup {
    const Model& model;
    IntegratorConfig integrator;
    RatesConfig rates;
    uint64 seed;
};

class RateLanes {
public:

    RateLanes(Stream& stream, const RateSetup& setup, index most);

    index columns() const { return columns_; }
    int numbers() const { return numbers_; }
    double dt() const { return dt_; }  // of a look
    double force_evaluations() const { return force_evaluations_; }
    double steps() const { return steps_; }
    index looks() const { return static_cast<index>(look_); }
    // Whether it is time to keep() those that are alive: that is asked for by looks so far, not by devices.
    bool piece_ends() const { return look_ % kPiece == 0; }
    // Of a long trajectory.
    double forces_per_step() const { return static_cast<double>(kernel_->force_evaluations(kLong)) / kLong; }
    bool bridged() const { return same_variance_ > 0 || variance_.size() > 0; }
    Span<float> state() { return state_.span().subspan(0, numbers_ * columns_); }
    Span<float> before() { return before_.span().subspan(0, 2 * columns_); }
    Span<float> progress() { return q_.span().subspan(0, columns_); }
    RateLook view();

    // So many trajectories, which are all alive and have the numbers 0, 1, …; their states are the caller's to write.
    void begin(index columns);
    // The same with numbers of the caller's, (columns) on the device.
    void begin(index columns, Span<const uint32> numbers);
    // Once the states are there: where they are.
    void look_at_start();
    // To the next look.
    void advance();
    // Takes out those that are over, where these are many enough. How many are left. Throws NumericError where a state
    // blew up.
    index keep();
    void draw_velocities(uint64 seed);

    void save(Store& store) const;
    void load(const Store& store);

private:
    // By name, what a checkpoint has of the device.
    template <class Self, class Each>
    static void each_kept(Self& self, const Each& each) {
        each("rates.state", self.state_);
        each("rates.before", self.before_);
        each("rates.alive", self.alive_);
        each("rates.number", self.number_);
    }

    static constexpr index kPiece = 8;     // looks between those at which the host asks how many are over
    static constexpr uint64 kLong = 1000000;
    void look();

    Stream& stream_;
    const RateSetup& setup_;
    std::unique_ptr<PathKernel> kernel_;
    RateCoordinate coordinate_;
    int numbers_;
    double dt_;
    index most_, columns_ = 0;
    uint64 look_ = 0, stride_;
    float same_variance_ = 0;
    double force_evaluations_ = 0, steps_ = 0;
    Buffer<float> state_, next_, x_, xi_, q_, before_, next_before_, variance_, closure_, alive_, next_alive_, free_, values_;
    Buffer<uint32> number_, next_number_;
    Buffer<double> place_, scratch_;
    Buffer<uint64> status_;
};

}  // namespace microlift
