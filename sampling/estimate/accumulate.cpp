#include "sampling/estimate/accumulate.h"

#include "sampling/estimate/accumulate_kernels.h"

namespace microlift {

SampleAccumulator::SampleAccumulator(const Device& device, int dim, std::vector<HistogramAxis> axes,
                                     index windows, index replicas, index chunk_segments)
    : dim_(dim), axes_(std::move(axes)), windows_(windows), replicas_(replicas),
      chunk_(device, dim, static_cast<int>(axes_.size()), chunk_segments * windows * replicas),
      sums_(device, 2 * dim * windows * replicas) {
    for (const HistogramAxis& axis : axes_) bins_ *= axis.bins;
    counts_ = Buffer<uint64>(device, windows * (bins_ + 1));
}

void SampleAccumulator::count_cells(const Device& device, const CellLayout& layout,
                                    const ErrorBlocks& blocks, index total) {
    const auto cvs = static_cast<index>(axes_.size());
    layout_ = layout;
    blocks_ = blocks;
    total_ = total;
    cell_counts_ = Buffer<uint64>(device, blocks.count() * layout.cells.size() + 1);
    cell_offsets_ = Buffer<uint64>(device, cvs * layout.cells.size());
    xi_sums_ = Buffer<double>(device, blocks.time_segments * 2 * cvs * windows_ * replicas_);
}

void SampleAccumulator::sample(Stream& stream, Ensemble& ensemble, uint64 stride, index segments) {
    const index n = windows_ * replicas_, most = chunk_.row / n;
    CountSamples count{n, chunk_.row, 0, replicas_, bins_, dim_, static_cast<int>(axes_.size()),
                       {}, {}, {1, 1}, chunk_.x.data(), chunk_.xi.data(), counts_.data(),
                       sums_.data(), layout_.cells, blocks_.replica_groups, blocks_.time_segments,
                       0, total_, ensemble.center().data, cell_counts_.data(), cell_offsets_.data(),
                       xi_sums_.data()};
    for (std::size_t k = 0; k < axes_.size(); ++k) {
        count.from[k] = static_cast<float>(axes_[k].from);
        count.per_width[k] = static_cast<float>(static_cast<double>(axes_[k].bins) /
                                                (axes_[k].to - axes_[k].from));
        count.axis_bins[k] = axes_[k].bins;
    }
    while (segments > 0) {
        count.segments = segments < most ? segments : most;
        count.first = samples_;
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

HistogramSamples SampleAccumulator::histogram(Stream& stream) const {
    HistogramSamples h;
    h.windows = windows_;
    h.replicas = replicas_;
    h.samples = samples_;
    h.layout = layout_;
    h.blocks = blocks_;
    h.counts = to_host(stream, cell_counts_.span());
    h.offsets = to_host(stream, cell_offsets_.span());
    h.sums = to_host(stream, xi_sums_.span());
    if (h.counts.back() > 0)
        throw NumericError("the collective variable of " + std::to_string(h.counts.back()) +
                           " samples is not finite; check cv.variables");
    h.counts.pop_back();
    merge_times(h);
    return h;
}

std::vector<long long> SampleAccumulator::save_counts(Stream& stream) const {
    std::vector<long long> all;
    for (const auto* from : {&counts_, &cell_counts_, &cell_offsets_}) {
        const std::vector<uint64> values = to_host(stream, from->span());
        all.insert(all.end(), values.begin(), values.end());
    }
    return all;
}

std::vector<double> SampleAccumulator::save_sums(Stream& stream) const {
    std::vector<double> all = to_host(stream, sums_.span());
    const std::vector<double> xi = to_host(stream, xi_sums_.span());
    all.insert(all.end(), xi.begin(), xi.end());
    return all;
}

void SampleAccumulator::load(Stream& stream, index samples, std::span<const long long> counts,
                             std::span<const double> sums) {
    if (static_cast<index>(counts.size()) !=
            counts_.size() + cell_counts_.size() + cell_offsets_.size() ||
        static_cast<index>(sums.size()) != sums_.size() + xi_sums_.size())
        throw InputError("checkpoint: the stored histograms have another size");
    samples_ = samples;
    for (auto* to : {&counts_, &cell_counts_, &cell_offsets_}) {
        const std::vector<uint64> values(counts.begin(), counts.begin() + to->size());
        copy_to_device(stream, to->span(), values.data());
        counts = counts.subspan(values.size());
    }
    copy_to_device(stream, sums_.span(), sums.data());
    copy_to_device(stream, xi_sums_.span(), sums.data() + sums_.size());
}

}  // namespace microlift
