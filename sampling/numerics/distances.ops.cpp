#include "sampling/numerics/distances.h"

#include <cmath>
#include <vector>

#include "engine/launch/lanes.h"
#include "engine/launch/reduce.h"
#include "engine/launch/sort.h"
#include "kernels/lane/whole.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"

namespace microlift {

inline constexpr index kPairPart = 256;  // samples b that one thread looks at

// out (part, i): Σ_j |a_i − b_j| over a part of the j, j ≠ i where both are the same sample.
struct PairSumBody {
    static constexpr index kGrain = 32;
    const float* a;
    const float* b;
    index row_a, row_b, n_a, n_b;
    int variables;
    bool same;
    double* out;

    LANE_FN void operator()(index place) const {
        const index part = quotient(place, n_a), i = place - part * n_a, from = part * kPairPart;
        const index to = from + kPairPart < n_b ? from + kPairPart : n_b;
        double sum = 0.0;
        for (index j = from; j < to; ++j) {
            if (same && i == j) continue;
            float r2 = 0.0f;
            for (int d = 0; d < variables; ++d) {
                const float u = a[d * row_a + i] - b[d * row_b + j];
                r2 = fma(u, u, r2);
            }
            sum += static_cast<double>(sqrt<Portable>(r2));
        }
        out[place] = sum;
    }
};

// Row p of out: the sample along direction p.
struct ProjectBody {
    const float* x;
    const float* direction;  // (projection, variable)
    index row, n;
    int variables;
    float* out;

    LANE_FN void operator()(index i) const {
        const index p = quotient(i, n), j = i - p * n;
        float sum = 0.0f;
        for (int d = 0; d < variables; ++d)
            sum = fma(direction[p * variables + d], x[d * row + j], sum);
        out[i] = sum;
    }
};

struct SortedGapBody {
    const float* a;
    const float* b;
    int order;
    double* out;

    LANE_FN void operator()(index i) const {
        const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
        out[i] = order == 2 ? d * d : (d < 0.0 ? -d : d);
    }
};

HOST_PASS_BEGIN

namespace {

double sum_of(Stream& stream, Span<const double> values) {
    Buffer<double> out(stream.device(), 1),
        scratch(stream.device(), reduce_scratch(1, values.size));
    row_sum(stream, Rows<double>(values), out.span(), scratch.span());
    return to_host(stream, Span<const double>(out.span()))[0];
}

// Mean distance of pairs.
double pair_mean(Stream& stream, int variables, const SampleView& a, const SampleView& b, bool same) {
    Buffer<double> sums(stream.device(), a.n * ((b.n + kPairPart - 1) / kPairPart));
    for_each_index(stream, sums.size(),
                   PairSumBody{a.x.data, b.x.data, a.row, b.row, a.n, b.n, variables, same,
                               sums.data()});
    const double pairs = static_cast<double>(a.n) * static_cast<double>(same ? a.n - 1 : b.n);
    return sum_of(stream, sums.span()) / pairs;
}

}  // namespace

double energy_distance(Stream& stream, int variables, const SampleView& a, const SampleView& b) {
    return 2 * pair_mean(stream, variables, a, b, false) -
           pair_mean(stream, variables, a, a, true) -
           pair_mean(stream, variables, b, b, true);
}

double sliced_wasserstein(Stream& stream, int variables, const SampleView& a, const SampleView& b,
                          int projections, int order, uint64 seed) {
    if (a.n != b.n || a.n < 1)
        throw std::logic_error("sliced_wasserstein: samples of equal size, please");
    std::vector<float> direction;
    for (int p = 0; p < projections; ++p) {
        std::vector<double> u;
        double norm = 0;
        const PhiloxStream<float> rng(seed, kStreamJump, static_cast<index>(p));
        for (int d = 0; d < variables; ++d) {
            float z[4];
            normal_block<Portable>(rng, static_cast<uint64>(d), z);
            u.push_back(variables == 1 ? 1.0 : static_cast<double>(z[0]));
            norm += u.back() * u.back();
        }
        for (double v : u) direction.push_back(static_cast<float>(v / std::sqrt(norm)));
    }
    const Device& device = stream.device();
    const index n = a.n, all = n * projections;
    Buffer<float> directions(device, static_cast<index>(direction.size())), pa(device, all),
        pb(device, all);
    copy_to_device(stream, directions.span(), direction.data());
    for_each_index(stream, all, ProjectBody{a.x.data, directions.data(), a.row, n, variables,
                                            pa.data()});
    for_each_index(stream, all, ProjectBody{b.x.data, directions.data(), b.row, n, variables,
                                            pb.data()});
    Buffer<unsigned char> scratch(device, sort_scratch_rows(device, projections, n, n));
    sort_rows(stream, pa.data(), projections, n, n, scratch.span());
    sort_rows(stream, pb.data(), projections, n, n, scratch.span());
    Buffer<double> gaps(device, all);
    for_each_index(stream, all, SortedGapBody{pa.data(), pb.data(), order, gaps.data()});
    const double mean = sum_of(stream, gaps.span()) / static_cast<double>(all);
    return order == 2 ? std::sqrt(mean) : mean;
}

HOST_PASS_END

}  // namespace microlift
