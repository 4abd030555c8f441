// A list of operations on the rows of a batch. On the CPU tiles of rows go through the whole list one
// after another, so that their activations stay in the cache and the threads meet once a program; on
// CUDA every operation is launched over all rows.
//
// Arrays hold a row each for every row of the batch or, on the CPU, RowPlaces::by_thread, only the tile
// that a thread is working on: what is not looked at again stays in the cache whatever the batch. A body
// is called with the place of a row in such arrays, or, if it has the signature for that, with the row's
// number and its place.
//
// Batches may be stacked in groups (real, generated, interpolated): an operation names the number of
// groups it acts on, and its pointers begin at the first of them; group c of row r is at place c*group_rows() + place(r).
// Slots are also what processes of one run share out, of large batches: then every process has all of the gradient,
// and of other arrays those rows that it worked on, unless all_rows() names them.
//
// Weight gradients are summed into slots, a fixed set of tiles each, so that their bits do not depend
// on the number of threads; CUDA uses one slot and adds up all bias gradients at the end of the program, but
// for the portable mathematics, in which it keeps to the same slots and tiles.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>
#include <vector>

#include "engine/comm/communicator.h"
#include "engine/launch/blocks.h"
#include "engine/launch/lanes.h"
#include "kernels/lane/matrix.h"
#include "nn/layers/bias_sums.h"
#include "nn/layers/portable_products.h"

namespace microlift {

inline constexpr index kTileRows = 64;
inline constexpr index kMostSlots = 16;
inline constexpr index kSharedRows = 4096;  // of a batch that is worth sharing out

inline index gradient_slots(const Device& device, index rows, index tile_rows = kTileRows) {
    if (!device.portable()) return 1;
    const index tiles = (rows + tile_rows - 1) / tile_rows;
    return tiles < kMostSlots ? tiles : kMostSlots;
}

// Floats of scratch space for bias gradients of so many columns, all layers together.
inline index bias_scratch(const Device& device, index columns) {
    return device.portable() ? 0 : kMostBiasChunks * columns;
}

enum class RowPlaces { by_number, by_thread };

// Rows of one group's arrays.
inline index rows_of_places(const Device& device, index rows, RowPlaces places) {
    return device.is_cpu() && places == RowPlaces::by_thread ? device.threads() * kTileRows : rows;
}

#if !defined(__CUDACC__)  // kernels need the names above only

template <class Real>
class RowProgram {
public:
    // `gradient` holds gradient_slots(…) × `parameters` values; it is zeroed before the first row. bias_sums: space of
    // bias_scratch(…), where there are weight gradients.
    RowProgram(Stream& stream, index rows, Real* gradient = nullptr, index parameters = 0,
               Real* bias_sums = nullptr, Precision precision = Precision::tf32,
               RowPlaces places = RowPlaces::by_number, index tile_rows = kTileRows)
        : stream_(stream), rows_(rows), gradient_(gradient), parameters_(parameters),
          bias_sums_(bias_sums), precision_(precision), places_(places), tile_rows_(tile_rows),
          group_rows_(rows_of_places(stream.device(), rows, places)) {
        if (!on_cpu() && gradient_)
            fill_zero(stream_, Span<Real>(gradient_, parameters_));
    }

    bool on_cpu() const { return stream_.device().is_cpu(); }
    Stream& stream() const { return stream_; }
    index rows() const { return rows_; }
    index group_rows() const { return group_rows_; }
    Real* gradient() const { return gradient_; }

    // call(row, gradient slot) for every row, on the CPU; CUDA takes bodies on stream().
    template <class F>
    void each_row_on_cpu(const F& call) {
        add([call, gradient = gradient_, parameters = parameters_](const Tile& t) {
            for (index i = 0; i < t.rows; ++i)
                call(t.row + i, gradient ? gradient + t.slot * parameters : nullptr);
        });
    }

    // body(L, i) for every element i = place*ld + column.
    template <class Body>
    void lanes(int groups, index ld, const Body& body) {
        if (on_cpu()) {
            add([groups, ld, body, stride = group_rows_](const Tile& t) {
                for (int c = 0; c < groups; ++c) {
                    const index from = t.place + c * stride;
                    run_lanes<Real, kLanes>(from * ld, (from + t.rows) * ld, body);
                }
            });
        } else if constexpr (kHaveCuda && std::is_same_v<Real, float>) {
            count_launch<Body>(groups * rows_ * ld);
            launch_on_cuda<Body, float>(stream_, groups * rows_ * ld, body);
        }
    }

