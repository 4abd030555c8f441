#include "sampling/bias/shared_grid.h"

#include "engine/launch/lanes.h"

namespace microlift {

// Where a walker is along one collective variable.
struct GridPlace {
    int point[2];      // on both sides
    uint64 share[2];   // of kWalker's part along this variable
    bool inside;
};

LANE_FN GridPlace grid_place(const GridView& grid, int k, float xi) {
    const int points = grid.points[k];
    const float cells = static_cast<float>(grid.periodic[k] ? points : points - 1);
    float place = (xi - grid.from[k]) * grid.inverse_width[k];
    if (grid.periodic[k]) place = place - cells * whole_part(place * (1.0f / cells));
    GridPlace at{};
    at.inside = place >= 0.0f && place <= cells;  // not of NaN
    if (!at.inside) return at;
    const float cell = max(min(whole_part(place), cells - 1.0f), 0.0f);
    constexpr float kOne = static_cast<float>(1 << kShareBits);
    const int upper = static_cast<int>((place - cell) * kOne + 0.5f);
    at.point[0] = static_cast<int>(cell);
    at.point[1] = at.point[0] + 1 == points ? 0 : at.point[0] + 1;
    at.share[1] = static_cast<uint64>(upper);
    at.share[0] = (uint64{1} << kShareBits) - at.share[1];
    return at;
}

// Calls add(point, share) for the points about a walker.
template <class Add>
LANE_FN void for_each_share(const GridView& grid, int cvs, const float* xi, index row, index i, const Add& add) {
    const GridPlace first = grid_place(grid, 0, xi[i]);
    if (!first.inside) return;
    if (cvs == 1) {
        for (int a = 0; a < 2; ++a) add(index{first.point[a]}, first.share[a] << kShareBits);
        return;
    }
    const GridPlace second = grid_place(grid, 1, xi[row + i]);
    if (!second.inside) return;
    for (int a = 0; a < 2; ++a)
        for (int b = 0; b < 2; ++b)
            add(index{first.point[a]} * grid.points[1] + second.point[b], first.share[a] * second.share[b]);
}

struct CountWalkersBody {
    static constexpr index kGrain = 1024;
    GridView grid;
    int cvs;
    const float* xi;
    index row;
    uint64* count;
    LANE_FN void operator()(index i) const {
        for_each_share(grid, cvs, xi, row, i, [&](index point, uint64 share) {
            if (share > 0) atomic_add(&count[point], share);
        });
    }
};

struct SumOverWalkersBody {
    static constexpr index kGrain = 512;
    GridView grid;
    int cvs, rows;
    index points;
    const float* xi;
    index row;
    const float* values;
    const double* unit;
    uint64* sums;
    LANE_FN void operator()(index i) const {
        for_each_share(grid, cvs, xi, row, i, [&](index point, uint64 share) {
            constexpr double kOne = 1.0 / static_cast<double>(kWalker);
            for (int r = 0; r < rows; ++r) {
                const float value = values[r * row + i];
                if (is_bad(value)) continue;
                const double units = static_cast<double>(value) / unit[r] * (static_cast<double>(share) * kOne);
                atomic_add(&sums[r * points + point], static_cast<uint64>(static_cast<int64>(units)));
            }
        });
    }
};

struct ChooseUnitsBody {
    const double *least, *greatest;
    double walkers;
    double* unit;
    LANE_FN void operator()(index r) const {
        const double low = least[r] < 0.0 ? -least[r] : least[r], high = greatest[r] < 0.0 ? -greatest[r] : greatest[r];
        const double most = low > high ? low : high;
        unit[r] = most > 0.0 && most < 1e300 ? most * walkers * 0x1p-62 : 1.0;
    }
};

struct SmoothBody {
    static constexpr index kGrain = 64;
    SmoothingAxis axis;
    const double* in;
    double* out;
    LANE_FN int point(int i) const {
        if (axis.periodic) return i < 0 ? i + axis.points : i >= axis.points ? i - axis.points : i;
        // Mirrors stand at both ends; a kernel that is wider than the grid sees several images.
        for (;;) {
            if (i < 0) i = -i;
            if (i < axis.points) return i;
            i = 2 * (axis.points - 1) - i;
        }
    }
    LANE_FN void operator()(index j) const {
        const int i = static_cast<int>(j / axis.stride % axis.points);
        const double* line = in + (j - index{i} * axis.stride);
        double sum = axis.weight[0] * line[index{i} * axis.stride];
        for (int m = 1; m <= axis.reach; ++m) {
            double both = line[index{point(i + m)} * axis.stride];
            // Half a period away there is one point, not two.
            if (!axis.periodic || 2 * m != axis.points) both += line[index{point(i - m)} * axis.stride];
            sum = fma(axis.weight[m], both, sum);
        }
        out[j] = sum;
    }
};

struct GaussianWeightsBody {
    const double* sigma;
    double spacing;
    bool normal, stretched;
    index count;
    double* weight;
    LANE_FN double value(index m) const {
        constexpr double kCut = 6.25, kStretch = 1.00193418799744762399;  // 1/(1 − e^{−6.25})
        const double z = static_cast<double>(m) * spacing / sigma[0], half = 0.5 * z * z;
        if (stretched) return half < kCut ? fma(kStretch, exp<Portable>(-half), 1.0 - kStretch) : 0.0;
        return z > kGaussianReach ? 0.0 : exp<Portable>(-half);
    }
    LANE_FN void operator()(index m) const {
        double sum = 1.0;
        if (normal) {
            sum = value(0);
            for (index o = 1; o < count; ++o) sum += 2.0 * value(o);
        }
        weight[m] = value(m) / sum;
    }
};

struct PublishBody {
    GridView grid;
    int cvs;
    const double *bias, *wall;
    float* polynomials;
    LANE_FN void operator()(index j) const {
        const auto energy = [&](index point) { return wall ? bias[point] + wall[point] : bias[point]; };
        cell_polynomial(grid, cvs, j, energy, polynomials + j * polynomial_size(cvs));
    }
};

HOST_PASS_BEGIN

void count_walkers(Stream& stream, const GridView& grid, int cvs, Span<const float> xi, index row, index n,
                   Span<uint64> count) {
    for_each_index(stream, n, CountWalkersBody{grid, cvs, xi.data, row, count.data});
}

void sum_over_walkers(Stream& stream, const GridView& grid, int cvs, Span<const float> xi, index row, index n,
                      Span<const float> values, int rows, Span<const double> unit, Span<uint64> sums) {
    const index points = index{grid.points[0]} * (cvs == 2 ? grid.points[1] : 1);
    for_each_index(stream, n, SumOverWalkersBody{grid, cvs, rows, points, xi.data, row, values.data, unit.data,
                                                 sums.data});
}

void choose_units(Stream& stream, Span<const double> least, Span<const double> greatest, index walkers,
                  Span<double> unit) {
    for_each_index(stream, unit.size,
                   ChooseUnitsBody{least.data, greatest.data, static_cast<double>(walkers), unit.data});
}

void smooth_along(Stream& stream, const SmoothingAxis& axis, Span<const double> in, Span<double> out) {
    for_each_index(stream, in.size, SmoothBody{axis, in.data, out.data});
}

void gaussian_weights(Stream& stream, const double* sigma, double spacing, KernelShape shape, Span<double> weight) {
    for_each_index(stream, weight.size,
                   GaussianWeightsBody{sigma, spacing, shape == KernelShape::normal, shape == KernelShape::stretched,
                                       weight.size, weight.data});
}

void publish_bias(Stream& stream, const GridView& grid, int cvs, Span<const double> bias, Span<const double> wall,
                  Span<float> polynomials) {
    for_each_index(stream, polynomials.size / polynomial_size(cvs),
                   PublishBody{grid, cvs, bias.data, wall.size > 0 ? wall.data : nullptr, polynomials.data});
}

HOST_PASS_END

}  // namespace microlift
