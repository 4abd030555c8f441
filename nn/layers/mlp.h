// Multilayer perceptrons as sweeps over rows; layers own nothing, all parameters of a network lie in
// one flat span.
//
// Layer l = 1..layers: z_l = h_{l−1} W_l + b_l, h_l = φ(z_l), the last one linear. W_l is (in, out),
// row-major with leading dimension padded_width(out), the padding zero. Beside the parameters a copy
// of every W_lᵀ is kept, so that the reverse sweeps read rows too.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "nn/layers/mlp_bodies.h"
#include "nn/layers/row_program.h"

namespace microlift {

struct MlpLayout {
    int layers = 0;
    Activation activation = Activation::silu;
    std::array<index, kMostLayers + 1> width{}, ld{};   // of h_0 … h_layers
    std::array<index, kMostLayers + 1> weight{}, bias{}, transposed{};  // offsets, by layer 1…
    index parameters = 0, transposed_size = 0;

    MlpLayout() = default;
    // widths: input, hidden …, output.
    MlpLayout(const std::vector<index>& widths, Activation activation);

    // Uniform in ±sqrt(3/in) (variance 1/in), biases zero; `which` tells networks apart.
    std::vector<float> initial(uint64 seed, uint64 which) const;
    std::vector<float> transpose(const std::vector<float>& parameters) const;
    index bias_columns() const;  // of all layers, with padding
};

// --- sweeps -----------------------------------------------------------------------------------------

// Scratch of one network on stacked groups of rows. A pointer with index l is (groups·rows, ld_l).
template <class Real>
struct MlpScratch {
    std::array<Real*, kMostLayers + 1> h{};       // h_0 is the input, h_layers the output
    std::array<Real*, kMostLayers + 1> first{};   // φ′(z_l)
    std::array<Real*, kMostLayers + 1> r{};       // ∂loss/∂z_l; r_0 is ∂loss/∂input
    std::array<Real*, kMostLayers + 1> second{};  // φ″(z_l)                      } of penalised
    std::array<Real*, kMostLayers + 1> g{};       // ∂D/∂z_l; g_0 is ∂D/∂input     } groups only
    std::array<Real*, kMostLayers + 1> t{};       // the tangent; t_0 its seed     }
    std::array<Real*, kMostLayers + 1> a{};       // ∂D/∂h_l, then a ⊙ τ ⊙ φ″      }
    int penalised_from = 0;                       // the first group that has them

    static index size(const MlpLayout& layout, index rows, int groups, int penalised);
    MlpScratch() = default;
    MlpScratch(const MlpLayout& layout, index rows, int groups, int penalised, Real* memory);
};

// Of a forward sweep alone: h_l (rows, ld_l).
index activations_size(const MlpLayout& layout, index rows);
std::array<float*, kMostLayers + 1> activations(const MlpLayout& layout, index rows,
                                                float* memory);

// Which derivatives of the activations a forward sweep keeps.
template <int order>
struct Derivatives {};

// A Program is a RowProgram (nn/layers/row_program.h) or, within a block, a TileProgram (kernels/block/mlp_tile.cuh).
template <class Real>
struct Mlp {
    const MlpLayout& layout;
    const Real* parameters;
    const Real* transposed;
    const MlpScratch<Real>& scratch;
    index rows;  // of a group's arrays: RowProgram::group_rows()

    LANE_FN static std::size_t at(int l) { return static_cast<std::size_t>(l); }
    LANE_FN Matrix<const Real> weight(int l) const {
        return {parameters + layout.weight[at(l)], layout.width[at(l - 1)], layout.ld[at(l)],
                layout.ld[at(l)]};
    }
    LANE_FN const Real* bias(int l) const { return parameters + layout.bias[at(l)]; }
    LANE_FN Matrix<const Real> weight_transposed(int l) const {
        return {transposed + layout.transposed[at(l)], layout.width[at(l)], layout.ld[at(l - 1)],
                layout.ld[at(l - 1)]};
    }
    // Where group c of an array of layer l begins; penalised arrays begin at penalised_from.
    LANE_FN Real* group(Real* p, int l, int c) const { return p + c * rows * layout.ld[at(l)]; }
    LANE_FN Matrix<Real> of(Real* p, int l, int c = 0) const {
        return {group(p, l, c), rows, layout.width[at(l)], layout.ld[at(l)]};
    }
    // Of the input only the first `columns` matter, if that is not 0.
    LANE_FN RowProduct<Real> to_input(Real* from, Real* to, index columns) const {
        const index n = columns > 0 ? padded_width(columns) : layout.ld[0];
        return {of(from, 1), weight_transposed(1).first(n), nullptr, of(to, 0), columns};
    }

    // h_0 → h_layers for `groups` groups; keeps φ′ where `order` is 1 or 2, and φ″ of the penalised
    // groups, which are the last ones, where it is 2.
    template <int order, class Program>
    LANE_FN void forward(Program& program, int groups, Derivatives<order>) const {
        const int L = layout.layers;
        for (int l = 1; l <= L; ++l) {
            const auto product_of = [&](int c) {
                return RowProduct<Real>{of(scratch.h[at(l - 1)], l - 1, c), weight(l), bias(l),
                                        of(scratch.h[at(l)], l, c)};
            };
            if (l == L) {
                RowProduct<Real> product = product_of(0);
                product.columns = layout.width[at(l)];
                program.multiply(groups, product);
                break;
            }
            const int plain = order == 2 && scratch.penalised_from < groups ? scratch.penalised_from : groups;
            if (plain > 0)
                program.multiply_then(
                    plain, product_of(0),
                    ActivateBody<Real>{layout.activation, scratch.h[at(l)],
                                       order > 0 ? scratch.first[at(l)] : nullptr, nullptr});
            if constexpr (order == 2)
                if (groups > plain)
                    program.multiply_then(
                        groups - plain, product_of(plain),
                        ActivateBody<Real>{layout.activation, group(scratch.h[at(l)], l, plain),
                                           group(scratch.first[at(l)], l, plain),
                                           scratch.second[at(l)]});
        }
    }

