#include "nn/generators/latent_sampler.h"

#include <algorithm>

#include "engine/error.h"
#include "engine/launch/work.h"
#include "nn/generators/gan_tiles.h"
#include "nn/layers/mlp_network.h"
#include "nn/layers/weights.h"

namespace microlift {

int latent_size(const TrainerConfig& config, int states) {
    return config.latent > 0 ? static_cast<int>(config.latent) : std::max(4, states);
}

LatentSampler::LatentSampler(const Device& device, const MlpLayout& layout, int latent)
    : layout_(layout), latent_(latent),
      rows_(std::max(rows_at_once(device, kTileRows,
                                  activations_size(layout, 1) * static_cast<index>(sizeof(float))),
                     kMostTileBlocks * kMostTileRows)),
      places_(rows_of_places(device, rows_, RowPlaces::by_thread)),
      memory_(device, activations_size(layout, places_)) {
    scratch_.h = activations(layout, places_, memory_.data());
}

void LatentSampler::run(Stream& stream, const TrainedWeights& weights,
                        Matrix<const float> conditions, const RandomSource& source,
                        Matrix<float> states, Precision precision) {
    const auto last = static_cast<std::size_t>(layout_.layers);
    const WhiteningView& white = weights.white;
    const index n = states.columns;
    float *const in = scratch_.h[0], *const out = scratch_.h[last];
    const index in_ld = layout_.ld[0], out_ld = layout_.ld[last];
    if (runs_tiles(stream.device(), precision, layout_)) {
        if (n <= 0) return;
        GenerateTilePlan plan{};
        plan.layout = layout_, plan.scratch = scratch_, plan.parameters = weights.parameters;
        plan.shape = TileShape(n, kMostTileBlocks);
        plan.places = plan.shape.blocks * kMostTileRows;
        plan.features = {white, conditions.data, conditions.stride, latent_, in, in_ld};
        plan.latent = {source.seed, source.stream, nullptr, 0, 0, source.first, latent_, in, in_ld};
        plan.unwhiten = {white,  out, conditions.data, out_ld, conditions.stride, states.stride,
                         states.data};
        launch_tiles<GenerateTileKernel>(stream, precision, plan);
        return;
    }
    const index most = stream.device().is_cpu() ? n : rows_;
    for (index from = 0; from < n; from += most) {
        const index rows = std::min(most, n - from);
        const float* s = conditions.data + from;
        RowProgram<float> program(stream, rows, nullptr, 0, nullptr, precision,
                                  RowPlaces::by_thread);
        program.each_row(FeatureBody{white, s, conditions.stride, latent_, in, in_ld});
        program.row_lanes(LatentBody{source.seed, source.stream, nullptr, 0, 0,
                                     source.first + from, latent_, in, in_ld});
        const Mlp<float> network{layout_, weights.parameters, nullptr, scratch_,
                                 program.group_rows()};
        network.forward(program, 1, Derivatives<0>{});
        program.each_row(UnwhitenBody{white, out, s, out_ld, conditions.stride, states.stride,
                                      states.data + from});
        program.finish();
    }
}

LoadedGenerator load_latent(const Device& device, const SafeTensors& content,
                            const WhiteningView& white) {
    const int latent = static_cast<int>(
        metadata_number(content, "latent", "latent dimension", 1, kMostLatent));
    const MlpLayout layout = mlp_layout(content, latent + white.features, white.states);
    const MlpNetwork network(device, layout, 0, Network::Use::none);
    return {std::make_unique<LatentSampler>(device, layout, latent),
            network.parameters_in(content.tensors, "generator")};
}

}  // namespace microlift
