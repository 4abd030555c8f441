#include "engine/launch/lanes.h"
#include "sampling/estimate/conditional_kernels.h"

namespace microlift {

struct ConditionalSumsBody {
    static constexpr index kGrain = 1;
    const float* xi;  // of the run's first column
    const float* y;
    index row, y_row, variables;
    index windows, replicas, samples;
    index replica_groups, time_segments, merge;
    ConditionalBins grid;
    double* sums;

    // One merged block after the other, each by one thread, in the order of its samples.
    LANE_FN void operator()(index merged) const {
        index last = (merged + 1) * merge;
        if (last > replica_groups * time_segments) last = replica_groups * time_segments;
        for (index g = merged * merge; g < last; ++g) {
            const index group = g / time_segments, segment = g - group * time_segments;
            // The inverse of BlockDivision::block: floor(r * groups / replicas) == group.
            const index r0 = (group * replicas + replica_groups - 1) / replica_groups;
            const index r1 = ((group + 1) * replicas + replica_groups - 1) / replica_groups;
            const index s0 = (segment * samples + time_segments - 1) / time_segments;
            const index s1 = ((segment + 1) * samples + time_segments - 1) / time_segments;
            for (index s = s0; s < s1; ++s)
                for (index w = 0; w < windows; ++w)
                    for (index r = r0; r < r1; ++r) add(merged, (s * windows + w) * replicas + r);
        }
    }

    LANE_FN void add(index block, index j) const {
        double z[kMaxCvs] = {0.0, 0.0};
        index bin = 0;
        for (int k = 0; k < grid.dims; ++k) {
            const double u =
                (static_cast<double>(xi[k * row + j]) - grid.from[k]) * grid.inverse_width[k];
            if (!(u >= 0.0) || u >= static_cast<double>(grid.bins[k])) return;
            const index b = static_cast<index>(u);
            z[k] = u - static_cast<double>(b) - 0.5;
            bin = bin * grid.bins[k] + b;
        }
        const int base = base_moments(grid.dims), each = variable_moments(grid.dims);
        double* sum =
            sums + (block * grid.bins[0] * grid.bins[1] + bin) * (base + each * variables);
        sum[0] += 1.0;
        sum[1] += z[0];
        if (grid.dims == 1) {
            sum[2] += z[0] * z[0];
        } else {
            sum[2] += z[1];
            sum[3] += z[0] * z[0];
            sum[4] += z[0] * z[1];
            sum[5] += z[1] * z[1];
        }
        for (index v = 0; v < variables; ++v) {
            const double value = static_cast<double>(y[v * y_row + j]);
            double* t = sum + base + each * v;
            t[0] += value;
            t[1] += value * z[0];
            if (grid.dims == 2) t[2] += value * z[1];
            t[each - 1] += value * value;
        }
    }
};

HOST_PASS_BEGIN

void conditional_sums(Stream& stream, const BiasedSamples& samples, const SampleBlock& run,
                      const ErrorBlocks& blocks, index merge, Span<const float> y, index y_row,
                      index variables, const ConditionalBins& bins, Span<double> sums) {
    const index merged = (blocks.count() + merge - 1) / merge;
    for_each_index(
        stream, merged,
        ConditionalSumsBody{samples.xi.data + run.first, y.data + run.first, samples.row, y_row,
                            variables, run.windows, run.replicas, run.samples,
                            blocks.replica_groups, blocks.time_segments, merge, bins, sums.data});
}

HOST_PASS_END

}  // namespace microlift