    // body(L, place) or body(L, row, place): lanes over rows of one group.
    template <class Body>
    void row_lanes(const Body& body) {
        if constexpr (kTakesRowAndPlace<Body>)
            if (on_cpu()) return add_row_lanes(body);
        lanes(1, 1, body);
    }

    // body(place) or body(row, place) for every row of one group; on the CPU by lanes, if the body can.
    template <class Body>
    void each_row(const Body& body) {
        if (on_cpu()) {
            if constexpr (kTakesRowAndPlace<Body>)
                add_row_lanes(body);
            else
                add([body](const Tile& t) {
                    for (index i = 0; i < t.rows; ++i) {
                        if constexpr (requires { body(index{}, index{}); })
                            body(t.row + i, t.place + i);
                        else
                            body(t.place + i);
                    }
                });
        } else if constexpr (kHaveCuda && std::is_same_v<Real, float>) {
            launch_each(rows_, body);
        }
    }

    void multiply(int groups, const RowProduct<Real>& product) {
        Gemm<Real> gemm = gemm_of(product);
        gemm.columns = product.columns;
        if (on_cpu()) {
            add([groups, gemm, stride = group_rows_](const Tile& t) {
                for (int g = 0; g < groups; ++g) gemm_on_cpu(part(gemm, t, g * stride));
            });
        } else if constexpr (std::is_same_v<Real, float>) {
            multiply_on_cuda(groups, gemm, sums_by_tree(gemm));
        }
    }

    // The same, then body(L, i) for every element of c, as lanes() would do; on the CPU while it is in
    // the nearest cache.
    template <class Body>
    void multiply_then(int groups, const RowProduct<Real>& product, const Body& body) {
        const Gemm<Real> gemm = gemm_of(product);
        if (on_cpu()) {
            add([groups, gemm, body, stride = group_rows_](const Tile& t) {
                for (int g = 0; g < groups; ++g) {
                    const After<Body> after{body, (t.place + g * stride) * gemm.ldc, gemm.ldc};
                    gemm_on_cpu(part(gemm, t, g * stride), {&After<Body>::call, &after});
                }
            });
        } else if constexpr (std::is_same_v<Real, float>) {
            multiply_on_cuda(groups, gemm, false);
            lanes(groups, gemm.ldc, body);
        }
    }

    // On CUDA the bias gradient is summed by finish(): until then `b` stays as it is.
    void weight_gradient(int groups, const WeightGradient<Real>& sum) {
        Gemm<Real> gemm;
        gemm.a = sum.a.data, gemm.lda = sum.a.stride, gemm.m = sum.a.columns;
        gemm.b = sum.b.data, gemm.ldb = sum.b.stride;
        gemm.c = gradient_ + sum.weight, gemm.ldc = gemm.n = sum.b.columns;
        gemm.columns = sum.columns;
        gemm.transposed = true, gemm.accumulate = true;
        if (on_cpu()) {
            Real* sums = sum.bias < 0 ? nullptr : gradient_ + sum.bias;
            add([groups, gemm, sums, stride = group_rows_, parameters = parameters_](
                    const Tile& t) {
                for (int g = 0; g < groups; ++g) {
                    Gemm<Real> tile = gemm;
                    tile.a += (t.place + g * stride) * gemm.lda;
                    tile.b += (t.place + g * stride) * gemm.ldb;
                    tile.c += t.slot * parameters;
                    tile.k = t.rows;
                    gemm_on_cpu(tile);
                    if (sums)
                        add_column_sums_on_cpu(tile.b, tile.ldb, t.rows, tile.n,
                                               sums + t.slot * parameters);
                }
            });
        } else if constexpr (std::is_same_v<Real, float>) {
            if (stream_.device().portable()) return gather_gradient(groups, sum);
            gemm.k = groups * rows_;
            count_launch<Gemm<float>>(gemm.m * gemm.n);
            gemm_on_cuda(stream_, gemm, precision_);
            if (sum.bias >= 0) add_bias({gemm.b, gemm.ldb, gemm.n, sum.bias}, gemm.k);
        }
    }

    // values[row] of what this program makes is read after it, in every process.
    void all_rows(Real* values) { read_later_.push_back(values); }

