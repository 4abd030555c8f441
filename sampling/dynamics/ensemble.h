// An ensemble: many trajectories of one system on the device, advanced together, each under its own
// bias. Processes of one run share its trajectories out, and have all states wherever somebody asks for them: then
// every process has to ask.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/comm/columns.h"
#include "sampling/dynamics/path_kernel.h"
#include "sampling/dynamics/way_describer.h"
#include "sampling/samples/sample_set.h"

namespace microlift {

class Ensemble {
public:
    // Trajectory t draws its noise as number first_trajectory + t of `rng_stream`.
    Ensemble(Stream& stream, std::shared_ptr<const PathKernel> kernel, index trajectories,
             uint64 seed, uint32 rng_stream, index first_trajectory = 0);

    // Trajectories; steps that each has made; force evaluations of all, so far.
    index size() const { return n_; }
    uint64 step() const { return step_; }  // so far
    uint64 seed() const { return seed_; }
    double force_evaluations() const { return force_evaluations_; }
    const PathKernel& kernel() const { return *kernel_; }  // what advances it

    // Device arrays (variable, trajectory); write them before the first step.
    Span<float> x() { return touched(x_); }
    Span<float> v() { return touched(v_); }
    Span<float> center() { return biased(center_); }
    Span<float> stiffness() { return biased(stiffness_); }
    WindowView windows() const {
        return {center_.data(), stiffness_.data(), n_, kernel_->periods()};
    }
    // Of kernels whose bias is a table: the table from the next step on. Its memory is the caller's.
    void set_grid(const GridView& grid) { grid_ = grid; }

    // Both launch pieces of launch_steps() steps at most.
    void advance(uint64 steps);
    // `segments` times: advance `stride` steps, then append every trajectory's state to `samples`.
    void sample(uint64 stride, index segments, SampleSet& samples);
    // Likewise of this process's trajectories alone.
    void sample_own(uint64 stride, index segments, SampleSet& samples);
    Share share() const { return share_; }
    // (K, share().count), after a launch.
    Span<const float> own_center() const { return shared() ? own_.center.span() : center_.span(); }

    // Steps that a launch takes at most: a fraction of a second, between which a run may be stopped.
    uint64 launch_steps() const;

    // Throws NumericError if a state became infinite or NaN; `describe(trajectory)` says where the
    // trajectory belongs.
    void check_finite(const std::function<std::string(index)>& describe);

    // Of Metropolis schemes: steps of each trajectory that were not refused, so far; else none.
    std::vector<uint64> accepted();
    void load_accepted(const std::vector<uint64>& accepted);

    // What a checkpoint needs: x and v, if any, (rows, trajectories), and the step.
    std::vector<float> save_state();
    void load_state(const std::vector<float>& state, uint64 step);

private:
    PathArgs args(uint64 stride, index segments);
    void launch(const PathArgs& args);
    Span<float> touched(Buffer<float>& states) {
        good_step_ = kNever;
        gather();
        states_touched_ = true;
        return states.span();
    }
    Span<float> biased(Buffer<float>& bias) {
        bias_touched_ = true;
        return bias.span();
    }
    bool shared() const { return share_.count != n_; }
    void gather();  // the states of all
    void share_out();
    template <class Store>
    void sample_in_launches(uint64 stride, index segments, index most_segments, const Store& store);
    void gather_samples(const PathArgs& args, SampleSet& samples);
    void find_bad(uint64 (&status)[2]);
    void keep_good();
    std::string describe_blow_up(index trajectory);

    static constexpr uint64 kNever = ~uint64{0};
    Stream& stream_;
    std::shared_ptr<const PathKernel> kernel_;
    const WayDescriber* describer_;  // the kernel as one, or null
    index n_;
    index first_;
    uint64 seed_;
    uint32 rng_stream_;
    uint64 step_ = 0;
    uint64 checked_ = 0;  // the step from which the status word counts
    double force_evaluations_ = 0;
    Buffer<float> x_, v_, center_, stiffness_;
    Share share_;  // of this process
    struct Arrays {
        Buffer<float> x, v, center, stiffness;
        Collection all;
    } own_;        // of the share, where it is not all
    bool own_ahead_ = false, states_touched_ = true, bias_touched_ = true;
    uint64 launch_steps_ = 0;
    Buffer<float> good_[2];  // states and velocities at good_step_, where there is a describer
    uint64 good_step_ = kNever;  // never: they were touched from outside since
    GridView grid_;
    Buffer<uint64> status_, accepted_;
};

}  // namespace microlift
