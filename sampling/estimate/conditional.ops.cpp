#include <vector>

#include "engine/at.h"
#include "engine/launch/blocks.h"
#include "engine/launch/reduce.h"
#include "sampling/estimate/conditional_kernels.h"

namespace microlift {

// All bins at once, sample by sample.
struct ConditionalOnCpu {
    void operator()(const ConditionalKernel& k, index unit) const {
        if (k.merge == 1)
            in_one_pass(k, unit);
        else
            one_table(k, unit);
    }
    static index units(const ConditionalKernel& k, index merged) {
        return k.merge == 1 ? k.time_segments * k.chunks : merged * k.chunks;
    }

private:
    // A chunk of a segment of time, for the blocks of all its replicas: samples are read as they lie. Each table gets its
    // samples in the order of one_table().
    void in_one_pass(const ConditionalKernel& k, index unit) const {
        const index segment = unit / k.chunks, chunk = unit % k.chunks, width = k.moments();
        const auto table = [&](index group) {
            return k.tables + ((group * k.time_segments + segment) * k.chunks + chunk) * k.bins() * width;
        };
        std::vector<index> first;  // replica of each group
        for (index group = 0; group < k.replica_groups; ++group) {
            first.push_back(k.part(group * k.time_segments + segment, chunk).first);
            double* const sums = table(group);
            for (index i = 0; i < k.bins() * width; ++i) sums[i] = 0.0;
        }
        first.push_back(k.replicas);
        const ConditionalKernel::Part lines = k.part(segment, chunk);
        for (index line = lines.from; line < lines.to; ++line)
            for (index group = 0; group < k.replica_groups; ++group) {
                double* const sums = table(group);
                for (index r = first[at(group)]; r < first[at(group + 1)]; ++r) {
                    const index j = line * k.replicas + r;
                    double z[kMaxCvs] = {0.0, 0.0};
                    const int32 bin = k.place(j, z);
                    if (bin >= 0) k.add(j, k.weight_of(j), z, sums + bin * width);
                }
            }
    }
    void one_table(const ConditionalKernel& k, index table) const {
        const index width = k.moments(), merged = table / k.chunks;
        double* const sums = k.tables + table * k.bins() * width;
        for (index i = 0; i < k.bins() * width; ++i) sums[i] = 0.0;
        for (index g = merged * k.merge; g < (merged + 1) * k.merge && g < k.blocks(); ++g) {
            const ConditionalKernel::Part p = k.part(g, table % k.chunks);
            for (index line = p.from; line < p.to; ++line)
                for (index r = p.first; r < p.first + p.length; ++r) {
                    const index j = line * k.replicas + r;
                    double z[kMaxCvs] = {0.0, 0.0};
                    const int32 bin = k.place(j, z);
                    if (bin >= 0) k.add(j, k.weight_of(j), z, sums + bin * width);
                }
        }
    }
};

HOST_PASS_BEGIN

void conditional_sums(Stream& stream, const BiasedSamples& samples, const SampleBlock& run,
                      const ErrorBlocks& blocks, index merge, Span<const float> y, index y_row,
                      index variables, const ConditionalBins& bins, Span<double> sums) {
    const index merged = (blocks.count() + merge - 1) / merge, all = bins.bins[0] * bins.bins[1];
    const index width = base_moments(bins.dims) + variable_moments(bins.dims) * variables;
    const index chunks = conditional_chunks(run.size(), merged, all, width);
    constexpr int kThreads = ConditionalKernel::kThreads;
    const index tiles = stream.device().is_cpu() ? 1 : (all + kThreads - 1) / kThreads;
    Buffer<double> tables(stream.device(), merged * chunks * all * width);
    const Tables parts{tables.data(), merged, chunks, all * width, all * width};
    Buffer<double> scratch(stream.device(), table_scratch(parts));
    const ConditionalKernel kernel{samples.xi.data + run.first, y.data + run.first, samples.row,
                                   y_row, variables, run.windows, run.replicas, run.samples,
                                   blocks.replica_groups, blocks.time_segments, merge, chunks,
                                   tiles, bins, tables.data(),
                                   samples.weight.size > 0 ? samples.weight.data + run.first : nullptr};
    for_each_block(stream,
                   stream.device().is_cpu() ? ConditionalOnCpu::units(kernel, merged) : merged * chunks * tiles, kernel,
                   ConditionalOnCpu{});
    sum_tables(stream, parts, sums, scratch.span(), true);
}

HOST_PASS_END

}  // namespace microlift
