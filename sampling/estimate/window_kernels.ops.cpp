#include "sampling/estimate/window_kernels.h"

#include "engine/launch/blocks.h"
#include "engine/launch/lanes.h"
#include "sampling/numerics/statistics.h"

namespace microlift {

// --- moments -------------------------------------------------------------------------------------

struct MomentsOnCpu {
    void operator()(const MomentsKernel& k, index b) const {
        constexpr int kThreads = MomentsKernel::kThreads;
        const index piece = b / k.tiles;
        const int32 first = static_cast<int32>(b % k.tiles) * kThreads;
        const int32 width = k.trajectories - first < kThreads ? k.trajectories - first : kThreads;
        int32 from, to;
        k.range(piece, from, to);
        for (int d = 0; d < k.dims; ++d) {
            double center[kThreads], sum[kThreads] = {}, squares[kThreads] = {};
            for (int32 t = 0; t < width; ++t)
                center[t] = k.centers[(first + t) / k.replicas * k.dims + d];
            for (int32 s = from; s < to; ++s) {
                const float* x = k.xi + d * k.row + static_cast<index>(s) * k.trajectories + first;
                for (int32 t = 0; t < width; ++t) {
                    const double u = static_cast<double>(x[t]) - center[t];
                    sum[t] += u;
                    squares[t] = fma(u, u, squares[t]);
                }
            }
            double* out = k.place(piece, d) + first;
            for (int32 t = 0; t < width; ++t) {
                out[t] = sum[t];
                out[k.trajectories + t] = squares[t];
            }
        }
    }
};

// Of block g of window w, i = w·blocks + g: the trajectories of its replicas, one after another.
struct GatherMomentsBody {
    static constexpr index kGrain = 64;
    MomentsKernel from;
    BlockDivision division;
    index blocks;
    double* out;  // (window, block, 1 + 2 dims)

    LANE_FN void operator()(index i) const {
        const index w = quotient(i, blocks);
        const int32 g = static_cast<int32>(i - w * blocks);
        const int32 group = g / division.time_segments, segment = g % division.time_segments;
        // Replicas r with r · groups / replicas = group, rounded down.
        const index groups = division.replica_groups, replicas = division.replicas;
        const index r0 = (group * replicas + groups - 1) / groups;
        const index r1 = ((group + 1) * replicas + groups - 1) / groups;
        const int width = 1 + 2 * from.dims;
        double* to = out + i * width;
        to[0] += static_cast<double>((r1 - r0) *
                                     (from.first_of(segment + 1) - from.first_of(segment)));
        for (int c = 0; c < 2 * from.dims; ++c) {
            double sum = 0.0;
            for (index p = segment * static_cast<index>(from.pieces);
                 p < (segment + static_cast<index>(1)) * from.pieces; ++p) {
                const double* x = from.out + (p * 2 * from.dims + c) * from.trajectories + w * replicas;
                for (index r = r0; r < r1; ++r) sum += x[r];
            }
            to[1 + c] += sum;
        }
    }
};

// Of a segment of time; and numbers that they leave.
inline index moment_pieces(index samples, index segments) {
    return ((samples + segments - 1) / segments + kMomentSamples - 1) / kMomentSamples;
}
inline index moments_size(const SampleBlock& run, index segments, int cvs) {
    return segments * moment_pieces(run.samples, segments) * 2 * cvs * run.trajectories();
}

// --- autocorrelation -----------------------------------------------------------------------------

struct LagOnCpu {
    template <bool kProducts>
    void operator()(const LagKernel<kProducts>& k, index b) const {
        constexpr int kThreads = LagKernel<kProducts>::kThreads;
        const index w = b / k.pieces, first = b % k.pieces * k.kPiece;
        if (kProducts && k.windows[w].sum.done) return;
        const double mean = kProducts ? k.windows[w].mean : 0.0;
        const index left = k.count() - first;
        const index size = left < k.kPiece ? left : k.kPiece;
        index s = first / k.replicas, r = first % k.replicas;
        double sums[kThreads] = {};
        // Runs that stay within a sample and within the sums.
        for (index e = 0; e < size;) {
            index run = k.replicas - r;
            const index place = e % kThreads;
            run = run < kThreads - place ? run : kThreads - place;
            run = run < size - e ? run : size - e;
            const float* a = k.x + w * k.replicas + s * k.trajectories + r;
            const float* later = a + k.lag * k.trajectories;
            double* sum = sums + place;
            for (index j = 0; j < run; ++j)
                sum[j] = kProducts ? fma(static_cast<double>(a[j]) - mean,
                                         static_cast<double>(later[j]) - mean, sum[j])
                                   : sum[j] + static_cast<double>(a[j]);
            e += run;
            r += run;
            if (r == k.replicas) ++s, r = 0;
        }
        k.out[b] = BlockSum<kThreads>::total(sums);
    }
};

// After a lag: the window's pieces, added up in order. Lag −1 stands for the mean, 0 for the variance.
struct TakeLagBody {
    static constexpr index kGrain = 64;
    const double* pieces_of;
    int32 pieces;
    index count;
    int32 lag, samples;
    WindowCorrelation* windows;
    double* out;
    int32* busy;  // how many windows are not done

