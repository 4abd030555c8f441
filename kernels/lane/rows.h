// Numbers of one lane by rows, where there are too many for registers: packs side by side (CPU), or every
// `stride`-th number (CUDA).
#pragma once

#include "kernels/lane/lane.h"

namespace microlift {

template <class L>
struct PackedRows {
    L* first;
    LANE_FN L& operator[](int32 row) const { return first[row]; }
    LANE_FN PackedRows from(int32 row) const { return {first + row}; }
};
template <class L>
struct StridedRows {
    L* first;
    index stride;
    LANE_FN L& operator[](int32 row) const { return first[row * stride]; }
    LANE_FN StridedRows from(int32 row) const { return {first + row * stride, stride}; }
};

}  // namespace microlift
