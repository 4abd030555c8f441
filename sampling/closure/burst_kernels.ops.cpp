#include "sampling/closure/burst_kernels.h"

#include "engine/launch/blocks.h"
#include "engine/launch/lanes.h"
#include "engine/launch/reduce.h"
#include "sampling/closure/burst_block.h"

namespace microlift {

struct BurstDriftBody {
    BurstDrift p;

    LANE_FN uint64 steps() const { return static_cast<uint64>(p.steps); }
    template <class L>
    LANE_FN void operator()(L, index i) const {
        const int K = p.cvs, outputs = burst_outputs(K);
        const L dt = broadcast<L>(p.dt);
        L start[2] = {}, sum[5] = {};
        LANE_ROLLED_FOR (int k = 0; k < K; ++k) start[k] = load<L>(p.begin + k * p.n, i);
        LANE_ROLLED_FOR (int o = 0; o < outputs; ++o) sum[o] = load<L>(p.drift + o * p.n, i);
        for (index s = 0; s < p.steps; ++s) {
            const index at = (s - 1) * p.n + i;
            L d[2], b[2];
            LANE_ROLLED_FOR (int k = 0; k < K; ++k) {
                d[k] = (s == 0 ? load<L>(p.last + k * p.n, i) : load<L>(p.xi + k * p.row, at)) -
                       start[k];
                d[k] = nearest_image(d[k], p.period[k]);
                b[k] = (s == 0 ? load<L>(p.last + (K + k) * p.n, i)
                               : load<L>(p.closure + k * p.row, at)) *
                       dt;
                sum[k] = sum[k] + b[k];
            }
            LANE_ROLLED_FOR (int k = 0, o = K; k < K; ++k)
                LANE_ROLLED_FOR (int l = k; l < K; ++l, ++o) {
                    const L D = s == 0 ? load<L>(p.last + (K + o) * p.n, i)
                                       : load<L>(p.closure + o * p.row, at);
                    sum[o] = fma(d[k], b[l], fma(d[l] + b[l], b[k],
                                                 fma(broadcast<L>(2.0f) * D, dt, sum[o])));
                }
        }
        LANE_ROLLED_FOR (int o = 0; o < outputs; ++o) store(p.drift + o * p.n, i, sum[o]);
        const index at = (p.steps - 1) * p.n + i;
        LANE_ROLLED_FOR (int k = 0; k < K; ++k) store(p.last + k * p.n, i, load<L>(p.xi + k * p.row, at));
        LANE_ROLLED_FOR (int o = 0; o < outputs; ++o)
            store(p.last + (K + o) * p.n, i, load<L>(p.closure + o * p.row, at));
    }
};

// All sums of a part at once.
struct BurstSumsOnCpu {
    void operator()(const BurstSumsKernel& k, index part) const {
        const int R = burst_outputs(k.s.cvs), quantities = k.quantities();
        double* const sum = k.tables + part * k.entries();
        double* const row = k.s.transition ? sum + k.width() : nullptr;
        for (index i = 0; i < k.entries(); ++i) sum[i] = 0.0;
        index from, to;
        k.range(part, from, to);
        sum[0] = static_cast<double>(to - from);
        for (index j = from; j < to; ++j) {
            double v[kBurstQuantities] = {};
            k.measure(j, v);
            int e = 1 + 2 * R;
            for (int a = 0; a < quantities; ++a) {
                sum[1 + a] += v[a];
                for (int b = 0; b <= a; ++b, ++e) sum[e] = fma(v[a], v[b], sum[e]);
            }
            if (!row) continue;
            double weight[4];
            const index first = k.end_weights(j, weight);
            for (int q = 0; q < 4; ++q) row[first + q] += weight[q];
        }
    }
};

HOST_PASS_BEGIN

void add_burst_drift(Stream& stream, const BurstDrift& piece) {
    for_each_lane(stream, piece.n, BurstDriftBody{piece});
}

void add_burst_sums(Stream& stream, const BurstSums& sums) {
    const index groups = sums.values * sums.blocks, size = sums.replicas / sums.blocks;
    BurstSumsKernel kernel{sums, (size + BurstSumsKernel::kPart - 1) / BurstSumsKernel::kPart,
                           nullptr};
    const index parts = groups * kernel.parts, entries = kernel.entries();
    Buffer<double> tables(stream.device(), parts * entries);
    kernel.tables = tables.data();
    constexpr int kThreads = BurstSumsKernel::kThreads;
    for_each_block(stream,
                   stream.device().is_cpu() ? parts : (parts * entries + kThreads - 1) / kThreads,
                   kernel, BurstSumsOnCpu{}, 16);
    const Tables moments{tables.data(), groups, kernel.parts, kernel.width(), entries};
    const Tables ends{tables.data() + kernel.width(), groups, kernel.parts, sums.values, entries};
    const Tables& larger = sums.values > kernel.width() ? ends : moments;
    Buffer<double> scratch(stream.device(), table_scratch(larger));
    sum_tables(stream, moments, {sums.sums, groups * kernel.width()}, scratch.span());
    if (sums.transition)
        sum_tables(stream, ends, {sums.transition, groups * sums.values}, scratch.span());
}

HOST_PASS_END

}  // namespace microlift
