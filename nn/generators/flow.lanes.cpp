#include "nn/generators/flow.h"

#include <algorithm>

#include "engine/error.h"
#include "engine/launch/work.h"
#include "nn/generators/flow_bodies.h"
#include "nn/layers/mlp_network.h"
#include "nn/layers/weights.h"
#include "nn/train/single_network.h"

namespace microlift {
namespace {

constexpr int kNewtonSteps = 3;

}  // namespace

index FlowShape::state_inputs() const {
    index inputs = 0;
    for (int d = 0; d < states; ++d) inputs += is_angle(d) ? 2 * kHarmonics : 1;
    return inputs;
}

index FlowShape::features_and_time() const { return features + time_features(waves); }

FlowSampler::FlowSampler(const Device& device, const FlowShape& shape, const FlowNetwork& network)
    : shape_(shape), network_(network.make(network.rows, Network::Use::sampling)),
      rows_(network.rows), ld_(network_->output().stride), memory_(device, 2 * rows_ * ld_),
      x_(memory_.data()), y_(x_ + rows_ * ld_) {}

std::string FlowSampler::density_refusal() const {
    if (!network_->has_tangent())
        return "has no density: that of a flow of convolutions is not built";
    if (shape_.states > kMostDensityStates)
        return "has no density: that of a flow is built for at most " +
               std::to_string(kMostDensityStates) + " variables, this one makes " +
               std::to_string(shape_.states);
    return {};
}

void FlowSampler::plan_density(Stream& stream) {
    if (density_rows_ > 0) return;
    density_rows_ = std::max<index>(kTileRows, rows_ / shape_.states);
    std::vector<TangentDirection> directions;
    int32 input = 0;
    for (int d = 0; d < shape_.states; ++d) {
        directions.push_back({input, shape_.is_angle(d) ? kHarmonics : 0});
        input += shape_.is_angle(d) ? 2 * kHarmonics : 1;
    }
    network_->plan_tangent(stream, density_rows_, directions);
    const index n = shape_.states, plane = n * density_rows_ * ld_;
    density_memory_ = Buffer<float>(stream.device(), 2 * plane + density_rows_ * n * (n + 1));
    start_ = density_memory_.data();
    middle_ = start_ + plane;
    matrices_ = middle_ + plane;
}

FlowJacobian FlowSampler::jacobian(index rows) const {
    return {shape_.states, 1.0f / static_cast<float>(shape_.steps), start_, middle_, rows * ld_, ld_,
            matrices_};
}

RowProgram<float> FlowSampler::program(Stream& stream, index rows, Precision precision) const {
    return {stream,    rows,
            nullptr,   0,
            nullptr,   precision,
            RowPlaces::by_number, network_->tile_rows()};
}

void FlowSampler::velocity(RowProgram<float>& program, const TrainedWeights& weights, float t,
                           float factor, const float* v0, float* derivative) {
    const Matrix<float> in = network_->input(), out = network_->output();
    const float* period = weights.white.period;
    const int offset = static_cast<int>(shape_.state_inputs()) + shape_.features;
    program.each_row(FlowInputBody{shape_.states, offset, shape_.waves, period, t, factor, x_, v0,
                                   in.data, ld_, in.stride});
    network_->forward(program, weights.parameters, derivative != nullptr);
    if (derivative) network_->tangent(program, weights.parameters, derivative);
    if (shape_.normal)
        program.each_row(NormalVelocityBody{shape_.states, period, normal_velocity(t), in.data,
                                            in.stride, out.data, derivative, ld_,
                                            program.rows() * ld_});
}

void FlowSampler::start(RowProgram<float>& program, const WhiteningView& white, const float* s,
                        index condition_row, const RandomSource& source) {
    const Matrix<float> in = network_->input();
    program.each_row(FeatureBody{white, s, condition_row, static_cast<int>(shape_.state_inputs()),
                                 in.data, in.stride});
    program.row_lanes(LatentBody{source.seed, source.stream, nullptr, 0, 0, source.first,
                                 shape_.states, x_, ld_});
    if (white.period)
        program.each_row(AngleLatentBody{source.seed, source.stream, source.first, shape_.states,
                                         white.period, x_, ld_});
}

void FlowSampler::run(Stream& stream, const TrainedWeights& weights, Matrix<const float> conditions,
                      const RandomSource& source, Matrix<float> states, Precision precision) {
    float* const v = network_->output().data;
    const float h = 1.0f / static_cast<float>(shape_.steps);
    for (index from = 0; from < states.columns; from += rows_) {
        const index rows = std::min(rows_, states.columns - from);
        const float* s = conditions.data + from;
        RowProgram<float> steps = program(stream, rows, precision);
        start(steps, weights.white, s, conditions.stride,
              {source.seed, source.stream, source.first + from});
        for (int k = 0; k < shape_.steps; ++k) {
            const float t = static_cast<float>(k) * h;
            velocity(steps, weights, t, 0.0f, x_, nullptr);
            velocity(steps, weights, t + 0.5f * h, 0.5f * h, v, nullptr);
            steps.each_row(FlowMoveBody{shape_.states, h, v, x_, ld_});
        }
        if (weights.white.period)
            steps.each_row(RoundBody{shape_.states, weights.white.period, x_, ld_});
        steps.each_row(UnwhitenBody{weights.white, x_, s, ld_, conditions.stride, states.stride,
                                    states.data + from});
        steps.finish();
    }
}

void FlowSampler::propose(Stream& stream, const TrainedWeights& weights,
                          Matrix<const float> conditions, const RandomSource& source,
                          Matrix<float> states, float* log_density) {
    plan_density(stream);
    const float* period = weights.white.period;
    float* const v = network_->output().data;
    const float h = 1.0f / static_cast<float>(shape_.steps);
    for (index from = 0; from < states.columns; from += density_rows_) {
        const index rows = std::min(density_rows_, states.columns - from);
        const float* s = conditions.data + from;
        float* density = log_density + from;
        RowProgram<float> steps = program(stream, rows, Precision::fp32);
        start(steps, weights.white, s, conditions.stride,
              {source.seed, source.stream, source.first + from});
        steps.each_row(NormalDensityBody{shape_.states, false, period, x_, density, ld_});
        for (int k = 0; k < shape_.steps; ++k) {
            const float t = static_cast<float>(k) * h;
            velocity(steps, weights, t, 0.0f, x_, start_);
            velocity(steps, weights, t + 0.5f * h, 0.5f * h, v, middle_);
            steps.each_row(FlowStepBody{jacobian(rows), v, x_, density});
        }
        if (period) steps.each_row(RoundBody{shape_.states, period, x_, ld_});
        steps.each_row(SpreadOutBody{weights.white, x_, s, ld_, conditions.stride, states.stride,
                                     states.data + from, density});
        steps.finish();
    }
}

void FlowSampler::density(Stream& stream, const TrainedWeights& weights,
                          Matrix<const float> conditions, Matrix<const float> states,
                          float* log_density) {
    plan_density(stream);
    const Matrix<float> in = network_->input();
    float* const v = network_->output().data;
    const float h = 1.0f / static_cast<float>(shape_.steps);
    for (index from = 0; from < states.columns; from += density_rows_) {
        const index rows = std::min(density_rows_, states.columns - from);
        const float* s = conditions.data + from;
        float* density = log_density + from;
        RowProgram<float> steps = program(stream, rows, Precision::fp32);
        steps.each_row(FeatureBody{weights.white, s, conditions.stride,
                                   static_cast<int>(shape_.state_inputs()), in.data, in.stride});
        steps.each_row(WhitenBody{weights.white, states.data + from, s, conditions.stride,
                                  states.stride, x_, density, ld_});
        for (int k = shape_.steps - 1; k >= 0; --k) {
            const float t = static_cast<float>(k) * h;
            // From the end y back by a midpoint step, then Newton's method on the step itself.
            steps.each_row(CopyRowBody{shape_.states, x_, y_, ld_});
            velocity(steps, weights, t + h, 0.0f, x_, nullptr);
            velocity(steps, weights, t + 0.5f * h, -0.5f * h, v, nullptr);
            steps.each_row(FlowMoveBody{shape_.states, -h, v, x_, ld_});
            for (int newton = 0; newton < kNewtonSteps; ++newton) {
                velocity(steps, weights, t, 0.0f, x_, start_);
                velocity(steps, weights, t + 0.5f * h, 0.5f * h, v, middle_);
                steps.each_row(FlowNewtonBody{jacobian(rows), v, y_, x_, density,
                                              newton + 1 == kNewtonSteps});
            }
        }
        steps.each_row(
            NormalDensityBody{shape_.states, true, weights.white.period, x_, density, ld_});
        steps.finish();
    }
}

namespace {

class FlowTrainer final : public SingleNetworkTrainer {
public:
    FlowTrainer(Stream& stream, const TrainerConfig& config, int conditions,
                const FlowShape& shape, const FlowNetwork& network)
        : SingleNetworkTrainer(stream, config, shape.states, conditions), shape_(shape) {
        set_network(network.make(config.batch, Network::Use::training),
                    std::make_unique<FlowSampler>(stream.device(), shape, network));
    }

private:
    float scale() const { return 1.0f / static_cast<float>(config_.batch); }
    void fill(RowProgram<float>& program, Network& network) override {
        const Matrix<float> in = network.input();
        program.each_row(FlowBatchBody{held_out_.columns(), whitening_.view(), data_states_.data,
                                       data_conditions_.data, data_states_.stride, clock_.data(),
                                       config_.seed, scale(), shape_.waves, config_.ring,
                                       shape_.normal, in.data, target_.data(), in.stride,
                                       network.output().stride});
    }
    void sweep(RowProgram<float>& program, Network& network) override {
        network.forward(program, generator_.parameters.data(), true);
        network.squared_error(program, target_.data(), scale(), loss_.data());
        network.backward(program, generator_.parameters.data(), generator_.transposed.data());
    }
    void describe(std::map<std::string, std::string>& metadata) const override {
        metadata["flow_steps"] = std::to_string(shape_.steps);
        metadata["time_waves"] = std::to_string(shape_.waves);
        if (shape_.normal) metadata["normal_velocity"] = "1";
    }

