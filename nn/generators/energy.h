// One network taught by the energy score alone: x = G(z, s), no adversary.
#pragma once

#include "nn/train/trainer.h"

#include <memory>

#include "engine/device/stream.h"

namespace microlift {

std::unique_ptr<GeneratorTrainer> make_energy(Stream& stream, const TrainerConfig& config,
                                              int states, int conditions);

}  // namespace microlift
