// The interpreter of formula bytecode, for any lane type. Included by sampling/formula_program.cpp
// (native width) and by the tests (every width).
#pragma once

#include "kernels/special.h"
#include "sampling/formula_program.h"

namespace microlift {

template <class L, class F>
LANE_FN void for_tile(int lanes, const F& body) {
LANE_UNROLL
    for (int i = 0; i < lanes; i += kWidth<L>) body(i);
}

// Lanes [0, lanes) of a tile whose slots lie `stride` floats apart.
template <class L, class M>
LANE_FN void interpret(const Instruction* next, const Instruction* end, float* slots, int stride,
                       int lanes) {
    for (; next != end; ++next) {
        const Instruction& in = *next;
        float* const out = slots + static_cast<index>(in.destination) * stride;
        const float* const pa = slots + static_cast<index>(in.a) * stride;
        const float* const pb = slots + static_cast<index>(in.b < 0 ? in.a : in.b) * stride;
        const float* const pc = slots + static_cast<index>(in.c < 0 ? in.a : in.c) * stride;
        const L k = broadcast<L>(in.k), l = broadcast<L>(in.l), m = broadcast<L>(in.m);
        const auto each = [&](const auto& f) {
            for_tile<L>(lanes, [&](int i) { store(out, i, f(i)); });
        };
        const auto a = [&](int i) { return load<L>(pa, i); };
        const auto b = [&](int i) { return load<L>(pb, i); };
        const auto c = [&](int i) { return load<L>(pc, i); };
        const L one = broadcast<L>(1.0f), zero = broadcast<L>(0.0f);
        switch (in.code) {
            case Code::add: each([&](int i) { return a(i) + b(i); }); break;
            case Code::add_k: each([&](int i) { return a(i) + k; }); break;
            case Code::sub: each([&](int i) { return a(i) - b(i); }); break;
            case Code::k_sub: each([&](int i) { return k - a(i); }); break;
            case Code::mul: each([&](int i) { return a(i) * b(i); }); break;
            case Code::mul_k: each([&](int i) { return a(i) * k; }); break;
            case Code::mul_kab: each([&](int i) { return (a(i) * k) * b(i); }); break;
            case Code::div: each([&](int i) { return a(i) / b(i); }); break;
            case Code::k_div: each([&](int i) { return k / a(i); }); break;
            case Code::neg: each([&](int i) { return -a(i); }); break;
            case Code::fma: each([&](int i) { return fma(a(i), b(i), c(i)); }); break;
            case Code::fma_k: each([&](int i) { return fma(a(i), b(i), k); }); break;
            case Code::fma_ak: each([&](int i) { return fma(a(i), k, c(i)); }); break;
            case Code::fma_akl: each([&](int i) { return fma(a(i), k, l); }); break;
            case Code::fms: each([&](int i) { return fms(a(i), b(i), c(i)); }); break;
            case Code::fnma:
                each([&](int i) { return fnma(a(i), b(i), c(i)); });
                break;
            case Code::fnma_k: each([&](int i) { return fnma(a(i), b(i), k); }); break;
            case Code::linear:
                each([&](int i) { return fma(a(i), k, b(i) * l); });
                break;
            case Code::linear_m:
                each([&](int i) { return fma(a(i), k, fma(b(i), l, m)); });
                break;
            case Code::exp: each([&](int i) { return exp<M>(a(i)); }); break;
            case Code::exp_k: each([&](int i) { return exp<M>(a(i) * k); }); break;
            case Code::mul_exp: each([&](int i) { return exp<M>(a(i)) * k; }); break;
            case Code::log: each([&](int i) { return log<M>(a(i)); }); break;
            case Code::sqrt: each([&](int i) { return sqrt<M>(a(i)); }); break;
            case Code::sin:
                each([&](int i) {
                    L s, t;
                    sincos<M>(a(i), s, t);
                    return s;
                });
                break;
            case Code::cos:
                each([&](int i) {
                    L s, t;
                    sincos<M>(a(i), s, t);
                    return t;
                });
                break;
            case Code::sincos: {
                float* const second = slots + static_cast<index>(in.second_destination) * stride;
                for_tile<L>(lanes, [&](int i) {
                    L s, t;
                    sincos<M>(a(i), s, t);
                    store(out, i, s);
                    store(second, i, t);
                });
                break;
            }
            case Code::tanh: each([&](int i) { return tanh<M>(a(i)); }); break;
            case Code::sinh: each([&](int i) { return sinh<M>(a(i)); }); break;
            case Code::cosh: each([&](int i) { return cosh<M>(a(i)); }); break;
            case Code::atan: each([&](int i) { return atan<M>(a(i)); }); break;
            case Code::erf: each([&](int i) { return erf<M>(a(i)); }); break;
            case Code::abs: each([&](int i) { return abs(a(i)); }); break;
            case Code::sign:
                each([&](int i) {
                    const L x = a(i);
                    return select(x > zero, one, select(x < zero, -one, x));
                });
                break;
            // min and max return the second argument when either is NaN, so k comes first.
            case Code::min: each([&](int i) { return min(a(i), b(i)); }); break;
            case Code::min_k: each([&](int i) { return min(k, a(i)); }); break;
            case Code::max: each([&](int i) { return max(a(i), b(i)); }); break;
            case Code::max_k: each([&](int i) { return max(k, a(i)); }); break;
            case Code::less:
                each([&](int i) { return select(a(i) < b(i), one, zero); });
                break;
            case Code::less_k:
                each([&](int i) { return select(a(i) < k, one, zero); });
                break;
            case Code::k_less:
                each([&](int i) { return select(k < a(i), one, zero); });
                break;
        }
    }
}

}  // namespace microlift