    LANE_FN void operator()(index w) const {
        WindowCorrelation& c = windows[w];
        if (lag > 0 && c.sum.done) return;
        double sum = 0.0;
        for (int32 p = 0; p < pieces; ++p) sum += pieces_of[w * pieces + p];
        const double mean = sum / static_cast<double>(count);
        if (lag < 0) {
            c.mean = mean;
            c.sum.done = false;
            return;
        }
        if (lag == 0) {
            c.variance = mean;
            c.sum.begin(samples);
            if (!(mean > 0.0)) c.sum.done = true;
        } else {
            c.sum.take(mean / c.variance);
        }
        out[w] = c.sum.g;
        busy[w] = c.sum.done ? 0 : 1;
    }
};

HOST_PASS_BEGIN

index window_moments_scratch(const SampleBlock& run, index time_segments, int cvs) {
    return moments_size(run, time_segments, cvs);
}

void window_moments(Stream& stream, const BiasedSamples& samples, const SampleBlock& run,
                    const BlockDivision& division, index blocks, Span<const double> centers,
                    Span<double> out) {
    const index segments = division.time_segments, n = run.trajectories();
    const index pieces = moment_pieces(run.samples, segments);
    const index tiles = (n + MomentsKernel::kThreads - 1) / MomentsKernel::kThreads;
    Buffer<double> parts(stream.device(), moments_size(run, segments, samples.n_cvs));
    const MomentsKernel kernel{samples.xi.data + run.first,
                               samples.row,
                               division.trajectories,
                               division.replicas,
                               division.samples,
                               division.time_segments,
                               static_cast<int32>(tiles),
                               static_cast<int32>(pieces),
                               samples.n_cvs,
                               centers.data,
                               parts.data()};
    for_each_block(stream, segments * pieces * tiles, kernel, MomentsOnCpu{});
    for_each_index(stream, run.windows * blocks,
                   GatherMomentsBody{kernel, division, blocks, out.data});
}

void window_inefficiency(Stream& stream, Span<const float> xi, const SampleBlock& run,
                         Span<double> out) {
    using Products = LagKernel<true>;
    const index windows = run.windows, replicas = run.replicas, n = run.trajectories();
    const auto samples = static_cast<int32>(run.samples);
    const auto pieces_at = [&](index lag) {
        const index count = (run.samples - lag) * replicas;
        return static_cast<int32>((count + Products::kPiece - 1) / Products::kPiece);
    };
    Buffer<double> parts(stream.device(), windows * pieces_at(0));
    Buffer<WindowCorrelation> state(stream.device(), windows);
    Buffer<int32> busy(stream.device(), windows);
    const auto take = [&](int32 lag, const auto& kernel) {
        for_each_block(stream, windows * kernel.pieces, kernel, LagOnCpu{});
        for_each_index(stream, windows,
                       TakeLagBody{parts.data(), kernel.pieces, kernel.count(), lag, samples,
                                   state.data(), out.data, busy.data()});
    };
    const float* x = xi.data + run.first;
    const auto r = static_cast<int32>(replicas);
    take(-1, LagKernel<false>{x, n, r, samples, 0, pieces_at(0), state.data(), parts.data()});
    InefficiencySum lags;  // of a series that is never done: it knows which lags there are
    lags.begin(run.samples);
    index asked = 0, next = 1;
    for (int32 lag = 0;; lag = static_cast<int32>(lags.lag)) {
        take(lag, Products{x, n, r, samples, lag, pieces_at(lag), state.data(), parts.data()});
        if (lag > 0) lags.take(1.0);
        if (lags.done) return;
        // The host waits seldom: after 1, 2, 4, 8, … lags.
        if (++asked < next) continue;
        next = 2 * asked;
        const std::vector<int32> left = to_host(stream, Span<const int32>(busy.span()));
        bool any = false;
        for (const int32 one : left) any = any || one != 0;
        if (!any) return;
    }
}

HOST_PASS_END

}  // namespace microlift
