// Bits: logic, shifts, fields, permutations, counts.
#include <bit>
#include <charconv>

#include "tests/emulator/ptx/decode/opcode.h"
#include "tests/emulator/ptx/run/lanes.h"

namespace emulator {

namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

struct And {
    template <class T>
    static T apply(T a, T b) {
        return a & b;
    }
};
struct Or {
    template <class T>
    static T apply(T a, T b) {
        return a | b;
    }
};
struct Xor {
    template <class T>
    static T apply(T a, T b) {
        return a ^ b;
    }
};
struct Not {
    template <class T>
    static T apply(T a) {
        return static_cast<T>(~a);
    }
};
struct CNot {
    template <class T>
    static T apply(T a) {
        return a == 0;
    }
};
// By the width and more: 0, or the sign everywhere.
struct Left {
    template <class T>
    static T apply(T a, u32 n) {
        return n < 8 * sizeof(T) ? static_cast<T>(a << (n & (8 * sizeof(T) - 1))) : T{0};
    }
};
struct Right {
    template <class T>
    static T apply(T a, u32 n) {
        constexpr u32 most = 8 * sizeof(T) - 1;
        if constexpr (std::is_signed_v<T>)
            return static_cast<T>(a >> (n < most ? n : most));
        else
            return n <= most ? static_cast<T>(a >> (n & most)) : T{0};
    }
};
struct Count {
    template <class T>
    static u32 apply(T a) {
        return static_cast<u32>(std::popcount(a));
    }
};
struct LeadingZeros {
    template <class T>
    static u32 apply(T a) {
        return static_cast<u32>(std::countl_zero(a));
    }
};
struct Reverse {
    template <class T>
    static T apply(T a) {
        T r = 0;
        for (u32 k = 0; k < 8 * sizeof(T); ++k) r |= (a >> k & 1) << (8 * sizeof(T) - 1 - k);
        return r;
    }
};
// The position of the highest bit that differs from the sign; all ones where there is none.
struct FindHighest {
    template <class T>
    static u32 apply(T a) {
        std::make_unsigned_t<T> x = static_cast<std::make_unsigned_t<T>>(a);
        if (std::is_signed_v<T> && a < 0) x = ~x;
        return x == 0 ? ~0u
                      : static_cast<u32>(8 * sizeof(T)) - 1 - static_cast<u32>(std::countl_zero(x));
    }
};
struct FindHighestShift {
    template <class T>
    static u32 apply(T a) {
        const u32 at = FindHighest::apply(a);
        return at == ~0u ? at : static_cast<u32>(8 * sizeof(T)) - 1 - at;
    }
};
struct Extract {
    template <class T>
    static T apply(T a, u32 position, u32 length) {
        constexpr u32 bits = 8 * sizeof(T);
        const u32 p = position & 255u, n = length & 255u;
        using U = std::make_unsigned_t<T>;
        const U x = static_cast<U>(a), field = n == 0 ? 0 : n >= bits ? ~U{0} : (U{1} << n) - 1;
        U r = p < bits ? (x >> p) & field : 0;
        if (std::is_signed_v<T> && n > 0) {
            const u32 top = p + n - 1 < bits - 1 ? p + n - 1 : bits - 1;
            const U sign = x >> top & 1;
            if (sign && n < bits) {
                const u32 from = p < bits && n < bits - p ? n : p < bits ? bits - p : 0;
                r |= from < bits ? ~U{0} << from : 0;
            }
            if (sign && n >= bits && p > 0) r |= p < bits ? ~U{0} << (bits - p) : ~U{0};
        }
        return static_cast<T>(r);
    }
};
// bfi f, a, b, c, d: the low d bits of a, put into b at c.
template <class T>
const Instruction* insert(Warp& w, const Instruction* i) {
    const T *a = w.at<T>(i->slot[1]), *b = w.at<T>(i->slot[2]);
    const u32 *c = w.at<u32>(i->slot[3]), *d = w.at<u32>(i->slot[4]);
    each_lane(w, w.at<T>(i->slot[0]), [&](int l) {
        constexpr u32 bits = 8 * sizeof(T);
        const u32 p = c[l] & 255u, n = d[l] & 255u;
        const T field = n == 0 || p >= bits ? T{0} : (n >= bits ? ~T{0} : (T{1} << n) - 1) << p;
        return static_cast<T>((b[l] & ~field) | ((p < bits ? a[l] << p : T{0}) & field));
    });
    return i + 1;
}
template <bool kWrap>
struct Mask {
    static u32 apply(u32 a, u32 b) {
        const u32 from = kWrap ? a & 31u : a, n = kWrap ? b & 31u : b;
        if (from >= 32 || n == 0) return 0;
        return (n >= 32 ? ~0u : (1u << n) - 1) << from;
    }
};
template <bool kLeft, bool kWrap>
struct Funnel {
    static u32 apply(u32 a, u32 b, u32 c) {  // b above a
        const u32 n = kWrap ? c & 31u : c < 32 ? c : 32;
        const u64 both = static_cast<u64>(b) << 32 | a;
        return kLeft ? static_cast<u32>(both << n >> 32) : static_cast<u32>(both >> n);
    }
};

// lop3 d, a, b, c, table: bit a·4 + b·2 + c of the table.
const Instruction* logic3(Warp& w, const Instruction* i) {
    const u32 *a = w.at<u32>(i->slot[1]), *b = w.at<u32>(i->slot[2]), *c = w.at<u32>(i->slot[3]);
    const u32 table = *w.at<u32>(i->slot[4]);
    each_lane(w, w.at<u32>(i->slot[0]), [&](int l) {
        const u32 x = a[l], y = b[l], z = c[l];
        u32 r = 0;
        r |= table & 0x80u ? x & y & z : 0u;
        r |= table & 0x40u ? x & y & ~z : 0u;
        r |= table & 0x20u ? x & ~y & z : 0u;
        r |= table & 0x10u ? x & ~y & ~z : 0u;
        r |= table & 0x08u ? ~x & y & z : 0u;
        r |= table & 0x04u ? ~x & y & ~z : 0u;
        r |= table & 0x02u ? ~x & ~y & z : 0u;
        r |= table & 0x01u ? ~x & ~y & ~z : 0u;
        return r;
    });
    return i + 1;
}

u32 selector(int mode, u32 c) {
    constexpr u32 tables[7][4] = {{},
                                  {0x3210, 0x4321, 0x5432, 0x6543},   // f4e
                                  {0x5670, 0x6701, 0x7012, 0x0123},   // b4e
                                  {0x0000, 0x1111, 0x2222, 0x3333},   // rc8
                                  {0x3210, 0x3211, 0x3222, 0x3333},   // ecl
                                  {0x0000, 0x1110, 0x2210, 0x3210},   // ecr
                                  {0x1010, 0x3232, 0x1010, 0x3232}};  // rc16
    return mode == 0 ? c : tables[mode][c & 3u];
}
const Instruction* permute(Warp& w, const Instruction* i) {
    const u32 *a = w.at<u32>(i->slot[1]), *b = w.at<u32>(i->slot[2]), *c = w.at<u32>(i->slot[3]);
    const int mode = static_cast<int>(i->extra);
    each_lane(w, w.at<u32>(i->slot[0]), [&](int l) {
        const u64 both = static_cast<u64>(b[l]) << 32 | a[l];
        const u32 s = selector(mode, c[l]);
        u32 r = 0;
        for (u32 k = 0; k < 4; ++k) {
            const u32 pick = s >> 4 * k & 15u;
            u32 byte = static_cast<u32>(both >> 8 * (pick & 7u)) & 255u;
            if (pick & 8u) byte = byte & 128u ? 255u : 0u;  // its sign
            r |= byte << 8 * k;
        }
        return r;
    });
    return i + 1;
}

template <class Op, bool kTwo>
Handler logic(Type t) {
    const auto pick = [](auto zero) -> Handler {
        using T = decltype(zero);
        if constexpr (kTwo)
            return binary<Op, T, T, T>;
        else
            return unary<Op, T, T>;
    };
    switch (width(t)) {
        case 2: return pick(std::uint16_t{});
        case 4: return pick(u32{});
        case 8: return pick(u64{});
        default: return nullptr;
    }
}
template <class Op>
Handler shift(Type t) {
    if (t == Type::s16) return binary<Op, std::int16_t, std::int16_t, u32>;
    if (t == Type::s32) return binary<Op, std::int32_t, std::int32_t, u32>;
    if (t == Type::s64) return binary<Op, std::int64_t, std::int64_t, u32>;
    if (width(t) == 2) return binary<Op, std::uint16_t, std::uint16_t, u32>;
    if (width(t) == 4) return binary<Op, u32, u32, u32>;
    return binary<Op, u64, u64, u32>;
}
template <class Op>
Handler counted(Type t) {
    if constexpr (std::is_same_v<Op, FindHighest> || std::is_same_v<Op, FindHighestShift>) {
        if (t == Type::s32) return unary<Op, u32, std::int32_t>;
        if (t == Type::s64) return unary<Op, u32, std::int64_t>;
    }
    return width(t) == 4 ? Handler{unary<Op, u32, u32>} : Handler{unary<Op, u32, u64>};
}
Handler extract(Type t) {
    if (t == Type::s32) return ternary<Extract, std::int32_t, std::int32_t, u32, u32>;
    if (t == Type::s64) return ternary<Extract, std::int64_t, std::int64_t, u32, u32>;
    return width(t) == 4 ? Handler{ternary<Extract, u32, u32, u32, u32>}
                         : Handler{ternary<Extract, u64, u64, u32, u32>};
}
Handler funnel(const Opcode& o) {
    const bool wraps = o.has("wrap");
    if (o.has("l"))
        return wraps ? ternary<Funnel<true, true>, u32, u32, u32, u32>
                     : ternary<Funnel<true, false>, u32, u32, u32, u32>;
    return wraps ? ternary<Funnel<false, true>, u32, u32, u32, u32>
                 : ternary<Funnel<false, false>, u32, u32, u32, u32>;
}
std::uint32_t permutation(const Opcode& o) {
    constexpr std::string_view modes[] = {"", "f4e", "b4e", "rc8", "ecl", "ecr", "rc16"};
    for (std::uint32_t k = 1; k < 7; ++k)
        if (o.has(modes[k])) return k;
    return 0;
}

}  // namespace

