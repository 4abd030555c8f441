// States that go round, for kinds of generators that know straight lines alone: each such state becomes two,
// cosine and sine of its angle, and what is generated is an angle again.
#pragma once

#include <memory>
#include <vector>

#include "engine/device/buffer.h"
#include "kernels/lane/matrix.h"
#include "nn/train/trainer.h"

namespace microlift {

class Embedding {
public:
    Embedding() = default;  // of nothing
    // periods: one a state, 0 = none.
    Embedding(Stream& stream, std::vector<float> periods);

    int states() const { return static_cast<int>(periods_.size()); }
    int inside() const { return inside_; }  // numbers that stand for them
    const std::vector<float>& periods() const { return periods_; }
    // (states(), n) to (inside(), n), and back, where cosine and sine are projected to the circle.
    void embed(Stream& stream, Matrix<const float> states, Matrix<float> inside) const;
    void project(Stream& stream, Matrix<const float> inside, Matrix<float> states) const;

private:
    std::vector<float> periods_;
    int inside_ = 0;
    Buffer<float> on_device_;
};

// What make(config, number of states) trains, on embedded states.
using MakeTrainer =
    std::unique_ptr<GeneratorTrainer> (*)(Stream&, const TrainerConfig&, int states, int conditions);
std::unique_ptr<GeneratorTrainer> make_embedded(Stream& stream, const TrainerConfig& config,
                                                int conditions, MakeTrainer make);

inline constexpr const char* kEmbeddingTensor = "embedding.period";

}  // namespace microlift
