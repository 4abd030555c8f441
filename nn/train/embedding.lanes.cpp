#include "nn/train/embedding.h"

#include <algorithm>

#include "engine/error.h"
#include "engine/launch/lanes.h"
#include "nn/train/embedding_bodies.h"

namespace microlift {

Embedding::Embedding(Stream& stream, std::vector<float> periods)
    : periods_(std::move(periods)),
      inside_(states() + static_cast<int>(std::count_if(periods_.begin(), periods_.end(),
                                                        [](float p) { return p > 0; }))),
      on_device_(stream.device(), states()) {
    copy_to_device(stream, on_device_.span(), periods_.data());
}

void Embedding::embed(Stream& stream, Matrix<const float> x, Matrix<float> inside) const {
    for_each_lane(stream, x.columns,
                  EmbedBody{states(), on_device_.data(), x.data, x.stride, inside.stride, inside.data});
}

void Embedding::project(Stream& stream, Matrix<const float> inside, Matrix<float> x) const {
    for_each_lane(stream, x.columns,
                  UnembedBody{states(), on_device_.data(), inside.data, inside.stride, x.stride, x.data});
}

namespace {

class EmbeddedTrainer final : public GeneratorTrainer {
public:
    EmbeddedTrainer(Stream& stream, const TrainerConfig& config, int conditions, MakeTrainer make)
        : stream_(stream),
          embedding_(stream, {config.state_periods.begin(), config.state_periods.end()}) {
        TrainerConfig inner = config;
        inner.state_periods.clear();
        inner_ = make(stream, inner, embedding_.inside(), conditions);
    }
    void set_data(Span<const float> states, Span<const float> conditions, index row, index columns,
                  index trajectories) override {
        if (columns < 1 || row < columns || states.size < row * (embedding_.states() - 1) + columns)
            throw InputError("training data: the arrays do not hold the columns that are named");
        data_ = Buffer<float>(stream_.device(), embedding_.inside() * row);
        embedding_.embed(stream_, {states.data, embedding_.states(), columns, row},
                         {data_.data(), embedding_.inside(), columns, row});
        inner_->set_data(data_.span(), conditions, row, columns, trajectories);
    }
    void warm_start(const TensorMap& state) override { inner_->warm_start(state); }
    void advance(index n) override { inner_->advance(n); }
    void check() override { inner_->check(); }
    index iteration() const override { return inner_->iteration(); }
    bool done() const override { return inner_->done(); }
    Precision precision() const override { return inner_->precision(); }
    TensorMap save_state() override { return inner_->save_state(); }
    void load_state(const TensorMap& state) override { inner_->load_state(state); }
    // Distances of an angle are the means of its cosine's and its sine's.
    TrainingHistory history() override {
        TrainingHistory history = inner_->history();
        for (auto& bin : history.distances) {
            std::vector<double> own;
            std::size_t k = 0;
            for (const float period : embedding_.periods()) {
                own.push_back(period > 0 ? 0.5 * (bin[k] + bin[k + 1]) : bin[k]);
                k += period > 0 ? 2 : 1;
            }
            bin = own;
        }
        return history;
    }
    SafeTensors generator_tensors() override {
        SafeTensors content = inner_->generator_tensors();
        content.tensors[kEmbeddingTensor] = Tensor::of(embedding_.periods());
        content.metadata["states"] = std::to_string(embedding_.states());
        return content;
    }

private:
    Stream& stream_;
    Embedding embedding_;
    std::unique_ptr<GeneratorTrainer> inner_;
    Buffer<float> data_;
};

}  // namespace

std::unique_ptr<GeneratorTrainer> make_embedded(Stream& stream, const TrainerConfig& config,
                                                int conditions, MakeTrainer make) {
    return std::make_unique<EmbeddedTrainer>(stream, config, conditions, make);
}

}  // namespace microlift
