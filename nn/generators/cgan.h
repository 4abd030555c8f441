// The conditional GAN: a generator G(z, s) and a critic D(x | s) trained on device-resident samples,
// Wasserstein with gradient penalty (Gulrajani et al., 2017; one-sided by default, Petzka et al., 2018)
// or relativistic with R1 + R2 (Huang et al., 2024). One iteration is critic_steps critic updates and one
// generator update.
#pragma once

#include <memory>

#include "engine/device/stream.h"
#include "nn/train/trainer.h"

namespace microlift {

std::unique_ptr<GeneratorTrainer> make_cgan(Stream& stream, const TrainerConfig& config, int states,
                                            int conditions);

}  // namespace microlift
