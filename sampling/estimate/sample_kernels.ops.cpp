#include "sampling/estimate/sample_kernels.h"

#include "engine/launch/lanes.h"
#include "kernels/lane/math.h"
#include "sampling/numerics/statistics.h"

namespace microlift {

inline constexpr index kReductionChunk = 65536;

LANE_FN index max_index(index a, index b) {
    return a > b ? a : b;
}

// --- range ---------------------------------------------------------------------------------------

struct SampleRangeBody {
    static constexpr index kGrain = 1;
    const float* x;
    index n;
    float* low;
    float* high;
    uint64* bad;

    LANE_FN void operator()(index chunk) const {
        const index from = chunk * kReductionChunk;
        const index to = from + kReductionChunk < n ? from + kReductionChunk : n;
        float least = 3.4028234e38f, greatest = -3.4028234e38f;
        uint64 first_bad = ~static_cast<uint64>(0);
        for (index i = from; i < to; ++i) {
            const float v = x[i];
            if (is_bad(v) && first_bad == ~static_cast<uint64>(0))
                first_bad = static_cast<uint64>(i);
            least = v < least ? v : least;
            greatest = v > greatest ? v : greatest;
        }
        low[chunk] = least;
        high[chunk] = greatest;
        if (first_bad != ~static_cast<uint64>(0)) atomic_min(bad, first_bad);
    }
};

// --- windows: moments and autocorrelation --------------------------------------------------------

struct WindowMomentsBody {
    static constexpr index kGrain = 1;
    const float* xi;
    index row, trajectories, replicas, samples, blocks;
    int dims;
    BlockDivision division;
    const double* centers;  // (windows, dims)
    double* out;

    LANE_FN void operator()(index w) const {
        const int width = 1 + 2 * dims;
        for (index s = 0; s < samples; ++s) {
            const index j0 = s * trajectories + w * replicas;
            for (index r = 0; r < replicas; ++r) {
                const int g = division.block(static_cast<int32>(s), static_cast<int32>(r));
                double* sum = out + (w * blocks + g) * width;
                sum[0] += 1.0;
                for (int k = 0; k < dims; ++k) {
                    const double d =
                        static_cast<double>(xi[k * row + j0 + r]) - centers[w * dims + k];
                    sum[1 + 2 * k] += d;
                    sum[2 + 2 * k] = fma(d, d, sum[2 + 2 * k]);
                }
            }
        }
    }
};

struct StillBody {
    static constexpr index kGrain = 64;
    const float* x;
    index trajectories, replicas, samples;
    int32* out;

    LANE_FN void operator()(index t) const {
        const float first = samples > 1 ? x[t] : x[t / replicas * replicas];
        bool still = true;
        for (index s = 0; s < samples && still; ++s) still = x[s * trajectories + t] == first;
        out[t] = still ? 1 : 0;
    }
};

struct HalfChangeBody {
    const float* x;
    index trajectories, samples;
    float* out;

    template <class L>
    LANE_FN void operator()(L, index t) const {
        const index half = samples / 2;
        const L change = sum<L>(t, samples - half) - sum<L>(t, 0);
        store(out, t, change * broadcast<L>(1.0f / static_cast<float>(half)));
    }

    template <class L>
    LANE_FN L sum(index t, index first) const {
        constexpr index kPiece = 64;  // sums of sums, so that long runs do not lose digits
        L all = broadcast<L>(0.0f);
        const index end = first + samples / 2;
        for (index s = first; s < end; s += kPiece) {
            L part = broadcast<L>(0.0f);
            for (index i = s; i < s + kPiece && i < end; ++i)
                part = part + load<L>(x, i * trajectories + t);
            all = all + part;
        }
        return all;
    }
};

struct WindowInefficiencyBody {
    static constexpr index kGrain = 1;
    const float* x;
    index trajectories, replicas, samples;
    double* out;

    LANE_FN void operator()(index w) const {
        const float* first = x + w * replicas;
        double sum = 0.0;
        for (index s = 0; s < samples; ++s)
            for (index r = 0; r < replicas; ++r)
                sum += static_cast<double>(first[s * trajectories + r]);
        const double mean = sum / static_cast<double>(samples * replicas);
        const double variance = covariance(first, mean, 0);
        if (samples < 2 || !(variance > 0.0)) {
            out[w] = 1.0;
            return;
        }
        out[w] = inefficiency_from_correlation(
            samples, [&](index lag) { return covariance(first, mean, lag) / variance; });
    }

