#include "tests/support/launch_bodies.h"

#include "engine/launch/lanes.h"

namespace microlift {

struct AxpyTestBody {
    static constexpr index kGrain = 64;
    float a;
    const float* x;
    float* y;
    template <class L>
    LANE_FN void operator()(L, index i) const {
        store(y, i, fma(broadcast<L>(a), load<L>(x, i), load<L>(y, i)));
    }
};

struct AddOneTestBody {
    double* y;
    template <class L>
    LANE_FN void operator()(L, index i) const {
        store(y, i, load<L>(y, i) + broadcast<L>(1.0));
    }
};

struct CountTestBody {
    static constexpr index kGrain = 1;
    int* count;
    LANE_FN void operator()(index i) const { ++count[i]; }
};

HOST_PASS_BEGIN

void launch_axpy(Stream& stream, float a, Span<const float> x, Span<float> y) {
    for_each_lane(stream, x.size, AxpyTestBody{a, x.data, y.data});
}
void launch_add_one(Stream& stream, Span<double> y) {
    for_each_lane<double>(stream, y.size, AddOneTestBody{y.data});
}
void launch_count(Stream& stream, Span<int> count) {
    for_each_index(stream, count.size, CountTestBody{count.data});
}

HOST_PASS_END

}  // namespace microlift
