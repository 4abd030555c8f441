// Arithmetic of integers.
#include <limits>
#include <type_traits>

#include "tests/emulator/ptx/decode/opcode.h"
#include "tests/emulator/ptx/run/lanes.h"

namespace emulator {

namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;
template <class T>
using Wide = std::conditional_t<
    sizeof(T) == 2, std::conditional_t<std::is_signed_v<T>, std::int32_t, std::uint32_t>,
    std::conditional_t<sizeof(T) == 4,
                       std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>,
                       std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>>>;

// Modulo 2^n, without the overflow that C++ leaves undefined.
struct Add {
    template <class T>
    static T apply(T a, T b) {
        return static_cast<T>(Unsigned<T>(a) + Unsigned<T>(b));
    }
};
struct Subtract {
    template <class T>
    static T apply(T a, T b) {
        return static_cast<T>(Unsigned<T>(a) - Unsigned<T>(b));
    }
};
template <class T>
T product(T a, T b) {
    if constexpr (sizeof(T) == 2)
        return static_cast<T>(static_cast<std::uint32_t>(a) * static_cast<std::uint32_t>(b));
    else
        return static_cast<T>(Unsigned<T>(a) * Unsigned<T>(b));
}
template <class T>
T high(T a, T b) {
    return static_cast<T>((static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b)) >> 8 * sizeof(T));
}
struct MultiplyLow {
    template <class T>
    static T apply(T a, T b) {
        return product(a, b);
    }
};
struct MultiplyHigh {
    template <class T>
    static T apply(T a, T b) {
        return high(a, b);
    }
};
struct MultiplyWide {
    template <class T>
    static Wide<T> apply(T a, T b) {
        return static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b);
    }
};
struct MadLow {
    template <class T>
    static T apply(T a, T b, T c) {
        return Add::apply(product(a, b), c);
    }
};
struct MadHigh {
    template <class T>
    static T apply(T a, T b, T c) {
        return Add::apply(high(a, b), c);
    }
};
struct MadWide {
    template <class T>
    static Wide<T> apply(T a, T b, Wide<T> c) {
        return Add::apply(static_cast<Wide<T>>(static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b)),
                          c);
    }
};
// By 0 the hardware gives all ones, and the dividend as the remainder.
template <class T>
bool overflows(T a, T b) {
    return std::is_signed_v<T> && a == std::numeric_limits<T>::min() && b == static_cast<T>(-1);
}
struct Divide {
    template <class T>
    static T apply(T a, T b) {
        return b == 0 ? static_cast<T>(-1) : overflows(a, b) ? a : static_cast<T>(a / b);
    }
};
struct Remainder {
    template <class T>
    static T apply(T a, T b) {
        return b == 0 ? a : overflows(a, b) ? T{0} : static_cast<T>(a % b);
    }
};
struct Minimum {
    template <class T>
    static T apply(T a, T b) {
        return a < b ? a : b;
    }
};
struct Maximum {
    template <class T>
    static T apply(T a, T b) {
        return a > b ? a : b;
    }
};
struct Negate {
    template <class T>
    static T apply(T a) {
        return static_cast<T>(Unsigned<T>(0) - Unsigned<T>(a));
    }
};
struct Absolute {
    template <class T>
    static T apply(T a) {
        return a < 0 ? Negate::apply(a) : a;
    }
};
struct Sad {
    template <class T>
    static T apply(T a, T b, T c) {
        return Add::apply(c, a < b ? Subtract::apply(b, a) : Subtract::apply(a, b));
    }
};
struct SaturatedAdd {
    static std::int32_t apply(std::int32_t a, std::int32_t b) {
        const std::int64_t sum = std::int64_t{a} + b;
        return static_cast<std::int32_t>(sum < INT32_MIN   ? INT32_MIN
                                         : sum > INT32_MAX ? INT32_MAX
                                                           : sum);
    }
};
struct SaturatedSubtract {
    static std::int32_t apply(std::int32_t a, std::int32_t b) {
        const std::int64_t sum = std::int64_t{a} - b;
        return static_cast<std::int32_t>(sum < INT32_MIN   ? INT32_MIN
                                         : sum > INT32_MAX ? INT32_MAX
                                                           : sum);
    }
};

template <class Op, int kSources>
Handler of_type(Type type) {
    const auto pick = [](auto zero) -> Handler {
        using T = decltype(zero);
        if constexpr (kSources == 1) return unary<Op, T, T>;
        if constexpr (kSources == 2) return binary<Op, T, T, T>;
        if constexpr (kSources == 3) return ternary<Op, T, T, T, T>;
    };
    switch (type) {
        case Type::u16: return pick(std::uint16_t{});
        case Type::s16: return pick(std::int16_t{});
        case Type::u32: return pick(std::uint32_t{});
        case Type::s32: return pick(std::int32_t{});
        case Type::u64: return pick(std::uint64_t{});
        case Type::s64: return pick(std::int64_t{});
        default: return nullptr;
    }
}
template <class Op, int kSources>
Operation plain(const Opcode& o) {
    Operation op;
    op.types.assign(kSources + 1, o.type());
    op.run = of_type<Op, kSources>(o.type());
    return op;
}

