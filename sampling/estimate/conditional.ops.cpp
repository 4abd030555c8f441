#include "engine/launch/blocks.h"
#include "engine/launch/reduce.h"
#include "sampling/estimate/conditional_kernels.h"

namespace microlift {

// All bins of a chunk at once, sample by sample.
struct ConditionalOnCpu {
    void operator()(const ConditionalKernel& k, index table) const {
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
    for_each_block(stream, merged * chunks * tiles,
                   ConditionalKernel{samples.xi.data + run.first, y.data + run.first, samples.row,
                                     y_row, variables, run.windows, run.replicas, run.samples,
                                     blocks.replica_groups, blocks.time_segments, merge, chunks,
                                     tiles, bins, tables.data(),
                                     samples.weight.size > 0 ? samples.weight.data + run.first : nullptr},
                   ConditionalOnCpu{});
    sum_tables(stream, parts, sums, scratch.span(), true);
}

HOST_PASS_END

}  // namespace microlift
