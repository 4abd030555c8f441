#include "sampling/bias/energy.h"

#include "engine/launch/lanes.h"

namespace microlift {

struct WindowEnergyBody {
    WindowView windows;
    int cvs;
    const float* xi;
    index row;
    float* out;
    LANE_FN void operator()(index j) const {
        float u = 0.0f;
        for (int k = 0; k < cvs; ++k)
            u = PeriodicBias<float, 1>(windows.variable(k), j % windows.row)
                    .energy({xi[k * row + j]}, u);
        out[j] = u;
    }
};

template <int K>
struct GridEnergyBody {
    GridView grid;
    const float* xi;
    index row;
    float* out;
    template <class L>
    LANE_FN void operator()(L, index j) const {
        L at[K];
        for (int k = 0; k < K; ++k) at[k] = load<L>(xi + k * row, j);
        store(out, j, GridBias<L, K>(grid).energy(at, broadcast<L>(0.0f)));
    }
};

struct AddScaledBody {
    float factor;
    const float* from;
    float* to;
    LANE_FN void operator()(index i) const { to[i] = fma(factor, from[i], to[i]); }
};

HOST_PASS_BEGIN

void add_scaled(Stream& stream, float factor, Span<const float> from, Span<float> to) {
    for_each_index(stream, to.size, AddScaledBody{factor, from.data, to.data});
}

void bias_energy(Stream& stream, const WindowView& windows, int cvs, Span<const float> xi, index row,
                 index n, Span<float> out) {
    for_each_index(stream, n, WindowEnergyBody{windows, cvs, xi.data, row, out.data});
}

void bias_energy(Stream& stream, const GridView& grid, int cvs, Span<const float> xi, index row,
                 index n, Span<float> out) {
    if (cvs == 2)
        for_each_lane(stream, n, GridEnergyBody<2>{grid, xi.data, row, out.data});
    else
        for_each_lane(stream, n, GridEnergyBody<1>{grid, xi.data, row, out.data});
}

HOST_PASS_END

}  // namespace microlift
