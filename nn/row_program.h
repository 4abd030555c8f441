// A list of operations on the rows of a batch. On the CPU tiles of rows go through the whole list one
// after another, so that their activations stay in the cache and the threads meet once a program; on
// CUDA every operation is launched over all rows.
//
// Batches may be stacked in groups (real, generated, interpolated): an operation names the number of
// groups it acts on, and its pointers begin at the first of them; group c of row r is row c*rows + r.
// Weight gradients are summed into slots, a fixed set of tiles each, so that their bits do not depend
// on the number of threads; CUDA uses one slot.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "engine/launch.h"
#include "nn/gemm.h"

namespace microlift {

inline constexpr index kTileRows = 64;
inline constexpr index kMostSlots = 16;

inline index gradient_slots(const Device& device, index rows) {
    if (!device.is_cpu()) return 1;
    const index tiles = (rows + kTileRows - 1) / kTileRows;
    return tiles < kMostSlots ? tiles : kMostSlots;
}

template <class Real>
class RowProgram {
public:
    // `gradient` holds gradient_slots(…) × `parameters` values; it is zeroed before the first row.
    RowProgram(Stream& stream, index rows, Real* gradient = nullptr, index parameters = 0,
               const Real* ones = nullptr, GemmPrecision precision = GemmPrecision::tf32)
        : stream_(stream), rows_(rows), gradient_(gradient), parameters_(parameters), ones_(ones),
          precision_(precision) {
        if (!on_cpu() && gradient_)
            fill_zero(stream_, Span<Real>(gradient_, parameters_));
    }

    index rows() const { return rows_; }

    // body(L, i) for every element i = row*ld + column.
    template <class Body>
    void lanes(int groups, index ld, const Body& body) {
        if (on_cpu()) {
            constexpr int width = kNativeWidth * 4 / static_cast<int>(sizeof(Real));
            add([groups, ld, body, rows = rows_](index from, index to, index) {
                for (int c = 0; c < groups; ++c)
                    run_lanes<Real, width>((from + c * rows) * ld, (to + c * rows) * ld, body);
            });
        } else if constexpr (kHaveCuda && std::is_same_v<Real, float>) {
            count_launch();
            launch_on_cuda<Body, float>(stream_, groups * rows_ * ld, body);
        }
    }

    // body(L, row): lanes over rows of one group.
    template <class Body>
    void row_lanes(const Body& body) {
        lanes(1, 1, body);
    }

    // body(row) for every row of one group.
    template <class Body>
    void each_row(const Body& body) {
        if (on_cpu()) {
            add([body](index from, index to, index) {
                for (index row = from; row < to; ++row) body(row);
            });
        } else if constexpr (kHaveCuda && std::is_same_v<Real, float>) {
            count_launch();
            launch_index_on_cuda<Body>(stream_, rows_, body);
        }
    }

    // c = a b + bias, or + c, row by row. `b` is (k, n).
    void multiply(int groups, const Real* a, index lda, index k, const Real* b, index ldb,
                  const Real* bias, Real* c, index ldc, index n) {
        Gemm<Real> gemm;
        gemm.a = a, gemm.lda = lda, gemm.k = k, gemm.b = b, gemm.ldb = ldb;
        gemm.bias = bias, gemm.c = c, gemm.ldc = ldc, gemm.n = n;
        if (on_cpu()) {
            add([groups, gemm, rows = rows_](index from, index to, index) {
                for (int g = 0; g < groups; ++g) {
                    Gemm<Real> tile = gemm;
                    tile.a += (from + g * rows) * gemm.lda;
                    tile.c += (from + g * rows) * gemm.ldc;
                    tile.m = to - from;
                    gemm_on_cpu(tile);
                }
            });
        } else if constexpr (std::is_same_v<Real, float>) {
            gemm.m = groups * rows_;
            count_launch();
            gemm_on_cuda(stream_, gemm, precision_);
        }
    }

    // gradient[offset…] (k, n) += aᵀ b summed over rows; and the column sums of b at `bias_offset`,
    // unless that is negative.
    void weight_gradient(int groups, const Real* a, index lda, index k, const Real* b, index ldb,
                         index n, index offset, index bias_offset) {
        Gemm<Real> gemm;
        gemm.a = a, gemm.lda = lda, gemm.m = k, gemm.b = b, gemm.ldb = ldb;
        gemm.c = gradient_ + offset, gemm.ldc = n, gemm.n = n;
        gemm.transposed = true, gemm.accumulate = true;
        product(groups, gemm);
        if (bias_offset < 0) return;
        gemm.a = ones_, gemm.lda = 1, gemm.m = 1, gemm.c = gradient_ + bias_offset;
        product(groups, gemm);
    }

    // Runs it, or hands it to the graph that is being recorded.
    void finish() {
        if (!on_cpu()) return;
        count_launch();
        struct Plan {
            std::vector<Call> calls;
            index rows, slots, parameters;
            Real* gradient;
        };
        auto plan = std::make_shared<const Plan>(
            Plan{std::move(calls_), rows_, gradient_slots(stream_.device(), rows_), parameters_,
                 gradient_});
        ThreadPool& pool = stream_.device().pool();
        stream_.submit([plan, &pool] {
            const index tiles = (plan->rows + kTileRows - 1) / kTileRows;
            const index slots = plan->gradient ? plan->slots : tiles;
            pool.run(slots, [&](index slot) {
                if (plan->gradient) {
                    Real* mine = plan->gradient + slot * plan->parameters;
                    for (index i = 0; i < plan->parameters; ++i) mine[i] = 0;
                }
                const index last = (slot + 1) * tiles / slots;
                for (index tile = slot * tiles / slots; tile < last; ++tile) {
                    const index from = tile * kTileRows;
                    const index to = from + kTileRows < plan->rows ? from + kTileRows : plan->rows;
                    for (const Call& call : plan->calls) call(from, to, slot);
                }
            });
        });
    }

private:
    using Call = std::function<void(index from, index to, index slot)>;

    bool on_cpu() const { return stream_.device().is_cpu(); }
    template <class F>
    void add(F&& call) {
        calls_.emplace_back(std::forward<F>(call));
    }

    void product(int groups, const Gemm<Real>& gemm) {
        if (on_cpu()) {
            add([groups, gemm, rows = rows_, parameters = parameters_](index from, index to,
                                                                       index slot) {
                for (int g = 0; g < groups; ++g) {
                    Gemm<Real> tile = gemm;
                    tile.a += (from + g * rows) * gemm.lda;
                    tile.b += (from + g * rows) * gemm.ldb;
                    tile.c += slot * parameters;
                    tile.k = to - from;
                    gemm_on_cpu(tile);
                }
            });
        } else if constexpr (std::is_same_v<Real, float>) {
            Gemm<float> all = gemm;
            all.k = groups * rows_;
            count_launch();
            gemm_on_cuda(stream_, all, precision_);
        }
    }

    Stream& stream_;
    index rows_;
    Real* gradient_;
    index parameters_;
    const Real* ones_;
    GemmPrecision precision_;
    std::vector<Call> calls_;
};

}  // namespace microlift
