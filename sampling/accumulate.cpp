#include "sampling/accumulate.h"

#include "sampling/accumulate_kernels.h"

namespace microlift {

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
        count_samples(stream, count);
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

}  // namespace microlift
