// Score matching: a network that tells the noise in a disturbed state, and the probability-flow equation
// that follows from it.
#pragma once

#include <memory>

#include "engine/device/stream.h"
#include "nn/train/trainer.h"

namespace microlift {

std::unique_ptr<GeneratorTrainer> make_score(Stream& stream, const TrainerConfig& config, int states,
                                             int conditions);

}  // namespace microlift
