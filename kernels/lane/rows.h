// Numbers of one lane by rows, where there are too many for registers: packs side by side (CPU), a warp's numbers
// side by side (CUDA), or columns of a matrix.
#pragma once

#include "kernels/lane/lane.h"

namespace microlift {

// A copy that stays in registers: GCC copies a pack as a structure, by way of memory that nobody reads.
template <class L>
LANE_FN L value_of(const L& x) {
    if constexpr (kWidth<L> > 1)
        return {x.v};
    else
        return x;
}

// Calls f. On the CPU it is a function of its own: of several loops in one, GCC keeps in registers what only others
// need.
template <class Function>
LANE_CALL void call_apart(const Function& f) {
    f();
}
template <class Function>
LANE_FN void apart(const Function& f) {
#if defined(__CUDACC__)
    f();
#else
    call_apart(f);
#endif
}

template <class L>
struct PackedRows {
    L* first;
    LANE_FN L& operator[](int32 row) const { return first[row]; }
    LANE_FN PackedRows at(int32 row) const { return {first + row}; }
    LANE_FN PackedRows from(int32 row) const { return at(row); }
};
// Rows of a stride that is known: one instruction leads to a row, and none from it to the next.
template <class L>
struct WarpRows {
    static constexpr int32 kLanes = 32;
    L* first;
    LANE_FN L& operator[](int32 row) const { return first[static_cast<index>(row) * kLanes]; }
    LANE_FN WarpRows at(int32 row) const { return {first + static_cast<index>(row) * kLanes}; }
    LANE_FN WarpRows from(int32 row) const {
        L* place = first + static_cast<index>(row) * kLanes;
#if defined(__CUDA_ARCH__)
        // Else the compiler adds up rows, and each address takes three instructions instead of one.
        asm("" : "+l"(place));
        __builtin_assume(__isGlobal(place));
#endif
        return {place};
    }
};
template <class L>
struct StridedRows {
    L* first;
    index stride;
    LANE_FN L& operator[](int32 row) const { return first[row * stride]; }
    LANE_FN StridedRows at(int32 row) const { return {first + row * stride, stride}; }
    LANE_FN StridedRows from(int32 row) const { return at(row); }
};

}  // namespace microlift
