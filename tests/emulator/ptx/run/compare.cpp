// Comparisons and selections.
#include <algorithm>

#include "tests/emulator/ptx/decode/opcode.h"
#include "tests/emulator/ptx/run/float.h"

namespace emulator {

namespace {

using u32 = std::uint32_t;

enum class Relation { eq, ne, lt, le, gt, ge, equ, neu, ltu, leu, gtu, geu, num, nan };

// With NaN the plain relations do not hold, those with u do.
template <Relation kRelation>
struct Compare {
    template <class T>
    static bool apply(T a, T b) {
        const bool unordered = a != a || b != b;
        switch (kRelation) {
            case Relation::eq: return a == b;
            case Relation::ne: return a < b || a > b;
            case Relation::lt: return a < b;
            case Relation::le: return a <= b;
            case Relation::gt: return a > b;
            case Relation::ge: return a >= b;
            case Relation::equ: return a == b || unordered;
            case Relation::neu: return a != b;
            case Relation::ltu: return !(a >= b);
            case Relation::leu: return !(a > b);
            case Relation::gtu: return !(a <= b);
            case Relation::geu: return !(a < b);
            case Relation::num: return !unordered;
            case Relation::nan: return unordered;
        }
        return false;
    }
};

// setp d, a, b
template <class T, Relation kRelation, bool kFlush>
const Instruction* set_predicate(Warp& w, const Instruction* i) {
    const T *a = w.at<T>(i->slot[1]), *b = w.at<T>(i->slot[2]);
    each_lane(w, w.at<u32>(i->slot[0]), [&](int l) {
        if constexpr (kFlush)
            return Compare<kRelation>::apply(flush(a[l]), flush(b[l])) ? ~0u : 0u;
        else
            return Compare<kRelation>::apply(a[l], b[l]) ? ~0u : 0u;
    });
    return i + 1;
}

template <class T, bool kFlush>
Handler set_of(std::string_view relation) {
    constexpr bool is_float = std::is_floating_point_v<T>;
    if (relation == "eq") return set_predicate<T, Relation::eq, kFlush>;
    if (relation == "ne") return set_predicate<T, Relation::ne, kFlush>;
    if (relation == "lt" || relation == "lo") return set_predicate<T, Relation::lt, kFlush>;
    if (relation == "le" || relation == "ls") return set_predicate<T, Relation::le, kFlush>;
    if (relation == "gt" || relation == "hi") return set_predicate<T, Relation::gt, kFlush>;
    if (relation == "ge" || relation == "hs") return set_predicate<T, Relation::ge, kFlush>;
    if constexpr (is_float) {
        if (relation == "equ") return set_predicate<T, Relation::equ, kFlush>;
        if (relation == "neu") return set_predicate<T, Relation::neu, kFlush>;
        if (relation == "ltu") return set_predicate<T, Relation::ltu, kFlush>;
        if (relation == "leu") return set_predicate<T, Relation::leu, kFlush>;
        if (relation == "gtu") return set_predicate<T, Relation::gtu, kFlush>;
        if (relation == "geu") return set_predicate<T, Relation::geu, kFlush>;
        if (relation == "num") return set_predicate<T, Relation::num, kFlush>;
        if (relation == "nan") return set_predicate<T, Relation::nan, kFlush>;
    }
    return nullptr;
}

Handler comparison(const Opcode& o, Type t) {
    if (o.parts.empty()) return nullptr;
    const std::string_view r = o.parts[0];
    switch (t) {
        case Type::f32: return o.has("ftz") ? set_of<float, true>(r) : set_of<float, false>(r);
        case Type::f64: return set_of<double, false>(r);
        case Type::s16: return set_of<std::int16_t, false>(r);
        case Type::s32: return set_of<std::int32_t, false>(r);
        case Type::s64: return set_of<std::int64_t, false>(r);
        default: break;
    }
    if (width(t) == 2) return set_of<std::uint16_t, false>(r);
    if (width(t) == 4) return set_of<std::uint32_t, false>(r);
    return set_of<std::uint64_t, false>(r);
}

enum Combine : u32 { kAlone, kAnd, kOr, kXor };
constexpr u32 kTwo = 4;

// setp.cmp.op p[|q], a, b[, c]: p = cmp op c, q = !cmp op c. `immediate`: the handler of the
// comparison.
const Instruction* set_combined(Warp& w, const Instruction* i) {
    const u32 combine = i->extra & 3u, first = i->extra & kTwo ? 2 : 1;
    alignas(64) u32 c[kLanes] = {}, result[kLanes];
    // Copied, since the first output may lie where an input lay.
    if (combine != kAlone) std::copy_n(w.at<u32>(i->slot[first + 2]), kLanes, c);
    Instruction inner = *i;
    inner.slot[1] = i->slot[first];
    inner.slot[2] = i->slot[first + 1];
    reinterpret_cast<Handler>(i->immediate)(w, &inner);
    std::copy_n(w.at<u32>(i->slot[0]), kLanes, result);
    const auto with = [&](u32 x, u32 other) {
        return combine == kAlone ? x
               : combine == kAnd ? x & other
               : combine == kOr  ? x | other
                                 : x ^ other;
    };
    each_lane(w, w.at<u32>(i->slot[0]), [&](int l) { return with(result[l], c[l]); });
    if (first == 2)
        each_lane(w, w.at<u32>(i->slot[1]), [&](int l) { return with(~result[l], c[l]); });
    return i + 1;
}

// set.cmp.dtype.stype: all ones or 0, as a float 1 or 0.
const Instruction* set_number(Warp& w, const Instruction* i) {
    reinterpret_cast<Handler>(i->immediate)(w, i);
    u32* d = w.at<u32>(i->slot[0]);
    if (i->extra) each_lane(w, d, [&](int l) { return d[l] & 0x3f800000u; });
    return i + 1;
}

template <class T>
const Instruction* select_lanes(Warp& w, const Instruction* i) {
    const T *a = w.at<T>(i->slot[1]), *b = w.at<T>(i->slot[2]);
    const u32* p = w.at<u32>(i->slot[3]);
    each_lane(w, w.at<T>(i->slot[0]), [&](int l) { return p[l] ? a[l] : b[l]; });
    return i + 1;
}
// slct d, a, b, c: a where c ≥ 0
template <class T, class C>
const Instruction* select_by_sign(Warp& w, const Instruction* i) {
    const T *a = w.at<T>(i->slot[1]), *b = w.at<T>(i->slot[2]);
    const C* c = w.at<C>(i->slot[3]);
    each_lane(w, w.at<T>(i->slot[0]), [&](int l) { return c[l] >= C{0} ? a[l] : b[l]; });
    return i + 1;
}

}  // namespace

Operation select_compare(const Opcode& o, const Shape& shape) {
    const Type t = o.type();
    Operation op;
    if (o.base == "setp") {
        const u32 combine = o.has("and") ? kAnd : o.has("or") ? kOr : o.has("xor") ? kXor : kAlone;
        const bool two = shape.parts(0) == 2;
        op.types = {Type::pred, t, t};
        op.run = comparison(o, t);
        if (combine == kAlone && !two) return op;
        if (combine != kAlone) op.types.push_back(Type::pred);
        op.immediate = reinterpret_cast<std::int64_t>(op.run);
        op.run = set_combined;
        op.extra = combine | (two ? kTwo : 0);
    }
    if (o.base == "set" && o.types.size() == 2 && o.parts.size() <= 4) {
        op.types = {t, o.types[1], o.types[1]};
        op.immediate = reinterpret_cast<std::int64_t>(comparison(o, o.types[1]));
        op.extra = t == Type::f32;
        op.run = set_number;
    }
    if (o.base == "selp") {
        op.types = {t, t, t, Type::pred};
        op.run = width(t) == 2   ? Handler{select_lanes<std::uint16_t>}
                 : width(t) == 4 ? Handler{select_lanes<u32>}
                                 : Handler{select_lanes<std::uint64_t>};
    }
    if (o.base == "slct" && o.types.size() == 2) {
        const Type c = o.types[1];
        op.types = {t, t, t, c};
        if (width(t) == 4)
            op.run = c == Type::f32 ? Handler{select_by_sign<u32, float>}
                                    : Handler{select_by_sign<u32, std::int32_t>};
        if (width(t) == 8)
            op.run = c == Type::f32 ? Handler{select_by_sign<std::uint64_t, float>}
                                    : Handler{select_by_sign<std::uint64_t, std::int32_t>};
    }
    return op;
}

}  // namespace emulator
