#include "sampling/estimate/accumulate.h"

#include <utility>

#include "engine/comm/columns.h"
#include "sampling/estimate/accumulate_kernels.h"

namespace microlift {

SampleAccumulator::SampleAccumulator(const Device& device, int dim, std::vector<HistogramAxis> axes,
                                     index windows, index replicas, index chunk_segments)
    : dim_(dim), axes_(std::move(axes)), windows_(windows), replicas_(replicas),
      share_(Communicator::world().share_or_all(windows * replicas)),
      chunk_(device, dim, static_cast<int>(axes_.size()), chunk_segments * share_.count),
      sums_(device, 2 * dim * share_.count) {
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
    xi_sums_ = Buffer<double>(device, blocks.time_segments * 2 * cvs * share_.count);
}

void SampleAccumulator::sample(Stream& stream, Ensemble& ensemble, uint64 stride, index segments) {
    const index n = share_.count, most = chunk_.row / n;
    CountSamples count{n, share_.first, chunk_.row, 0, replicas_, bins_, dim_, static_cast<int>(axes_.size()),
                       {}, {}, {1, 1}, chunk_.x.data(), chunk_.xi.data(), counts_.data(),
                       sums_.data(), layout_.cells, blocks_.replica_groups, blocks_.time_segments,
                       0, total_, ensemble.own_center().data, cell_counts_.data(), cell_offsets_.data(),
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
        ensemble.sample_own(stride, count.segments, chunk_);
        count_samples(stream, count);
        segments -= count.segments;
        samples_ += count.segments;
    }
}

std::vector<uint64> SampleAccumulator::sum(Stream& stream, const Buffer<uint64>& own) const {
    std::vector<uint64> all = to_host(stream, own.span());
    if (shared()) Communicator::world().sum(all);
    return all;
}

std::vector<double> SampleAccumulator::of_all(Stream& stream, const Buffer<double>& own) const {
    if (!shared()) return to_host(stream, own.span());
    Buffer<double> all(stream.device(), own.size() / share_.count * trajectories());
    Collection collection;
    collect_columns(stream, own, trajectories(), all, collection);
    return to_host(stream, std::as_const(all).span());
}

void SampleAccumulator::load_own(Stream& stream, Buffer<double>& own, const double* all) {
    for (index r = 0; r < own.size() / share_.count; ++r)
        copy_to_device(stream, own.span().subspan(r * share_.count, share_.count),
                       all + r * trajectories() + share_.first);
}

std::vector<uint64> SampleAccumulator::counts(Stream& stream) const { return sum(stream, counts_); }

SampleAccumulator::Moments SampleAccumulator::moments(Stream& stream) const {
    const std::vector<double> sums = of_all(stream, sums_);
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
    h.counts = sum(stream, cell_counts_);
    h.offsets = sum(stream, cell_offsets_);
    h.sums = of_all(stream, xi_sums_);
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
        const std::vector<uint64> values = sum(stream, *from);
        all.insert(all.end(), values.begin(), values.end());
    }
    return all;
}

std::vector<double> SampleAccumulator::save_sums(Stream& stream) const {
    std::vector<double> all = of_all(stream, sums_);
    const std::vector<double> xi = of_all(stream, xi_sums_);
    all.insert(all.end(), xi.begin(), xi.end());
    return all;
}

void SampleAccumulator::load(Stream& stream, index samples, std::span<const long long> counts,
                             std::span<const double> sums) {
    const index rows = (sums_.size() + xi_sums_.size()) / share_.count;
    if (static_cast<index>(counts.size()) !=
            counts_.size() + cell_counts_.size() + cell_offsets_.size() ||
        static_cast<index>(sums.size()) != rows * trajectories())
        throw InputError("checkpoint: the stored histograms have another size");
    samples_ = samples;
    for (auto* to : {&counts_, &cell_counts_, &cell_offsets_}) {
        std::vector<uint64> values(counts.begin(), counts.begin() + to->size());
        if (shared() && !Communicator::world().first()) values.assign(values.size(), 0);  // they are summed
        copy_to_device(stream, to->span(), values.data());
        counts = counts.subspan(values.size());
    }
    load_own(stream, sums_, sums.data());
    load_own(stream, xi_sums_, sums.data() + sums_.size() / share_.count * trajectories());
}

}  // namespace microlift
