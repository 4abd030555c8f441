// .approx functions. PTX bounds their errors and no more: here they are what double precision
// gives, rounded once.
#include <cmath>

#include "tests/emulator/ptx/decode/opcode.h"
#include "tests/emulator/ptx/run/approximate.h"
#include "tests/emulator/ptx/run/float.h"

namespace emulator {

namespace {

struct Exp2 {
    static float apply(float x) { return static_cast<float>(exp2_double(static_cast<double>(x))); }
};
struct Log2 {
    static float apply(float x) { return static_cast<float>(log2_double(static_cast<double>(x))); }
};
struct Sine {
    static float apply(float x) {
        return static_cast<float>(sine_double(static_cast<double>(x), 0));
    }
};
struct Cosine {
    static float apply(float x) {
        return static_cast<float>(sine_double(static_cast<double>(x), 1));
    }
};
struct Tanh {
    static float apply(float x) { return static_cast<float>(tanh_double(static_cast<double>(x))); }
};
struct Sqrt {
    static float apply(float x) {
        return static_cast<float>(__builtin_sqrt(static_cast<double>(x)));
    }
};
struct RSqrt {
    static float apply(float x) {
        return static_cast<float>(1.0 / __builtin_sqrt(static_cast<double>(x)));
    }
};
struct Reciprocal {
    static float apply(float x) { return static_cast<float>(1.0 / static_cast<double>(x)); }
};
struct Divide {
    static float apply(float a, float b) {
        return static_cast<float>(static_cast<double>(a) / static_cast<double>(b));
    }
};
// The low word of a double's approximation is 0.
struct Reciprocal64 {
    static double apply(double x) {
        return std::bit_cast<double>(std::bit_cast<std::uint64_t>(1.0 / x) & 0xffffffff00000000u);
    }
};
struct RSqrt64 {
    static double apply(double x) { return 1.0 / __builtin_sqrt(x); }
};

template <class Op, bool kFlush>
struct Shaped {
    static float apply(float x) {
        const float r = Op::apply(kFlush ? flush(x) : x);
        return canonical(kFlush ? flush(r) : r);
    }
    static float apply(float a, float b) {
        const float r = Op::apply(kFlush ? flush(a) : a, kFlush ? flush(b) : b);
        return canonical(kFlush ? flush(r) : r);
    }
};

template <class Op>
Operation single(const Opcode& o) {
    Operation op;
    op.types = {Type::f32, Type::f32};
    op.run = o.has("ftz") ? unary<Shaped<Op, true>, float, float>
                          : unary<Shaped<Op, false>, float, float>;
    return op;
}

}  // namespace

Operation select_approximate(const Opcode& o, const Shape&) {
    if (o.types.size() != 1 || !(o.has("approx") || o.has("full"))) return {};
    Operation op;
    if (o.type() == Type::f64) {
        op.types = {Type::f64, Type::f64};
        if (o.base == "rcp") op.run = unary<Reciprocal64, double, double>;
        if (o.base == "rsqrt") op.run = unary<RSqrt64, double, double>;
        return op;
    }
    if (o.type() != Type::f32) return {};
    if (o.base == "ex2") return single<Exp2>(o);
    if (o.base == "lg2") return single<Log2>(o);
    if (o.base == "sin") return single<Sine>(o);
    if (o.base == "cos") return single<Cosine>(o);
    if (o.base == "tanh") return single<Tanh>(o);
    if (o.base == "sqrt") return single<Sqrt>(o);
    if (o.base == "rsqrt") return single<RSqrt>(o);
    if (o.base == "rcp") return single<Reciprocal>(o);
    if (o.base == "div") {
        op.types = {Type::f32, Type::f32, Type::f32};
        op.run = o.has("ftz") ? binary<Shaped<Divide, true>, float, float, float>
                              : binary<Shaped<Divide, false>, float, float, float>;
    }
    return op;
}

}  // namespace emulator
