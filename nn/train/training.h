// What all trainers share: the data, the loop of recorded iterations, the judge, the history, saved
// states. A kind adds its iteration.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/device/stream.h"
#include "nn/layers/network.h"
#include "nn/train/held_out.h"
#include "nn/train/optimiser.h"
#include "nn/train/sampler.h"
#include "nn/train/trainer.h"

namespace microlift {

// One network's parameters with everything that training keeps beside them.
struct TrainedNetwork {
    std::unique_ptr<Network> network;
    index slots = 0;  // of the gradient
    Buffer<float> parameters, transposed, first, second, gradient;

    TrainedNetwork() = default;
    TrainedNetwork(Stream& stream, std::unique_ptr<Network> network, index slots,
                   const std::vector<float>& initial);
    void set(Stream& stream, const std::vector<float>& values);
    // Adam's step from the summed gradient; `average` follows by the weight *share, if not null.
    void step(Stream& stream, const AdamStep* step, const AdamRates& rates,
              const float* share = nullptr, float* average = nullptr);
    index size() const { return parameters.size(); }
};

// A column of the record of losses.
struct RecordedLoss {
    const char* name;  // in the history
    const char* what;  // in messages
    int column;
};

class Training : public GeneratorTrainer {
public:
    void set_data(Span<const float> states, Span<const float> conditions, index row, index columns,
                  index trajectories) final;
    void warm_start(const TensorMap& state) final;
    void advance(index n) final;
    void check() final;
    index iteration() const final { return iteration_; }
    bool done() const final { return at_floor_ || iteration_ >= config_.iterations; }
    TrainingHistory history() final;
    TensorMap save_state() final;
    void load_state(const TensorMap& state) final;
    SafeTensors generator_tensors() final;

protected:
    static constexpr index kHistoryRows = 512;  // losses kept of a training

    // columns: of the record, the first of which is the iteration.
    Training(Stream& stream, const TrainerConfig& config, int states, int conditions,
             std::vector<RecordedLoss> losses, int columns);
    // The network that generates, from its first weights, and what draws with it.
    void set_generator(std::unique_ptr<Network> network, index slots,
                       std::unique_ptr<Sampler> sampler);

    // From the batch to the optimiser's steps and the record, and the clock one further.
    virtual void iterate() = 0;
    // What the sampler must know beyond the network.
    virtual void describe(std::map<std::string, std::string>& metadata) const = 0;
    // Others than the generator, by their names in saved states.
    virtual std::vector<std::pair<std::string, TrainedNetwork*>> others() { return {}; }

    Stream& stream_;
    TrainerConfig config_;
    int states_, conditions_, features_;
    Whitening whitening_;
    HeldOut held_out_;
    Matrix<const float> data_states_, data_conditions_;
    TrainedNetwork generator_;
    Buffer<float> average_;  // of its weights
    std::unique_ptr<Sampler> sampler_;
    Buffer<TrainClock> clock_;
    Buffer<float> history_rows_;
    Schedule schedule_;

private:
    std::vector<std::pair<std::string, Buffer<float>*>> saved_buffers();
    std::vector<std::pair<std::string, TrainedNetwork*>> networks();
    void judge();

    std::vector<RecordedLoss> losses_;
    index record_columns_;
    Buffer<float> best_;
    index iteration_ = 0;
    bool at_floor_ = false;  // and told to stop there
    Graph graph_;
    bool recorded_ = false;
};

// Numbers that a network sees of its conditions: WhiteningView::write_features.
int feature_count(const std::vector<double>& periods, int conditions, index waves);
std::vector<index> widths_of(index in, const std::vector<index>& hidden, index out);

}  // namespace microlift
