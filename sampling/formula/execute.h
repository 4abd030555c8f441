// The interpreter of formula bytecode, for any lane type. Included by sampling/formula/program.lanes.cpp
// (native width) and by the tests (every width).
#pragma once

#include "kernels/lane/special.h"
#include "sampling/formula/program.h"

namespace microlift {

// out = f(a, …) over a tile; f takes and returns lanes.
template <class L>
struct TileLoop {
    float* out;
    const float *a, *b, *c;
    int lanes;

    template <class F>
    LANE_FN void unary(F f) const {
LANE_UNROLL
        for (int i = 0; i < lanes; i += kWidth<L>) store(out, i, f(load<L>(a, i)));
    }
    template <class F>
    LANE_FN void binary(F f) const {
LANE_UNROLL
        for (int i = 0; i < lanes; i += kWidth<L>) store(out, i, f(load<L>(a, i), load<L>(b, i)));
    }
    template <class F>
    LANE_FN void ternary(F f) const {
LANE_UNROLL
        for (int i = 0; i < lanes; i += kWidth<L>)
            store(out, i, f(load<L>(a, i), load<L>(b, i), load<L>(c, i)));
    }
};

template <class M, class L>
LANE_FN L sin_of(L x) {
    L s, c;
    sincos<M>(x, s, c);
    return s;
}

template <class M, class L>
LANE_FN L cos_of(L x) {
    L s, c;
    sincos<M>(x, s, c);
    return c;
}

template <class L>
LANE_FN L one_where(Mask<L> m) {
    return select(m, broadcast<L>(1.0f), broadcast<L>(0.0f));
}

template <class L>
LANE_FN L sign_of(L x) {
    const L zero = broadcast<L>(0.0f);
    return select(x > zero, broadcast<L>(1.0f), select(x < zero, broadcast<L>(-1.0f), x));
}

// Lanes [0, lanes) of a tile whose slots lie `stride` floats apart.
template <class L, class M>
LANE_FN void interpret(const Instruction* next, const Instruction* end, float* slots, int stride,
                       int lanes) {
    for (; next != end; ++next) {
        const Instruction& in = *next;
        const auto slot = [slots, stride](std::int32_t s) {  // an absent operand is never read
            return slots + static_cast<index>(s) * stride;
        };
        const TileLoop<L> tile{slot(in.destination), slot(in.a), slot(in.b), slot(in.c), lanes};
        const L k = broadcast<L>(in.k), l = broadcast<L>(in.l), m = broadcast<L>(in.m);
        switch (in.code) {
            case Code::add: tile.binary([](L a, L b) { return a + b; }); break;
            case Code::add_k: tile.unary([k](L a) { return a + k; }); break;
            case Code::sub: tile.binary([](L a, L b) { return a - b; }); break;
            case Code::k_sub: tile.unary([k](L a) { return k - a; }); break;
            case Code::mul: tile.binary([](L a, L b) { return a * b; }); break;
            case Code::mul_k: tile.unary([k](L a) { return a * k; }); break;
            case Code::mul_kab: tile.binary([k](L a, L b) { return (a * k) * b; }); break;
            case Code::div: tile.binary([](L a, L b) { return a / b; }); break;
            case Code::k_div: tile.unary([k](L a) { return k / a; }); break;
            case Code::neg: tile.unary([](L a) { return -a; }); break;
            case Code::fma: tile.ternary([](L a, L b, L c) { return fma(a, b, c); }); break;
            case Code::fma_k: tile.binary([k](L a, L b) { return fma(a, b, k); }); break;
            case Code::fma_ak: tile.binary([k](L a, L b) { return fma(a, k, b); }); break;
            case Code::fma_akl: tile.unary([k, l](L a) { return fma(a, k, l); }); break;
            case Code::fms: tile.ternary([](L a, L b, L c) { return fms(a, b, c); }); break;
            case Code::fnma: tile.ternary([](L a, L b, L c) { return fnma(a, b, c); }); break;
            case Code::fnma_k: tile.binary([k](L a, L b) { return fnma(a, b, k); }); break;
            case Code::linear: tile.binary([k, l](L a, L b) { return fma(a, k, b * l); }); break;
            case Code::linear_m:
                tile.binary([k, l, m](L a, L b) { return fma(a, k, fma(b, l, m)); });
                break;
            case Code::exp2: tile.unary([](L a) { return exp2<M>(a); }); break;
            case Code::exp: tile.unary([](L a) { return exp<M>(a); }); break;
            case Code::exp_k: tile.unary([k](L a) { return exp<M>(a * k); }); break;
            case Code::log: tile.unary([](L a) { return log<M>(a); }); break;
            case Code::sqrt: tile.unary([](L a) { return sqrt<M>(a); }); break;
            case Code::sin: tile.unary([](L a) { return sin_of<M>(a); }); break;
            case Code::cos: tile.unary([](L a) { return cos_of<M>(a); }); break;
            case Code::sincos: {
                float* const second = slot(in.second_destination);
                for (int i = 0; i < lanes; i += kWidth<L>) {
                    L s, c;
                    sincos<M>(load<L>(tile.a, i), s, c);
                    store(tile.out, i, s);
                    store(second, i, c);
                }
                break;
            }
            case Code::tanh: tile.unary([](L a) { return tanh<M>(a); }); break;
            case Code::sinh: tile.unary([](L a) { return sinh<M>(a); }); break;
            case Code::cosh: tile.unary([](L a) { return cosh<M>(a); }); break;
            case Code::atan: tile.unary([](L a) { return atan<M>(a); }); break;
            case Code::erf: tile.unary([](L a) { return erf<M>(a); }); break;
            case Code::abs: tile.unary([](L a) { return abs(a); }); break;
            case Code::sign: tile.unary([](L a) { return sign_of(a); }); break;
            // min and max return the second argument when either is NaN, so k comes first.
            case Code::min: tile.binary([](L a, L b) { return min(a, b); }); break;
            case Code::min_k: tile.unary([k](L a) { return min(k, a); }); break;
            case Code::max: tile.binary([](L a, L b) { return max(a, b); }); break;
            case Code::max_k: tile.unary([k](L a) { return max(k, a); }); break;
            case Code::less: tile.binary([](L a, L b) { return one_where<L>(a < b); }); break;
            case Code::less_k: tile.unary([k](L a) { return one_where<L>(a < k); }); break;
            case Code::k_less: tile.unary([k](L a) { return one_where<L>(k < a); }); break;
        }
    }
}

}  // namespace microlift
