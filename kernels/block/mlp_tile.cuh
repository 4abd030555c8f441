// Tiles of rows through a network by one block: matrix products on the tensor cores, what follows a
// product applied to its fragments, weight gradients into a slot of the block's own.
//
// TileProgram has the operations of nn's RowProgram and does them at once, so that the same sweeps run
// on either. A row's arrays lie in a stretch of the scratch that belongs to the block, which stays in
// the caches. Products are taken by warps, 16 rows × 16 columns each; fragments as PTX lays them out.
#pragma once

#include "kernels/block/block.h"
#include "kernels/lane/matrix.h"
#include "kernels/lane/precision.h"

namespace microlift {

// The nearest number with 10 bits of mantissa, ties away from zero.
LANE_FN uint32 to_tf32(float x) {
#if defined(__CUDA_ARCH__)
    uint32 r;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x));
    return r;
#else
    return (as_uint(x) + 0x1000u) & 0xffffe000u;
#endif
}

// Two bf16, the first in the lower half; to nearest, ties to even.
LANE_FN uint32 to_bf16_pair(float low, float high) {
#if defined(__CUDA_ARCH__)
    uint32 r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
#else
    const uint32 a = as_uint(low), b = as_uint(high);
    return ((a + 0x7fffu + ((a >> 16) & 1u)) >> 16) |
           ((b + 0x7fffu + ((b >> 16) & 1u)) & 0xffff0000u);
#endif
}

inline constexpr int kFragmentRows = 16, kFragmentColumns = 16;

// sum (a warp's 16 × 16: two fragments of 8 columns) += Σ_p a(i, p) b(p, j), p < depth. a and b are asked
// for p up to the next multiple of 16 and give 0 beyond the depth.
template <Precision kPrecision, class Block, class A, class B>
LANE_FN void tile_mma(Block& block, int depth, const A& a, const B& b, float (&sum)[2][4]) {
    const int g = block.lane() / 4, t = block.lane() % 4;
    if constexpr (kPrecision == Precision::fp32) {
        for (int p = 0; p < depth; ++p) {
            const float low = a(g, p), high = a(g + 8, p);
            for (int j = 0; j < 2; ++j)
                for (int c = 0; c < 2; ++c) {
                    const float right = b(p, 8 * j + 2 * t + c);
                    sum[j][c] = fma(low, right, sum[j][c]);
                    sum[j][2 + c] = fma(high, right, sum[j][2 + c]);
                }
        }
    } else if constexpr (kPrecision == Precision::bf16) {
        for (int p = 0; p < depth; p += 16) {
            const int q = p + 2 * t;
            const uint32 left[4] = {to_bf16_pair(a(g, q), a(g, q + 1)),
                                    to_bf16_pair(a(g + 8, q), a(g + 8, q + 1)),
                                    to_bf16_pair(a(g, q + 8), a(g, q + 9)),
                                    to_bf16_pair(a(g + 8, q + 8), a(g + 8, q + 9))};
            LANE_UNROLL
            for (int j = 0; j < 2; ++j) {
                const int n = 8 * j + g;
                const uint32 right[2] = {to_bf16_pair(b(q, n), b(q + 1, n)),
                                         to_bf16_pair(b(q + 8, n), b(q + 9, n))};
                block.mma_bf16(sum[j], left, right);
            }
        }
    } else {
        for (int p = 0; p < depth; p += 8) {
            const float left[4] = {a(g, p + t), a(g + 8, p + t), a(g, p + t + 4),
                                   a(g + 8, p + t + 4)};
            uint32 large[4], small[4];
            LANE_UNROLL
            for (int i = 0; i < 4; ++i) {
                large[i] = to_tf32(left[i]);
                small[i] = to_tf32(left[i] - as_float(large[i]));
            }
            LANE_UNROLL
            for (int j = 0; j < 2; ++j) {
                const float right[2] = {b(p + t, 8 * j + g), b(p + t + 4, 8 * j + g)};
                const uint32 main[2] = {to_tf32(right[0]), to_tf32(right[1])};
                if constexpr (kPrecision == Precision::tf32x3) {
                    const uint32 rest[2] = {to_tf32(right[0] - as_float(main[0])),
                                            to_tf32(right[1] - as_float(main[1]))};
                    block.mma_tf32(sum[j], small, main);
                    block.mma_tf32(sum[j], large, rest);
                }
                block.mma_tf32(sum[j], large, main);
            }
        }
    }
}

struct NoMoreWork {
    LANE_FN void operator()(float, index) const {}
};

template <Precision kPrecision, int kThreads, class Block>
class TileProgram {
public:
    // A tile: rows first_row … first_row + tile_rows − 1 of `rows`, at `place` in arrays whose groups
    // are group_rows apart. `gradient`: the block's slot. No more rows, and no wider layers, than the
    // block has threads.
    LANE_FN TileProgram(Block& block, index rows, index group_rows, index first_row, int tile_rows,
                        index place, float* gradient)
        : block_(block), rows_(rows), group_rows_(group_rows), first_row_(first_row),
          tile_rows_(tile_rows), place_(place), gradient_(gradient) {}

