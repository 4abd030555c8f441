// atom and red: one lane after another, each indivisible.
#include <atomic>
#include <bit>
#include <type_traits>

#include "tests/emulator/ptx/run/float.h"
#include "tests/emulator/ptx/run/locate.h"

namespace emulator {

namespace {

struct Add {
    template <class T>
    static T apply(T a, T b, T) {
        return a + b;
    }
};
struct FlushedAdd {
    static float apply(float a, float b, float) { return flush(flush(a) + flush(b)); }
};  // global f32
struct Minimum {
    template <class T>
    static T apply(T a, T b, T) {
        return a < b ? a : b;
    }
};
struct Maximum {
    template <class T>
    static T apply(T a, T b, T) {
        return a > b ? a : b;
    }
};
struct And {
    template <class T>
    static T apply(T a, T b, T) {
        return a & b;
    }
};
struct Or {
    template <class T>
    static T apply(T a, T b, T) {
        return a | b;
    }
};
struct Xor {
    template <class T>
    static T apply(T a, T b, T) {
        return a ^ b;
    }
};
struct Exchange {
    template <class T>
    static T apply(T, T b, T) {
        return b;
    }
};
struct CompareSwap {
    template <class T>
    static T apply(T a, T b, T c) {
        return a == b ? c : a;
    }
};
struct Increment {
    template <class T>
    static T apply(T a, T b, T) {
        return a >= b ? T{0} : a + 1;
    }
};
struct Decrement {
    template <class T>
    static T apply(T a, T b, T) {
        return a == 0 || a > b ? b : a - 1;
    }
};

// [d,] [a], b[, c]
template <class Op, class T, bool kGives, bool kThree>
const Instruction* atomic(Warp& w, const Instruction* i) {
    const std::uint32_t* slot = i->slot + (kGives ? 1 : 0);
    const T* b = w.at<T>(slot[1]);
    const T* c = kThree ? w.at<T>(slot[2]) : b;
    using Word = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    Lanes lanes;
    locate(w, i, slot[0], sizeof(T), Access::update, lanes);
    each_active(w, [&](int l) {
        if (lanes.shared) check_race(w, i, l, lanes.address[l], sizeof(T), SharedAccess::atomic);
        std::atomic_ref<Word> word(*reinterpret_cast<Word*>(lanes.place[l]));
        Word old = word.load();
        while (!word.compare_exchange_weak(
            old, std::bit_cast<Word>(Op::apply(std::bit_cast<T>(old), b[l], c[l])))) {
        }
        if (kGives) w.at<T>(i->slot[0])[l] = std::bit_cast<T>(old);
    });
    return i + 1;
}

template <class Op, class T, bool kThree = false>
Handler giving(bool gives) {
    return gives ? Handler{atomic<Op, T, true, kThree>} : Handler{atomic<Op, T, false, kThree>};
}
template <class Op>
Handler of_integer(Type t, bool gives) {
    if (t == Type::s32) return giving<Op, std::int32_t>(gives);
    if (t == Type::s64) return giving<Op, std::int64_t>(gives);
    return width(t) == 4 ? giving<Op, std::uint32_t>(gives) : giving<Op, std::uint64_t>(gives);
}
template <class Op, bool kThree = false>
Handler of_bits(Type t, bool gives) {
    return width(t) == 4 ? giving<Op, std::uint32_t, kThree>(gives)
                         : giving<Op, std::uint64_t, kThree>(gives);
}

Handler operation(const Opcode& o, Type t, bool gives) {
    if (o.has("add")) {
        if (t == Type::f64) return giving<Add, double>(gives);
        if (t == Type::f32)
            return o.has("shared") ? giving<Add, float>(gives) : giving<FlushedAdd, float>(gives);
        return of_bits<Add>(t, gives);
    }
    if (o.has("min")) return of_integer<Minimum>(t, gives);
    if (o.has("max")) return of_integer<Maximum>(t, gives);
    if (o.has("and")) return of_bits<And>(t, gives);
    if (o.has("or")) return of_bits<Or>(t, gives);
    if (o.has("xor")) return of_bits<Xor>(t, gives);
    if (o.has("exch")) return of_bits<Exchange>(t, gives);
    if (o.has("cas")) return of_bits<CompareSwap, true>(t, gives);
    if (o.has("inc")) return of_bits<Increment>(t, gives);
    if (o.has("dec")) return of_bits<Decrement>(t, gives);
    return nullptr;
}

}  // namespace

Operation select_atomic(const Opcode& o, const Shape& shape) {
    const bool gives = o.base == "atom";
    Operation op;
    if ((!gives && o.base != "red") || o.types.size() != 1 || width(o.type()) < 4 ||
        width(o.type()) > 8)
        return op;
    const Type t = o.type();
    op.outputs = gives;
    op.types = gives ? std::vector{t, Type::b64, t, t} : std::vector{Type::b64, t, t};
    op.kind = access_kind(o, shape.width(gives));
    op.extra = ~0u;
    op.run = operation(o, t, gives);
    return op;
}

}  // namespace emulator
