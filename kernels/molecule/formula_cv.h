// Formulas of a molecule's variables: instructions over rows, which hold the values of the variables first.
#pragma once

#include "kernels/lane/formula_code.h"
#include "kernels/lane/math.h"
#include "kernels/lane/special.h"

namespace microlift {

template <class L>
LANE_FN L one_if(Mask<L> m) {
    return select(m, broadcast<L>(1.0f), broadcast<L>(0.0f));
}

// What takes and gives one number, the rest of run_code: apart, so that neither fills the time loop.
template <class M, class L>
LANE_CALL L apply_function(Code code, L a) {
    L s, c;
    switch (code) {
        case Code::exp2: return exp2<M>(a);
        case Code::exp: return exp<M>(a);
        case Code::log: return log<M>(a);
        case Code::sqrt: return sqrt<M>(a);
        case Code::sin: sincos<M>(a, s, c); return s;
        case Code::cos: sincos<M>(a, s, c); return c;
        case Code::tanh: return tanh<M>(a);
        case Code::sinh: return sinh<M>(a);
        case Code::cosh: return cosh<M>(a);
        case Code::atan: return atan<M>(a);
        case Code::erf: return erf<M>(a);
        case Code::abs: return abs(a);
        case Code::sign: {
            const L zero = broadcast<L>(0.0f);
            return select(a > zero, broadcast<L>(1.0f), select(a < zero, broadcast<L>(-1.0f), a));
        }
        default: return -a;  // Code::neg
    }
}

template <class M, class L, class Rows>
LANE_CALL void run_code(const Instruction* next, int32 count, const Rows& slots) {
    for (const Instruction* end = next + count; next != end; ++next) {
        const Instruction& in = *next;
        const L a = slots[in.a], b = slots[in.b], c = slots[in.c];
        const L k = broadcast<L>(in.k), l = broadcast<L>(in.l), m = broadcast<L>(in.m);
        L out;
        switch (in.code) {
            case Code::add: out = a + b; break;
            case Code::add_k: out = a + k; break;
            case Code::sub: out = a - b; break;
            case Code::k_sub: out = k - a; break;
            case Code::mul: out = a * b; break;
            case Code::mul_k: out = a * k; break;
            case Code::mul_kab: out = (a * k) * b; break;
            case Code::div: out = a / b; break;
            case Code::k_div: out = k / a; break;
            case Code::fma: out = fma(a, b, c); break;
            case Code::fma_k: out = fma(a, b, k); break;
            case Code::fma_ak: out = fma(a, k, b); break;
            case Code::fma_akl: out = fma(a, k, l); break;
            case Code::fms: out = fms(a, b, c); break;
            case Code::fnma: out = fnma(a, b, c); break;
            case Code::fnma_k: out = fnma(a, b, k); break;
            case Code::linear: out = fma(a, k, b * l); break;
            case Code::linear_m: out = fma(a, k, fma(b, l, m)); break;
            case Code::exp_k: out = apply_function<M, L>(Code::exp, a * k); break;
            case Code::sincos:
                out = apply_function<M, L>(Code::sin, a);
                slots[in.second_destination] = apply_function<M, L>(Code::cos, a);
                break;
            case Code::min: out = min(a, b); break;
            case Code::min_k: out = min(k, a); break;
            case Code::max: out = max(a, b); break;
            case Code::max_k: out = max(k, a); break;
            case Code::less: out = one_if<L>(a < b); break;
            case Code::less_k: out = one_if<L>(a < k); break;
            case Code::k_less: out = one_if<L>(k < a); break;
            default: out = apply_function<M, L>(in.code, a); break;
        }
        slots[in.destination] = out;
    }
}

// A result: a row, or a constant where that is −1.
struct FormulaOutput {
    int32 slot;
    float value;
};
template <class L, class Rows>
LANE_FN L output_of(const FormulaOutput& output, const Rows& slots) {
    return output.slot < 0 ? broadcast<L>(output.value) : L(slots[output.slot]);
}

}  // namespace microlift
