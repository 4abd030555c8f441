#include "nn/generators/cgan.h"

#include <algorithm>

#include "engine/error.h"
#include "nn/generators/gan_tiles.h"
#include "nn/generators/latent_sampler.h"
#include "nn/layers/mlp_network.h"
#include "nn/layers/weights.h"
#include "nn/train/training.h"

namespace microlift {
namespace {

std::size_t last(const MlpLayout& layout) { return static_cast<std::size_t>(layout.layers); }

class CganTrainer final : public Training {
public:
    CganTrainer(Stream& stream, const TrainerConfig& config, int states, int conditions);
    Precision precision() const override {
        return fused_ ? config_.precision
                      : product_precision(stream_.device(), config_.precision);
    }

private:
    // Where the kernel bodies of an update read and write.
    struct Bodies {
        GatherBody gather;
        LatentBody noise;
        FakeBody hand_over;
    };

    void allocate();
    int groups() const { return groups_of(penalty_); }
    int penalised() const { return penalised_of(penalty_); }
    // An iteration's batches: one for each critic step, the last for the generator.
    uint32 batches() const { return static_cast<uint32>(config_.critic_steps) + 1; }
    Bodies bodies(uint32 step, bool of_critic) const;
    GanTilePlan tile_plan(const Bodies& bodies, TrainedNetwork& updated);
    RowProgram<float> program(TrainedNetwork& updated);
    // Of a critic step's penalty; 0: it has none.
    float penalty_weight(uint32 step) const {
        const auto every = static_cast<uint32>(config_.penalty_every);
        return step % every == 0 ? static_cast<float>(every) * static_cast<float>(config_.penalty_weight) : 0.0f;
    }
    void critic_step(uint32 step);
    void generator_step();
    void iterate() override;
    void describe(std::map<std::string, std::string>& metadata) const override {
        metadata["latent"] = std::to_string(latent_);
    }
    std::vector<std::pair<std::string, TrainedNetwork*>> others() override {
        return {{"critic", &critic_}};
    }

    Mlp<float> generator_view() const {
        return {generator_layout_, generator_.parameters.data(), generator_.transposed.data(),
                generator_scratch_, places_};
    }
    Mlp<float> critic_view() const {
        return {critic_layout_, critic_.parameters.data(), critic_.transposed.data(),
                critic_scratch_, places_};
    }

