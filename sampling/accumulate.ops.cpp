#include "sampling/accumulate.h"

#include "engine/launch.h"

namespace microlift {

// One trajectory's samples of a chunk. Counts are integers and sums stay with their trajectory, so that
// neither depends on the order of threads.
struct CountSamples {
    static constexpr index kGrain = 64;
    index trajectories, row, segments, replicas, bins;
    int dim, cvs;
    float from[2], per_width[2];
    index axis_bins[2];
    const float* x;   // (dim, row), column s · trajectories + i
    const float* xi;  // (cvs, row)
    uint64* counts;
    double* sums;

    LANE_FN void operator()(index i) const {
        uint64* const histogram = counts + (i / replicas) * (bins + 1);
        for (index s = 0; s < segments; ++s) {
            const index column = s * trajectories + i;
            index bin = 0;
            bool inside = true;
            for (int k = 0; k < cvs; ++k) {
                const float at = (xi[k * row + column] - from[k]) * per_width[k];
                inside = inside && at >= 0.0f && at < static_cast<float>(axis_bins[k]);
                bin = bin * axis_bins[k] + (inside ? static_cast<index>(at) : 0);
            }
            atomic_add(&histogram[inside ? bin : bins], 1);
        }
        for (int d = 0; d < dim; ++d) {
            double* const first = sums + d * trajectories + i;
            double* const second = first + dim * trajectories;
            double m1 = *first, m2 = *second;
            for (index s = 0; s < segments; ++s) {
                const double value = static_cast<double>(x[d * row + s * trajectories + i]);
                m1 += value;
                m2 += value * value;
            }
            *first = m1;
            *second = m2;
        }
    }
};

HOST_PASS_BEGIN

SampleAccumulator::SampleAccumulator(const Device& device, int dim, std::vector<HistogramAxis> axes,
                                     index windows, index replicas, index chunk_segments)
    : dim_(dim), axes_(std::move(axes)), windows_(windows), replicas_(replicas),
      chunk_(device, dim, static_cast<int>(axes_.size()), chunk_segments * windows * replicas),
      sums_(device, 2 * dim * windows * replicas) {
    for (const HistogramAxis& axis : axes_) bins_ *= axis.bins;
    counts_ = Buffer<uint64>(device, windows * (bins_ + 1));
}

void SampleAccumulator::sample(Stream& stream, Ensemble& ensemble, uint64 stride, index segments) {
    const index n = windows_ * replicas_, most = chunk_.row / n;
    CountSamples count{n, chunk_.row, 0, replicas_, bins_, dim_, static_cast<int>(axes_.size()),
                       {}, {}, {1, 1}, chunk_.x.data(), chunk_.xi.data(), counts_.data(),
                       sums_.data()};
    for (std::size_t k = 0; k < axes_.size(); ++k) {
        count.from[k] = static_cast<float>(axes_[k].from);
        count.per_width[k] = static_cast<float>(static_cast<double>(axes_[k].bins) /
                                                (axes_[k].to - axes_[k].from));
        count.axis_bins[k] = axes_[k].bins;
    }
    while (segments > 0) {
        count.segments = segments < most ? segments : most;
        chunk_.n = 0;
        ensemble.sample(stride, count.segments, chunk_);
        for_each_index(stream, n, count);
        segments -= count.segments;
        samples_ += count.segments;
    }
}

std::vector<uint64> SampleAccumulator::counts(Stream& stream) const {
    return to_host(stream, counts_.span());
}

SampleAccumulator::Moments SampleAccumulator::moments(Stream& stream) const {
    const std::vector<double> sums = to_host(stream, sums_.span());
    const index n = windows_ * replicas_;
    const double all = static_cast<double>(samples_ * replicas_);
    Moments out;
    for (index w = 0; w < windows_; ++w)
        for (int d = 0; d < dim_; ++d) {
            double m1 = 0, m2 = 0;
            for (index t = w * replicas_; t < (w + 1) * replicas_; ++t) {
                m1 += sums[static_cast<std::size_t>(d * n + t)];
                m2 += sums[static_cast<std::size_t>((dim_ + d) * n + t)];
            }
            out.mean.push_back(m1 / all);
            out.variance.push_back(m2 / all - (m1 / all) * (m1 / all));
        }
    return out;
}

HOST_PASS_END

}  // namespace microlift
