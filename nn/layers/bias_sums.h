// Bias gradients on CUDA: the column sums of every layer's ∂loss/∂z by one launch, or two where there are so many
// rows that blocks share them. Always in the same order, whatever the device.
#pragma once

#include "kernels/block/block.h"
#include "nn/layers/limits.h"

namespace microlift {

inline constexpr index kMostBiasChunks = 64;  // of rows
inline constexpr index kLeastBiasRows = 1024;  // of a chunk

// gradient[place + j] += Σ over rows of b[row · ld + j], j < columns, for each layer.
struct BiasSums {
    struct Layer {
        const float* b;
        index ld, columns, place;
    };
    Layer layer[kMostLayers];
    int layers = 0;
    index rows = 0;
    index columns = 0;  // of all layers
    float* gradient = nullptr;
    float* partial = nullptr;  // (chunks, columns)

    LANE_FN index chunk_rows() const {
        const index share = (rows + kMostBiasChunks - 1) / kMostBiasChunks;
        return share < kLeastBiasRows ? kLeastBiasRows : share;
    }
    LANE_FN index chunks() const { return (rows + chunk_rows() - 1) / chunk_rows(); }
    // The layer of column i of all, which becomes the column of that layer.
    LANE_FN const Layer& find(index& i) const {
        int l = 0;
        while (i >= layer[l].columns) i -= layer[l++].columns;
        return layer[l];
    }
};

// Block b sums chunk b / tiles in a tile of 32 columns of all: a warp takes every eighth row, and the warps' sums are
// added in order.
struct BiasSumKernel {
    static constexpr int kThreads = 256, kWarps = kThreads / kWarp;
    struct Shared {
        double sum[kWarps][kWarp];  // double: what cancels is zero and not a rounding that Adam would follow
    };
    BiasSums sums;

    LANE_FN index tiles() const { return (sums.columns + kWarp - 1) / kWarp; }
    LANE_FN index blocks() const { return tiles() * sums.chunks(); }

    template <class Block>
    LANE_FN void operator()(Block& block, Shared& shared) const {
        const index chunk = block.block() / tiles(), size = sums.chunk_rows();
        const index i = block.block() % tiles() * kWarp + block.lane();
        const index first = chunk * size;
        const index end = first + size < sums.rows ? first + size : sums.rows;
        index column = i;
        double sum = 0.0;
        if (i < sums.columns) {
            const BiasSums::Layer& layer = sums.find(column);
            const float* from = layer.b + column;
            for (index row = first + block.warp(); row < end; row += kWarps)
                sum += static_cast<double>(from[row * layer.ld]);
        }
        shared.sum[block.warp()][block.lane()] = sum;
        block.barrier();
        if (block.warp() > 0 || i >= sums.columns) return;
        for (int w = 1; w < kWarps; ++w) sum += shared.sum[w][block.lane()];
        if (sums.chunks() > 1) {
            sums.partial[chunk * sums.columns + i] = static_cast<float>(sum);
        } else {
            column = i;
            const BiasSums::Layer& layer = sums.find(column);
            sums.gradient[layer.place + column] += static_cast<float>(sum);
        }
    }
};

struct BiasTotalBody {
    BiasSums sums;
    LANE_FN void operator()(index i) const {
        index column = i;
        const BiasSums::Layer& layer = sums.find(column);
        float total = 0.0f;
        for (index c = 0; c < sums.chunks(); ++c) total += sums.partial[c * sums.columns + i];
        sums.gradient[layer.place + column] += total;
    }
};

}  // namespace microlift
