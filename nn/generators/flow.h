// Conditional flow matching: a velocity v(x, t, s) carries standard normal noise at t = 0 to states at
// t = 1, in a few midpoint steps. Each step is a map with a Jacobian known exactly, by forward tangents
// through the network; so the density of what the sampler makes, steps included, is exact: the
// divergence integrated along the path, as the logarithm of the steps' determinants. A state's own noise
// is found by inverting the steps one after another with Newton's method.
#pragma once

#include "nn/layers/mlp.h"
#include "nn/layers/whitening.h"

namespace microlift {

template <class Real>
class RowProgram;

class FlowRunner {
public:
    static constexpr index kRows = 4096;
    FlowRunner() = default;
    // layout: from (states, features of the condition, of the time) to states. `normal`: the network's
    // output is what the velocity has beyond that of a normal law (normal_velocity).
    FlowRunner(const Device& device, const MlpLayout& layout, int states, int features,
               int time_waves, int steps, bool normal);

    // conditions s[k*condition_row + j], states x[d*state_row + j], j < n. Column j depends on
    // (seed, stream_id, first + j) and its condition alone. States stay within the data's range.
    void run(Stream& stream, const WhiteningView& white, const float* parameters,
             const float* conditions, index condition_row, index n, uint64 seed, uint32 stream_id,
             index first, float* states, index state_row, Precision precision);

    // Up to kMostDensityStates states. ln q(x | s) of what is drawn, which may lie anywhere; NaN where
    // a step folds (its determinant is not positive), so that there is no such density.
    bool has_density() const;
    void propose(Stream& stream, const WhiteningView& white, const float* parameters,
                 const float* conditions, index condition_row, index n, uint64 seed,
                 uint32 stream_id, index first, float* states, index state_row,
                 float* log_density);
    // ln q(x | s) of given states; NaN where no noise is found that ends there.
    void density(Stream& stream, const WhiteningView& white, const float* parameters,
                 const float* conditions, index condition_row, index n, const float* states,
                 index state_row, float* log_density);

private:
    void plan_density(const Device& device);
    // v at time t of x + factor·v0, and its derivatives by x into `derivative` where there is one.
    void velocity(RowProgram<float>& program, const float* parameters, float t, float factor,
                  const float* v0, float* derivative);
    float* output() const { return scratch_.h[static_cast<std::size_t>(layout_.layers)]; }

    MlpLayout layout_;
    int states_ = 0, features_ = 0, waves_ = 0, steps_ = 0;
    bool normal_ = false;
    Buffer<float> memory_;
    MlpScratch<float> scratch_;
    float *x_ = nullptr, *y_ = nullptr;  // (rows, ld of the last layer)
    // Of the density: rows in a piece, tangents (states·rows, ld_l) and derivatives at a step's start
    // and middle.
    index rows_ = 0;
    Buffer<float> density_memory_;
    std::array<float*, kMostLayers + 1> tangent_{};
    float *start_ = nullptr, *middle_ = nullptr;
};

}  // namespace microlift
