#include "engine/launch/lanes.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "sampling/numerics/eigen.h"

namespace microlift {

inline constexpr index kGramRows = 128;  // of one partial sum: two blocks of them fit a first cache

struct FillEigenBlockBody {
    static constexpr index kGrain = 256;
    const double* start;
    double* x;

    LANE_FN void operator()(index i) const {
        const PhiloxStream<float> rng(0, kStreamEigen, i);
        for (int b = 0; b < kEigenBlock; b += 4) {
            float z[4];
            normal_block<Portable>(rng, static_cast<uint64>(b / 4), z);
            for (int k = 0; k < 4; ++k)
                x[i * kEigenBlock + b + k] = static_cast<double>(z[k]);
        }
        if (start) x[i * kEigenBlock] = start[i];
    }
};

// One column of q against all of w, over kGramRows rows.
struct GramPartBody {
    static constexpr index kGrain = 16;
    index n;
    const double* q;
    const double* w;
    double* part;

    LANE_FN void operator()(index t) const {
        const index chunk = t / kEigenBlock, a = t % kEigenBlock;
        const index from = chunk * kGramRows, to = from + kGramRows < n ? from + kGramRows : n;
        double sum[kEigenBlock];
LANE_UNROLL
        for (int b = 0; b < kEigenBlock; ++b) sum[b] = 0.0;
        for (index i = from; i < to; ++i) {
            const double v = q[i * kEigenBlock + a];
            const double* row = w + i * kEigenBlock;
LANE_UNROLL
            for (int b = 0; b < kEigenBlock; ++b) sum[b] = fma(v, row[b], sum[b]);
        }
LANE_UNROLL
        for (int b = 0; b < kEigenBlock; ++b) part[t * kEigenBlock + b] = sum[b];
    }
};

struct GramSumBody {
    static constexpr index kGrain = 16;
    index chunks;
    const double* part;
    double* gram;

    LANE_FN void operator()(index t) const {
        double sum = 0.0;
        for (index c = 0; c < chunks; ++c) sum += part[c * kEigenBlock * kEigenBlock + t];
        gram[t] = sum;
    }
};

struct BlockSubtractBody {
    static constexpr index kGrain = 256;
    const double* q;
    const double* g;
    double* w;

    LANE_FN void operator()(index i) const {
        double row[kEigenBlock];
LANE_UNROLL
        for (int b = 0; b < kEigenBlock; ++b) row[b] = w[i * kEigenBlock + b];
        for (int a = 0; a < kEigenBlock; ++a) {
            const double v = -q[i * kEigenBlock + a];
LANE_UNROLL
            for (int b = 0; b < kEigenBlock; ++b) row[b] = fma(v, g[a * kEigenBlock + b], row[b]);
        }
LANE_UNROLL
        for (int b = 0; b < kEigenBlock; ++b) w[i * kEigenBlock + b] = row[b];
    }
};

struct BlockCombineBody {
    static constexpr index kGrain = 64;
    index n;
    int blocks;
    const double* basis;
    const double* z;
    double* y;

    LANE_FN void operator()(index i) const {
        double row[kEigenBlock];
LANE_UNROLL
        for (int b = 0; b < kEigenBlock; ++b) row[b] = 0.0;
        for (int s = 0; s < blocks; ++s)
            for (int a = 0; a < kEigenBlock; ++a) {
                const double v = basis[(s * n + i) * kEigenBlock + a];
                const double* zr = z + (s * kEigenBlock + a) * kEigenBlock;
LANE_UNROLL
                for (int b = 0; b < kEigenBlock; ++b) row[b] = fma(v, zr[b], row[b]);
            }
LANE_UNROLL
        for (int b = 0; b < kEigenBlock; ++b) y[i * kEigenBlock + b] = row[b];
    }
};

struct BlockResidualBody {
    static constexpr index kGrain = 1024;
    const double* ay;
    const double* y;
    const double* theta;
    double* r;

    LANE_FN void operator()(index t) const {
        r[t] = fma(-theta[t % kEigenBlock], y[t], ay[t]);
    }
};

HOST_PASS_BEGIN

void fill_eigen_block(Stream& stream, index n, Span<const double> start, Span<double> x) {
    for_each_index(stream, n, FillEigenBlockBody{start.data, x.data});
}

index gram_scratch(index n) {
    return (n + kGramRows - 1) / kGramRows * kEigenBlock * kEigenBlock;
}

void block_gram(Stream& stream, index n, Span<const double> q, Span<const double> w,
                Span<double> gram, Span<double> scratch) {
    const index chunks = (n + kGramRows - 1) / kGramRows;
    for_each_index(stream, chunks * kEigenBlock, GramPartBody{n, q.data, w.data, scratch.data});
    for_each_index(stream, kEigenBlock * kEigenBlock,
                   GramSumBody{chunks, scratch.data, gram.data});
}

void block_subtract(Stream& stream, index n, Span<const double> q, Span<const double> g,
                    Span<double> w) {
    for_each_index(stream, n, BlockSubtractBody{q.data, g.data, w.data});
}

void block_combine(Stream& stream, index n, int blocks, Span<const double> basis,
                   Span<const double> z, Span<double> y) {
    for_each_index(stream, n, BlockCombineBody{n, blocks, basis.data, z.data, y.data});
}

void block_residual(Stream& stream, index n, Span<const double> ay, Span<const double> y,
                    Span<const double> theta, Span<double> r) {
    for_each_index(stream, n * kEigenBlock,
                   BlockResidualBody{ay.data, y.data, theta.data, r.data});
}

HOST_PASS_END

}  // namespace microlift
