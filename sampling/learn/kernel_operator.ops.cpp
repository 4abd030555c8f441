#include "sampling/learn/kernel_operator.h"

#include "engine/launch/lanes.h"
#include "kernels/dynamics/cv.h"
#include "kernels/lane/special.h"

namespace microlift {

// Partial sums of so many terms are added up by themselves: float sums over many points.
inline constexpr index kKernelRun = 256;

// Squared distances of one pack of points to any point; D = 0: any dimension.
template <int D, bool Metric>
struct PairDistance {
    const float* x;
    const float* metric;
    index row;
    int dim;

    template <class L>
    struct Here {
        L x[D > 0 ? D : kMaxDim];
        L metric[Metric && D > 0 ? D * (D + 1) / 2 : 1];
    };

    LANE_FN int dims() const { return D > 0 ? D : dim; }

    // In place: a copy would carry all kMaxDim of them.
    template <class L>
    LANE_FN void load_at(index i, Here<L>& here) const {
        for (int d = 0; d < dims(); ++d) here.x[d] = load<L>(x + d * row, i);
        if constexpr (Metric && D > 0)
            for (int e = 0; e < D * (D + 1) / 2; ++e) here.metric[e] = load<L>(metric + e * row, i);
    }

    template <class L>
    LANE_FN L operator()(const Here<L>& here, index i, index j) const {
        if constexpr (!Metric) {
            L sum = broadcast<L>(0.0f);
            for (int d = 0; d < dims(); ++d) {
                const L diff = here.x[d] - broadcast<L>(x[d * row + j]);
                sum = fma(diff, diff, sum);
            }
            return sum;
        } else {
            L diff[D > 0 ? D : kMaxDim];
            for (int d = 0; d < dims(); ++d) diff[d] = here.x[d] - broadcast<L>(x[d * row + j]);
            L sum = broadcast<L>(0.0f);
            int e = 0;
            for (int a = 0; a < dims(); ++a) {
                for (int b = a; b < dims(); ++b, ++e) {
                    L m = broadcast<L>(metric[e * row + j]);
                    if constexpr (D > 0)
                        m = m + here.metric[e];
                    else
                        m = m + load<L>(metric + e * row, i);
                    const L da = a == b ? broadcast<L>(0.5f) * diff[a] : diff[a];
                    sum = fma(m * da, diff[b], sum);
                }
            }
            return sum;
        }
    }
};

template <class Distance>
struct KernelSumsBody {
    static constexpr index kGrain = 16;
    Distance distance;
    index n;
    int bandwidths;
    const float* weight;
    const float* epsilon;
    float* sums;

    template <class L>
    LANE_FN void operator()(L, index i) const {
        typename Distance::template Here<L> here;
        distance.load_at(i, here);
        for (int e = 0; e < bandwidths; ++e) {
            const L c = broadcast<L>(-0.25f / epsilon[e]);
            L total = broadcast<L>(0.0f);
            for (index from = 0; from < n; from += kKernelRun) {
                const index to = from + kKernelRun < n ? from + kKernelRun : n;
                L sum = broadcast<L>(0.0f);
                for (index j = from; j < to; ++j)
                    sum = fma(broadcast<L>(weight[j]),
                              gaussian_kernel(c * distance(here, i, j)), sum);
                total = total + sum;
            }
            store(sums + e * n, i, total);
        }
    }
};

template <class Distance>
struct FillKernelBody {
    static constexpr index kGrain = 16;
    Distance distance;
    index n;
    float c;  // −1/4ε
    float* values;

    template <class L>
    LANE_FN void operator()(L, index i) const {
        typename Distance::template Here<L> here;
        distance.load_at(i, here);
        float* out = values + i / kKernelTile * kKernelTile * n + i % kKernelTile;
        for (index j = 0; j < n; ++j)
            store(out, kKernelTile * j, gaussian_kernel(broadcast<L>(c) * distance(here, i, j)));
    }
};

template <int P>
struct MultiplyStoredBody {
    static constexpr index kGrain = 16;
    index n;
    const float* values;
    const float* x;
    float* y;

