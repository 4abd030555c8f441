// Training of generators that are one network without an adversary: what flow matching and the energy
// score share. A kind adds its batch and its loss.
#pragma once

#include "nn/train/training.h"

namespace microlift {

class SingleNetworkTrainer : public Training {
public:
    Precision precision() const final {
        return generator_.network->precision(stream_.device(), config_.precision);
    }

protected:
    SingleNetworkTrainer(Stream& stream, const TrainerConfig& config, int states, int conditions);
    void set_network(std::unique_ptr<Network> network, std::unique_ptr<Sampler> sampler);

    // The batch: the network's input and target_.
    virtual void fill(RowProgram<float>& program, Network& network) = 0;
    // From there to the program's gradient and loss_, (batch) losses whose sum is the batch's.
    virtual void sweep(RowProgram<float>& program, Network& network) = 0;

    Buffer<float> loss_;
    Buffer<float> target_;  // as the network's output

private:
    void iterate() final;
    Buffer<float> bias_sums_;
};

}  // namespace microlift