    LANE_FN double covariance(const float* first, double mean, index lag) const {
        // Eight running sums in a fixed order, so that the compiler may use SIMD.
        double sums[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        for (index s = 0; s + lag < samples; ++s) {
            const float* a = first + s * trajectories;
            const float* b = first + (s + lag) * trajectories;
            index r = 0;
            for (; r + 8 <= replicas; r += 8)
                for (int j = 0; j < 8; ++j)
                    sums[j] = fma(static_cast<double>(a[r + j]) - mean,
                                  static_cast<double>(b[r + j]) - mean, sums[j]);
            for (; r < replicas; ++r)
                sums[0] = fma(static_cast<double>(a[r]) - mean, static_cast<double>(b[r]) - mean,
                              sums[0]);
        }
        const double sum = ((sums[0] + sums[1]) + (sums[2] + sums[3])) +
                           ((sums[4] + sums[5]) + (sums[6] + sums[7]));
        return sum / static_cast<double>((samples - lag) * replicas);
    }
};

// --- histograms: integer sums, so the order of additions does not matter -------------------------

struct CellHistogramBody {
    const float* xi;
    index row;
    CellGrid grid;
    uint64* counts;
    uint64* offsets;

    LANE_FN void operator()(index i) const {
        double o0 = 0.0, o1 = 0.0;
        index cell = grid.cell(0, static_cast<double>(xi[i]), &o0);
        if (grid.dims == 2)
            cell = cell * grid.cells[1] + grid.cell(1, static_cast<double>(xi[row + i]), &o1);
        atomic_add(counts + cell, 1);
        atomic_add(offsets + cell, static_cast<uint64>(o0 * kOffsetScale));
        if (grid.dims == 2)
            atomic_add(offsets + grid.size() + cell, static_cast<uint64>(o1 * kOffsetScale));
    }
};

struct BlockHistogramBody {
    const float* xi;  // of the run's first column
    index row;
    BlockDivision division;
    CellGrid grid;
    const int32* map;
    index kept;
    uint64* counts;

    LANE_FN void operator()(index i) const {
        double o;
        index cell = grid.cell(0, static_cast<double>(xi[i]), &o);
        if (grid.dims == 2)
            cell = cell * grid.cells[1] + grid.cell(1, static_cast<double>(xi[row + i]), &o);
        const int32 place = map[cell];
        if (place >= 0) atomic_add(counts + division.block(i) * kept + place, 1);
    }
};

// --- the mixture ---------------------------------------------------------------------------------

#if defined(__CUDACC__)
using MixtureLane = double;
#else
using MixtureLane = NativeLaneDouble;
#endif

struct MixturePassBody {
    static constexpr index kGrain = 1;
    const float* xi;
    index row, n, chunk_size;
    MixtureTables t;
    double* scratch;
    float* log_weight;

    template <class L>
    LANE_FN L term(int32 w, L x0, L x1) const {
        const L d0 = x0 - load<L>(t.center, w);
        L u = fnma(load<L>(t.half_stiffness, w) * d0, d0, load<L>(t.log_population, w));
        if (t.dims == 2) {
            const L d1 = x1 - load<L>(t.center, t.padded + w);
            u = fnma(load<L>(t.half_stiffness, t.padded + w) * d1, d1, u);
        }
        return u;
    }

    LANE_FN void operator()(index chunk) const {
        using L = MixtureLane;
        constexpr int W = kWidth<L>;
        constexpr int G = kWindowGroup, P = G / W;  // P lanes side by side make a group
        static_assert(P * W == G);
        double* sums = scratch + chunk * (2 * t.padded + 1);
        double* e = sums + t.padded + 1;
        for (int32 w = 0; w <= t.padded; ++w) sums[w] = 0.0;
        const index from = chunk * chunk_size;
        const index to = from + chunk_size < n ? from + chunk_size : n;
        double total = 0.0;
        for (index i = from; i < to; ++i) {
            const double y0 = static_cast<double>(xi[i]);
            const double y1 = t.dims == 2 ? static_cast<double>(xi[row + i]) : 0.0;
            double unused;
            int32 cell = t.lists.cell(0, y0, &unused);
            if (t.dims == 2) cell = cell * t.lists.cells[1] + t.lists.cell(1, y1, &unused);
            const int32 first = t.list_start[cell], last = t.list_start[cell + 1];
            const L x0 = broadcast<L>(y0), x1 = broadcast<L>(y1);

            L top = broadcast<L>(-1e300);
            for (int32 q = first; q < last; ++q)
                for (int j = 0; j < G; j += W)
                    top = max(top, term<L>(t.list_groups[q] * G + j, x0, x1));
            double highest = get_lane(top, 0);
            for (int j = 1; j < W; ++j) highest = max(highest, get_lane(top, j));

            // G sums at any lane width, so that it does not show in the bits.
            L sum[P];
            for (L& s : sum) s = broadcast<L>(0.0);
            const L shift = broadcast<L>(highest);
            for (int32 q = first; q < last; ++q)
                for (int p = 0; p < P; ++p) {
                    const int j = p * W;
                    const L v = exp<Portable>(term<L>(t.list_groups[q] * G + j, x0, x1) - shift);
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
            if (log_weight) log_weight[i] = static_cast<float>(-d);
        }
        sums[t.padded] = total;
    }
};

struct MixtureReduceBody {
    static constexpr index kGrain = 64;
    const double* scratch;
    index chunks, stride;
    double* sums;

