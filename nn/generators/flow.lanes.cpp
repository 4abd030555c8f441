#include "nn/generators/flow.h"

#include <algorithm>

#include "engine/error.h"
#include "nn/generators/flow_bodies.h"
#include "nn/train/single_network.h"

namespace microlift {
namespace {

constexpr int kNewtonSteps = 3;

std::size_t at(int l) { return static_cast<std::size_t>(l); }

}  // namespace

FlowRunner::FlowRunner(const Device& device, const MlpLayout& layout, int states, int features,
                       int time_waves, int steps, bool normal)
    : layout_(layout), states_(states), features_(features), waves_(time_waves), steps_(steps),
      normal_(normal) {
    const index out = layout.ld[at(layout.layers)];
    index size = 2 * kRows * out;
    for (int l = 0; l <= layout.layers; ++l) size += kRows * layout.ld[at(l)];
    memory_ = Buffer<float>(device, size);
    float* free = memory_.data();
    for (int l = 0; l <= layout.layers; ++l) {
        scratch_.h[at(l)] = free;
        free += kRows * layout.ld[at(l)];
    }
    x_ = free;
    y_ = x_ + kRows * out;
}

bool FlowRunner::has_density() const { return states_ <= kMostDensityStates; }

void FlowRunner::plan_density(const Device& device) {
    if (rows_ > 0) return;
    if (!has_density())
        throw InputError("the density of a flow is built for at most " +
                         std::to_string(kMostDensityStates) + " variables, this one makes " +
                         std::to_string(states_));
    rows_ = std::max<index>(kTileRows, kRows / states_);
    index size = 0;
    for (int l = 1; l < layout_.layers; ++l) size += (1 + states_) * rows_ * layout_.ld[at(l)];
    size += 2 * states_ * rows_ * layout_.ld[at(layout_.layers)];
    density_memory_ = Buffer<float>(device, size);
    float* free = density_memory_.data();
    for (int l = 1; l < layout_.layers; ++l) {
        scratch_.first[at(l)] = free;
        free += rows_ * layout_.ld[at(l)];
        tangent_[at(l)] = free;
        free += states_ * rows_ * layout_.ld[at(l)];
    }
    start_ = free;
    middle_ = start_ + states_ * rows_ * layout_.ld[at(layout_.layers)];
}

void FlowRunner::velocity(RowProgram<float>& program, const float* parameters, float t,
                          float factor, const float* v0, float* derivative) {
    const int L = layout_.layers;
    const index rows = program.rows();
    program.each_row(FlowInputBody{states_, states_ + features_, waves_, t, factor, x_, v0,
                                   scratch_.h[0], layout_.ld[at(L)], layout_.ld[0]});
    const Mlp<float> network{layout_, parameters, nullptr, scratch_, rows};
    network.forward(program, 0, 1, derivative != nullptr);
    const auto add_normal = [&] {
        if (!normal_) return;
        program.each_row(NormalVelocityBody{states_, normal_velocity(t), scratch_.h[0],
                                            layout_.ld[0], output(), derivative,
                                            layout_.ld[at(L)], rows * layout_.ld[at(L)]});
    };
    if (!derivative) return add_normal();
    float* first = L == 1 ? derivative : tangent_[1];
    program.lanes(states_, layout_.ld[1],
                  TangentStartBody{network.weight(1), L == 1 ? nullptr : scratch_.first[1], first,
                                   rows * layout_.ld[1], layout_.ld[1]});
    for (int l = 2; l <= L; ++l) {
        float* to = l == L ? derivative : tangent_[at(l)];
        program.multiply(states_, tangent_[at(l - 1)], layout_.ld[at(l - 1)],
                         layout_.width[at(l - 1)], network.weight(l), layout_.ld[at(l)], nullptr,
                         to, layout_.ld[at(l)], layout_.ld[at(l)]);
        if (l < L)
            program.lanes(states_, layout_.ld[at(l)],
                          TangentScaleBody{scratch_.first[at(l)], to, rows * layout_.ld[at(l)]});
    }
    add_normal();
}

void FlowRunner::run(Stream& stream, const WhiteningView& white, const float* parameters,
                     const float* conditions, index condition_row, index n, uint64 seed,
                     uint32 stream_id, index first, float* states, index state_row,
                     Precision precision) {
    const index ld = layout_.ld[at(layout_.layers)];
    const float h = 1.0f / static_cast<float>(steps_);
    for (index from = 0; from < n; from += kRows) {
        const index rows = std::min(kRows, n - from);
        RowProgram<float> program(stream, rows, nullptr, 0, nullptr, precision);
        program.each_row(FeatureBody{white, conditions + from, condition_row, states_,
                                     scratch_.h[0], layout_.ld[0]});
        program.row_lanes(
            LatentBody{seed, stream_id, nullptr, 0, 0, first + from, states_, x_, ld});
        for (int k = 0; k < steps_; ++k) {
            const float t = static_cast<float>(k) * h;
            velocity(program, parameters, t, 0.0f, x_, nullptr);
            velocity(program, parameters, t + 0.5f * h, 0.5f * h, output(), nullptr);
            program.each_row(FlowMoveBody{states_, h, output(), x_, ld});
        }
        program.each_row(UnwhitenBody{white, x_, conditions + from, ld, condition_row, state_row,
                                      states + from});
        program.finish();
    }
}

void FlowRunner::propose(Stream& stream, const WhiteningView& white, const float* parameters,
                         const float* conditions, index condition_row, index n, uint64 seed,
                         uint32 stream_id, index first, float* states, index state_row,
                         float* log_density) {
    plan_density(stream.device());
    const index ld = layout_.ld[at(layout_.layers)];
    const float h = 1.0f / static_cast<float>(steps_);
    for (index from = 0; from < n; from += rows_) {
        const index rows = std::min(rows_, n - from);
        float* density = log_density + from;
        RowProgram<float> program(stream, rows, nullptr, 0, nullptr, Precision::fp32);
        program.each_row(FeatureBody{white, conditions + from, condition_row, states_,
                                     scratch_.h[0], layout_.ld[0]});
        program.row_lanes(
            LatentBody{seed, stream_id, nullptr, 0, 0, first + from, states_, x_, ld});
        program.each_row(NormalDensityBody{states_, false, x_, density, ld});
        for (int k = 0; k < steps_; ++k) {
            const float t = static_cast<float>(k) * h;
            velocity(program, parameters, t, 0.0f, x_, start_);
            velocity(program, parameters, t + 0.5f * h, 0.5f * h, output(), middle_);
            program.each_row(
                FlowStepBody{{states_, h, start_, middle_, rows * ld, ld}, output(), x_, density});
        }
        program.each_row(SpreadOutBody{white, x_, conditions + from, ld, condition_row, state_row,
                                       states + from, density});
        program.finish();
    }
}

void FlowRunner::density(Stream& stream, const WhiteningView& white, const float* parameters,
                         const float* conditions, index condition_row, index n,
                         const float* states, index state_row, float* log_density) {
    plan_density(stream.device());
    const index ld = layout_.ld[at(layout_.layers)];
    const float h = 1.0f / static_cast<float>(steps_);
    for (index from = 0; from < n; from += rows_) {
        const index rows = std::min(rows_, n - from);
        float* density = log_density + from;
        RowProgram<float> program(stream, rows, nullptr, 0, nullptr, Precision::fp32);
        program.each_row(FeatureBody{white, conditions + from, condition_row, states_,
                                     scratch_.h[0], layout_.ld[0]});
        program.each_row(WhitenBody{white, states + from, conditions + from, condition_row,
                                    state_row, x_, density, ld});
        for (int k = steps_ - 1; k >= 0; --k) {
            const float t = static_cast<float>(k) * h;
            // From the end y back by a midpoint step, then Newton's method on the step itself.
            program.each_row(CopyRowBody{states_, x_, y_, ld});
            velocity(program, parameters, t + h, 0.0f, x_, nullptr);
            velocity(program, parameters, t + 0.5f * h, -0.5f * h, output(), nullptr);
            program.each_row(FlowMoveBody{states_, -h, output(), x_, ld});
            for (int newton = 0; newton < kNewtonSteps; ++newton) {
                velocity(program, parameters, t, 0.0f, x_, start_);
                velocity(program, parameters, t + 0.5f * h, 0.5f * h, output(), middle_);
                program.each_row(FlowNewtonBody{{states_, h, start_, middle_, rows * ld, ld},
                                                output(), y_, x_, density,
                                                newton + 1 == kNewtonSteps});
            }
        }
        program.each_row(NormalDensityBody{states_, true, x_, density, ld});
        program.finish();
    }
}

// --- training -----------------------------------------------------------------------------------------

namespace {

class FlowTrainer final : public SingleNetworkTrainer {
public:
    FlowTrainer(Stream& stream, const TrainerConfig& config, int states, int conditions)
        : SingleNetworkTrainer(stream, config, states, conditions,
                               states + time_features(config.time_waves)),
          runner_(stream.device(), layout_, states, features_, config.time_waves,
                  config.flow_steps, true) {}

private:
    void sweep(RowProgram<float>& program, const Mlp<float>& network) override {
        const auto last = at(layout_.layers);
        const index ld = layout_.ld[last];
        const float scale = 1.0f / static_cast<float>(config_.batch);
        program.each_row(FlowBatchBody{held_out_.columns(), whitening_.view(), data_states_.data,
                                       data_conditions_.data, data_row_, clock_.data(),
                                       config_.seed, scale, config_.time_waves, config_.ring, true,
                                       scratch_.h[0],
                                       target_.data(), layout_.ld[0], ld});
        network.forward(program, 0, 1, true);
        program.each_row(SquaredErrorBody{states_, scale, scratch_.h[last], target_.data(),
                                          scratch_.r[last], loss_.data(), ld});
        network.reverse(program, 1, 0, false);
        network.weight_gradients(program, 1, 0);
    }
    void sample(const float* parameters, Span<const float> conditions, index n,
                float* out) override {
        runner_.run(stream_, whitening_.view(), parameters, conditions.data, n, n, config_.seed,
                    kStreamValidation, 0, out, n, config_.precision);
    }
    void describe(std::map<std::string, std::string>& metadata) const override {
        metadata["flow_steps"] = std::to_string(config_.flow_steps);
        metadata["time_waves"] = std::to_string(config_.time_waves);
        metadata["normal_velocity"] = "1";
    }

