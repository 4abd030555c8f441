// Conditional flow matching: a velocity v(x, t, s) carries standard normal noise at t = 0 to states at
// t = 1, in a few midpoint steps. Each step is a map with a Jacobian known exactly, by forward tangents
// through the network; so the density of what the sampler makes, steps included, is exact: the
// divergence integrated along the path, as the logarithm of the steps' determinants. A state's own noise
// is found by inverting the steps one after another with Newton's method. States that go round start from
// uniform angles.
#pragma once

#include <functional>
#include <memory>

#include "nn/layers/mlp.h"
#include "nn/layers/network.h"
#include "nn/train/sampler.h"
#include "nn/train/trainer.h"

namespace microlift {

struct FlowJacobian;

struct FlowShape {
    int states = 0, features = 0, waves = 0, steps = 1;
    // The network's output is what the velocity has beyond that of a normal law (normal_velocity).
    bool normal = false;
    std::vector<float> periods{};     // of the states; empty: none goes round
    index state_inputs() const;       // numbers that the network sees of the states
    index features_and_time() const;  // and beside them
    bool is_angle(int d) const { return !periods.empty() && periods[static_cast<std::size_t>(d)] > 0; }
};

// A network from (states, features of the condition, of the time) to states, and how many rows of it are
// sampled at a time.
using MakeNetwork = std::function<std::unique_ptr<Network>(index rows, Network::Use use)>;
struct FlowNetwork {
    MakeNetwork make;
    index rows;
};

class FlowSampler final : public Sampler {
public:
    FlowSampler(const Device& device, const FlowShape& shape, const FlowNetwork& network);
    void run(Stream& stream, const TrainedWeights& weights, Matrix<const float> conditions,
             const RandomSource& source, Matrix<float> states, Precision precision) override;
    std::string density_refusal() const override;
    void propose(Stream& stream, const TrainedWeights& weights, Matrix<const float> conditions,
                 const RandomSource& source, Matrix<float> states, float* log_density) override;
    void density(Stream& stream, const TrainedWeights& weights, Matrix<const float> conditions,
                 Matrix<const float> states, float* log_density) override;

private:
    void plan_density(Stream& stream);
    // The condition's features, and noise.
    void start(RowProgram<float>& program, const WhiteningView& white, const float* s,
               index condition_row, const RandomSource& source);
    FlowJacobian jacobian(index rows) const;
    RowProgram<float> program(Stream& stream, index rows, Precision precision) const;
    // v at time t of x + factor·v0, and its derivatives by x into `derivative` where there is one.
    void velocity(RowProgram<float>& program, const TrainedWeights& weights, float t, float factor,
                  const float* v0, float* derivative);

    FlowShape shape_;
    std::unique_ptr<Network> network_;
    index rows_ = 0, ld_ = 0;
    Buffer<float> memory_;
    float *x_ = nullptr, *y_ = nullptr;  // (rows, ld)
    // Of the density: rows in a piece, derivatives at a step's start and middle (state, row, ld).
    index density_rows_ = 0;
    Buffer<float> density_memory_;
    float *start_ = nullptr, *middle_ = nullptr, *matrices_ = nullptr;
};

// What a training is asked for, and what a weight file says.
FlowShape flow_shape(const TrainerConfig& config, int states, int conditions);
FlowShape flow_shape(const SafeTensors& content, const WhiteningView& white);
MlpLayout flow_layout(const FlowShape& shape, const TrainerConfig& config);
FlowNetwork flow_network(const Device& device, const MlpLayout& layout);
std::unique_ptr<GeneratorTrainer> make_flow_trainer(Stream& stream, const TrainerConfig& config,
                                                    int conditions, const FlowShape& shape,
                                                    const FlowNetwork& network);
LoadedGenerator loaded_flow(const Device& device, const SafeTensors& content,
                            const FlowShape& shape, const FlowNetwork& network);

// With a multilayer perceptron.
std::unique_ptr<GeneratorTrainer> make_flow(Stream& stream, const TrainerConfig& config, int states,
                                            int conditions);
LoadedGenerator load_flow(const Device& device, const SafeTensors& content,
                          const WhiteningView& white);

}  // namespace microlift