    FlowShape shape_;
};

}  // namespace

MlpLayout flow_layout(const FlowShape& shape, const TrainerConfig& config) {
    return {widths_of(shape.state_inputs() + shape.features_and_time(), config.widths, shape.states),
            activation_from(config.activation)};
}

FlowNetwork flow_network(const Device& device, const MlpLayout& layout) {
    // A row's activations, and their derivatives.
    const index bytes = 2 * activations_size(layout, 1) * static_cast<index>(sizeof(float));
    return {[device, layout](index rows, Network::Use use) {
                return std::make_unique<MlpNetwork>(device, layout, rows, use);
            },
            rows_at_once(device, 4096, bytes)};
}

FlowShape flow_shape(const TrainerConfig& config, int states, int conditions) {
    FlowShape shape{states, feature_count(config.periods, conditions, config.waves),
                    static_cast<int>(config.time_waves), static_cast<int>(config.flow_steps)};
    shape.periods.assign(config.state_periods.begin(), config.state_periods.end());
    return shape;
}

FlowShape flow_shape(const SafeTensors& content, const WhiteningView& white) {
    FlowShape shape{white.states, white.features};
    shape.steps = static_cast<int>(
        metadata_number(content, "flow_steps", "number of steps", 1, kMostFlowSteps));
    shape.waves =
        static_cast<int>(metadata_number(content, "time_waves", "number of waves", 0, kMostWaves));
    shape.normal = content.metadata.contains("normal_velocity");
    if (white.period) shape.periods = content.tensors.at("whitening.period").floats();
    return shape;
}

std::unique_ptr<GeneratorTrainer> make_flow_trainer(Stream& stream, const TrainerConfig& config,
                                                    int conditions, const FlowShape& shape,
                                                    const FlowNetwork& network) {
    return std::make_unique<FlowTrainer>(stream, config, conditions, shape, network);
}

LoadedGenerator loaded_flow(const Device& device, const SafeTensors& content,
                            const FlowShape& shape, const FlowNetwork& network) {
    return {std::make_unique<FlowSampler>(device, shape, network),
            network.make(0, Network::Use::none)->parameters_in(content.tensors, "generator")};
}

std::unique_ptr<GeneratorTrainer> make_flow(Stream& stream, const TrainerConfig& config, int states,
                                            int conditions) {
    FlowShape shape = flow_shape(config, states, conditions);
    shape.normal = true;
    return make_flow_trainer(stream, config, conditions, shape,
                             flow_network(stream.device(), flow_layout(shape, config)));
}

LoadedGenerator load_flow(const Device& device, const SafeTensors& content,
                          const WhiteningView& white) {
    const FlowShape shape = flow_shape(content, white);
    return loaded_flow(
        device, content, shape,
        flow_network(device, mlp_layout(content, shape.state_inputs() + shape.features_and_time(),
                                        shape.states)));
}

}  // namespace microlift
