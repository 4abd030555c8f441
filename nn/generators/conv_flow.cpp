#include "nn/generators/conv_flow.h"

#include "nn/layers/conv.h"
#include "nn/layers/weights.h"

namespace microlift {
namespace {

FlowNetwork of(const Device& device, const ConvLayout& layout) {
    return {[device, layout](index rows, Network::Use use) {
                return std::make_unique<ConvNetwork>(device, layout, rows, use);
            },
            1024};
}

}  // namespace

std::unique_ptr<GeneratorTrainer> make_conv_flow(Stream& stream, const TrainerConfig& config,
                                                 int states, int conditions) {
    const FlowShape shape = flow_shape(config, states, conditions);
    const ConvLayout layout(states, shape.features_and_time(), config.widths, config.kernel,
                            activation_from(config.activation));
    return make_flow_trainer(stream, config, conditions, shape, of(stream.device(), layout));
}

LoadedGenerator load_conv_flow(const Device& device, const SafeTensors& content,
                               const WhiteningView& white) {
    const FlowShape shape = flow_shape(content, white);
    return loaded_flow(device, content, shape,
                       of(device, conv_layout(content, shape.features_and_time(), shape.states)));
}

}  // namespace microlift
