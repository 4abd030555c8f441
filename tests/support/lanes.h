// Lane-wise functions over arrays at a chosen width, for tests that compare widths.
#pragma once

#include <cstring>
#include <vector>

#include "kernels/lane/simd.h"

namespace microlift {

template <class T, int W>
struct LaneOfWidth {
    using Type = Pack<T, W>;
};
template <class T>
struct LaneOfWidth<T, 1> {
    using Type = T;
};

// y[i] = f(x[i]), W at a time; x.size() must be a multiple of W.
template <int W, class T, class F>
std::vector<T> map_lanes(const std::vector<T>& x, const F& f) {
    using L = typename LaneOfWidth<T, W>::Type;
    std::vector<T> y(x.size());
    for (std::size_t i = 0; i < x.size(); i += W)
        store(y.data(), static_cast<index>(i), f(load<L>(x.data(), static_cast<index>(i))));
    return y;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// Equal bits, or NaN in both: the sign and payload of a NaN are nobody's promise.
template <class T>
bool same_values(const std::vector<T>& a, const std::vector<T>& b) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (as_uint(a[i]) != as_uint(b[i]) && !(a[i] != a[i] && b[i] != b[i])) return false;
    return true;
}

}  // namespace microlift