    FlowRunner runner_;
};

// The same with convolutions over a ring.
class ConvFlowTrainer final : public SingleNetworkTrainer {
public:
    ConvFlowTrainer(Stream& stream, const TrainerConfig& config, int states, int conditions)
        : SingleNetworkTrainer(stream, config, states, conditions,
                               states + time_features(config.time_waves)),
          input_ld_(padded_width(states + conv_layout_.features)),
          input_(stream.device(), config.batch * input_ld_),
          runner_(stream.device(), conv_layout_, features_, config.time_waves, config.flow_steps) {}

private:
    void sweep(const float* parameters, const float* flipped, float* gradient) override {
        const index ld = padded_width(states_);
        for_each_index(stream_, config_.batch,
                       FlowBatchBody{held_out_.columns(), whitening_.view(), data_states_.data,
                                     data_conditions_.data, data_row_, clock_.data(), config_.seed,
                                     1.0f / static_cast<float>(config_.batch), config_.time_waves,
                                     config_.ring, false, input_.data(), target_.data(), input_ld_, ld});
        conv_.gradient(stream_, parameters, flipped, input_.data(), input_ld_, target_.data(), ld,
                       config_.batch, gradient, loss_.data());
    }
    void sample(const float* parameters, Span<const float> conditions, index n,
                float* out) override {
        runner_.run(stream_, whitening_.view(), parameters, conditions.data, n, n, config_.seed,
                    kStreamValidation, 0, out, n);
    }
    void describe(std::map<std::string, std::string>& metadata) const override {
        metadata["flow_steps"] = std::to_string(config_.flow_steps);
        metadata["time_waves"] = std::to_string(config_.time_waves);
    }