Type widened(Type t) {
    switch (t) {
        case Type::u16: return Type::u32;
        case Type::s16: return Type::s32;
        case Type::u32: return Type::u64;
        case Type::s32: return Type::s64;
        default: return Type::none;
    }
}
template <class Op, bool kAdds>
Operation wide(const Opcode& o) {
    Operation op;
    op.types = {widened(o.type()), o.type(), o.type()};
    if (kAdds) op.types.push_back(op.types[0]);
    const auto pick = [](auto zero) -> Handler {
        using T = decltype(zero);
        if constexpr (kAdds)
            return ternary<Op, Wide<T>, T, T, Wide<T>>;
        else
            return binary<Op, Wide<T>, T, T>;
    };
    switch (o.type()) {
        case Type::u16: op.run = pick(std::uint16_t{}); break;
        case Type::s16: op.run = pick(std::int16_t{}); break;
        case Type::u32: op.run = pick(std::uint32_t{}); break;
        case Type::s32: op.run = pick(std::int32_t{}); break;
        default: break;
    }
    return op;
}

// --- with carries
// ---------------------------------------------------------------------------------

// a + b (+ carry); a − b (− borrow): kSubtract complements b and the carry.
template <class T, bool kSubtract, bool kReads, bool kWrites>
const Instruction* carried(Warp& w, const Instruction* i) {
    const T *a = w.at<T>(i->slot[1]), *b = w.at<T>(i->slot[2]);
    T* d = w.at<T>(i->slot[0]);
    each_active(w, [&](int l) {
        using Sum = std::conditional_t<sizeof(T) == 4, std::uint64_t, unsigned __int128>;
        const T second = kSubtract ? static_cast<T>(~b[l]) : b[l];
        const Sum in = kReads ? (kSubtract ? !w.carry[l] : w.carry[l]) : kSubtract;
        const Sum sum = static_cast<Sum>(a[l]) + second + in;
        const bool out = (sum >> 8 * sizeof(T)) & 1;
        if (kWrites) w.carry[l] = kSubtract ? !out : out;
        d[l] = static_cast<T>(sum);
    });
    return i + 1;
}
// The low or high half of a b, plus c (plus carry).
template <class T, bool kHigh, bool kReads, bool kWrites>
const Instruction* carried_mad(Warp& w, const Instruction* i) {
    const T *a = w.at<T>(i->slot[1]), *b = w.at<T>(i->slot[2]), *c = w.at<T>(i->slot[3]);
    T* d = w.at<T>(i->slot[0]);
    each_active(w, [&](int l) {
        using Sum = std::conditional_t<sizeof(T) == 4, std::uint64_t, unsigned __int128>;
        const Sum sum = static_cast<Sum>(kHigh ? high(a[l], b[l]) : product(a[l], b[l])) + c[l] +
                        (kReads ? w.carry[l] : 0u);
        if (kWrites) w.carry[l] = static_cast<std::uint32_t>(sum >> 8 * sizeof(T)) & 1;
        d[l] = static_cast<T>(sum);
    });
    return i + 1;
}
template <class T, bool kReads, bool kWrites>
Handler carrying(const Opcode& o) {
    if (o.base == "add" || o.base == "addc") return carried<T, false, kReads, kWrites>;
    if (o.base == "sub" || o.base == "subc") return carried<T, true, kReads, kWrites>;
    return o.has("hi") ? carried_mad<T, true, kReads, kWrites>
                       : carried_mad<T, false, kReads, kWrites>;
}
template <class T>
Handler carrying(const Opcode& o) {
    const bool reads = o.base.back() == 'c', writes = o.has("cc");
    return reads ? (writes ? carrying<T, true, true>(o) : carrying<T, true, false>(o))
                 : carrying<T, false, true>(o);
}

Operation with_carry(const Opcode& o) {
    Operation op;
    op.types.assign(o.base.starts_with("mad") ? 4 : 3, o.type());
    op.run = width(o.type()) == 8 ? carrying<std::uint64_t>(o) : carrying<std::uint32_t>(o);
    return op;
}

}  // namespace

Operation select_integer(const Opcode& o, const Shape&) {
    if (o.types.size() != 1 || is_float(o.type()) || width(o.type()) < 2 || o.type() == Type::pred)
        return {};
    if (o.has("cc") || o.base == "addc" || o.base == "subc" || o.base == "madc")
        return with_carry(o);
    if (o.has("sat") && o.type() == Type::s32 && (o.base == "add" || o.base == "sub")) {
        Operation op = plain<Add, 2>(o);
        op.run = o.base == "add"
                     ? binary<SaturatedAdd, std::int32_t, std::int32_t, std::int32_t>
                     : binary<SaturatedSubtract, std::int32_t, std::int32_t, std::int32_t>;
        return op;
    }
    if (o.has("sat")) return {};
    if (o.base == "add") return plain<Add, 2>(o);
    if (o.base == "sub") return plain<Subtract, 2>(o);
    if (o.base == "mul")
        return o.has("wide") ? wide<MultiplyWide, false>(o)
               : o.has("hi") ? plain<MultiplyHigh, 2>(o)
                             : plain<MultiplyLow, 2>(o);
    if (o.base == "mad")
        return o.has("wide") ? wide<MadWide, true>(o)
               : o.has("hi") ? plain<MadHigh, 3>(o)
                             : plain<MadLow, 3>(o);
    if (o.base == "div") return plain<Divide, 2>(o);
    if (o.base == "rem") return plain<Remainder, 2>(o);
    if (o.base == "min") return plain<Minimum, 2>(o);
    if (o.base == "max") return plain<Maximum, 2>(o);
    if (o.base == "neg") return plain<Negate, 1>(o);
    if (o.base == "abs") return plain<Absolute, 1>(o);
    if (o.base == "sad") return plain<Sad, 3>(o);
    return {};
}

}  // namespace emulator
