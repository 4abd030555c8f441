// One critic update's and one generator update's sweeps as one kernel each, and generation as one: a
// block takes tiles of rows from the draw of the batch to the weight gradients. The sweeps are those of
// the layered path (gan_sweeps.h), run by a TileProgram.
#pragma once

#include "engine/launch/blocks.h"
#include "kernels/block/mlp_tile.cuh"
#include "nn/generators/gan_sweeps.h"

namespace microlift {

// Widths from here on are left to cuBLASLt.
inline constexpr index kMostTileWidth = 128;
inline constexpr int kTileThreads = 256;
// Rows of a tile at most: those of all blocks are in work at a time, and want a place in the L2 cache (README.md).
inline constexpr index kMostTileRows = 32;
static_assert(kMostTileRows <= kTileThreads && kMostTileWidth <= kTileThreads);

// Rows of a tile and blocks that share the tiles: small tiles while there are fewer than blocks.
struct TileShape {
    index rows = 0, tile_rows = 0, blocks = 0;
    TileShape() = default;
    TileShape(index n, index most_blocks) : rows(n) {
        tile_rows = (n + most_blocks - 1) / most_blocks;
        tile_rows = (tile_rows + kFragmentRows - 1) / kFragmentRows * kFragmentRows;
        tile_rows = tile_rows > kMostTileRows ? kMostTileRows : tile_rows;
        const index tiles = (n + tile_rows - 1) / tile_rows;
        blocks = tiles < most_blocks ? tiles : most_blocks;
    }
    LANE_FN index tiles() const { return (rows + tile_rows - 1) / tile_rows; }
};

// Everything that the kernels of one update read.
struct GanTilePlan {
    MlpLayout generator_layout, critic_layout;
    MlpScratch<float> generator_scratch, critic_scratch;  // kMostTileRows places for each block
    const float *generator_parameters = nullptr, *generator_transposed = nullptr;
    const float *critic_parameters = nullptr, *critic_transposed = nullptr;
    float* gradient = nullptr;  // (blocks, parameters) of the network that is updated
    index parameters = 0;
    TileShape shape;
    index places = 0;  // rows of a group's scratch: blocks · kMostTileRows
    GatherBody gather;
    LatentBody latent;
    FakeBody fake;
    Penalty penalty = Penalty::one_sided;
    float penalty_weight = 0, energy_weight = 0;
    int states = 0;
    float* penalty_values = nullptr;
    KeepOutputBody keep[2];  // of fake and real rows, if wanted
    int kept = 0;
    AdvanceBody advance;
    const float* critic_share = nullptr;
};

// work(program) for every tile of the block, whose gradient slot is zeroed first.
template <Precision kPrecision, class Block, class Work>
LANE_FN void for_tiles_of_block(Block& block, const TileShape& shape, index places, float* gradient,
                                index parameters, const Work& work) {
    if (gradient) {
        for (index i = block.thread(); i < parameters; i += kTileThreads) gradient[i] = 0.0f;
        block.barrier();
    }
    for (index tile = block.block(); tile < shape.tiles(); tile += block.blocks()) {
        const index row = tile * shape.tile_rows;
        const index left = shape.rows - row;
        TileProgram<kPrecision, kTileThreads, Block> program(
            block, shape.rows, places, row,
            static_cast<int>(left < shape.tile_rows ? left : shape.tile_rows),
            block.block() * kMostTileRows, gradient);
        work(program);
    }
}

template <Precision kPrecision>
struct CriticTileKernel {
    static constexpr int kThreads = kTileThreads, kBlocksPerProcessor = 2;
    struct Shared {};
    GanTilePlan plan;