    // ∂D/∂z_l and ∂D/∂input of the penalised groups (output width 1). Only the first `columns` of the
    // input matter, if not 0.
    template <class Program>
    LANE_FN void input_gradient(Program& program, int penalised, index columns = 0) const {
        const int L = layout.layers;
        for (int c = 0; c < penalised; ++c)
            program.each_row(SeedBody<Real>{group(scratch.g[at(L)], L, c), layout.ld[at(L)], 1});
        for (int l = L; l > 1; --l)
            program.multiply_then(
                penalised,
                RowProduct<Real>{of(scratch.g[at(l)], l), weight_transposed(l), nullptr,
                                 of(scratch.a[at(l - 1)], l - 1)},
                MultiplyBody<Real>{scratch.a[at(l - 1)],
                                   group(scratch.first[at(l - 1)], l - 1, scratch.penalised_from),
                                   scratch.g[at(l - 1)]});
        program.multiply(penalised, to_input(scratch.g[1], scratch.g[0], columns));
    }

    // Carries the seed t_0 = ∂penalty/∂(∂D/∂input) forward; leaves the second-order terms in a. Beyond
    // the first `columns` the seed is zero, if that is not 0.
    template <class Program>
    LANE_FN void tangent(Program& program, int penalised, index columns = 0) const {
        for (int l = 1; l < layout.layers; ++l)
            program.multiply_then(
                penalised,
                RowProduct<Real>{seed(l - 1, columns), weight(l), nullptr, of(scratch.t[at(l)], l)},
                TangentBody<Real>{scratch.a[at(l)], scratch.t[at(l)],
                                  group(scratch.first[at(l)], l, scratch.penalised_from),
                                  scratch.second[at(l)]});
    }
    // t_l; of t_0 the columns that are not zero.
    LANE_FN Matrix<const Real> seed(int l, index columns) const {
        return of(scratch.t[at(l)], l)
            .first(l == 0 && columns > 0 ? columns : layout.width[at(l)]);
    }

    // From r_layers down to r_1, and to the input (its first `columns`, if not 0) if asked for; the
    // penalised groups gather their second-order terms on the way.
    template <class Program>
    LANE_FN void reverse(Program& program, int groups, int penalised, bool to_inputs,
                 index columns = 0) const {
        const int L = layout.layers, plain = groups - penalised;
        for (int l = L; l > 1; --l) {
            const auto product = [&](int c, int count, const auto& body) {
                if (count > 0)
                    program.multiply_then(
                        count,
                        RowProduct<Real>{of(scratch.r[at(l)], l, c), weight_transposed(l), nullptr,
                                         of(scratch.r[at(l - 1)], l - 1, c)},
                        body);
            };
            product(0, plain,
                    MultiplyBody<Real>{scratch.r[at(l - 1)], scratch.first[at(l - 1)],
                                       scratch.r[at(l - 1)]});
            product(plain, penalised,
                    MultiplyAddBody<Real>{group(scratch.r[at(l - 1)], l - 1, plain),
                                          group(scratch.first[at(l - 1)], l - 1, plain),
                                          scratch.a[at(l - 1)]});
        }
        if (to_inputs) program.multiply(groups, to_input(scratch.r[1], scratch.r[0], columns));
    }

    // All weight gradients, of the loss (r) and of the penalty's tangent (t, g). Of the tangent's seed
    // only the first `columns` are not zero, if that is not 0.
    template <class Program>
    LANE_FN void weight_gradients(Program& program, int groups, int penalised,
                                  index columns = 0) const {
        for (int l = 1; l <= layout.layers; ++l) {
            const index ld = layout.ld[at(l)], width = layout.width[at(l)];
            program.weight_gradient(
                groups,
                WeightGradient<Real>{of(scratch.h[at(l - 1)], l - 1),
                                     of(scratch.r[at(l)], l).first(ld), layout.weight[at(l)],
                                     layout.bias[at(l)], width});
            if (penalised > 0)
                program.weight_gradient(
                    penalised,
                    WeightGradient<Real>{seed(l - 1, columns), of(scratch.g[at(l)], l).first(ld),
                                         layout.weight[at(l)], -1, width});
        }
    }
};

// --- implementation ---------------------------------------------------------------------------------

template <class Real>
index MlpScratch<Real>::size(const MlpLayout& layout, index rows, int groups, int penalised) {
    index total = 0;
    for (int l = 0; l <= layout.layers; ++l)
        total += layout.ld[static_cast<std::size_t>(l)] * rows * (3 * groups + 4 * penalised);
    return total;
}

template <class Real>
MlpScratch<Real>::MlpScratch(const MlpLayout& layout, index rows, int groups, int penalised,
                             Real* memory)
    : penalised_from(groups - penalised) {
    for (int l = 0; l <= layout.layers; ++l) {
        const auto at = static_cast<std::size_t>(l);
        const index all = layout.ld[at] * rows * groups, some = layout.ld[at] * rows * penalised;
        for (auto* array : {&h, &first, &r}) {
            (*array)[at] = memory;
            memory += all;
        }
        if (penalised == 0) continue;
        for (auto* array : {&second, &g, &t, &a}) {
            (*array)[at] = memory;
            memory += some;
        }
    }
}

}  // namespace microlift
