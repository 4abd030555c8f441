// Circular convolutions over the sites of a ring, as kernel bodies. Row b of a batch has its own place
// in every array, `place` numbers from the next. Arrays that a convolution reads hold `half` more
// sites at either end, copies from the other one, so that site i's neighbourhood is one run of
// kernel·channels numbers from place i: a row of a matrix whose rows overlap.
#pragma once

#include "nn/layers/mlp_bodies.h"

namespace microlift {

// (x of every site, features) → the two input channels, x and its sum over sqrt(sites), and the
// features followed by 1.
template <class Real>
struct ConvInputBody {
    const Real* dense;  // (rows, dense_ld)
    index dense_ld, sites, half, features;
    Real root;  // sqrt(sites)
    Real *input, *feature;
    index place;
    LANE_FN void operator()(index row) const {
        const Real* from = dense + row * dense_ld;
        Real* in = input + row * place;
        Real sum = 0;
        for (index d = 0; d < sites; ++d) sum += from[d];
        sum /= root;
        for (index d = -half; d < sites + half; ++d) {
            in[2 * (d + half)] = from[(d + sites) % sites];
            in[2 * (d + half) + 1] = sum;
        }
        Real* f = feature + row * place;
        for (index k = 0; k < features; ++k) f[k] = from[sites + k];
        f[features] = 1;
    }
};

// out = bias + Σ_p a[site·lda + p] w[p·ldw + channel] (+ out where `add`); lanes are channels.
template <class Real>
struct ConvolveBody {
    const Real *a, *w, *bias;  // bias: (rows, ·), or null
    Real* out;
    index sites, lda, depth, ldw, place;
    bool add;
    template <class L>
    LANE_FN void operator()(L, index i) const {
        const index place_of = quotient(i, ldw), c = i - place_of * ldw;
        const index row = quotient(place_of, sites), site = place_of - row * sites;
        const Real* from = a + row * place + site * lda;
        Real* to = out + row * place + site * ldw;
        L sum = add ? load<L>(to, c) : bias ? load<L>(bias + row * place, c) : broadcast<L>(0);
        for (index p = 0; p < depth; ++p)
            sum = fma(broadcast<L>(from[p]), load<L>(w + p * ldw, c), sum);
        store(to, c, sum);
    }
};

// h ← φ(h) (+ the layer before, where there is a way past); keeps φ′ where there is room.
template <class Real>
struct ConvActivateBody {
    Activation kind;
    Real* h;
    const Real* past;  // or null
    Real* first;       // or null
    index size, place;  // size: of a row
    template <class L>
    LANE_FN void operator()(L, index i) const {
        const index row = quotient(i, size), at = row * place + (i - row * size);
        const auto v = activation<Portable>(kind, load<L>(h, at));
        store(h, at, past ? v.value + load<L>(past, at) : v.value);
        if (first) store(first, at, v.first);
    }
};

// The copies at both ends of every row: `span` numbers each, of sites·ld.
template <class Real>
struct ConvHaloBody {
    Real* h;  // at the row's first number
    index span, size, place;
    LANE_FN void operator()(index i) const {
        const index number = quotient(i, span), k = i - number * span;
        Real* row = h + number * place;
        row[k] = row[size + k];
        row[size + span + k] = row[span + k];
    }
};

// Mean squared error of a row: its seed, twice (in columns of `seed` and, with ends, `seed_ring`), and
// the row's share.
template <class Real>
struct ConvLossBody {
    const Real *out, *target;
    index target_ld, sites, half, ld;
    Real scale;  // 1/batch
    Real *seed, *seed_ring, *loss;
    index place;
    LANE_FN void operator()(index row) const {
        const Real *o = out + row * place, *aim = target + row * target_ld;
        Real *s = seed + row * place, *ring = seed_ring + row * place + half;
        Real sum = 0;
        for (index d = 0; d < sites; ++d) {
            const Real e = o[d * ld] - aim[d];
            for (index c = 0; c < ld; ++c) s[d * ld + c] = 0;
            ring[d] = s[d * ld] = 2 * scale * e;
            sum += e * e;
        }
        for (index k = 0; k < half; ++k) {
            ring[-half + k] = ring[sites - half + k];
            ring[sites + k] = ring[k];
        }
        loss[row] = scale * sum;
    }
};

// r = g ⊙ φ′.
template <class Real>
struct ConvSeedBody {
    const Real *g, *first;
    Real* r;
    index size, place;
    template <class L>
    LANE_FN void operator()(L, index i) const {
        const index row = quotient(i, size), at = row * place + (i - row * size);
        store(r, at, load<L>(g, at) * load<L>(first, at));
    }
};

// The sums over sites, of which the features' gradients are made.
template <class Real>
struct ConvSumBody {
    const Real* r;
    Real* sum;
    index sites, ld, place;
    template <class L>
    LANE_FN void operator()(L, index i) const {
        const index row = quotient(i, ld), c = i - row * ld;
        L total = broadcast<L>(0);
        for (index s = 0; s < sites; ++s) total = total + load<L>(r + row * place + s * ld, c);
        store(sum + row * place, c, total);
    }
};

// gradient[slot][p][channel] = Σ over the slot's rows and their sites of a[site·lda + p] r[site·ld + c].
template <class Real>
struct ConvGradientBody {
    const Real *a, *r;
    Real* gradient;
    index rows, slots, parameters, sites, lda, depth, ld, place;
    template <class L>
    LANE_FN void operator()(L, index i) const {
        const index pair = quotient(i, ld), c = i - pair * ld;
        const index slot = quotient(pair, depth), p = pair - slot * depth;
        L sum = broadcast<L>(0);
        for (index row = slot * rows / slots; row < (slot + 1) * rows / slots; ++row) {
            const Real *left = a + row * place + p, *right = r + row * place;
            for (index s = 0; s < sites; ++s)
                sum = fma(broadcast<L>(left[s * lda]), load<L>(right + s * ld, c), sum);
        }
        store(gradient + slot * parameters, p * ld + c, sum);
    }
};

// The weights as the reverse sweep reads them: taps in reverse, outputs before inputs.
struct FlipBody {
    const float* weight;  // (kernel, in, out) with `ldw` for out
    float* flipped;       // (kernel, out, in)
    index kernel, in, out, ldw;
    LANE_FN void operator()(index i) const {
        const index pair = quotient(i, in), ci = i - pair * in;
        const index k = quotient(pair, out), co = pair - k * out;
        flipped[i] = weight[((kernel - 1 - k) * in + ci) * ldw + co];
    }
};

// Every site of a row begins with the row's bias.
struct ConvBiasBody {
    const float* bias;
    float* out;
    index size, ld, place;  // size: of a row
    LANE_FN void operator()(index i) const {
        const index row = i / size * place, k = i % size;
        out[row + k] = bias[row + k % ld];
    }
};

// A layer's weights, (kernel, in, out), as cuDNN's filters, (out, kernel, in); and a gradient back.
struct ToFilterBody {
    const float* weight;
    float* filter;
    index out, taps;  // taps: kernel · in
    LANE_FN void operator()(index i) const { filter[i] = weight[i % taps * out + i / taps]; }
};

struct FromFilterBody {
    const float* filter;
    float* weight;
    index out, taps;
    LANE_FN void operator()(index i) const { weight[i] = filter[i % out * taps + i / out]; }
};

// The network's output as a dense row.
struct ConvOutputBody {
    const float* out;
    index ld, sites, place, dense_ld;
    float* dense;
    LANE_FN void operator()(index row) const {
        for (index d = 0; d < sites; ++d) dense[row * dense_ld + d] = out[row * place + d * ld];
    }
};

}  // namespace microlift
