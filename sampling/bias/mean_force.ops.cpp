#include "engine/launch/lanes.h"

#if !defined(__CUDACC__)
#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/at.h"
#include "sampling/bias/mean_force.h"
#endif

namespace microlift {

inline constexpr int kModeRows = 4;   // that a lane works on at a time
inline constexpr index kRowLanes = 16;  // of which rows of double hold whole numbers

// Along one variable: neighbours differ by the mean of their gradients times their distance, less what that sums up to
// all round. Steps in order; one thread.
struct SumGradientBody {
    int points;
    bool periodic;
    double width;
    const double* gradient;
    double* phi;
    LANE_FN double step(int a, int b) const { return 0.5 * width * (gradient[a] + gradient[b]); }
    LANE_FN void operator()(index) const {
        double round = 0.0;
        if (periodic) {
            for (int i = 0; i < points; ++i) round += step(i, i + 1 < points ? i + 1 : 0);
            round = round / static_cast<double>(points);
        }
        double at = 0.0, sum = 0.0;
        for (int i = 0; i < points; ++i) {
            phi[i] = at;
            sum += at;
            if (i + 1 < points) at += step(i, i + 1) - round;
        }
        const double mean = sum / static_cast<double>(points);
        for (int i = 0; i < points; ++i) phi[i] -= mean;
    }
};

// Minus the divergence of what neighbours should differ by, in rows of `columns`.
struct DivergenceBody {
    static constexpr index kGrain = 512;
    int points[2];
    bool periodic[2];
    double width[2];
    index columns;
    const double* gradient;  // (2, points)
    double* out;
    LANE_FN void operator()(index j) const {
        const index all = index{points[0]} * points[1];
        double sum = 0.0;
LANE_UNROLL
        for (int k = 0; k < 2; ++k) {
            const index stride = k == 0 ? points[1] : 1;
            const int n = points[k], i = static_cast<int>(j / stride % n);
            const double* g = gradient + k * all + (j - index{i} * stride);
            const auto step = [&](int a, int b) { return 0.5 * (g[index{a} * stride] + g[index{b} * stride]) / width[k]; };
            if (i > 0 || periodic[k]) sum += step(i > 0 ? i - 1 : n - 1, i);
            if (i < n - 1 || periodic[k]) sum -= step(i, i < n - 1 ? i + 1 : 0);
        }
        out[j / points[1] * columns + j % points[1]] = sum;
    }
};

// out = a b: rows of a are `inner` long and `stride` apart, those of b and out `columns`. Lanes lie along the columns,
// and each takes kModeRows rows. A sum runs in order, so that widths agree.
struct ModesBody {
    static constexpr index kGrain = 32;
    const double *a, *b;
    double* out;
    index inner, stride, columns;
    template <class L>
    LANE_FN void operator()(L, index i) const {
        const index row = i / columns * kModeRows, column = i % columns;
        L sum[kModeRows];
LANE_UNROLL
        for (int r = 0; r < kModeRows; ++r) sum[r] = broadcast<L>(0.0);
        for (index m = 0; m < inner; ++m) {
            const L x = load<L>(b, m * columns + column);
LANE_UNROLL
            for (int r = 0; r < kModeRows; ++r) sum[r] = fma(broadcast<L>(a[(row + r) * stride + m]), x, sum[r]);
        }
LANE_UNROLL
        for (int r = 0; r < kModeRows; ++r) store(out, (row + r) * columns + column, sum[r]);
    }
};

struct DivideModesBody {
    static constexpr index kGrain = 1024;
    index columns;
    int points[2];
    const double *first, *second;
    double* x;
    LANE_FN void operator()(index j) const {
        const index row = j / columns, column = j % columns;
        if (row >= points[0] || column >= points[1]) return;
        const double value = first[row] + second[column];
        x[j] = j == 0 ? 0.0 : x[j] / value;
    }
};

struct CopyRowsBody {
    index columns;
    int points;
    const double* in;
    double* out;
    LANE_FN void operator()(index j) const { out[j] = in[j / points * columns + j % points]; }
};

HOST_PASS_BEGIN

void launch_gradient(Stream& stream, const SumGradientBody& body) { for_each_index(stream, 1, body); }
void launch_gradient(Stream& stream, index n, const DivergenceBody& body) { for_each_index(stream, n, body); }
void launch_gradient(Stream& stream, index n, const ModesBody& body) { for_each_lane<double>(stream, n, body); }
void launch_gradient(Stream& stream, index n, const DivideModesBody& body) { for_each_index(stream, n, body); }
void launch_gradient(Stream& stream, index n, const CopyRowsBody& body) { for_each_index(stream, n, body); }

HOST_PASS_END

#if !defined(__CUDACC__)

namespace {

index rounded(index n, index to) { return (n + to - 1) / to * to; }

// Of an axis' Laplacian: cosines between reflecting ends; cosine and sine in turn all round. (mode, point)
std::vector<double> modes_of(const GridAxes& axes, int k, std::vector<double>& values) {
    const index n = axes.points[at(k)];
    const double h = axes.spacing(k), N = static_cast<double>(n);
    std::vector<double> modes;
    for (index m = 0; m < n; ++m) {
        const bool round = axes.periodic[at(k)];
        const double wave = round ? 2 * std::numbers::pi * static_cast<double>((m + 1) / 2) / N
                                  : std::numbers::pi * static_cast<double>(m) / N;
        values.push_back((2 - 2 * std::cos(wave)) / (h * h));
        double square = 0;
        const std::size_t first = modes.size();
        for (index i = 0; i < n; ++i) {
            const double x = static_cast<double>(i) + (round ? 0.0 : 0.5);
            modes.push_back(round && m % 2 == 0 && m > 0 ? std::sin(wave * x) : std::cos(wave * x));
            square += modes.back() * modes.back();
        }
        for (std::size_t i = first; i < modes.size(); ++i) modes[i] /= std::sqrt(square);
    }
    return modes;
}

// On the device, in `rows` rows of `columns`, what there is no value for 0; `flipped`: transposed.
Buffer<double> matrix(Stream& stream, const std::vector<double>& values, index n, index rows, index columns,
                      bool flipped) {
    std::vector<double> host(at(rows * columns), 0.0);
    for (index i = 0; i < n; ++i)
        for (index j = 0; j < n; ++j) host[at(i * columns + j)] = values[at(flipped ? j * n + i : i * n + j)];
    Buffer<double> made(stream.device(), rows * columns);
    copy_to_device(stream, made.span(), host.data());
    return made;
}

}  // namespace

GradientIntegral::GradientIntegral(Stream& stream, const GridAxes& axes) : axes_(axes) {
    if (axes.cvs == 1) return;
    const index n = axes.points[0], m = axes.points[1], rows = rounded(n, kModeRows);
    columns_ = rounded(m, kRowLanes);
    for (int k = 0; k < axes.cvs; ++k) {
        std::vector<double> values;
        const std::vector<double> modes = modes_of(axes, k, values);
        values_[k] = Buffer<double>(stream.device(), std::ssize(values));
        copy_to_device(stream, values_[k].span(), values.data());
        (k == 0 ? first_ : second_back_) = matrix(stream, modes, k == 0 ? n : m, k == 0 ? rows : m, k == 0 ? n : columns_, false);
        (k == 0 ? first_back_ : second_) = matrix(stream, modes, k == 0 ? n : m, k == 0 ? rows : m, k == 0 ? n : columns_, true);
    }
    for (Buffer<double>& work : work_) {
        work = Buffer<double>(stream.device(), rows * columns_);
        fill_zero(stream, work.span());
    }
}

void GradientIntegral::solve(Stream& stream, Span<const double> gradient, Span<double> phi) {
    const int n = static_cast<int>(axes_.points[0]);
    if (axes_.cvs == 1)
        return launch_gradient(stream, {n, axes_.periodic[0], axes_.spacing(0), gradient.data, phi.data});
    const int m = static_cast<int>(axes_.points[1]);
    const index lanes = rounded(n, kModeRows) / kModeRows * columns_;
    double *a = work_[0].data(), *b = work_[1].data();
    launch_gradient(stream, axes_.size(),
                    DivergenceBody{{n, m}, {axes_.periodic[0], axes_.periodic[1]}, {axes_.spacing(0), axes_.spacing(1)},
                                   columns_, gradient.data, a});
    launch_gradient(stream, lanes, ModesBody{first_.data(), a, b, n, n, columns_});
    launch_gradient(stream, lanes, ModesBody{b, second_.data(), a, m, columns_, columns_});
    launch_gradient(stream, n * columns_, DivideModesBody{columns_, {n, m}, values_[0].data(), values_[1].data(), a});
    launch_gradient(stream, lanes, ModesBody{a, second_back_.data(), b, m, columns_, columns_});
    launch_gradient(stream, lanes, ModesBody{first_back_.data(), b, a, n, n, columns_});
    launch_gradient(stream, axes_.size(), CopyRowsBody{columns_, m, a, phi.data});
}

bool integrates(index update) {
    constexpr index kMore = 64;
    index next = 1;
    while (next < update) next = std::max(next + 1, next + next / kMore);
    return next == update;
}

#endif

}  // namespace microlift
