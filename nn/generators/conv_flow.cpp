#include "nn/generators/conv_flow.h"

#include "engine/error.h"
#include "engine/launch/work.h"
#include "nn/layers/conv.h"
#include "nn/layers/weights.h"

namespace microlift {
namespace {

FlowNetwork of(const Device& device, const ConvLayout& layout, Precision precision) {
    const index bytes = ConvPlace(layout, false).size * static_cast<index>(sizeof(float));
    return {[device, layout, precision](index rows, Network::Use use) {
                return std::make_unique<ConvNetwork>(device, layout, rows, use, precision);
            },
            rows_at_once(device, 1024, bytes)};
}

}  // namespace

void check_conv_flow(const TrainerConfig& config) {
    if (!config.ring) throw InputError("generator: architecture conv is for flows on a ring");
    ConvLayout::check(config.widths, config.kernel);
}

std::unique_ptr<GeneratorTrainer> make_conv_flow(Stream& stream, const TrainerConfig& config,
                                                 int states, int conditions) {
    const FlowShape shape = flow_shape(config, states, conditions);
    const ConvLayout layout(states, shape.features_and_time(), config.widths, config.kernel,
                            activation_from(config.activation));
    return make_flow_trainer(stream, config, conditions, shape,
                             of(stream.device(), layout, config.precision));
}

LoadedGenerator load_conv_flow(const Device& device, const SafeTensors& content,
                               const WhiteningView& white) {
    const FlowShape shape = flow_shape(content, white);
    return loaded_flow(device, content, shape,
                       of(device, conv_layout(content, shape.features_and_time(), shape.states),
                          Precision::fp32));
}

}  // namespace microlift
