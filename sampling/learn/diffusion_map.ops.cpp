#include "sampling/learn/diffusion_map.h"

#include "engine/launch/lanes.h"
#include "kernels/dynamics/cv.h"
#include "kernels/lane/special.h"

namespace microlift {

struct ScaleBlockBody {
    static constexpr index kGrain = 1024;
    const double* scale;
    const double* x;
    float* out;

    LANE_FN void operator()(index i) const {
        const double s = scale[i];
LANE_UNROLL
        for (int b = 0; b < kEigenBlock; ++b)
            out[i * kEigenBlock + b] = static_cast<float>(s * x[i * kEigenBlock + b]);
    }
};

struct UnscaleBlockBody {
    static constexpr index kGrain = 1024;
    index n;
    const double* scale;
    const float* y;
    double* out;

    LANE_FN void operator()(index i) const {
        const double s = scale[i];
LANE_UNROLL
        for (int b = 0; b < kEigenBlock; ++b)
            out[i * kEigenBlock + b] = s * static_cast<double>(y[b * n + i]);
    }
};

// Two passes: the nearest point sets the scale of the exponentials, so that a query far outside
// divides no zeros (it takes the values of its nearest points).
struct KernelAveragesBody {
    static constexpr index kGrain = 16;
    const float* x;
    index row, n;
    int dim;
    float c;  // −1/4ε
    const float* f;
    int columns;
    const float* query;
    index query_row;
    float* out;
    index out_row;

    template <class L>
    LANE_FN L distance2(index i, index j) const {
        L sum = broadcast<L>(0.0f);
        for (int d = 0; d < dim; ++d) {
            const L diff = load<L>(query + d * query_row, i) - broadcast<L>(x[d * row + j]);
            sum = fma(diff, diff, sum);
        }
        return sum;
    }

    template <class L>
    LANE_FN void operator()(L, index i) const {
        L nearest = broadcast<L>(3.4e38f);
        for (index j = 0; j < n; ++j) nearest = min(distance2<L>(i, j), nearest);
        L sum[kEigenBlock];
LANE_UNROLL
        for (int b = 0; b < kEigenBlock; ++b) sum[b] = broadcast<L>(0.0f);
        for (index j = 0; j < n; ++j) {
            const L k = gaussian_kernel(broadcast<L>(c) * (distance2<L>(i, j) - nearest));
LANE_UNROLL
            for (int b = 0; b < kEigenBlock; ++b)
                sum[b] = fma(k, broadcast<L>(f[j * kEigenBlock + b]), sum[b]);
        }
LANE_UNROLL
        for (int b = 1; b < kEigenBlock; ++b)
            if (b <= columns) store(out + (b - 1) * out_row, i, sum[b] / sum[0]);
    }
};

HOST_PASS_BEGIN

void scale_block(Stream& stream, index n, Span<const double> scale, Span<const double> x,
                 Span<float> x_float) {
    for_each_index(stream, n, ScaleBlockBody{scale.data, x.data, x_float.data});
}

void unscale_block(Stream& stream, index n, Span<const double> scale, Span<const float> y_float,
                   Span<double> y) {
    for_each_index(stream, n, UnscaleBlockBody{n, scale.data, y_float.data, y.data});
}

void kernel_averages(Stream& stream, const PointSet& points, float inverse_4_epsilon,
                     Span<const float> f, int columns, Span<const float> query, index query_row,
                     index queries, Span<float> out, index out_row) {
    for_each_lane(stream, queries,
                  KernelAveragesBody{points.x.data, points.row, points.n, points.dim,
                                     -inverse_4_epsilon, f.data, columns, query.data, query_row,
                                     out.data, out_row});
}

HOST_PASS_END

}  // namespace microlift