    template <class L>
    LANE_FN void operator()(L, index i) const {
        const float* k = values + i / kKernelTile * kKernelTile * n + i % kKernelTile;
        L total[P];
LANE_UNROLL
        for (int b = 0; b < P; ++b) total[b] = broadcast<L>(0.0f);
        for (index from = 0; from < n; from += kKernelRun) {
            const index to = from + kKernelRun < n ? from + kKernelRun : n;
            L sum[P];
LANE_UNROLL
            for (int b = 0; b < P; ++b) sum[b] = broadcast<L>(0.0f);
            for (index j = from; j < to; ++j) {
                const L kij = load<L>(k, kKernelTile * j);
LANE_UNROLL
                for (int b = 0; b < P; ++b) sum[b] = fma(kij, broadcast<L>(x[j * P + b]), sum[b]);
            }
LANE_UNROLL
            for (int b = 0; b < P; ++b) total[b] = total[b] + sum[b];
        }
LANE_UNROLL
        for (int b = 0; b < P; ++b) store(y + b * n, i, total[b]);
    }
};

template <class Distance, int P>
struct MultiplyRecomputedBody {
    static constexpr index kGrain = 16;
    Distance distance;
    index n;
    float c;  // −1/4ε
    const float* x;
    float* y;

    template <class L>
    LANE_FN void operator()(L, index i) const {
        typename Distance::template Here<L> here;
        distance.load_at(i, here);
        L total[P];
LANE_UNROLL
        for (int b = 0; b < P; ++b) total[b] = broadcast<L>(0.0f);
        for (index from = 0; from < n; from += kKernelRun) {
            const index to = from + kKernelRun < n ? from + kKernelRun : n;
            L sum[P];
LANE_UNROLL
            for (int b = 0; b < P; ++b) sum[b] = broadcast<L>(0.0f);
            for (index j = from; j < to; ++j) {
                const L kij = gaussian_kernel(broadcast<L>(c) * distance(here, i, j));
LANE_UNROLL
                for (int b = 0; b < P; ++b) sum[b] = fma(kij, broadcast<L>(x[j * P + b]), sum[b]);
            }
LANE_UNROLL
            for (int b = 0; b < P; ++b) total[b] = total[b] + sum[b];
        }
LANE_UNROLL
        for (int b = 0; b < P; ++b) store(y + b * n, i, total[b]);
    }
};

template <int P>
struct MultiplyNeighboursBody {
    static constexpr index kGrain = 64;
    index n;
    const index* first;
    const uint32* neighbour;
    const float* values;
    const float* x;
    float* y;

    LANE_FN void operator()(index i) const {
        float sum[P];
LANE_UNROLL
        for (int b = 0; b < P; ++b) sum[b] = 0.0f;
        for (index t = first[i]; t < first[i + 1]; ++t) {
            const float kij = values[t];
            const float* row = x + static_cast<index>(neighbour[t]) * P;
LANE_UNROLL
            for (int b = 0; b < P; ++b) sum[b] = fma(kij, row[b], sum[b]);
        }
LANE_UNROLL
        for (int b = 0; b < P; ++b) y[b * n + i] = sum[b];
    }
};

// Each lane keeps the k nearest points met so far as a heap with the farthest on top.
template <class Distance>
struct NearestNeighboursBody {
    static constexpr index kGrain = 16;
    Distance distance;
    index n;
    int k;
    float* distance2;
    uint32* neighbour;

    template <class L>
    LANE_FN void operator()(L, index i) const {
        typename Distance::template Here<L> here;
        distance.load_at(i, here);
        constexpr int W = kWidth<L>;
        float worst[W];
        for (int w = 0; w < W; ++w) {
            worst[w] = 3.4e38f;
            for (int t = 0; t < k; ++t) distance2[(i + w) * k + t] = 3.4e38f;
        }
        L limit = load<L>(worst, 0);
        for (index j = 0; j < n; ++j) {
            const L d = distance(here, i, j);
            if (!any(d < limit)) continue;
            for (int w = 0; w < W; ++w) {
                const float value = get_lane(d, w);
                if (!(value < worst[w])) continue;
                replace_top(distance2 + (i + w) * k, neighbour + (i + w) * k, value,
                            static_cast<uint32>(j));
                worst[w] = distance2[(i + w) * k];
            }
            limit = load<L>(worst, 0);
        }
    }

