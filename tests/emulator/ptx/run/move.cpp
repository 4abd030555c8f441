// Moves, packing and unpacking, addresses of one space as generic ones.
#include "tests/emulator/ptx/decode/opcode.h"
#include "tests/emulator/ptx/run/lanes.h"

namespace emulator {

namespace {

struct Same {
    template <class T>
    static T apply(T a) {
        return a;
    }
};

// mov.b64 d, {a, b}
template <class D, class S>
const Instruction* pack(Warp& w, const Instruction* i) {
    constexpr int parts = sizeof(D) / sizeof(S);
    each_lane(w, w.at<D>(i->slot[0]), [&](int l) {
        D r = 0;
        for (int k = 0; k < parts; ++k)
            r |= static_cast<D>(w.at<S>(i->slot[1 + k])[l]) << 8 * sizeof(S) * k;
        return r;
    });
    return i + 1;
}
// mov.b64 {a, b}, d
template <class D, class S>
const Instruction* unpack(Warp& w, const Instruction* i) {
    constexpr int parts = sizeof(S) / sizeof(D);
    const S* source = w.at<S>(i->slot[parts]);
    for (int k = 0; k < parts; ++k)
        each_lane(w, w.at<D>(i->slot[k]),
                  [&](int l) { return static_cast<D>(source[l] >> 8 * sizeof(D) * k); });
    return i + 1;
}

// The tag of a window comes on, or goes.
template <class D, class S>
const Instruction* add_window(Warp& w, const Instruction* i) {
    const S* a = w.at<S>(i->slot[1]);
    each_lane(w, w.at<D>(i->slot[0]), [&](int l) {
        return static_cast<D>(a[l] + static_cast<std::uint64_t>(i->immediate));
    });
    return i + 1;
}

// isspacep.space p, a
const Instruction* is_in_space(Warp& w, const Instruction* i) {
    const std::uint64_t* a = w.at<std::uint64_t>(i->slot[1]);
    const auto window = static_cast<std::uint64_t>(i->immediate);
    each_lane(w, w.at<std::uint32_t>(i->slot[0]),
              [&](int l) { return (a[l] & ~(kWindow - 1)) == window ? ~0u : 0u; });
    return i + 1;
}

std::uint64_t window(const Opcode& o) {
    return o.has("shared") || o.has("shared::cta") ? kSharedWindow
           : o.has("local")                        ? kLocalWindow
           : o.has("param")                        ? kParamWindow
                                                   : 0;
}

const Instruction* active_mask(Warp& w, const Instruction* i) {
    each_lane(w, w.at<std::uint32_t>(i->slot[0]), [&](int) { return w.active; });
    return i + 1;
}

Operation move(const Opcode& o, const Shape& shape) {
    Operation op;
    const Type t = o.type();
    const std::size_t from = shape.parts(1), to = shape.parts(0), bytes = width(t);
    if (from == 1 && to == 1) {
        op.types = {t, t};
        op.run = bytes == 2   ? Handler{unary<Same, std::uint16_t, std::uint16_t>}
                 : bytes == 4 ? Handler{unary<Same, std::uint32_t, std::uint32_t>}
                 : bytes == 8 ? Handler{unary<Same, std::uint64_t, std::uint64_t>}
                              : nullptr;
        return op;
    }
    const std::size_t parts = std::max(from, to);
    const Type part = bytes / parts == 4 ? Type::b32 : Type::b16;
    op.types = to > 1 ? std::vector{part, t} : std::vector{t, part};
    if (bytes == 8 && parts == 2)
        op.run = to > 1 ? unpack<std::uint32_t, std::uint64_t> : pack<std::uint64_t, std::uint32_t>;
    if (bytes == 8 && parts == 4)
        op.run = to > 1 ? unpack<std::uint16_t, std::uint64_t> : pack<std::uint64_t, std::uint16_t>;
    if (bytes == 4 && parts == 2)
        op.run = to > 1 ? unpack<std::uint16_t, std::uint32_t> : pack<std::uint32_t, std::uint16_t>;
    return op;
}

}  // namespace

Operation select_move(const Opcode& o, const Shape& shape) {
    Operation op;
    if (o.base == "mov") return move(o, shape);
    if (o.base == "cvta") {
        op.types = {o.type(), o.type()};
        op.immediate = static_cast<std::int64_t>(window(o));
        if (o.has("to")) op.immediate = -op.immediate;
        op.run = add_window<std::uint64_t, std::uint64_t>;
        if (width(o.type()) != 8) op.run = nullptr;
    }
    if (o.base == "isspacep") {
        op.types = {Type::pred, Type::u64};
        op.immediate = static_cast<std::int64_t>(window(o));
        op.run = is_in_space;
    }
    if (o.base == "activemask") {
        op.types = {Type::b32};
        op.run = active_mask;
    }
    return op;
}

}  // namespace emulator