    LANE_FN index rows() const { return rows_; }
    LANE_FN index group_rows() const { return group_rows_; }

    template <class Body>
    LANE_FN void row_lanes(const Body& body) {
        each_row(body);
    }

    template <class Body>
    LANE_FN void each_row(const Body& body) {
        if (const int r = block_.thread(); r < tile_rows_) {
            if constexpr (requires { body(float{}, index{}, index{}); })
                body(float{}, first_row_ + r, place_ + r);
            else if constexpr (requires { body(index{}, index{}); })
                body(first_row_ + r, place_ + r);
            else
                body(place_ + r);
        }
        block_.barrier();
    }

    LANE_FN void multiply(int groups, const RowProduct<float>& product) {
        multiply_then(groups, product, NoMoreWork{});
    }

    template <class Body>
    LANE_FN void multiply_then(int groups, const RowProduct<float>& product, const Body& body) {
        const float *a = product.a.data, *b = product.b.data, *bias = product.bias;
        float* c = product.c.data;
        const index lda = product.a.stride, ldb = product.b.stride, ldc = product.c.stride;
        const index k = product.a.columns, n = product.b.columns;
        const int g = block_.lane() / 4, t = block_.lane() % 4, depth = static_cast<int>(k);
        const int across = static_cast<int>(n) / kFragmentColumns;
        const int down = (tile_rows_ + kFragmentRows - 1) / kFragmentRows;
        for (int task = block_.warp(); task < groups * down * across; task += kThreads / kWarp) {
            const int column = task % across * kFragmentColumns;
            const int row = task / across % down * kFragmentRows;
            const index base = place_ + task / across / down * group_rows_ + row;
            const int left = tile_rows_ - row;  // rows of this fragment that exist
            float sum[2][4];
            for (int j = 0; j < 2; ++j)
                for (int i = 0; i < 4; ++i)
                    sum[j][i] = bias ? bias[column + 8 * j + 2 * t + i % 2] : 0.0f;
            tile_mma<kPrecision>(
                block_, depth,
                [&](int i, int p) {
                    return i < left && p < depth ? a[(base + i) * lda + p] : 0.0f;
                },
                [&](int p, int j) { return p < depth ? b[p * ldb + column + j] : 0.0f; }, sum);
            LANE_UNROLL
            for (int j = 0; j < 2; ++j)
                LANE_UNROLL
                for (int i = 0; i < 4; ++i) {
                    const int r = g + i / 2 * 8;
                    if (r >= left) continue;
                    const index at = (base + r) * ldc + column + 8 * j + 2 * t + i % 2;
                    c[at] = sum[j][i];
                    body(float{}, at);
                }
        }
        block_.barrier();
    }

    LANE_FN void weight_gradient(int groups, const WeightGradient<float>& product) {
        const float *a = product.a.data, *b = product.b.data;
        const index lda = product.a.stride, ldb = product.b.stride;
        const index k = product.a.columns, n = product.b.columns;
        const index offset = product.weight, bias_offset = product.bias;
        const int g = block_.lane() / 4, t = block_.lane() % 4, inputs = static_cast<int>(k);
        const int across = static_cast<int>(n) / kFragmentColumns;
        const int down = (inputs + kFragmentRows - 1) / kFragmentRows;
        for (int task = block_.warp(); task < down * across; task += kThreads / kWarp) {
            const int column = task % across * kFragmentColumns;
            const int row = task / across * kFragmentRows;
            float* c = gradient_ + offset + row * n + column;
            const int left = inputs - row;
            float sum[2][4];
            for (int j = 0; j < 2; ++j)
                for (int i = 0; i < 4; ++i) {
                    const int r = g + i / 2 * 8;
                    sum[j][i] = r < left ? c[r * n + 8 * j + 2 * t + i % 2] : 0.0f;
                }
            for (int group = 0; group < groups; ++group) {
                const index base = place_ + group * group_rows_;
                tile_mma<kPrecision>(
                    block_, tile_rows_,
                    [&](int i, int p) {
                        return i < left && p < tile_rows_ ? a[(base + p) * lda + row + i] : 0.0f;
                    },
                    [&](int p, int j) {
                        return p < tile_rows_ ? b[(base + p) * ldb + column + j] : 0.0f;
                    },
                    sum);
            }
            LANE_UNROLL
            for (int j = 0; j < 2; ++j)
                LANE_UNROLL
                for (int i = 0; i < 4; ++i) {
                    const int r = g + i / 2 * 8;
                    if (r < left) c[r * n + 8 * j + 2 * t + i % 2] = sum[j][i];
                }
        }
        if (const index j = block_.thread(); bias_offset >= 0 && j < n) {
            float sum = gradient_[bias_offset + j];
            for (int group = 0; group < groups; ++group)
                for (int r = 0; r < tile_rows_; ++r)
                    sum = sum + b[(place_ + group * group_rows_ + r) * ldb + j];
            gradient_[bias_offset + j] = sum;
        }
        block_.barrier();
    }

private:
    Block& block_;
    index rows_, group_rows_, first_row_;
    int tile_rows_;
    index place_;
    float* gradient_;
};

}  // namespace microlift
