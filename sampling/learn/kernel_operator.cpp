#include "sampling/learn/kernel_operator.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "engine/error.h"
#include "engine/files/files.h"

namespace microlift {

KernelOperator::KernelOperator(Stream& stream, const PointSet& points, double epsilon,
                               int neighbours, double stored_bytes)
    : stream_(stream), points_(points), epsilon_(epsilon) {
    if (!(epsilon > 0) || !std::isfinite(static_cast<float>(epsilon)) ||
        !std::isfinite(static_cast<float>(0.25 / epsilon)))
        throw InputError("diffusion map: the bandwidth is " + format_double(epsilon) +
                         ", not a positive number of single precision; give another, or other units");
    if (neighbours > 0) {
        build_neighbours(neighbours);
        return;
    }
    // A kernel value costs about 3 operations a dimension (and pair of dimensions of a metric)
    // beside the exponential; reading a stored one costs a memory access.
    const int terms = points.metric.data ? points.dim * (points.dim + 1) / 2 : points.dim;
    const index tiles = (points.n + kKernelTile - 1) / kKernelTile;
    const double bytes =
        4.0 * kKernelTile * static_cast<double>(tiles) * static_cast<double>(points.n);
    if (terms > 6 && bytes <= stored_bytes) {
        form_ = Form::stored;
        values_ = Buffer<float>(stream.device(), tiles * kKernelTile * points.n);
        fill_kernel(stream, points, static_cast<float>(0.25 / epsilon), values_.span());
    }
}

double KernelOperator::entries() const {
    if (form_ == Form::neighbours) return static_cast<double>(values_.size());
    return static_cast<double>(points_.n) * static_cast<double>(points_.n);
}

void KernelOperator::multiply(Span<const float> x, int columns, Span<float> y) {
    switch (form_) {
        case Form::stored:
            multiply_stored(stream_, points_.n, values_.span(), x, columns, y);
            break;
        case Form::neighbours:
            multiply_neighbours(stream_, points_.n, first_.span(), neighbour_.span(),
                                values_.span(), x, columns, y);
            break;
        case Form::recomputed:
            multiply_recomputed(stream_, points_, static_cast<float>(0.25 / epsilon_), x, columns,
                                y);
            break;
    }
}

// i and j are neighbours where either is among the nearest of the other.
void KernelOperator::build_neighbours(int k) {
    form_ = Form::neighbours;
    const index n = points_.n;
    k = static_cast<int>(std::min<index>(k, n));
    Buffer<float> distance2(stream_.device(), n * k);
    Buffer<uint32> nearest(stream_.device(), n * k);
    nearest_neighbours(stream_, points_, k, distance2.span(), nearest.span());
    const std::vector<float> d = to_host(stream_, Span<const float>(distance2.span()));
    const std::vector<uint32> near = to_host(stream_, Span<const uint32>(nearest.span()));
    using Entry = std::pair<uint32, float>;
    std::vector<index> count(static_cast<std::size_t>(n) + 1, 0);
    for (index t = 0; t < n * k; ++t) {
        ++count[static_cast<std::size_t>(t / k) + 1];
        ++count[static_cast<std::size_t>(near[static_cast<std::size_t>(t)]) + 1];
    }
    for (std::size_t i = 1; i < count.size(); ++i) count[i] += count[i - 1];
    std::vector<Entry> both(static_cast<std::size_t>(count.back()));
    std::vector<index> place(count.begin(), count.end() - 1);
    for (index t = 0; t < n * k; ++t) {
        const auto i = static_cast<std::size_t>(t / k);
        const std::size_t j = near[static_cast<std::size_t>(t)];
        const float value =
            std::exp(-0.25f / static_cast<float>(epsilon_) * d[static_cast<std::size_t>(t)]);
        both[static_cast<std::size_t>(place[i]++)] = {static_cast<uint32>(j), value};
        both[static_cast<std::size_t>(place[j]++)] = {static_cast<uint32>(i), value};
    }
    std::vector<index> first{0};
    std::vector<uint32> neighbour;
    std::vector<float> values;
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
        const auto from = both.begin() + static_cast<long>(count[i]);
        const auto to = both.begin() + static_cast<long>(count[i + 1]);
        std::sort(from, to);
        for (auto e = from; e != to; ++e) {
            if (e != from && e->first == (e - 1)->first) continue;
            neighbour.push_back(e->first);
            values.push_back(e->second);
        }
        first.push_back(static_cast<index>(values.size()));
    }
    first_ = Buffer<index>(stream_.device(), static_cast<index>(first.size()));
    neighbour_ = Buffer<uint32>(stream_.device(), static_cast<index>(neighbour.size()));
    values_ = Buffer<float>(stream_.device(), static_cast<index>(values.size()));
    copy_to_device(stream_, first_.span(), first.data());
    copy_to_device(stream_, neighbour_.span(), neighbour.data());
    copy_to_device(stream_, values_.span(), values.data());
}

}  // namespace microlift
