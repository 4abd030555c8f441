// ld and st: of all spaces, scalars and vectors.
#include <cstring>
#include <type_traits>

#include "tests/emulator/ptx/run/lanes.h"
#include "tests/emulator/ptx/run/locate.h"

namespace emulator {

namespace {

// What a register of type R gets of a number of type T: its sign, or zeros.
template <class R, class T>
R widen(T x) {
    return static_cast<R>(
        static_cast<std::conditional_t<std::is_signed_v<T>, std::make_signed_t<R>, R>>(x));
}

template <class T>
T fetch(const std::byte* from) {
    T x;
    std::memcpy(&x, from, sizeof x);
    return x;
}

inline const std::uint32_t* slots(const Instruction* i) {
    return i->more ? i->more : i->slot;
}

// ld d, [a] or ld {d0, …}, [a]
template <class R, class T, int N>
const Instruction* load(Warp& w, const Instruction* i) {
    const std::uint32_t* slot = slots(i);
    Lanes lanes;
    locate(w, i, slot[N], N * sizeof(T), Access::read, lanes);
    if (lanes.pattern == Lanes::Pattern::contiguous) {
        if (lanes.shared)
            for (int l = 0; l < kLanes; ++l)
                check_race(w, i, l, lanes.address[l], N * sizeof(T), SharedAccess::read);
        for (int k = 0; k < N; ++k) {
            R* d = w.at<R>(slot[k]);
            const std::byte* from = lanes.place[0] + k * sizeof(T);
            for (int l = 0; l < kLanes; ++l) d[l] = widen<R>(fetch<T>(from + l * N * sizeof(T)));
        }
    } else if (lanes.pattern == Lanes::Pattern::uniform) {
        T x[N];
        std::memcpy(x, lanes.place[0], sizeof x);
        for (int k = 0; k < N; ++k)
            each_lane(w, w.at<R>(slot[k]), [&](int) { return widen<R>(x[k]); });
    } else {
        each_active(w, [&](int l) {
            if (lanes.shared)
                check_race(w, i, l, lanes.address[l], N * sizeof(T), SharedAccess::read);
            T x[N];
            std::memcpy(x, lanes.place[l], sizeof x);
            for (int k = 0; k < N; ++k) w.at<R>(slot[k])[l] = widen<R>(x[k]);
        });
    }
    return i + 1;
}

// st [a], b or st [a], {b0, …}
template <class R, class T, int N>
const Instruction* store(Warp& w, const Instruction* i) {
    const std::uint32_t* slot = slots(i);
    Lanes lanes;
    locate(w, i, slot[0], N * sizeof(T), Access::write, lanes);
    if (lanes.pattern == Lanes::Pattern::contiguous) {
        alignas(64) T x[kLanes * N];
        for (int k = 0; k < N; ++k) {
            const R* b = w.at<R>(slot[1 + k]);
            for (int l = 0; l < kLanes; ++l) x[l * N + k] = static_cast<T>(b[l]);
        }
        // Several threads that write the same bits do no harm.
        if (lanes.shared && std::memcmp(lanes.place[0], x, sizeof x) != 0)
            for (int l = 0; l < kLanes; ++l)
                if (std::memcmp(lanes.place[0] + l * N * sizeof(T), x + l * N, N * sizeof(T)) != 0)
                    check_race(w, i, l, lanes.address[l], N * sizeof(T), SharedAccess::write);
        std::memcpy(lanes.place[0], x, sizeof x);
    } else {
        each_active(w, [&](int l) {
            T x[N];
            for (int k = 0; k < N; ++k) x[k] = static_cast<T>(w.at<R>(slot[1 + k])[l]);
            if (lanes.shared && std::memcmp(lanes.place[l], x, sizeof x) != 0)
                check_race(w, i, l, lanes.address[l], N * sizeof(T), SharedAccess::write);
            std::memcpy(lanes.place[l], x, sizeof x);
        });
    }
    return i + 1;
}

const Instruction* nothing(Warp&, const Instruction* i) {
    return i + 1;
}

template <bool kLoads, class R, class T>
Handler counted(std::size_t n) {
    if constexpr (sizeof(R) < sizeof(T)) {
        return nullptr;
    } else {
        switch (n) {
            case 1: return kLoads ? Handler{load<R, T, 1>} : Handler{store<R, T, 1>};
            case 2: return kLoads ? Handler{load<R, T, 2>} : Handler{store<R, T, 2>};
            case 4:
                return sizeof(T) == 8 ? nullptr
                       : kLoads       ? Handler{load<R, T, 4>}
                                      : Handler{store<R, T, 4>};
            default: return nullptr;
        }
    }
}
template <bool kLoads, class T>
Handler registered(std::size_t register_width, std::size_t n) {
    switch (register_width) {
        case 2: return counted<kLoads, std::uint16_t, T>(n);
        case 4: return counted<kLoads, std::uint32_t, T>(n);
        case 8: return counted<kLoads, std::uint64_t, T>(n);
        default: return nullptr;
    }
}
template <bool kLoads>
Handler typed(Type t, std::size_t register_width, std::size_t n) {
    switch (t) {
        case Type::s8: return registered<kLoads, std::int8_t>(register_width, n);
        case Type::s16: return registered<kLoads, std::int16_t>(register_width, n);
        case Type::s32: return registered<kLoads, std::int32_t>(register_width, n);
        default: break;
    }
    switch (width(t)) {
        case 1: return registered<kLoads, std::uint8_t>(register_width, n);
        case 2: return registered<kLoads, std::uint16_t>(register_width, n);
        case 4: return registered<kLoads, std::uint32_t>(register_width, n);
        case 8: return registered<kLoads, std::uint64_t>(register_width, n);
        default: return nullptr;
    }
}

// Registers of a vector have one width; constants have that of their type.
std::size_t register_width(const Shape& shape, std::size_t operand, Type t) {
    std::size_t widest = 0;
    for (std::size_t k = 0; k < shape.parts(operand); ++k)
        widest = std::max(widest, shape.widths[operand][k]);
    return widest ? widest : std::max<std::size_t>(width(t), 2);
}

}  // namespace

Operation select_memory(const Opcode& o, const Shape& shape) {
    Operation op;
    op.loose = true;
    if (o.base == "prefetch" || o.base == "prefetchu" || o.base == "applypriority" ||
        o.base == "discard" || (o.base == "st" && o.has("param"))) {
        op.types.assign(shape.operands(), Type::u8);
        op.outputs = 0;
        op.run = nothing;
        return op;
    }
    if ((o.base != "ld" && o.base != "ldu" && o.base != "st") || o.types.empty() ||
        shape.operands() < 2)
        return op;
    const Type t = o.types.back();
    const bool loads = o.base != "st";
    const std::size_t value = loads ? 0 : 1, n = shape.parts(value),
                      bytes = register_width(shape, value, t);
    op.types = loads ? std::vector{t, Type::b64} : std::vector{Type::b64, t};
    op.outputs = loads ? 1 : 0;
    op.kind = access_kind(o, shape.width(loads ? 1 : 0));
    op.extra = ~0u;
    op.run = loads ? typed<true>(t, bytes, n) : typed<false>(t, bytes, n);
    return op;
}

}  // namespace emulator
