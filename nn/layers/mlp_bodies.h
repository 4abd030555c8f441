// Element-wise kernel bodies of the sweeps through a network.
#pragma once

#include "kernels/net/activation.h"

namespace microlift {

inline constexpr int kMostLayers = 12;

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

}  // namespace microlift
