#include "sampling/estimate/mixture_pass.h"

#include "engine/comm/columns.h"
#include "engine/launch/blocks.h"
#include "engine/launch/reduce.h"
#if !defined(__CUDACC__)
#include "kernels/lane/simd.h"
#endif

namespace microlift {

#if defined(__CUDACC__)
using MixtureLane = double;
#else
using MixtureLane = NativeLaneDouble;
#endif

struct MixtureOnCpu {
    void operator()(const MixtureKernel& k, index block) const {
        for (int c = 0; c < MixtureKernel::kChunks; ++c)
            if (block * MixtureKernel::kChunks + c < k.chunks)
                chunk<MixtureLane>(k, block * MixtureKernel::kChunks + c);
    }

    template <class L>
    void chunk(const MixtureKernel& k, index chunk) const {
        constexpr int W = kWidth<L>;
        constexpr int G = kWindowGroup, P = G / W;  // P lanes side by side make a group
        static_assert(P * W == G);
        const MixtureTables& t = k.t;
        double* sums = k.scratch + chunk * (2 * t.padded + 1);
        double* e = sums + t.padded + 1;
        for (int32 w = 0; w <= t.padded; ++w) sums[w] = 0.0;
        const index from = chunk * k.chunk_size;
        const index to = from + k.chunk_size < k.n ? from + k.chunk_size : k.n;
        double total = 0.0;
        for (index i = from; i < to; ++i) {
            const double y0 = static_cast<double>(k.xi[i]);
            const double y1 = t.dims == 2 ? static_cast<double>(k.xi[k.row + i]) : 0.0;
            const int32 cell = mixture_cell(t, y0, y1);
            const int32 first = t.list_start[cell], last = t.list_start[cell + 1];
            const L x0 = broadcast<L>(y0), x1 = broadcast<L>(y1);

            L top = broadcast<L>(-1e300);
            for (int32 q = first; q < last; ++q)
                for (int j = 0; j < G; j += W)
                    top = max(top, mixture_term<L>(t, t.list_groups[q] * G + j, x0, x1));
            double highest = get_lane(top, 0);
            for (int j = 1; j < W; ++j) highest = max(highest, get_lane(top, j));

            // G sums at any lane width, so that it does not show in the bits.
            L sum[P];
            for (L& s : sum) s = broadcast<L>(0.0);
            const L shift = broadcast<L>(highest);
            for (int32 q = first; q < last; ++q)
                for (int p = 0; p < P; ++p) {
                    const int j = p * W;
                    const L v = exp<Portable>(
                        mixture_term<L>(t, t.list_groups[q] * G + j, x0, x1) - shift);
                    store(e, (q - first) * G + j, v);
                    sum[p] = sum[p] + v;
                }
            double z = 0.0;
            for (const L& s : sum)
                for (int j = 0; j < W; ++j) z += get_lane(s, j);

            const L inverse = broadcast<L>(1.0 / z);
            for (int32 q = first; q < last; ++q)
                for (int j = 0; j < G; j += W) {
                    double* p = sums + t.list_groups[q] * G + j;
                    store(p, 0, fma(load<L>(e, (q - first) * G + j), inverse, load<L>(p, 0)));
                }
            const double d = highest + log<Portable>(z);
            total += d;
            if (k.log_weight) k.log_weight[i] = static_cast<float>(-d);
        }
        sums[t.padded] = total;
    }
};

inline index mixture_chunks(index n, index padded) {
    const index size = mixture_chunk(n, padded);
    return (n + size - 1) / size;
}

HOST_PASS_BEGIN

// Enough chunks for a GPU's threads; not so small that their sums outweigh their samples, nor so many
// that the sums take more than a quarter of a gigabyte.
index mixture_chunk(index n, index padded) {
    constexpr index kMostChunks = 16384, kLeastSamples = 256, kMostDoubles = index{1} << 25;
    index most = kMostDoubles / (2 * padded + 1);
    most = most < 1 ? 1 : most > kMostChunks ? kMostChunks : most;
    const index size = (n + most - 1) / most;
    return size < kLeastSamples ? kLeastSamples : size;
}

Tables mixture_sums(const double* scratch, index n, index padded) {
    return {scratch, 1, mixture_chunks(n, padded), padded + 1, 2 * padded + 1};
}

index mixture_scratch(index n, index padded) {
    return mixture_chunks(n, padded) * (2 * padded + 1) +
           table_scratch(mixture_sums(nullptr, n, padded));
}

// Processes share the chunks of large passes out.
void mixture_pass(Stream& stream, const BiasedSamples& samples, const MixtureTables& tables,
                  Span<double> scratch, Span<double> sums, float* log_weight) {
    constexpr index kSharedTerms = index{1} << 17;
    const index chunks = mixture_chunks(samples.n, tables.padded), of_chunk = 2 * tables.padded + 1;
    const index used = chunks * of_chunk, chunk = mixture_chunk(samples.n, tables.padded);
    const Communicator& world = Communicator::world();
    const bool shared = !world.alone() && samples.n * tables.padded >= kSharedTerms;
    const Share own = shared ? world.share(chunks) : Share{0, chunks};
    const auto sample = [&](index of) { return of * chunk < samples.n ? of * chunk : samples.n; };
    const index from = sample(own.first);
    if (own.count > 0)
        for_each_block(stream, (own.count + MixtureKernel::kChunks - 1) / MixtureKernel::kChunks,
                       MixtureKernel{samples.xi.data + from, samples.row, sample(own.first + own.count) - from, chunk,
                                     own.count, tables, scratch.data + own.first * of_chunk,
                                     log_weight ? log_weight + from : nullptr},
                       MixtureOnCpu{});
    if (shared) {
        std::vector<index> words, weights;
        for (int r = 0; r < world.size(); ++r) {
            const Share part = share_of(chunks, r, world.size());
            words.push_back(2 * of_chunk * part.count);
            weights.push_back(sample(part.first + part.count) - sample(part.first));
        }
        collect_parts(stream, scratch.data, words);
        if (log_weight) collect_parts(stream, log_weight, weights);
    }
    sum_tables(stream, mixture_sums(scratch.data, samples.n, tables.padded), sums,
               scratch.subspan(used, scratch.size - used));
}

HOST_PASS_END

}  // namespace microlift
