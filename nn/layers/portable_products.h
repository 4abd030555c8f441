// Products of networks on CUDA in the portable mathematics: every element is summed in the order of
// gemm.lanes.cpp and of row_program.h, so that both machines have the same bits. A thread an element.
#pragma once

#include "nn/layers/gemm.h"

namespace microlift {

struct PortableProductBody {
    Gemm<float> g;
    bool by_tree;  // sums_by_tree(g)

    LANE_FN void operator()(index i) const {
        const index row = i / g.n, column = i - row * g.n;
        const float* a = g.a + row * g.lda;
        const float* b = g.b + column;
        float& c = g.c[row * g.ldc + column];
        const float first = g.bias ? g.bias[column] : 0.0f;
        if (by_tree) {
            if (column < g.columns) c = first + tree(a, b);
        } else {
            float sum = first;
            for (index p = 0; p < g.k; ++p) sum = fma(a[p], b[p * g.ldb], sum);
            c = sum;
        }
    }

private:
    LANE_FN float tree(const float* a, const float* b) const {
        float sum[kPad] = {};
        for (index from = 0; from < g.k; from += kPad)
LANE_UNROLL
            for (int j = 0; j < kPad; ++j) {
                const index p = from + j;
                sum[j] = fma(a[p], p < g.k ? b[p * g.ldb] : 0.0f, sum[j]);
            }
LANE_UNROLL
        for (int half = kPad / 2; half > 0; half /= 2)
LANE_UNROLL
            for (int j = 0; j < half; ++j) sum[j] = sum[j] + sum[j + half];
        return sum[0];
    }
};

// Σ aᵀ b over the rows of a slot's tiles, one slot after another: the gradient of a layer's weights, and of
// its bias as the column sums of the first part's b.
struct PortableGradientBody {
    struct Part {
        const float *a, *b;
        index m, lda, ldb;
        int groups;
    };
    Part parts[2];
    int count;
    bool with_bias;
    index rows, tile_rows, slots, m, n, parameters;
    float *weight, *bias;

    LANE_FN index size() const { return slots * (m + (with_bias ? 1 : 0)) * n; }
    LANE_FN void operator()(index i) const {
        const index lines = m + (with_bias ? 1 : 0);
        const index line = i / n, column = i - line * n, slot = line / lines, row = line - slot * lines;
        const index tiles = (rows + tile_rows - 1) / tile_rows;
        const index end = (slot + 1) * tiles / slots;
        float sum = 0.0f;
        for (index tile = slot * tiles / slots; tile < end; ++tile)
            sum = row < m ? add_products(sum, tile, row, column) : add_column(sum, tile, column);
        (row < m ? weight + row * n : bias)[slot * parameters + column] = sum;
    }

private:
    LANE_FN index last_row(index tile) const {
        return (tile + 1) * tile_rows < rows ? (tile + 1) * tile_rows : rows;
    }
    LANE_FN float add_products(float sum, index tile, index row, index column) const {
        const index to = last_row(tile);
        for (int k = 0; k < count; ++k) {
            const Part& part = parts[k];
            if (row >= part.m) continue;
            for (int g = 0; g < part.groups; ++g)
                for (index r = tile * tile_rows; r < to; ++r) {
                    const index place = g * rows + r;
                    sum = fma(part.a[place * part.lda + row], part.b[place * part.ldb + column], sum);
                }
        }
        return sum;
    }
    LANE_FN float add_column(float sum, index tile, index column) const {
        const index to = last_row(tile);
        for (int g = 0; g < parts[0].groups; ++g)
            for (index r = tile * tile_rows; r < to; ++r)
                sum = sum + parts[0].b[(g * rows + r) * parts[0].ldb + column];
        return sum;
    }
};

}  // namespace microlift
