// States from latents in one step, x = G(z, s): what a cgan and the energy score train.
#pragma once

#include <memory>
#include <vector>

#include "nn/layers/mlp.h"
#include "nn/train/sampler.h"
#include "nn/train/trainer.h"

namespace microlift {

// Runs on CUDA as one kernel (nn/generators/gan_tiles.h) or in pieces of rows that its memory takes.
class LatentSampler final : public Sampler {
public:
    LatentSampler(const Device& device, const MlpLayout& layout, int latent);
    void run(Stream& stream, const TrainedWeights& weights, Matrix<const float> conditions,
             const RandomSource& source, Matrix<float> states, Precision precision) override;

private:
    MlpLayout layout_;
    int latent_ = 0;
    index rows_ = 0;    // in work at once on CUDA
    index places_ = 0;  // rows of the scratch
    Buffer<float> memory_;
    MlpScratch<float> scratch_;
};

// Of a training that leaves it open: at least 4 and at least the number of states.
int latent_size(const TrainerConfig& config, int states);
// InputError if tensors and metadata do not fit together.
LoadedGenerator load_latent(const Device& device, const SafeTensors& content,
                            const WhiteningView& white);

}  // namespace microlift