    template <class Block>
    LANE_FN void operator()(Block& block, Shared&) const {
        const GanTilePlan& p = plan;
        const Mlp<float> g{p.generator_layout, p.generator_parameters, p.generator_transposed,
                           p.generator_scratch, p.places};
        const Mlp<float> d{p.critic_layout, p.critic_parameters, p.critic_transposed,
                           p.critic_scratch, p.places};
        for_tiles_of_block<kPrecision>(
            block, p.shape, p.places, p.gradient + block.block() * p.parameters, p.parameters,
            [&](auto& program) {
                program.each_row(p.gather);
                program.row_lanes(p.latent);
                g.forward(program, 1, Derivatives<0>{});
                program.each_row(p.fake);
                critic_sweeps(program, d, p.penalty, p.penalty_weight, p.states, p.penalty_values);
                LANE_ROLLED_FOR (int k = 0; k < p.kept; ++k) program.each_row(p.keep[k]);
            });
        // Nothing in this kernel reads the rates.
        if (block.block() == 0 && block.thread() == 0) p.advance(0);
    }
};

// The generator's rates are advanced after it: its sweeps read the critic's share.
template <Precision kPrecision>
struct GeneratorTileKernel {
    static constexpr int kThreads = kTileThreads, kBlocksPerProcessor = 2;
    struct Shared {};
    GanTilePlan plan;

    template <class Block>
    LANE_FN void operator()(Block& block, Shared&) const {
        const GanTilePlan& p = plan;
        const Mlp<float> g{p.generator_layout, p.generator_parameters, p.generator_transposed,
                           p.generator_scratch, p.places};
        const Mlp<float> d{p.critic_layout, p.critic_parameters, p.critic_transposed,
                           p.critic_scratch, p.places};
        for_tiles_of_block<kPrecision>(
            block, p.shape, p.places, p.gradient + block.block() * p.parameters, p.parameters,
            [&](auto& program) {
                program.each_row(p.gather);
                program.row_lanes(p.latent);
                g.forward(program, 1, Derivatives<1>{});
                program.each_row(p.fake);
                generator_sweeps(program, g, d, p.penalty, p.states, p.energy_weight,
                                 p.critic_share);
                LANE_ROLLED_FOR (int k = 0; k < p.kept; ++k) program.each_row(p.keep[k]);
            });
    }
};

struct GenerateTilePlan {
    MlpLayout layout;
    MlpScratch<float> scratch;
    const float* parameters;
    TileShape shape;
    index places;
    FeatureBody features;
    LatentBody latent;
    UnwhitenBody unwhiten;
};

template <Precision kPrecision>
struct GenerateTileKernel {
    static constexpr int kThreads = kTileThreads, kBlocksPerProcessor = 2;
    struct Shared {};
    GenerateTilePlan plan;

    template <class Block>
    LANE_FN void operator()(Block& block, Shared&) const {
        const GenerateTilePlan& p = plan;
        const Mlp<float> g{p.layout, p.parameters, nullptr, p.scratch, p.places};
        for_tiles_of_block<kPrecision>(block, p.shape, p.places, nullptr, 0, [&](auto& program) {
            program.each_row(p.features);
            program.row_lanes(p.latent);
            g.forward(program, 1, Derivatives<0>{});
            program.each_row(p.unwhiten);
        });
    }
};

// --- launches, of what gan_tiles_*.cu instantiate ---------------------------------------------------

// Two on each multiprocessor of an H100, as kBlocksPerProcessor says. Fixed, since the order of the
// gradient's sums follows from it.
inline constexpr index kMostTileBlocks = 264;

// Whether these kernels run a network: where every layer fits, in every precision but the reference's, and not
// in the portable mathematics.
inline bool runs_tiles(const Device& device, Precision precision, const MlpLayout& layout) {
    for (int l = 0; l <= layout.layers; ++l)
        if (layout.ld[static_cast<std::size_t>(l)] > kMostTileWidth) return false;
    return kHaveCuda && !device.portable() && precision != Precision::fp32;
}

// The precision becomes a template argument. Only where runs_tiles().
template <template <Precision> class Kernel, class Plan>
void launch_tiles(Stream& stream, Precision precision, const Plan& plan) {
    const auto launch = [&]([[maybe_unused]] const auto& kernel) {
        count_launch<std::decay_t<decltype(kernel)>>(plan.shape.blocks);
        if constexpr (kHaveCuda) launch_blocks_on_cuda(stream, plan.shape.blocks, kernel);
    };
    switch (precision) {
        case Precision::tf32: return launch(Kernel<Precision::tf32>{plan});
        case Precision::bf16: return launch(Kernel<Precision::bf16>{plan});
        case Precision::tf32x3: return launch(Kernel<Precision::tf32x3>{plan});
        case Precision::fp32: throw DeviceError("no fused kernel computes in fp32");
    }
}

}  // namespace microlift
