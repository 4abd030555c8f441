#include "sampling/closure/burst_kernels.h"

#include "engine/launch/lanes.h"

namespace microlift {

// The difference of a periodic variable that is nearest to 0; adding 1.5 · 2²³ rounds to an integer.
template <class L>
LANE_FN L nearest_image(L d, float period) {
    if (!(period > 0.0f)) return d;
    const L shift = broadcast<L>(12582912.0f);
    return d - broadcast<L>(period) * (fma(d, broadcast<L>(1.0f / period), shift) - shift);
}

struct BurstDriftBody {
    BurstDrift p;

    template <class L>
    LANE_FN void operator()(L, index i) const {
        const int K = p.cvs, outputs = burst_outputs(K);
        const L dt = broadcast<L>(p.dt);
        L start[2] = {}, sum[5] = {};
        for (int k = 0; k < K; ++k) start[k] = load<L>(p.begin + k * p.n, i);
        for (int o = 0; o < outputs; ++o) sum[o] = load<L>(p.drift + o * p.n, i);
        for (index s = 0; s < p.steps; ++s) {
            const index at = (s - 1) * p.n + i;
            L d[2], b[2];
            for (int k = 0; k < K; ++k) {
                d[k] = (s == 0 ? load<L>(p.last + k * p.n, i) : load<L>(p.xi + k * p.row, at)) -
                       start[k];
                d[k] = nearest_image(d[k], p.period[k]);
                b[k] = (s == 0 ? load<L>(p.last + (K + k) * p.n, i)
                               : load<L>(p.closure + k * p.row, at)) *
                       dt;
                sum[k] = sum[k] + b[k];
            }
            for (int k = 0, o = K; k < K; ++k)
                for (int l = k; l < K; ++l, ++o) {
                    const L D = s == 0 ? load<L>(p.last + (K + o) * p.n, i)
                                       : load<L>(p.closure + o * p.row, at);
                    sum[o] = fma(d[k], b[l], fma(d[l] + b[l], b[k],
                                                 fma(broadcast<L>(2.0f) * D, dt, sum[o])));
                }
        }
        for (int o = 0; o < outputs; ++o) store(p.drift + o * p.n, i, sum[o]);
        const index at = (p.steps - 1) * p.n + i;
        for (int k = 0; k < K; ++k) store(p.last + k * p.n, i, load<L>(p.xi + k * p.row, at));
        for (int o = 0; o < outputs; ++o)
            store(p.last + (K + o) * p.n, i, load<L>(p.closure + o * p.row, at));
    }
};

struct BurstSumsBody {
    static constexpr index kGrain = 1;
    BurstSums s;

    // i counts (value, block).
    LANE_FN void operator()(index i) const {
        const index value = i / s.blocks, block = i % s.blocks;
        const index n = s.values * s.replicas, size = s.replicas / s.blocks;
        const index first = value * s.replicas + block * size;
        const int R = burst_outputs(s.cvs), quantities = s.drift ? 2 * R : R;
        double* sum = s.sums + i * burst_width(s.cvs);
        double* row = s.transition ? s.transition + i * s.values : nullptr;
        sum[0] = static_cast<double>(size);
        for (index j = first; j < first + size; ++j) {
            double v[10] = {};
            for (int k = 0; k < s.cvs; ++k)
                v[k] = static_cast<double>(
                    nearest_image(s.end[k * n + j] - s.begin[k * n + j], s.period[k]));
            for (int k = 0, o = s.cvs; k < s.cvs; ++k)
                for (int l = k; l < s.cvs; ++l, ++o) v[o] = v[k] * v[l];
            if (s.drift)
                for (int o = 0; o < R; ++o)
                    v[R + o] = v[o] - static_cast<double>(s.drift[o * n + j]);
            int e = 1 + 2 * R;
            for (int a = 0; a < quantities; ++a) {
                sum[1 + a] += v[a];
                for (int b = 0; b <= a; ++b, ++e) sum[e] = fma(v[a], v[b], sum[e]);
            }
            if (!row) continue;
            // Where the end lies between the values, by four-point Lagrange weights; past the ends,
            // the end.
            const float last = static_cast<float>(s.values - 1);
            const float middle = s.from + 0.5f * last / s.inverse_width;
            const float end = middle + nearest_image(s.end[j] - middle, s.period[0]);
            const float t =
                max(min((end - s.from) * s.inverse_width, last), 0.0f);  // NaN: the last
            index c = static_cast<index>(t);
            c = c < 1 ? 1 : c > s.values - 3 ? s.values - 3 : c;
            const double f = static_cast<double>(t) - static_cast<double>(c);
            row[c - 1] += -f * (f - 1) * (f - 2) / 6;
            row[c] += (f + 1) * (f - 1) * (f - 2) / 2;
            row[c + 1] += -(f + 1) * f * (f - 2) / 2;
            row[c + 2] += (f + 1) * f * (f - 1) / 6;
        }
    }
};

struct GroupSumsBody {
    static constexpr index kGrain = 1;
    const float* y;
    index row, groups, size;
    double* out;
    LANE_FN void operator()(index i) const {
        const float* first = y + i / groups * row + i % groups * size;
        double sum = 0, squares = 0;
        for (index j = 0; j < size; ++j) {
            const double v = static_cast<double>(first[j]);
            sum += v;
            squares = fma(v, v, squares);
        }
        out[2 * i] = sum;
        out[2 * i + 1] = squares;
    }
};

HOST_PASS_BEGIN

void add_burst_drift(Stream& stream, const BurstDrift& piece) {
    for_each_lane(stream, piece.n, BurstDriftBody{piece});
}

void add_burst_sums(Stream& stream, const BurstSums& sums) {
    for_each_index(stream, sums.values * sums.blocks, BurstSumsBody{sums});
}

void group_sums(Stream& stream, Span<const float> y, index row, index rows, index groups, index size,
                Span<double> out) {
    for_each_index(stream, rows * groups, GroupSumsBody{y.data, row, groups, size, out.data});
}

HOST_PASS_END

}  // namespace microlift
