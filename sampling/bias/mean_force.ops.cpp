#include "engine/launch/lanes.h"

#if !defined(__CUDACC__)
#include <cmath>
#include <numbers>

#include "engine/at.h"
#include "sampling/bias/mean_force.h"
#endif

namespace microlift {

// Minus the divergence of what neighbours should differ by.
struct DivergenceBody {
    static constexpr index kGrain = 512;
    int cvs, points[2];
    bool periodic[2];
    double width[2];
    const double* gradient;  // (K, points)
    double* out;
    LANE_FN void operator()(index j) const {
        const index all = index{points[0]} * points[1];
        double sum = 0.0;
        for (int k = 0; k < cvs; ++k) {
            const index stride = k == 0 ? points[1] : 1;
            const int n = points[k], i = static_cast<int>(j / stride % n);
            const double* g = gradient + k * all + (j - index{i} * stride);
            const auto step = [&](int a, int b) { return 0.5 * (g[index{a} * stride] + g[index{b} * stride]) / width[k]; };
            if (i > 0 || periodic[k]) sum += step(i > 0 ? i - 1 : n - 1, i);
            if (i < n - 1 || periodic[k]) sum -= step(i, i < n - 1 ? i + 1 : 0);
        }
        out[j] = sum;
    }
};

// A matrix applied along one axis, or its transpose.
struct ModesBody {
    static constexpr index kGrain = 64;
    const double* modes;  // (n, n)
    int n;
    index stride;
    bool transposed;
    const double* in;
    double* out;
    LANE_FN void operator()(index j) const {
        const index i = j / stride % n;
        const double* line = in + (j - i * stride);
        const double* row = modes + (transposed ? i : i * n);
        const index next = transposed ? n : 1;
        double sum = 0.0;
        for (int m = 0; m < n; ++m) sum = fma(row[m * next], line[m * stride], sum);
        out[j] = sum;
    }
};

struct DivideModesBody {
    static constexpr index kGrain = 1024;
    int cvs, points[2];
    const double* values[2];
    double* x;
    LANE_FN void operator()(index j) const {
        double value = values[0][j / points[1]];
        if (cvs == 2) value += values[1][j % points[1]];
        x[j] = j == 0 ? 0.0 : x[j] / value;
    }
};

HOST_PASS_BEGIN

void launch_gradient(Stream& stream, index n, const DivergenceBody& body) { for_each_index(stream, n, body); }
void launch_gradient(Stream& stream, index n, const ModesBody& body) { for_each_index(stream, n, body); }
void launch_gradient(Stream& stream, index n, const DivideModesBody& body) { for_each_index(stream, n, body); }

HOST_PASS_END

#if !defined(__CUDACC__)

GradientIntegral::GradientIntegral(Stream& stream, const GridAxes& axes) : axes_(axes) {
    for (int k = 0; k < axes.cvs; ++k) {
        const index n = axes.points[at(k)];
        const double h = axes.spacing(k), N = static_cast<double>(n);
        std::vector<double> modes, values;
        for (index m = 0; m < n; ++m) {
            // Cosines between reflecting ends; cosine and sine in turn all round.
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
        modes_[k] = Buffer<double>(stream.device(), n * n);
        values_[k] = Buffer<double>(stream.device(), n);
        copy_to_device(stream, modes_[k].span(), modes.data());
        copy_to_device(stream, values_[k].span(), values.data());
    }
    for (Buffer<double>& work : work_) work = Buffer<double>(stream.device(), axes.size());
}

void GradientIntegral::solve(Stream& stream, Span<const double> gradient, Span<double> phi) {
    const index n = axes_.size();
    const int second = axes_.cvs == 2 ? static_cast<int>(axes_.points[1]) : 1;
    DivergenceBody divergence{axes_.cvs, {static_cast<int>(axes_.points[0]), second}, {}, {1, 1}, gradient.data,
                              work_[0].data()};
    DivideModesBody divide{axes_.cvs, {divergence.points[0], second}, {values_[0].data(), values_[1].data()}, nullptr};
    for (int k = 0; k < axes_.cvs; ++k) {
        divergence.periodic[k] = axes_.periodic[at(k)];
        divergence.width[k] = axes_.spacing(k);
    }
    launch_gradient(stream, n, divergence);
    int now = 0;
    const auto apply = [&](int k, bool transposed, double* to) {
        launch_gradient(stream, n,
                        ModesBody{modes_[k].data(), divergence.points[k], k == 0 ? index{second} : 1, transposed,
                                  work_[now].data(), to});
        now = 1 - now;
    };
    for (int k = 0; k < axes_.cvs; ++k) apply(k, false, work_[1 - now].data());
    divide.x = work_[now].data();
    launch_gradient(stream, n, divide);
    for (int k = 0; k < axes_.cvs; ++k) apply(k, true, k + 1 == axes_.cvs ? phi.data : work_[1 - now].data());
}

#endif

}  // namespace microlift
