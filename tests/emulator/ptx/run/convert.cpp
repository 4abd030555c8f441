// cvt: between all widths, rounded as the opcode says; what does not fit goes to the nearest that
// does.
#include <bit>
#include <cfenv>
#include <cmath>
#include <limits>

#include "tests/emulator/ptx/decode/opcode.h"
#include "tests/emulator/ptx/run/float.h"
#include "tests/emulator/ptx/run/half.h"

namespace emulator {

namespace {

using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

// Integer to integer by way of registers that may be wider: R holds the source, S is its type.
template <class D, class S, bool kSaturate>
struct Between {
    template <class R>
    static auto apply(R raw) {
        const S a = static_cast<S>(raw);
        if (!kSaturate) return static_cast<D>(a);
        using Limits = std::numeric_limits<D>;
        if (std::is_signed_v<S> && a < S{0}) {
            if (!std::is_signed_v<D>) return D{0};
            return static_cast<std::int64_t>(a) < static_cast<std::int64_t>(Limits::min())
                       ? Limits::min()
                       : static_cast<D>(a);
        }
        return static_cast<u64>(a) > static_cast<u64>(Limits::max()) ? Limits::max()
                                                                     : static_cast<D>(a);
    }
};

// The destination's register: wider ones take the sign or zeros.
template <class W, class D>
W widen(D x) {
    return static_cast<W>(
        static_cast<std::conditional_t<std::is_signed_v<D>, std::make_signed_t<W>, W>>(x));
}

template <class DR, class SR, class D, class S, bool kSaturate>
const Instruction* integers(Warp& w, const Instruction* i) {
    const SR* a = w.at<SR>(i->slot[1]);
    each_lane(w, w.at<DR>(i->slot[0]),
              [&](int l) { return widen<DR>(Between<D, S, kSaturate>::apply(a[l])); });
    return i + 1;
}

enum Rounding : u32 { kNearest, kZero, kDown, kUp };
template <class F>
F to_integral(F x, u32 rounding) {
    return rounding == kNearest ? std::nearbyint(x)
           : rounding == kZero  ? std::trunc(x)
           : rounding == kDown  ? std::floor(x)
                                : std::ceil(x);
}

// NaN becomes 0 where neither type has 64 bits, else the highest bit alone (PTX ISA, cvt).
template <class D, class F>
D clamped(F x) {
    using Limits = std::numeric_limits<D>;
    if (x != x)
        return sizeof(F) == 8 || sizeof(D) == 8
                   ? static_cast<D>(std::uint64_t{1} << (8 * sizeof(D) - 1))
                   : D{0};
    if (x <= static_cast<F>(Limits::min())) return Limits::min();
    if (x >= static_cast<F>(Limits::max())) return Limits::max();
    return static_cast<D>(x);
}

template <class DR, class D, class F>
const Instruction* float_to_integer(Warp& w, const Instruction* i) {
    const F* a = w.at<F>(i->slot[1]);
    const u32 rounding = i->extra & 3u;
    const bool flushes = i->extra & 4u;
    each_lane(w, w.at<DR>(i->slot[0]), [&](int l) {
        F x = a[l];
        if constexpr (sizeof(F) == 4) x = flushes ? flush(x) : x;
        return widen<DR>(clamped<D>(to_integral(x, rounding)));
    });
    return i + 1;
}

template <class Body>
void with_direction(u32 rounding, const Body& body) {
    constexpr int modes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
    if (rounding != kNearest) std::fesetround(modes[rounding]);
    body();
    if (rounding != kNearest) std::fesetround(FE_TONEAREST);
}

template <class F, class SR, class S>
[[gnu::noinline]] void integers_to_floats(Warp& w, const Instruction* i) {
    const SR* a = w.at<SR>(i->slot[1]);
    each_lane(w, w.at<F>(i->slot[0]), [&](int l) { return static_cast<F>(static_cast<S>(a[l])); });
}
template <class F, class SR, class S>
const Instruction* integer_to_float(Warp& w, const Instruction* i) {
    with_direction(i->extra & 3u, [&] { integers_to_floats<F, SR, S>(w, i); });
    return i + 1;
}

constexpr u32 kIntegral = 8, kFlush = 4, kSaturate = 16;

template <class D, class S>
[[gnu::noinline]] void floats_to_floats(Warp& w, const Instruction* i) {
    const S* a = w.at<S>(i->slot[1]);
    const u32 how = i->extra;
    each_lane(w, w.at<D>(i->slot[0]), [&](int l) {
        S x = a[l];
        if constexpr (sizeof(S) == 4) x = how & kFlush ? flush(x) : x;
        if (how & kIntegral) x = to_integral(x, how & 3u);
        D r = static_cast<D>(x);
        if constexpr (sizeof(D) == 4) {
            if (how & kFlush) r = flush(r);
            r = how & kSaturate ? saturate(r) : canonical(r);
        }
        return r;
    });
}
template <class D, class S>
const Instruction* float_to_float(Warp& w, const Instruction* i) {
    with_direction(i->extra & kIntegral ? u32{kNearest} : i->extra & 3u,
                   [&] { floats_to_floats<D, S>(w, i); });
    return i + 1;
}

// --- narrow floats
// --------------------------------------------------------------------------------

const Instruction* to_tf32(Warp& w, const Instruction* i) {
    const u32* a = w.at<u32>(i->slot[1]);
    each_lane(w, w.at<u32>(i->slot[0]), [&](int l) { return round_tf32(a[l]); });
    return i + 1;
}
template <u32 (*kRound)(float)>
const Instruction* to_two(Warp& w, const Instruction* i) {  // d, upper, lower
    const float *a = w.at<float>(i->slot[1]), *b = w.at<float>(i->slot[2]);
    each_lane(w, w.at<u32>(i->slot[0]), [&](int l) { return kRound(a[l]) << 16 | kRound(b[l]); });
    return i + 1;
}
template <u32 (*kRound)(float)>
const Instruction* to_narrow(Warp& w, const Instruction* i) {
    const float* a = w.at<float>(i->slot[1]);
    each_lane(w, w.at<u16>(i->slot[0]), [&](int l) { return static_cast<u16>(kRound(a[l])); });
    return i + 1;
}
template <float (*kWiden)(u32)>
const Instruction* from_narrow(Warp& w, const Instruction* i) {
    const u16* a = w.at<u16>(i->slot[1]);
    each_lane(w, w.at<float>(i->slot[0]), [&](int l) { return kWiden(a[l]); });
    return i + 1;
}

// --- which
// ----------------------------------------------------------------------------------------

template <class F>
Handler visit_integer(Type t, const F& f) {
    switch (t) {
        case Type::u8:
        case Type::b8: return f(std::uint8_t{});
        case Type::s8: return f(std::int8_t{});
        case Type::u16:
        case Type::b16: return f(std::uint16_t{});
        case Type::s16: return f(std::int16_t{});
        case Type::u32:
        case Type::b32: return f(std::uint32_t{});
        case Type::s32: return f(std::int32_t{});
        case Type::u64:
        case Type::b64: return f(std::uint64_t{});
        case Type::s64: return f(std::int64_t{});
        default: return nullptr;
    }
}
template <class F>
Handler visit_register(std::size_t bytes, const F& f) {
    return bytes == 2 ? f(u16{}) : bytes == 4 ? f(u32{}) : bytes == 8 ? f(u64{}) : nullptr;
}
std::size_t register_width(const Shape& shape, std::size_t operand, Type t) {
    return shape.width(operand) ? shape.width(operand) : std::max<std::size_t>(width(t), 2);
}

Handler between_integers(Type d, Type s, std::size_t dr, std::size_t sr, bool saturates) {
    return visit_integer(d, [&](auto dz) {
        return visit_integer(s, [&](auto sz) {
            using D = decltype(dz);
            using S = decltype(sz);
            return visit_register(dr, [&](auto drz) {
                return visit_register(sr, [&](auto srz) -> Handler {
                    using DR = decltype(drz);
                    using SR = decltype(srz);
                    if constexpr (sizeof(DR) < sizeof(D) || sizeof(SR) < sizeof(S))
                        return nullptr;
                    else
                        return saturates ? Handler{integers<DR, SR, D, S, true>}
                                         : Handler{integers<DR, SR, D, S, false>};
                });
            });
        });
    });
}

Handler narrow(Type d, Type s) {
    if (d == Type::tf32) return to_tf32;
    if (d == Type::bf16x2) return to_two<round_bf16>;
    if (d == Type::f16x2) return to_two<round_f16>;
    if (d == Type::bf16 && s == Type::f32) return to_narrow<round_bf16>;
    if (d == Type::f16 && s == Type::f32) return to_narrow<round_f16>;
    if (d == Type::f32 && s == Type::bf16) return from_narrow<widen_bf16>;
    if (d == Type::f32 && s == Type::f16) return from_narrow<widen_f16>;
    return nullptr;
}

u32 rounding(const Opcode& o) {
    if (o.has("rz") || o.has("rzi")) return kZero;
    if (o.has("rm") || o.has("rmi")) return kDown;
    if (o.has("rp") || o.has("rpi")) return kUp;
    return kNearest;
}

}  // namespace

Operation select_convert(const Opcode& o, const Shape& shape) {
    if (o.base != "cvt" || o.types.size() != 2) return {};
    const Type d = o.types[0], s = o.types[1];
    const std::size_t dr = register_width(shape, 0, d), sr = register_width(shape, 1, s);
    Operation op;
    op.types = {d, s};
    op.loose = true;
    const bool integral = o.has("rni") || o.has("rzi") || o.has("rmi") || o.has("rpi");
    op.extra = rounding(o) | (o.has("ftz") ? kFlush : 0u) | (integral ? kIntegral : 0u) |
               (o.has("sat") ? kSaturate : 0u);
    if (d == Type::bf16x2 || d == Type::f16x2) op.types.push_back(s);
    // Only the one direction that is asked for here; others would be a guess.
    const bool nearest =
        d == Type::tf32 ? o.has("rna") : o.has("rn") || s == Type::bf16 || s == Type::f16;
    const bool plain_d = d == Type::f32 || d == Type::f64,
               plain_s = s == Type::f32 || s == Type::f64;
    if ((is_float(d) && !plain_d) || (is_float(s) && !plain_s) || d == Type::bf16x2 ||
        d == Type::f16x2) {
        op.run =
            nearest && !o.has("sat") && !o.has("relu") && !o.has("ftz") ? narrow(d, s) : nullptr;
    } else if (plain_d && plain_s) {
        op.run = d == Type::f32 ? (s == Type::f32 ? Handler{float_to_float<float, float>}
                                                  : Handler{float_to_float<float, double>})
                                : (s == Type::f32 ? Handler{float_to_float<double, float>}
                                                  : Handler{float_to_float<double, double>});
    } else if (plain_s) {
        op.run = visit_integer(d, [&](auto dz) {
            return visit_register(dr, [&](auto drz) -> Handler {
                using D = decltype(dz);
                using DR = decltype(drz);
                if constexpr (sizeof(DR) < sizeof(D))
                    return nullptr;
                else
                    return s == Type::f32 ? Handler{float_to_integer<DR, D, float>}
                                          : Handler{float_to_integer<DR, D, double>};
            });
        });
    } else if (plain_d) {
        op.run = visit_integer(s, [&](auto sz) {
            return visit_register(sr, [&](auto srz) -> Handler {
                using S = decltype(sz);
                using SR = decltype(srz);
                if constexpr (sizeof(SR) < sizeof(S))
                    return nullptr;
                else
                    return d == Type::f32 ? Handler{integer_to_float<float, SR, S>}
                                          : Handler{integer_to_float<double, SR, S>};
            });
        });
        if (o.has("sat")) op.run = nullptr;
    } else {
        op.run = between_integers(d, s, dr, sr, o.has("sat"));
    }
    return op;
}

}  // namespace emulator
