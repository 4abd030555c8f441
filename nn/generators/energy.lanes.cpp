#include "nn/generators/energy.h"

#include "engine/error.h"
#include "nn/generators/energy_bodies.h"
#include "nn/generators/latent_sampler.h"
#include "nn/layers/mlp_network.h"
#include "nn/layers/weights.h"
#include "nn/train/single_network.h"

namespace microlift {
namespace {

class EnergyTrainer final : public SingleNetworkTrainer {
public:
    EnergyTrainer(Stream& stream, const TrainerConfig& config, int states, int conditions)
        : SingleNetworkTrainer(stream, config, states, conditions),
          latent_(latent_size(config, states)) {
        const MlpLayout layout(widths_of(latent_ + features_, config.widths, states),
                               activation_from(config.activation));
        auto network = std::make_unique<MlpNetwork>(stream.device(), layout, config.batch,
                                                    Network::Use::training);
        seed_ = network->seed();
        set_network(std::move(network),
                    std::make_unique<LatentSampler>(stream.device(), layout, latent_));
    }

private:
    int group() const { return static_cast<int>(config_.group); }
    void fill(RowProgram<float>& program, Network& network) override {
        const Matrix<float> in = network.input();
        program.each_row(EnergyBatchBody{held_out_.columns(), whitening_.view(), data_states_.data,
                                         data_conditions_.data, data_states_.stride, clock_.data(),
                                         config_.seed, group(), latent_, config_.ring, in.data,
                                         target_.data(), in.stride, network.output().stride});
        program.row_lanes(LatentBody{config_.seed, kStreamLatent, clock_.data(), 1, 0, 0, latent_,
                                     in.data, in.stride});
    }
    void sweep(RowProgram<float>& program, Network& network) override {
        const Matrix<float> out = network.output();
        network.forward(program, generator_.parameters.data(), true);
        program.each_row(EnergyGroupBody{states_, group(), config_.batch,
                                         1.0f / static_cast<float>(config_.batch), out.data,
                                         target_.data(), seed_.data, loss_.data(), out.stride});
        network.backward(program, generator_.parameters.data(), generator_.transposed.data());
    }
    void describe(std::map<std::string, std::string>& metadata) const override {
        metadata["latent"] = std::to_string(latent_);
    }

    int latent_;
    Matrix<float> seed_;  // of the network's backward sweep
};

}  // namespace

std::unique_ptr<GeneratorTrainer> make_energy(Stream& stream, const TrainerConfig& config,
                                              int states, int conditions) {
    return std::make_unique<EnergyTrainer>(stream, config, states, conditions);
}

}  // namespace microlift
