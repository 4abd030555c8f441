// Arithmetic of floats, rounded once as the opcode says.
#include <cfenv>
#include <cmath>

#include "tests/emulator/ptx/decode/opcode.h"
#include "tests/emulator/ptx/run/float.h"

namespace emulator {

namespace {

struct Add {
    template <class T>
    static T apply(T a, T b) {
        return a + b;
    }
};
struct Subtract {
    template <class T>
    static T apply(T a, T b) {
        return a - b;
    }
};
struct Multiply {
    template <class T>
    static T apply(T a, T b) {
        return a * b;
    }
};
struct Divide {
    template <class T>
    static T apply(T a, T b) {
        return a / b;
    }
};
struct Fma {
    static float apply(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
    static double apply(double a, double b, double c) { return __builtin_fma(a, b, c); }
};
struct Sqrt {
    static float apply(float a) { return __builtin_sqrtf(a); }
    static double apply(double a) { return __builtin_sqrt(a); }
};
struct Reciprocal {
    template <class T>
    static T apply(T a) {
        return T{1} / a;
    }
};
struct Negate {
    template <class T>
    static T apply(T a) {
        return -a;
    }
};
struct Absolute {
    static float apply(float a) { return __builtin_fabsf(a); }
    static double apply(double a) { return __builtin_fabs(a); }
};
// The one that is a number where the other is none; −0 is less than 0.
struct Minimum {
    template <class T>
    static T apply(T a, T b) {
        const T less = a < b || (a == b && std::signbit(a)) ? a : b;
        return a != a ? b : b != b ? a : less;
    }
};
struct Maximum {
    template <class T>
    static T apply(T a, T b) {
        const T more = a > b || (a == b && !std::signbit(a)) ? a : b;
        return a != a ? b : b != b ? a : more;
    }
};
template <class Op>
struct NanPasses {
    template <class T>
    static T apply(T a, T b) {
        return a != a ? a : b != b ? b : Op::apply(a, b);
    }
};
struct CopySign {
    static float apply(float s, float x) { return __builtin_copysignf(x, s); }
    static double apply(double s, double x) { return __builtin_copysign(x, s); }
};

template <class Op, bool kFlush, bool kSaturate, class... T>
float shaped(T... x) {
    float r = Op::apply((kFlush ? flush(x) : x)...);
    if (kFlush) r = flush(r);
    if (kSaturate) r = saturate(r);
    return canonical(r);
}
template <class Op, bool kFlush, bool kSaturate>
struct Shaped {
    static float apply(float a) { return shaped<Op, kFlush, kSaturate>(a); }
    static float apply(float a, float b) { return shaped<Op, kFlush, kSaturate>(a, b); }
    static float apply(float a, float b, float c) { return shaped<Op, kFlush, kSaturate>(a, b, c); }
};

// The handler under another direction of rounding.
template <Handler handler, int kMode>
[[gnu::noinline]] const Instruction* rounded(Warp& w, const Instruction* i) {
    std::fesetround(kMode);
    const Instruction* next = handler(w, i);
    std::fesetround(FE_TONEAREST);
    return next;
}

template <Handler handler>
Handler with_rounding(const Opcode& o) {
    if (o.has("rz")) return rounded<handler, FE_TOWARDZERO>;
    if (o.has("rm")) return rounded<handler, FE_DOWNWARD>;
    if (o.has("rp")) return rounded<handler, FE_UPWARD>;
    return handler;
}

template <class Op, class T, int kSources>
constexpr Handler handler_of() {
    if constexpr (kSources == 1) return unary<Op, T, T>;
    if constexpr (kSources == 2) return binary<Op, T, T, T>;
    if constexpr (kSources == 3) return ternary<Op, T, T, T, T>;
}

template <class Op, int kSources>
Operation arithmetic(const Opcode& o) {
    Operation op;
    op.types.assign(kSources + 1, o.type());
    const bool flushes = o.has("ftz"), saturates = o.has("sat");
    if (o.type() == Type::f64) {
        op.run = with_rounding<handler_of<Op, double, kSources>()>(o);
    } else if (o.type() == Type::f32) {
        op.run =
            flushes && saturates
                ? with_rounding<handler_of<Shaped<Op, true, true>, float, kSources>()>(o)
            : flushes   ? with_rounding<handler_of<Shaped<Op, true, false>, float, kSources>()>(o)
            : saturates ? with_rounding<handler_of<Shaped<Op, false, true>, float, kSources>()>(o)
                        : with_rounding<handler_of<Shaped<Op, false, false>, float, kSources>()>(o);
    }
    return op;
}

// Of the sign alone: not rounded, and a NaN keeps its bits but for .ftz.
template <class Op, int kSources>
Operation sign(const Opcode& o) {
    Operation op;
    op.types.assign(kSources + 1, o.type());
    if (o.type() == Type::f64) op.run = handler_of<Op, double, kSources>();
    if (o.type() == Type::f32)
        op.run = o.has("ftz") ? handler_of<Shaped<Op, true, false>, float, kSources>()
                              : handler_of<Op, float, kSources>();
    return op;
}

}  // namespace

Operation select_float(const Opcode& o, const Shape&) {
    if (o.types.size() != 1 || !is_float(o.type()) || o.has("approx") || o.has("full")) return {};
    if (o.base == "add") return arithmetic<Add, 2>(o);
    if (o.base == "sub") return arithmetic<Subtract, 2>(o);
    if (o.base == "mul") return arithmetic<Multiply, 2>(o);
    if (o.base == "div") return arithmetic<Divide, 2>(o);
    if (o.base == "fma" || o.base == "mad") return arithmetic<Fma, 3>(o);
    if (o.base == "sqrt") return arithmetic<Sqrt, 1>(o);
    if (o.base == "rcp") return arithmetic<Reciprocal, 1>(o);
    if (o.base == "min")
        return o.has("NaN") ? arithmetic<NanPasses<Minimum>, 2>(o) : arithmetic<Minimum, 2>(o);
    if (o.base == "max")
        return o.has("NaN") ? arithmetic<NanPasses<Maximum>, 2>(o) : arithmetic<Maximum, 2>(o);
    if (o.base == "neg") return sign<Negate, 1>(o);
    if (o.base == "abs") return sign<Absolute, 1>(o);
    if (o.base == "copysign") return sign<CopySign, 2>(o);
    return {};
}

}  // namespace emulator
