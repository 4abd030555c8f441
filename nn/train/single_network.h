// Training of generators that are one network without an adversary: what flow matching and the energy
// score share. A kind adds one iteration's sweep and a sampler.
#pragma once

#include "nn/layers/conv.h"
#include "nn/generators/generator.h"
#include "nn/train/held_out.h"
#include "nn/generators/registry.h"

namespace microlift {

class SingleNetworkTrainer : public GeneratorTrainer {
public:
    void set_data(Span<const float> states, Span<const float> conditions, index row, index columns,
                  index trajectories) final;
    void warm_start(const TensorMap& state) final;
    void advance(index n) final;
    void check() final;
    index iteration() const final { return iteration_; }
    bool done() const final { return iteration_ >= config_.iterations; }
    Precision precision() const final {
        return convolves_ ? Precision::fp32 : product_precision(stream_.device(), config_.precision);
    }
    TrainingHistory history() final;
    TensorMap save_state() final;
    void load_state(const TensorMap& state) final;
    SafeTensors generator_tensors() final;

protected:
    // inputs: columns of the network's input beside the condition's features. An MLP, or, where
    // config says so, convolutions, of which those that are not the states are features.
    SingleNetworkTrainer(Stream& stream, const TrainerConfig& config, int states, int conditions,
                         int inputs);

    // From empty inputs to weight gradients and loss_, (batch) losses whose sum is the batch's. Of an
    // MLP, or of convolutions; then gradients go into slots_ parts of `gradient`.
    virtual void sweep(RowProgram<float>&, const Mlp<float>&) {}
    virtual void sweep(const float* /*parameters*/, const float* /*flipped*/,
                       float* /*gradient*/) {}
    // States (states_, n) for conditions (conditions_, n), from the averaged weights.
    virtual void sample(const float* parameters, Span<const float> conditions, index n,
                        float* out) = 0;
    virtual void describe(std::map<std::string, std::string>& metadata) const = 0;

    Stream& stream_;
    TrainerConfig config_;
    int states_, conditions_, features_;
    bool convolves_;
    MlpLayout layout_;       // of an MLP
    ConvLayout conv_layout_;  // of convolutions
    ConvNetwork conv_;
    Whitening whitening_;
    HeldOut held_out_;
    Span<const float> data_states_, data_conditions_;
    index data_row_ = 0;
    Buffer<TrainClock> clock_;
    Buffer<float> loss_;
    Buffer<float> target_;  // (batch, ld of the last layer)
    MlpScratch<float> scratch_;

private:
    void set(const std::vector<float>& parameters);
    void iterate();
    void judge();

    Schedule schedule_;
    index slots_ = 0, iteration_ = 0, parameter_count_ = 0;
    Buffer<float> parameters_, transposed_, first_, second_, gradient_, average_, best_;
    Buffer<float> memory_, ones_, history_rows_;
    Graph graph_;
    bool recorded_ = false;
};

std::unique_ptr<GeneratorTrainer> make_flow_trainer(Stream& stream, const TrainerConfig& config,
                                                    int states, int conditions);
std::unique_ptr<GeneratorTrainer> make_energy_trainer(Stream& stream, const TrainerConfig& config,
                                                      int states, int conditions);

}  // namespace microlift
