// Element-wise kernel bodies of the sweeps through a network.
#pragma once

#include "kernels/lane/whole.h"
#include "kernels/net/activation.h"
#include "nn/layers/limits.h"
#include "nn/layers/transpose.h"

namespace microlift {

// h = φ(z) in place; φ′ and φ″ where there is room for them.
template <class Real>
struct ActivateBody {
    Activation kind;
    Real *h, *first, *second;
    template <class L>
    LANE_FN void operator()(L, index i) const {
        side_by_side<1>(L{}, i);
    }
    // N packs at a time: each is one long chain of operations, which the others fill.
    template <int N, class L>
    LANE_FN void side_by_side(L, index i) const {
        constexpr int W = kWidth<L>;
        ActivationValues<L> v[N];
LANE_UNROLL
        for (int n = 0; n < N; ++n) v[n] = activation<Portable>(kind, load<L>(h, i + n * W));
LANE_UNROLL
        for (int n = 0; n < N; ++n) {
            store(h, i + n * W, v[n].value);
            if (first) store(first, i + n * W, v[n].first);
            if (second) store(second, i + n * W, v[n].second);
        }
    }
    // loop(a copy whose kind the compiler knows)
    template <class Loop>
    static LANE_FN void with_kind(ActivateBody body, const Loop& loop) {
        switch (body.kind) {
            case Activation::silu: body.kind = Activation::silu; return loop(body);
            case Activation::leaky_relu: body.kind = Activation::leaky_relu; return loop(body);
            case Activation::tanh: body.kind = Activation::tanh; return loop(body);
            case Activation::softplus: body.kind = Activation::softplus; return loop(body);
        }
    }
};

// out = a ⊙ b
template <class Real>
struct MultiplyBody {
    const Real *a, *b;
    Real* out;
    template <class L>
    LANE_FN void operator()(L, index i) const {
        store(out, i, load<L>(a, i) * load<L>(b, i));
    }
};

// The tangent's step through an activation: a ← a ⊙ τ ⊙ φ″, t ← τ ⊙ φ′ (τ comes in t).
template <class Real>
struct TangentBody {
    Real *a, *t;
    const Real *first, *second;
    template <class L>
    LANE_FN void operator()(L, index i) const {
        const L tau = load<L>(t, i);
        store(a, i, load<L>(a, i) * tau * load<L>(second, i));
        store(t, i, tau * load<L>(first, i));
    }
};

// r ← r ⊙ φ′ + q
template <class Real>
struct MultiplyAddBody {
    Real* r;
    const Real *first, *q;
    template <class L>
    LANE_FN void operator()(L, index i) const {
        store(r, i, fma(load<L>(r, i), load<L>(first, i), load<L>(q, i)));
    }
};

// Column 0 of a row-major matrix is set to a number.
template <class Real>
struct SeedBody {
    Real* out;
    index ld;
    Real value;
    LANE_FN void operator()(index row) const { out[row * ld] = value; }
};

// Mean squared error: its seed and each row's share of it.
struct SquaredErrorBody {
    int states;
    float scale;  // 1/batch
    const float *value, *target;
    float *seed, *loss;
    index ld;
    LANE_FN void operator()(index row) const {
        float sum = 0;
        for (int d = 0; d < states; ++d) {
            const float e = value[row * ld + d] - target[row * ld + d];
            seed[row * ld + d] = 2.0f * scale * e;
            sum = fma(e, e, sum);
        }
        loss[row] = scale * sum;
    }
};

// Tangents behind the first layer: group j is row j of its weights, times φ′ where there is one.
struct TangentStartBody {
    const float *weight, *first;
    float* tangent;
    index size, ld;  // size: rows·ld, of one group
    template <class L>
    LANE_FN void operator()(L, index i) const {
        const index j = quotient(i, size);
        const L w = load<L>(weight + j * ld, modulo(i, ld));
        store(tangent, i, first ? w * load<L>(first, i - j * size) : w);
    }
};

// The same where some directions are angles, whose inputs' derivatives are other inputs.
struct TangentOfAnglesBody {
    TangentStartBody start;
    const TangentDirection* directions;
    const float* input;
    index input_ld;
    template <class L>
    LANE_FN void operator()(L, index i) const {
        const index d = quotient(i, start.size), inside = i - d * start.size;
        const index column = modulo(i, start.ld);
        const TangentDirection along = directions[d];
        const float* weight = start.weight + along.input * start.ld;
        L w = load<L>(weight, column);
        if (along.waves > 0) {
            const float* wave = input + quotient(inside, start.ld) * input_ld + along.input;
            w = broadcast<L>(0.0f);
            for (int k = 0; k < along.waves; ++k) {
                const float turns = static_cast<float>(k + 1);
                w = fma(broadcast<L>(-turns * wave[2 * k + 1]),
                        load<L>(weight + 2 * k * start.ld, column), w);
                w = fma(broadcast<L>(turns * wave[2 * k]),
                        load<L>(weight + (2 * k + 1) * start.ld, column), w);
            }
        }
        store(start.tangent, i, start.first ? w * load<L>(start.first, inside) : w);
    }
};

// tangent ← tangent ⊙ φ′ in every group.
struct TangentScaleBody {
    const float* first;
    float* tangent;
    index size;
    template <class L>
    LANE_FN void operator()(L, index i) const {
        store(tangent, i, load<L>(tangent, i) * load<L>(first, modulo(i, size)));
    }
};

}  // namespace microlift