    index input_ld_;
    Buffer<float> input_;
    ConvFlowRunner runner_;
};

// One network and one loss, the energy score.
class EnergyTrainer final : public SingleNetworkTrainer {
public:
    EnergyTrainer(Stream& stream, const TrainerConfig& config, int states, int conditions,
                  int latent)
        : SingleNetworkTrainer(stream, config, states, conditions, latent), latent_(latent),
          runner_(stream.device(), layout_, latent) {}

private:
    void sweep(RowProgram<float>& program, const Mlp<float>& network) override {
        const auto last = at(layout_.layers);
        const index ld = layout_.ld[last];
        const float scale = 1.0f / static_cast<float>(config_.batch);
        program.each_row(EnergyBatchBody{held_out_.columns(), whitening_.view(), data_states_.data,
                                         data_conditions_.data, data_row_, clock_.data(),
                                         config_.seed, config_.group, latent_, config_.ring,
                                         scratch_.h[0],
                                         target_.data(), layout_.ld[0], ld});
        program.row_lanes(LatentBody{config_.seed, kStreamLatent, clock_.data(), 1, 0, 0, latent_,
                                     scratch_.h[0], layout_.ld[0]});
        network.forward(program, 0, 1, true);
        program.each_row(EnergyGroupBody{states_, config_.group, config_.batch, scale,
                                         scratch_.h[last], target_.data(), scratch_.r[last],
                                         loss_.data(), ld});
        network.reverse(program, 1, 0, false);
        network.weight_gradients(program, 1, 0);
    }
    void sample(const float* parameters, Span<const float> conditions, index n,
                float* out) override {
        runner_.run(stream_, whitening_.view(), parameters, conditions.data, n, n, config_.seed,
                    kStreamValidation, 0, out, n, config_.precision);
    }
    void describe(std::map<std::string, std::string>& metadata) const override {
        metadata["latent"] = std::to_string(latent_);
    }

    int latent_;
    GeneratorRunner runner_;
};

}  // namespace

std::unique_ptr<GeneratorTrainer> make_flow_trainer(Stream& stream, const TrainerConfig& config,
                                                    int states, int conditions) {
    if (config.architecture == "conv")
        return std::make_unique<ConvFlowTrainer>(stream, config, states, conditions);
    return std::make_unique<FlowTrainer>(stream, config, states, conditions);
}

std::unique_ptr<GeneratorTrainer> make_energy_trainer(Stream& stream, const TrainerConfig& config,
                                                      int states, int conditions) {
    return std::make_unique<EnergyTrainer>(stream, config, states, conditions,
                                           config.latent > 0 ? config.latent
                                                             : std::max(4, states));
}

}  // namespace microlift