    // Runs it, or hands it to the graph that is being recorded.
    void finish() {
        if (!on_cpu()) {
            sum_gradients();
            sum_biases();
            return;
        }
        count_launch<RowProgram>(rows_);
        struct Plan {
            std::vector<Call> calls;
            index rows, tile_rows, slots, parameters;
            Real* gradient;
            bool by_thread;
            std::vector<Real*> read_later;
            index first_row(index slot) const {
                const index tiles = (rows + tile_rows - 1) / tile_rows;
                return std::min(rows, slot * tiles / slots * tile_rows);
            }
        };
        auto plan = std::make_shared<const Plan>(
            Plan{std::move(calls_), rows_, tile_rows_,
                 gradient_slots(stream_.device(), rows_, tile_rows_), parameters_, gradient_,
                 places_ == RowPlaces::by_thread, std::move(read_later_)});
        ThreadPool& pool = stream_.device().pool();
        stream_.submit([plan, &pool] {
            const index tile_rows = plan->tile_rows;
            const index tiles = (plan->rows + tile_rows - 1) / tile_rows;
            const index slots = plan->gradient ? plan->slots : tiles;
            const bool shared = plan->gradient && plan->rows >= kSharedRows && !Communicator::world().alone();
            const Share share = shared ? Communicator::world().share(slots) : Share{0, slots};
            pool.run(share.count, [&](index number_of_slot) {
                const index slot = share.first + number_of_slot;
                if (plan->gradient) {
                    Real* mine = plan->gradient + slot * plan->parameters;
                    for (index i = 0; i < plan->parameters; ++i) mine[i] = 0;
                }
                Tile tile;
                tile.slot = slot;
                const index last = (slot + 1) * tiles / slots;
                for (index number = slot * tiles / slots; number < last; ++number) {
                    tile.row = number * tile_rows;
                    tile.rows =
                        tile_rows < plan->rows - tile.row ? tile_rows : plan->rows - tile.row;
                    tile.place = plan->by_thread ? ThreadPool::worker() * kTileRows : tile.row;
                    for (const Call& call : plan->calls) call(tile);
                }
            });
            if (!shared) return;
            gather_slots(slots, plan->gradient, [&](index slot) { return slot * plan->parameters; });
            for (Real* values : plan->read_later)
                gather_slots(slots, values, [&](index slot) { return plan->first_row(slot); });
        });
    }

private:
    static constexpr int kLanes = kNativeWidth * 4 / static_cast<int>(sizeof(Real));

    template <class Body>
    static constexpr bool kTakesRowAndPlace =
        requires(const Body& body) { body(Real{}, index{}, index{}); };

    struct Tile {
        index row = 0, rows = 0, place = 0, slot = 0;
    };
    using Call = std::function<void(const Tile&)>;

    // What follows a product: the body on a rectangle of its elements.
    template <class Body>
    struct After {
        Body body;
        index first, ld;
        static void call(const void* context, index row, index rows, index column,
                         index columns) {
            const After& me = *static_cast<const After*>(context);
            const auto loop = [&](const Body& known) __attribute__((always_inline)) {
                using P = Pack<Real, kLanes>;
                for (index r = row; r < row + rows; ++r) {
                    index i = me.first + r * me.ld + column;
                    const index end = i + columns;
                    if constexpr (requires { known.template side_by_side<4>(P{}, i); })
                        for (; i + 4 * kLanes <= end; i += 4 * kLanes)
                            known.template side_by_side<4>(P{}, i);
                    for (; i < end; i += kLanes) known(P{}, i);
                }
            };
            // A body that branches on a kind is compiled for each of them.
            if constexpr (requires { Body::with_kind(me.body, loop); })
                Body::with_kind(me.body, loop);
            else
                loop(me.body);
        }
    };

    // The part of every slot begins at values[start(slot)].
    template <class Start>
    static void gather_slots(index slots, Real* values, const Start& start) {
        Communicator& world = Communicator::world();
        std::vector<index> words;
        for (int r = 0; r < world.size(); ++r) {
            const Share part = share_of(slots, r, world.size());
            words.push_back((start(part.first + part.count) - start(part.first)) *
                            static_cast<index>(sizeof(Real) / 4));
        }
        world.gather(values, words);
    }

    template <class F>
    void add(F&& call) {
        calls_.emplace_back(std::forward<F>(call));
    }