    int latent_;
    Penalty penalty_;
    MlpLayout generator_layout_, critic_layout_;
    TrainedNetwork critic_;
    Buffer<float> generator_memory_, critic_memory_, penalty_values_, bias_sums_;
    Buffer<float> outputs_;  // (3, batch): D of the last critic batch's fake and real rows, D(fake) of
                             // the generator's
    MlpScratch<float> generator_scratch_, critic_scratch_;
    index places_ = 0;    // rows of a group's scratch
    bool fused_ = false;  // an update's sweeps are one kernel (gan_tiles.h)
    TileShape shape_;     // of the fused kernels
};

CganTrainer::CganTrainer(Stream& stream, const TrainerConfig& config, int states, int conditions)
    : Training(stream, config, states, conditions,
               {{"critic_loss", "critic's loss", 1},
                {"generator_loss", "generator's loss", 3},
                {"penalty", "gradient penalty", 2}},
               kHistoryColumns),
      latent_(latent_size(config, states)), penalty_(penalty_from(config.penalty)) {
    const Device& device = stream.device();
    const Activation activation = activation_from(config.activation);
    generator_layout_ =
        MlpLayout(widths_of(latent_ + features_, config.widths, states), activation);
    critic_layout_ =
        MlpLayout(widths_of(states + features_, config.critic_widths, 1), activation);
    fused_ = runs_tiles(device, config.precision, generator_layout_) &&
             runs_tiles(device, config.precision, critic_layout_);
    if (fused_) shape_ = TileShape(config.batch, kMostTileBlocks);
    const index slots = fused_ ? shape_.blocks : gradient_slots(device, config.batch);
    const auto network = [&](const MlpLayout& layout) {
        return std::make_unique<MlpNetwork>(device, layout, 0, Network::Use::none);
    };
    set_generator(network(generator_layout_), slots,
                  std::make_unique<LatentSampler>(device, generator_layout_, latent_));
    critic_ = TrainedNetwork(stream, network(critic_layout_), slots,
                             critic_layout_.initial(config.seed, 1));
    schedule_.critic_rate = static_cast<float>(config.critic_rate);
    schedule_.fade_critic = config.energy_weight > 0;
    allocate();
}

void CganTrainer::allocate() {
    const Device& device = stream_.device();
    const index batch = config_.batch;
    places_ = fused_ ? shape_.blocks * kMostTileRows
                     : rows_of_places(device, batch, RowPlaces::by_thread);
    generator_memory_ =
        Buffer<float>(device, MlpScratch<float>::size(generator_layout_, places_, 1, 0));
    critic_memory_ = Buffer<float>(
        device, MlpScratch<float>::size(critic_layout_, places_, groups(), penalised()));
    generator_scratch_ =
        MlpScratch<float>(generator_layout_, places_, 1, 0, generator_memory_.data());
    critic_scratch_ = MlpScratch<float>(critic_layout_, places_, groups(), penalised(),
                                        critic_memory_.data());
    outputs_ = Buffer<float>(device, 3 * batch);
    penalty_values_ = Buffer<float>(device, penalised() * batch);
    fill_zero(stream_, penalty_values_.span());  // of no weight it is never computed
    bias_sums_ = Buffer<float>(
        device, bias_scratch(device, std::max(generator_layout_.bias_columns(), critic_layout_.bias_columns())));
}

// --- one iteration ----------------------------------------------------------------------------------

CganTrainer::Bodies CganTrainer::bodies(uint32 step, bool of_critic) const {
    const index ld = generator_layout_.ld[0], critic_ld = critic_layout_.ld[0];
    float* const input = generator_scratch_.h[0];
    float* const fake = critic_scratch_.h[0];
    float* const real = fake + places_ * critic_ld;
    float* const mixed =
        of_critic && penalty_ != Penalty::relativistic ? real + places_ * critic_ld : nullptr;
    return {GatherBody{held_out_.columns(), whitening_.view(), data_states_.data,
                       data_conditions_.data, data_states_.stride, clock_.data(), config_.seed,
                       batches(), step, latent_, !of_critic && config_.energy_weight > 0, input,
                       fake, real, mixed, ld, critic_ld},
            LatentBody{config_.seed, kStreamLatent, clock_.data(), batches(), step, 0, latent_,
                       input, ld},
            FakeBody{clock_.data(), config_.seed, batches(), step, states_,
                     generator_scratch_.h[last(generator_layout_)], real, fake, mixed,
                     generator_layout_.ld[last(generator_layout_)], critic_ld}};
}

GanTilePlan CganTrainer::tile_plan(const Bodies& bodies, TrainedNetwork& updated) {
    GanTilePlan plan{};
    plan.generator_layout = generator_layout_, plan.critic_layout = critic_layout_;
    plan.generator_scratch = generator_scratch_, plan.critic_scratch = critic_scratch_;
    plan.generator_parameters = generator_.parameters.data();
    plan.generator_transposed = generator_.transposed.data();
    plan.critic_parameters = critic_.parameters.data();
    plan.critic_transposed = critic_.transposed.data();
    plan.gradient = updated.gradient.data();
    plan.parameters = updated.size();
    plan.shape = shape_, plan.places = places_;
    plan.gather = bodies.gather, plan.latent = bodies.noise, plan.fake = bodies.hand_over;
    plan.penalty = penalty_, plan.states = states_;
    plan.penalty_values = penalty_values_.data();
    plan.critic_share = &clock_.data()->critic_share;
    return plan;
}

RowProgram<float> CganTrainer::program(TrainedNetwork& updated) {
    return {stream_,           config_.batch,     updated.gradient.data(), updated.size(),
            bias_sums_.data(), config_.precision, RowPlaces::by_thread};
}

void CganTrainer::critic_step(uint32 step) {
    const Bodies b = bodies(step, true);
    const float* const out = critic_scratch_.h[last(critic_layout_)];
    const index ld = critic_layout_.ld[last(critic_layout_)];
    const KeepOutputBody keep[2] = {{out, ld, outputs_.data()},
                                    {out + places_ * ld, ld, outputs_.data() + config_.batch}};
    const int kept = step + 2 == batches() ? 2 : 0;
    const AdvanceBody advance{schedule_, clock_.data(), true};
    if (fused_) {
        GanTilePlan plan = tile_plan(b, critic_);
        plan.keep[0] = keep[0], plan.keep[1] = keep[1], plan.kept = kept;
        plan.advance = advance;
        plan.penalty_weight = penalty_weight(step);
        launch_tiles<CriticTileKernel>(stream_, config_.precision, plan);
    } else {
        const Mlp<float> g = generator_view(), d = critic_view();
        RowProgram<float> sweeps = program(critic_);
        sweeps.each_row(b.gather);
        sweeps.row_lanes(b.noise);
        g.forward(sweeps, 1, Derivatives<0>{});
        sweeps.each_row(b.hand_over);
        critic_sweeps(sweeps, d, penalty_, penalty_weight(step), states_, penalty_values_.data());
        for (int k = 0; k < kept; ++k) {
            sweeps.each_row(keep[k]);
            sweeps.all_rows(outputs_.data() + k * config_.batch);
        }
        const bool last_penalty = penalty_weight(step) > 0 && step + config_.penalty_every >= config_.critic_steps;
        for (int k = 0; last_penalty && k < penalised(); ++k)
            sweeps.all_rows(penalty_values_.data() + k * config_.batch);
        sweeps.finish();
        for_each_index(stream_, 1, advance);
    }
    critic_.step(stream_, &clock_.data()->critic, schedule_.rates);
}

void CganTrainer::generator_step() {
    const Bodies b = bodies(batches() - 1, false);
    const index batch = config_.batch;
    const KeepOutputBody keep{critic_scratch_.h[last(critic_layout_)],
                              critic_layout_.ld[last(critic_layout_)], outputs_.data() + 2 * batch};
    const float energy = static_cast<float>(config_.energy_weight);
    if (fused_) {
        GanTilePlan plan = tile_plan(b, generator_);
        plan.keep[0] = keep, plan.kept = 1;
        plan.energy_weight = energy;
        launch_tiles<GeneratorTileKernel>(stream_, config_.precision, plan);
    } else {
        const Mlp<float> g = generator_view(), d = critic_view();
        RowProgram<float> sweeps = program(generator_);
        sweeps.each_row(b.gather);
        sweeps.row_lanes(b.noise);
        g.forward(sweeps, 1, Derivatives<1>{});
        sweeps.each_row(b.hand_over);
        generator_sweeps(sweeps, g, d, penalty_, states_, energy, &clock_.data()->critic_share);
        sweeps.each_row(keep);
        sweeps.all_rows(outputs_.data() + 2 * batch);
        sweeps.finish();
    }
    for_each_index(stream_, 1, AdvanceBody{schedule_, clock_.data(), false});
    generator_.step(stream_, &clock_.data()->generator, schedule_.rates, &clock_.data()->ema,
                    average_.data());
    for_each_block(stream_, 1,
                   RecordKernel<GanRecord>{{schedule_, clock_.data(), outputs_.data(),
                                            outputs_.data() + batch, outputs_.data() + 2 * batch,
                                            penalty_values_.data(),
                                            critic_view().bias(critic_layout_.layers), batch,
                                            penalised() * batch,
                                            history_rows_.data()}},
                   RecordOnCpu{});
}

void CganTrainer::iterate() {
    for (uint32 k = 0; k + 1 < batches(); ++k) critic_step(k);
    generator_step();
}

}  // namespace

std::unique_ptr<GeneratorTrainer> make_cgan(Stream& stream, const TrainerConfig& config, int states,
                                            int conditions) {
    return std::make_unique<CganTrainer>(stream, config, states, conditions);
}

}  // namespace microlift
