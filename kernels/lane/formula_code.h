// Instructions that formulas are lowered to.
#pragma once

#include "kernels/lane/lane.h"

namespace microlift {

// One letter an operand: a b c slots, k l m immediates.
enum class Code : unsigned char {
    add,        // a + b
    add_k,      // a + k
    sub,        // a - b
    k_sub,      // k - a
    mul,        // a * b
    mul_k,      // a * k
    mul_kab,    // (a * k) * b
    div,        // a / b
    k_div,      // k / a
    neg,        // -a
    fma,        // a * b + c
    fma_k,      // a * b + k
    fma_ak,     // a * k + b
    fma_akl,    // a * k + l
    fms,        // a * b - c
    fnma,       // c - a * b
    fnma_k,     // k - a * b
    linear,     // a * k + (b * l)
    linear_m,   // a * k + (b * l + m)
    exp2,       // 2^a
    exp,        // exp(a)
    exp_k,      // exp(a * k)
    log, sqrt, sin, cos,
    sincos,     // destination: sin, second destination: cos
    tanh, sinh, cosh, atan, erf, abs, sign,
    min, min_k, max, max_k,
    less, less_k, k_less,  // 1 or 0
};

struct Instruction {
    Code code = Code::add;
    int32 destination = -1, second_destination = -1;
    int32 a = -1, b = -1, c = -1;  // in a Program, 0 where the operation has none
    float k = 0.0f, l = 0.0f, m = 0.0f;
};

}  // namespace microlift
