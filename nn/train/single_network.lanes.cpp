#include "nn/train/single_network.h"

#include "engine/error.h"
#include "engine/launch/blocks.h"
#include "engine/launch/lanes.h"
#include "nn/train/loss.h"

namespace microlift {

SingleNetworkTrainer::SingleNetworkTrainer(Stream& stream, const TrainerConfig& config, int states,
                                           int conditions)
    : Training(stream, config, states, conditions, {{"loss", "generator's loss", 1}},
               kLossColumns),
      loss_(stream.device(), config.batch) {}

void SingleNetworkTrainer::set_network(std::unique_ptr<Network> network,
                                       std::unique_ptr<Sampler> sampler) {
    target_ = Buffer<float>(stream_.device(), config_.batch * network->output().stride);
    bias_sums_ = Buffer<float>(stream_.device(),
                               bias_scratch(stream_.device(), network->bias_columns()));
    const index slots = network->slots(stream_.device(), config_.batch);
    set_generator(std::move(network), slots, std::move(sampler));
}

void SingleNetworkTrainer::iterate() {
    Network& network = *generator_.network;
    RowProgram<float> program(stream_, config_.batch, generator_.gradient.data(),
                              generator_.size(), bias_sums_.data(), config_.precision,
                              RowPlaces::by_number, network.tile_rows());
    // Gathering misses the cache: rows wait together, before a network that takes them one by one.
    if (network.tile_rows() < kTileRows) {
        RowProgram<float> batch(stream_, config_.batch);
        fill(batch, network);
        batch.finish();
    } else {
        fill(program, network);
    }
    sweep(program, network);
    program.all_rows(loss_.data());
    program.finish();
    for_each_index(stream_, 1, AdvanceBody{schedule_, clock_.data(), false});
    generator_.step(stream_, &clock_.data()->generator, schedule_.rates, &clock_.data()->ema,
                    average_.data());
    for_each_block(stream_, 1,
                   RecordKernel<LossRecord>{{schedule_, clock_.data(), loss_.data(), config_.batch,
                                             history_rows_.data()}},
                   RecordOnCpu{});
}

}  // namespace microlift
