// A row-major matrix in memory that others own, and the products that sweeps through networks are made of.
#pragma once

#include <type_traits>

#include "kernels/lane/lane.h"

namespace microlift {

template <class T>
struct Matrix {
    T* data = nullptr;
    index rows = 0, columns = 0;
    index stride = 0;  // from a row to the next
    LANE_FN T* row(index i) const { return data + i * stride; }
    // Its first columns.
    LANE_FN Matrix first(index count) const { return {data, rows, count, stride}; }
    template <class U>
        requires(std::is_same_v<U, const T> && !std::is_const_v<T>)
    LANE_FN operator Matrix<U>() const {
        return {data, rows, columns, stride};
    }
};

// c = a b + bias for every row of a batch: a (·, k), b (k, n), bias (n) or null, c (·, n). Of stacked groups
// of rows a and c are the first.
template <class Real>
struct RowProduct {
    Matrix<const Real> a, b;
    const Real* bias;
    Matrix<Real> c;
    index columns = 0;  // of n that matter; 0: all
};

// gradient[weight…] (k, n) += aᵀ b summed over the rows of a batch, and its column sums at `bias`, unless that
// is negative.
template <class Real>
struct WeightGradient {
    Matrix<const Real> a, b;
    index weight, bias;
    index columns = 0;  // of n that matter; 0: all
};

}  // namespace microlift