    LANE_FN void replace_top(float* heap, uint32* number, float value, uint32 j) const {
        int t = 0;
        for (;;) {
            int child = 2 * t + 1;
            if (child >= k) break;
            if (child + 1 < k && heap[child + 1] > heap[child]) ++child;
            if (!(heap[child] > value)) break;
            heap[t] = heap[child];
            number[t] = number[child];
            t = child;
        }
        heap[t] = value;
        number[t] = j;
    }
};

HOST_PASS_BEGIN

// Calls work with the distance of these points: the common dimensions unrolled.
template <class Work>
void with_distance(const PointSet& p, const Work& work) {
    const float* x = p.x.data;
    const float* metric = p.metric.data;
    if (metric) {
        if (p.dim == 2)
            work(PairDistance<2, true>{x, metric, p.row, 2});
        else
            work(PairDistance<0, true>{x, metric, p.row, p.dim});
    } else {
        if (p.dim == 1)
            work(PairDistance<1, false>{x, nullptr, p.row, 1});
        else if (p.dim == 2)
            work(PairDistance<2, false>{x, nullptr, p.row, 2});
        else
            work(PairDistance<0, false>{x, nullptr, p.row, p.dim});
    }
}

void kernel_sums(Stream& stream, const PointSet& points, Span<const float> weight,
                 Span<const float> epsilon, Span<float> sums) {
    with_distance(points, [&](auto distance) {
        for_each_lane(stream, points.n,
                      KernelSumsBody<decltype(distance)>{distance, points.n,
                                                         static_cast<int>(epsilon.size),
                                                         weight.data, epsilon.data, sums.data});
    });
}

void nearest_neighbours(Stream& stream, const PointSet& points, int k, Span<float> distance2,
                        Span<uint32> neighbour) {
    with_distance(points, [&](auto distance) {
        for_each_lane(stream, points.n,
                      NearestNeighboursBody<decltype(distance)>{distance, points.n, k,
                                                                distance2.data, neighbour.data});
    });
}

void fill_kernel(Stream& stream, const PointSet& points, float inverse_4_epsilon,
                 Span<float> values) {
    const auto fill = [&](auto distance) {
        for_each_lane(stream, points.n,
                      FillKernelBody<decltype(distance)>{distance, points.n, -inverse_4_epsilon,
                                                         values.data});
    };
    // Stored are only kernels of many terms: those of one or two variables have no code of their own.
    const float *x = points.x.data, *metric = points.metric.data;
    if (metric)
        fill(PairDistance<0, true>{x, metric, points.row, points.dim});
    else
        fill(PairDistance<0, false>{x, nullptr, points.row, points.dim});
}

void multiply_stored(Stream& stream, index n, Span<const float> values, Span<const float> x,
                     int columns, Span<float> y) {
    if (columns == 1)
        for_each_lane(stream, n, MultiplyStoredBody<1>{n, values.data, x.data, y.data});
    else
        for_each_lane(stream, n, MultiplyStoredBody<kEigenBlock>{n, values.data, x.data, y.data});
}

void multiply_recomputed(Stream& stream, const PointSet& points, float inverse_4_epsilon,
                         Span<const float> x, int columns, Span<float> y) {
    with_distance(points, [&](auto distance) {
        using Distance = decltype(distance);
        if (columns == 1)
            for_each_lane(stream, points.n,
                          MultiplyRecomputedBody<Distance, 1>{distance, points.n,
                                                              -inverse_4_epsilon, x.data, y.data});
        else
            for_each_lane(stream, points.n,
                          MultiplyRecomputedBody<Distance, kEigenBlock>{
                              distance, points.n, -inverse_4_epsilon, x.data, y.data});
    });
}

void multiply_neighbours(Stream& stream, index n, Span<const index> first,
                         Span<const uint32> neighbour, Span<const float> values,
                         Span<const float> x, int columns, Span<float> y) {
    if (columns == 1)
        for_each_index(stream, n,
                       MultiplyNeighboursBody<1>{n, first.data, neighbour.data, values.data, x.data,
                                                 y.data});
    else
        for_each_index(stream, n,
                       MultiplyNeighboursBody<kEigenBlock>{n, first.data, neighbour.data,
                                                           values.data, x.data, y.data});
}

HOST_PASS_END

}  // namespace microlift
