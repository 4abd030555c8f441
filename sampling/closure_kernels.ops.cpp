#include "sampling/closure_kernels.h"

#include "engine/launch.h"

namespace microlift {

struct GatherStatesBody {
    int dim;
    const float* from;
    index row;
    const index* which;
    index n;
    float* to;
    LANE_FN void operator()(index i) const {
        for (int d = 0; d < dim; ++d) to[d * n + i] = from[d * row + which[i]];
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
        const int width = 1 + s.cvs + s.cvs * (s.cvs + 1) / 2;
        double sum[6] = {static_cast<double>(size), 0, 0, 0, 0, 0};
        double* row = s.transition ? s.transition + i * s.values : nullptr;
        for (index j = first; j < first + size; ++j) {
            double d[2] = {0, 0};
            for (int k = 0; k < s.cvs; ++k)
                d[k] = static_cast<double>(s.end[k * n + j]) -
                       static_cast<double>(s.begin[k * n + j]);
            int o = 1;
            for (int k = 0; k < s.cvs; ++k) sum[o++] += d[k];
            for (int k = 0; k < s.cvs; ++k)
                for (int l = k; l < s.cvs; ++l, ++o) sum[o] = fma(d[k], d[l], sum[o]);
            if (!row) continue;
            // Where the end lies between the values, by four-point Lagrange weights; past the ends,
            // the end.
            const float last = static_cast<float>(s.values - 1);
            const float t =
                max(min((s.end[j] - s.from) * s.inverse_width, last), 0.0f);  // NaN: the last
            index c = static_cast<index>(t);
            c = c < 1 ? 1 : c > s.values - 3 ? s.values - 3 : c;
            const double f = static_cast<double>(t) - static_cast<double>(c);
            row[c - 1] += -f * (f - 1) * (f - 2) / 6;
            row[c] += (f + 1) * (f - 1) * (f - 2) / 2;
            row[c + 1] += -(f + 1) * f * (f - 2) / 2;
            row[c + 2] += (f + 1) * f * (f - 1) / 6;
        }
        for (int o = 0; o < width; ++o) s.sums[i * width + o] = sum[o];
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

void gather_states(Stream& stream, int dim, Span<const float> from, index row,
                   Span<const index> which, index n, Span<float> to) {
    for_each_index(stream, n, GatherStatesBody{dim, from.data, row, which.data, n, to.data});
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
