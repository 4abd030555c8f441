// Flow matching with circular convolutions, for states that are like sites of a ring.
#pragma once

#include "nn/generators/flow.h"

namespace microlift {

std::unique_ptr<GeneratorTrainer> make_conv_flow(Stream& stream, const TrainerConfig& config,
                                                 int states, int conditions);
LoadedGenerator load_conv_flow(const Device& device, const SafeTensors& content,
                               const WhiteningView& white);

}  // namespace microlift