    template <class Body>
    void add_row_lanes(const Body& body) {
        add([body](const Tile& t) {
            index i = 0;
            for (; i + kLanes <= t.rows; i += kLanes)
                body(Pack<Real, kLanes>{}, t.row + i, t.place + i);
            for (; i < t.rows; ++i) body(Real{}, t.row + i, t.place + i);
        });
    }
    static Gemm<Real> gemm_of(const RowProduct<Real>& p) {
        Gemm<Real> gemm;
        gemm.a = p.a.data, gemm.lda = p.a.stride, gemm.k = p.a.columns;
        gemm.b = p.b.data, gemm.ldb = p.b.stride, gemm.n = p.b.columns;
        gemm.bias = p.bias, gemm.c = p.c.data, gemm.ldc = p.c.stride;
        return gemm;
    }
    static Gemm<Real> part(Gemm<Real> gemm, const Tile& t, index group_place) {
        gemm.a += (t.place + group_place) * gemm.lda;
        gemm.c += (t.place + group_place) * gemm.ldc;
        gemm.m = t.rows;
        return gemm;
    }
    template <class Body>
    void launch_each(index n, const Body& body) {
        count_launch<Body>(n);
        launch_index_on_cuda<Body>(stream_, n, body);
    }
    void multiply_on_cuda(int groups, Gemm<float> gemm, bool by_tree) {
        gemm.m = groups * rows_;
        if constexpr (kHaveCuda)
            if (stream_.device().portable())
                return launch_each(gemm.m * gemm.n, PortableProductBody{gemm, by_tree});
        count_launch<Gemm<float>>(gemm.m * gemm.n);
        gemm_on_cuda(stream_, gemm, precision_);
    }

    // On the CPU all sums of a tile come before those of the next one, so that they can be added up only when
    // all are known.
    void gather_gradient(int groups, const WeightGradient<float>& sum) {
        const PortableGradientBody::Part part{sum.a.data,   sum.b.data,   sum.a.columns,
                                              sum.a.stride, sum.b.stride, groups};
        float* const weight = gradient_ + sum.weight;
        for (PortableGradientBody& known : gradients_)
            if (known.weight == weight) {
                if (known.count == 2) throw std::logic_error("a gradient has two parts at most");
                known.parts[known.count++] = part;
                return;
            }
        gradients_.push_back({{part, {}}, 1, sum.bias >= 0, rows_, tile_rows_,
                              gradient_slots(stream_.device(), rows_, tile_rows_), part.m, sum.b.columns,
                              parameters_, weight, gradient_ + sum.bias});
    }
    void sum_gradients() {
        if constexpr (kHaveCuda && std::is_same_v<Real, float>)
            for (const PortableGradientBody& sum : gradients_)
                launch_each<PortableGradientBody>(sum.size(), sum);
        gradients_.clear();
    }
    // Layers of as many rows go together; what is summed twice, one after the other.
    void add_bias(const BiasSums::Layer& layer, index rows) {
        bool apart = biases_.layers == kMostLayers || (biases_.layers > 0 && biases_.rows != rows);
        for (int l = 0; l < biases_.layers; ++l) apart = apart || biases_.layer[l].place == layer.place;
        if (apart) sum_biases();
        biases_.layer[biases_.layers++] = layer;
        biases_.rows = rows;
        biases_.columns += layer.columns;
    }
    void sum_biases() {
        if constexpr (kHaveCuda && std::is_same_v<Real, float>) {
            if (biases_.layers == 0) return;
            biases_.gradient = gradient_;
            biases_.partial = bias_sums_;
            const BiasSumKernel kernel{biases_};
            count_launch<BiasSumKernel>(kernel.blocks());
            launch_blocks_on_cuda(stream_, kernel.blocks(), kernel);
            if (biases_.chunks() > 1) {
                count_launch<BiasTotalBody>(biases_.columns);
                launch_index_on_cuda(stream_, biases_.columns, BiasTotalBody{biases_});
            }
            biases_ = {};
        }
    }

    Stream& stream_;
    index rows_;
    Real* gradient_;
    index parameters_;
    Real* bias_sums_;
    BiasSums biases_;  // on CUDA, of the layers whose weight gradients there are
    Precision precision_;
    RowPlaces places_;
    index tile_rows_;
    index group_rows_;
    std::vector<Call> calls_;
    std::vector<Real*> read_later_;
    std::vector<PortableGradientBody> gradients_;  // on CUDA, in the portable mathematics
};

#endif

}  // namespace microlift