Operation select_bits(const Opcode& o, const Shape&) {
    const Type t = o.type();
    Operation op;
    op.types = {t, t, t};
    if (o.base == "and") op.run = logic<And, true>(t);
    if (o.base == "or") op.run = logic<Or, true>(t);
    if (o.base == "xor") op.run = logic<Xor, true>(t);
    if (o.base == "not" || o.base == "cnot" || o.base == "brev") {
        op.types = {t, t};
        op.run = o.base == "not"    ? logic<Not, false>(t)
                 : o.base == "cnot" ? logic<CNot, false>(t)
                 : width(t) == 4    ? Handler{unary<Reverse, u32, u32>}
                                    : Handler{unary<Reverse, u64, u64>};
    }
    if (o.base == "shl" || o.base == "shr") {
        op.types = {t, t, Type::u32};
        op.run = o.base == "shl" ? shift<Left>(t) : shift<Right>(t);
    }
    if (o.base == "popc" || o.base == "clz" || o.base == "bfind") {
        op.types = {Type::u32, t};
        op.run = o.base == "popc"    ? counted<Count>(t)
                 : o.base == "clz"   ? counted<LeadingZeros>(t)
                 : o.has("shiftamt") ? counted<FindHighestShift>(t)
                                     : counted<FindHighest>(t);
    }
    if (o.base == "bfe") {
        op.types = {t, t, Type::u32, Type::u32};
        op.run = extract(t);
    }
    if (o.base == "bfi") {
        op.types = {t, t, t, Type::u32, Type::u32};
        op.run = width(t) == 4 ? Handler{insert<u32>} : Handler{insert<u64>};
    }
    if (o.base == "bmsk")
        op.run =
            o.has("wrap") ? binary<Mask<true>, u32, u32, u32> : binary<Mask<false>, u32, u32, u32>;
    if (o.base == "lop3") {
        op.types.assign(5, t);
        op.run = logic3;
    }
    if (o.base == "shf") {
        op.types.assign(4, t);
        op.run = funnel(o);
    }
    if (o.base == "prmt") {
        op.types.assign(4, t);
        op.run = permute;
        op.extra = permutation(o);
    }
    return op;
}

}  // namespace emulator
