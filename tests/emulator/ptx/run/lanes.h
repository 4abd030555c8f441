// Loops over the lanes of a warp, which the compiler turns into SIMD.
#pragma once

#include <bit>
#include <cstdint>

#include "tests/emulator/ptx/run/warp.h"

namespace emulator {

// Lanes that begin a run of instructions here; all of the warp where their places in it are what counts.
inline void count_lanes(Warp& w, const Instruction* at, std::uint32_t lanes) {
    w.block->entered[static_cast<std::size_t>(at - w.block->code)] +=
        static_cast<std::uint64_t>(w.block->whole_warps ? kLanes : std::popcount(lanes));
}

// d[i] = f(i) for the active lanes. f is called for the others as well: it may not fail for any
// input.
template <class D, class F>
inline void each_lane(Warp& w, D* d, const F& f) {
    if (w.full) {
#pragma GCC ivdep
        for (int i = 0; i < kLanes; ++i) d[i] = f(i);
        return;
    }
    alignas(64) D result[kLanes];
    for (int i = 0; i < kLanes; ++i) result[i] = f(i);
#pragma GCC ivdep
    for (int i = 0; i < kLanes; ++i) d[i] = w.mask[i] ? result[i] : d[i];
}

// Calls f(lane) for the active lanes in ascending order.
template <class F>
inline void each_active(const Warp& w, const F& f) {
    for (std::uint32_t left = w.active; left; left &= left - 1) f(std::countr_zero(left));
}

// Handlers of instructions that go on with the next. Op::apply takes the sources.
template <class Op, class D, class A>
const Instruction* unary(Warp& w, const Instruction* i) {
    const A* a = w.at<A>(i->slot[1]);
    each_lane(w, w.at<D>(i->slot[0]), [&](int l) { return static_cast<D>(Op::apply(a[l])); });
    return i + 1;
}
template <class Op, class D, class A, class B>
const Instruction* binary(Warp& w, const Instruction* i) {
    const A* a = w.at<A>(i->slot[1]);
    const B* b = w.at<B>(i->slot[2]);
    each_lane(w, w.at<D>(i->slot[0]), [&](int l) { return static_cast<D>(Op::apply(a[l], b[l])); });
    return i + 1;
}
template <class Op, class D, class A, class B, class C>
const Instruction* ternary(Warp& w, const Instruction* i) {
    const A* a = w.at<A>(i->slot[1]);
    const B* b = w.at<B>(i->slot[2]);
    const C* c = w.at<C>(i->slot[3]);
    each_lane(w, w.at<D>(i->slot[0]),
              [&](int l) { return static_cast<D>(Op::apply(a[l], b[l], c[l])); });
    return i + 1;
}

}  // namespace emulator
