// What lanes of a warp tell each other: shuffles, votes, matches, reductions.
#include <algorithm>
#include <bit>

#include "tests/emulator/ptx/decode/opcode.h"
#include "tests/emulator/ptx/run/lanes.h"

namespace emulator {

namespace {

using u32 = std::uint32_t;

// Brings together the lanes that the members' mask names; false: go on at `next`.
bool meet(Warp& w, const Instruction* i, u32 slot, const Instruction*& next) {
    const u32* of_lane = w.at<u32>(slot);
    u32 members = 0, missing = 0;
    for (u32 l = 0; l < kLanes; ++l) {
        members |= w.mask[l] & of_lane[l];
        missing |= w.mask[l] & ~of_lane[l] & 1u << l;
    }
    if (missing)
        fault(w, i, std::countr_zero(missing),
              "the lane is not in the mask of members that it names");
    return together(w, i, members, next);
}

enum Mode : u32 { kUp, kDown, kButterfly, kIndex };

// shfl.sync.mode.b32 d|p, a, b, c, members. From a lane that does not take part comes all ones: PTX
// leaves it open.
template <u32 kMode, bool kTwo>
const Instruction* shuffle(Warp& w, const Instruction* i) {
    constexpr int first_source = kTwo ? 2 : 1;
    const u32* slot = i->slot + first_source;
    const Instruction* next = nullptr;
    if (!meet(w, i, slot[3], next)) return next;
    const u32 *b = w.at<u32>(slot[1]), *c = w.at<u32>(slot[2]);
    alignas(64) u32 a[kLanes], result[kLanes], inside[kLanes];
    std::copy_n(w.at<u32>(slot[0]), kLanes, a);
    alignas(64) int source[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) {
        const int by = static_cast<int>(b[lane] & 31u), clamp = static_cast<int>(c[lane] & 31u);
        const int segment = static_cast<int>(c[lane] >> 8 & 31u);
        const int first = lane & segment, last = first | (clamp & ~segment);
        const int from = kMode == kUp          ? lane - by
                         : kMode == kDown      ? lane + by
                         : kMode == kButterfly ? lane ^ by
                                               : first | (by & ~segment);
        const bool in = kMode == kUp ? from >= last : from <= last;
        source[lane] = in ? from : lane;
        inside[lane] = in ? ~0u : 0u;
    }
    for (int lane = 0; lane < kLanes; ++lane)
        result[lane] = a[source[lane]] | ~w.mask[source[lane]];
    each_lane(w, w.at<u32>(i->slot[0]), [&](int l) { return result[l]; });
    if (kTwo) each_lane(w, w.at<u32>(i->slot[1]), [&](int l) { return inside[l]; });
    return i + 1;
}

u32 bits_of(const Warp& w, const u32* p) {
    u32 bits = 0;
    for (int l = 0; l < kLanes; ++l) bits |= (p[l] & 1u) << l;
    return bits & w.active;
}

enum Vote : u32 { kBallot, kAny, kAll, kUniform };

// vote.sync.mode d, p, members
const Instruction* vote(Warp& w, const Instruction* i) {
    const Instruction* next = nullptr;
    if (!meet(w, i, i->slot[2], next)) return next;
    const u32 hold = bits_of(w, w.at<u32>(i->slot[1])), kind = i->extra, active = w.active;
    alignas(64) u32 members[kLanes];
    std::copy_n(w.at<u32>(i->slot[2]), kLanes, members);
    each_lane(w, w.at<u32>(i->slot[0]), [&](int l) {
        const u32 all = members[l] & active, yes = hold & all;
        const bool answer = kind == kAny   ? yes != 0
                            : kind == kAll ? yes == all
                                           : yes == all || yes == 0;
        return kind == kBallot ? yes : answer ? ~0u : 0u;
    });
    return i + 1;
}

// match.any.sync d, a, members; match.all.sync d|p, a, members
template <class T, bool kAllEqual, bool kTwo>
const Instruction* match(Warp& w, const Instruction* i) {
    const u32* slot = i->slot + (kTwo ? 1 : 0);
    const Instruction* next = nullptr;
    if (!meet(w, i, slot[2], next)) return next;
    alignas(64) T a[kLanes];
    alignas(64) u32 result[kLanes] = {}, members[kLanes];
    std::copy_n(w.at<T>(slot[1]), kLanes, a);
    std::copy_n(w.at<u32>(slot[2]), kLanes, members);
    each_active(w, [&](int l) {
        const u32 all = members[l] & w.active;
        for (int k = 0; k < kLanes; ++k)
            result[l] |= static_cast<u32>(all >> k & 1u && a[k] == a[l]) << k;
        if (kAllEqual && result[l] != all) result[l] = 0;
    });
    each_lane(w, w.at<u32>(i->slot[0]), [&](int l) { return result[l]; });
    if (kTwo) each_lane(w, w.at<u32>(i->slot[1]), [&](int l) { return result[l] ? ~0u : 0u; });
    return i + 1;
}

struct Sum {
    template <class T>
    static T apply(T a, T b) {
        return static_cast<T>(static_cast<u32>(a) + static_cast<u32>(b));
    }
};
struct Least {
    template <class T>
    static T apply(T a, T b) {
        return std::min(a, b);
    }
};
struct Most {
    template <class T>
    static T apply(T a, T b) {
        return std::max(a, b);
    }
};
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

// redux.sync.op d, a, members
template <class Op, class T>
const Instruction* reduce(Warp& w, const Instruction* i) {
    const Instruction* next = nullptr;
    if (!meet(w, i, i->slot[2], next)) return next;
    const T* a = w.at<T>(i->slot[1]);
    T result[kLanes] = {};
    each_active(w, [&](int l) {
        T sum{};
        bool first = true;
        for (u32 left = w.at<u32>(i->slot[2])[l] & w.active; left; left &= left - 1) {
            const T x = a[std::countr_zero(left)];
            sum = first ? x : Op::apply(sum, x);
            first = false;
        }
        result[l] = sum;
    });
    each_lane(w, w.at<T>(i->slot[0]), [&](int l) { return result[l]; });
    return i + 1;
}

// elect.sync d|p, members: the lowest lane.
const Instruction* elect(Warp& w, const Instruction* i) {
    const Instruction* next = nullptr;
    if (!meet(w, i, i->slot[2], next)) return next;
    const u32 leader = static_cast<u32>(std::countr_zero(w.active));
    each_lane(w, w.at<u32>(i->slot[0]), [&](int) { return leader; });
    each_lane(w, w.at<u32>(i->slot[1]),
              [&](int l) { return static_cast<u32>(l) == leader ? ~0u : 0u; });
    return i + 1;
}

template <bool kTwo>
Handler shuffle_of(const Opcode& o) {
    return o.has("up")     ? shuffle<kUp, kTwo>
           : o.has("down") ? shuffle<kDown, kTwo>
           : o.has("bfly") ? shuffle<kButterfly, kTwo>
           : o.has("idx")  ? Handler{shuffle<kIndex, kTwo>}
                           : nullptr;
}
Handler reduction(const Opcode& o, Type t) {
    const bool is_s32 = t == Type::s32;
    if (o.has("add")) return reduce<Sum, u32>;
    if (o.has("min"))
        return is_s32 ? Handler{reduce<Least, std::int32_t>} : Handler{reduce<Least, u32>};
    if (o.has("max"))
        return is_s32 ? Handler{reduce<Most, std::int32_t>} : Handler{reduce<Most, u32>};
    if (o.has("and")) return reduce<And, u32>;
    if (o.has("or")) return reduce<Or, u32>;
    return o.has("xor") ? Handler{reduce<Xor, u32>} : nullptr;
}
Handler matching(const Opcode& o, Type t, bool two) {
    if (o.has("any"))
        return width(t) == 4 ? Handler{match<u32, false, false>}
                             : Handler{match<std::uint64_t, false, false>};
    if (width(t) == 4)
        return two ? Handler{match<u32, true, true>} : Handler{match<u32, true, false>};
    return two ? Handler{match<std::uint64_t, true, true>}
               : Handler{match<std::uint64_t, true, false>};
}

}  // namespace

Operation select_exchange(const Opcode& o, const Shape& shape) {
    Operation op;
    op.parts_ways = true;
    if (!o.has("sync")) return op;
    const bool two = shape.parts(0) == 2;
    const Type t = o.type();
    if (o.base == "shfl") {
        op.types = {Type::b32, Type::b32, Type::b32, Type::b32, Type::b32};
        op.run = two ? shuffle_of<true>(o) : shuffle_of<false>(o);
    }
    if (o.base == "vote") {
        op.types = {o.has("ballot") ? Type::b32 : Type::pred, Type::pred, Type::b32};
        op.extra = o.has("ballot") ? kBallot : o.has("any") ? kAny : o.has("all") ? kAll : kUniform;
        op.run = vote;
    }
    if (o.base == "match") {
        op.types = {Type::b32, t, Type::b32};
        op.run = matching(o, t, two);
    }
    if (o.base == "redux" && width(t) == 4 && !is_float(t)) {
        op.types = {t, t, Type::b32};
        op.run = reduction(o, t);
    }
    if (o.base == "elect" && two) {
        op.types = {Type::b32, Type::b32};
        op.run = elect;
    }
    return op;
}

}  // namespace emulator