    LANE_FN void operator()(index w) const {
        double sum = 0.0;
        for (index c = 0; c < chunks; ++c) sum += scratch[c * stride + w];
        sums[w] = sum;
    }
};

HOST_PASS_BEGIN

void sample_range(Stream& stream, const BiasedSamples& samples, double* out, index* bad) {
    const index chunks = (samples.n + kReductionChunk - 1) / kReductionChunk;
    Buffer<float> low(stream.device(), chunks), high(stream.device(), chunks);
    Buffer<uint64> first_bad(stream.device(), 1);
    for (int k = 0; k < samples.n_cvs; ++k) {
        const uint64 none = ~static_cast<uint64>(0);
        copy_to_device(stream, first_bad.span(), &none);
        for_each_index(stream, chunks,
                       SampleRangeBody{samples.xi.data + k * samples.row, samples.n, low.data(),
                                       high.data(), first_bad.data()});
        const std::vector<float> l = to_host(stream, low.span()), h = to_host(stream, high.span());
        out[2 * k] = static_cast<double>(l[0]);
        out[2 * k + 1] = static_cast<double>(h[0]);
        for (std::size_t c = 1; c < l.size(); ++c) {
            out[2 * k] = min(out[2 * k], static_cast<double>(l[c]));
            out[2 * k + 1] = max(out[2 * k + 1], static_cast<double>(h[c]));
        }
        const uint64 where = to_host(stream, first_bad.span())[0];
        bad[k] = where == none ? -1 : static_cast<index>(where);
    }
}

void window_moments(Stream& stream, const BiasedSamples& samples, const SampleBlock& run,
                    const BlockDivision& division, index blocks, Span<const double> centers,
                    Span<double> out) {
    for_each_index(stream, run.windows,
                   WindowMomentsBody{samples.xi.data + run.first, samples.row, run.trajectories(),
                                     run.replicas, run.samples, blocks, samples.n_cvs, division,
                                     centers.data, out.data});
}

void window_inefficiency(Stream& stream, Span<const float> xi, const SampleBlock& run,
                         Span<double> out) {
    for_each_index(stream, run.windows,
                   WindowInefficiencyBody{xi.data + run.first, run.trajectories(), run.replicas,
                                          run.samples, out.data});
}

void still_trajectories(Stream& stream, Span<const float> x, const SampleBlock& run,
                        Span<int32> out) {
    for_each_index(stream, run.trajectories(),
                   StillBody{x.data + run.first, run.trajectories(), run.replicas, run.samples,
                             out.data});
}

void half_change(Stream& stream, Span<const float> x, const SampleBlock& run, Span<float> out) {
    for_each_lane(stream, run.trajectories(),
                  HalfChangeBody{x.data + run.first, run.trajectories(), run.samples, out.data});
}

void cell_histogram(Stream& stream, const BiasedSamples& samples, const CellGrid& grid,
                    Span<uint64> counts, Span<uint64> offsets) {
    for_each_index(
        stream, samples.n,
        CellHistogramBody{samples.xi.data, samples.row, grid, counts.data, offsets.data});
}

void block_histogram(Stream& stream, const BiasedSamples& samples, const SampleBlock& run,
                     const BlockDivision& division, const CellGrid& grid, Span<const int32> map,
                     index kept, Span<uint64> counts) {
    for_each_index(stream, run.size(),
                   BlockHistogramBody{samples.xi.data + run.first, samples.row, division, grid,
                                      map.data, kept, counts.data});
}

index mixture_chunks(index n) {
    const index size = max_index(4096, (n + 511) / 512);
    return (n + size - 1) / size;
}

index mixture_scratch(index n, index padded) {
    return mixture_chunks(n) * (2 * padded + 1);
}

void mixture_pass(Stream& stream, const BiasedSamples& samples, const MixtureTables& tables,
                  Span<double> scratch, Span<double> sums, float* log_weight) {
    const index size = max_index(4096, (samples.n + 511) / 512);
    const index chunks = mixture_chunks(samples.n);
    for_each_index(stream, chunks,
                   MixturePassBody{samples.xi.data, samples.row, samples.n, size, tables,
                                   scratch.data, log_weight});
    for_each_index(stream, tables.padded + 1,
                   MixtureReduceBody{scratch.data, chunks, 2 * tables.padded + 1, sums.data});
}

HOST_PASS_END

}  // namespace microlift
