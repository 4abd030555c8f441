#include "nn/generators/score.h"

#include "engine/error.h"
#include "nn/generators/flow.h"
#include "nn/generators/score_bodies.h"
#include "nn/train/single_network.h"

namespace microlift {
namespace {

// Beside the batch a flow: its sampler takes the network's output for a velocity (score_bodies.h).
class ScoreTrainer final : public SingleNetworkTrainer {
public:
    ScoreTrainer(Stream& stream, const TrainerConfig& config, int states, int conditions)
        : SingleNetworkTrainer(stream, config, states, conditions),
          shape_(flow_shape(config, states, conditions)) {
        const FlowNetwork network = flow_network(stream.device(), flow_layout(shape_, config));
        set_network(network.make(config.batch, Network::Use::training),
                    std::make_unique<FlowSampler>(stream.device(), shape_, network));
    }

private:
    float scale() const { return 1.0f / static_cast<float>(config_.batch); }
    void fill(RowProgram<float>& program, Network& network) override {
        const Matrix<float> in = network.input();
        program.each_row(ScoreBatchBody{held_out_.columns(), whitening_.view(), data_states_.data,
                                        data_conditions_.data, data_states_.stride, clock_.data(),
                                        config_.seed, scale(), shape_.waves, config_.ring, in.data,
                                        target_.data(), in.stride, network.output().stride});
    }
    void sweep(RowProgram<float>& program, Network& network) override {
        network.forward(program, generator_.parameters.data(), true);
        network.squared_error(program, target_.data(), scale(), loss_.data());
        network.backward(program, generator_.parameters.data(), generator_.transposed.data());
    }
    void describe(std::map<std::string, std::string>& metadata) const override {
        metadata["flow_steps"] = std::to_string(shape_.steps);
        metadata["time_waves"] = std::to_string(shape_.waves);
    }

    FlowShape shape_;
};

}  // namespace

std::unique_ptr<GeneratorTrainer> make_score(Stream& stream, const TrainerConfig& config, int states,
                                             int conditions) {
    return std::make_unique<ScoreTrainer>(stream, config, states, conditions);
}

}  // namespace microlift
