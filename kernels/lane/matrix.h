// A row-major matrix in memory that others own.
#pragma once

#include "kernels/lane/lane.h"

namespace microlift {

template <class T>
struct Matrix {
    T* data = nullptr;
    index rows = 0, columns = 0;
    index stride = 0;  // from a row to the next
    LANE_FN T* row(index i) const { return data + i * stride; }
    // `count` columns from `first`.
    LANE_FN Matrix part(index first, index count) const {
        return {data + first, rows, count, stride};
    }
};

}  // namespace microlift
