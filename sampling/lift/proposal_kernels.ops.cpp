#include "sampling/lift/proposal_kernels.h"

#include "engine/launch/lanes.h"
#include "kernels/lane/whole.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"

namespace microlift {

inline constexpr float kNoWeight = -3.0e38f;

struct ProposalWeightBody {
    float beta;
    const float *energy, *log_density;
    float* out;
    template <class L>
    LANE_FN void operator()(L, index i) const {
        const L w = fma(broadcast<L>(-beta), load<L>(energy, i), -load<L>(log_density, i));
        store(out, i, select(is_bad(w), broadcast<L>(kNoWeight), w));
    }
};

struct FirstColumnsBody {
    index values, each;
    const float* f;
    index row;
    float* out;
    LANE_FN void operator()(index i) const { out[i] = f[quotient(i, values) * row + modulo(i, values) * each]; }
};

struct WeightedSumsBody {
    static constexpr index kGrain = 8;
    index each, chunks, functions;
    const float* f;
    index row;
    const float* log_weight;
    const double* greatest;
    double* out;
    LANE_FN void operator()(index i) const {
        const index v = quotient(i, chunks), c = i - v * chunks;
        const index from = v * each + c * kProposalChunk;
        index to = from + kProposalChunk;
        if (to > (v + 1) * each) to = (v + 1) * each;
        const float top = static_cast<float>(greatest[v]);
        double* sum = out + i * (3 + 4 * functions);
        for (index k = 0; k < 3 + 4 * functions; ++k) sum[k] = 0;
        for (index j = from; j < to; ++j) {
            if (!(log_weight[j] > kNoWeight)) {
                sum[2] += 1;
                continue;
            }
            const double w = static_cast<double>(exp<Portable>(log_weight[j] - top));
            sum[0] += w;
            sum[1] += w * w;
            for (index k = 0; k < functions; ++k) {
                const float* g = f + k * row;
                const double y =
                    static_cast<double>(g[j]) - static_cast<double>(g[v * each]);
                double* mine = sum + 3 + 4 * k;
                mine[0] += w * y;
                mine[1] += w * y * y;
                mine[2] += w * w * y;
                mine[3] += w * w * y * y;
            }
        }
    }
};

struct MetropolisChainBody {
    static constexpr index kGrain = 1;
    index each, chains, length, skip, functions;
    const float* f;
    index row;
    const float* log_weight;
    uint64 seed;
    double* out;
    LANE_FN void operator()(index i) const {
        const index v = quotient(i, chains), c = i - v * chains;
        const index from = v * each + c * length;
        double* sum = out + i * (1 + 2 * functions);
        for (index k = 0; k < 1 + 2 * functions; ++k) sum[k] = 0;
        const PhiloxStream<float> random(seed, kStreamChain, i);
        index at = from;
        for (index s = 1; s < length; ++s) {
            const index next = from + s;
            uint32 u[4];
            random.draw(static_cast<uint64>(s), u);
            const bool usable = log_weight[next] > kNoWeight;
            const bool take = usable && log<Portable>(uniform_open<float>(u[0])) <=
                                            log_weight[next] - log_weight[at];
            if (take) at = next;
            if (s < skip) continue;
            if (take) sum[0] += 1;
            for (index k = 0; k < functions; ++k) {
                const float* g = f + k * row;
                const double y =
                    static_cast<double>(g[at]) - static_cast<double>(g[v * each]);
                sum[1 + 2 * k] += y;
                sum[2 + 2 * k] += y * y;
            }
        }
    }
};

struct AcceptMoveBody {
    static constexpr index kGrain = 256;
    index n;
    int dim;
    const float *proposed, *old_weight, *new_weight;
    uint64 seed, attempt;
    float* x;
    uint64* counts;
    LANE_FN void operator()(index i) const {
        atomic_add(&counts[1], 1);
        // Without a density of either state there is no fair decision: the state stays.
        if (!(old_weight[i] > kNoWeight) || !(new_weight[i] > kNoWeight)) return;
        const PhiloxStream<float> random(seed, kStreamMoveAccept, i);
        uint32 u[4];
        random.draw(attempt, u);
        if (!(log<Portable>(uniform_open<float>(u[0])) <= new_weight[i] - old_weight[i])) return;
        atomic_add(&counts[0], 1);
        for (int d = 0; d < dim; ++d) x[d * n + i] = proposed[d * n + i];
    }
};

struct ChooseBody {
    static constexpr index kGrain = 256;
    index n;
    int dim;
    const float *proposed, *log_weight;
    uint64 seed, column;
    bool is_first;
    float *best, *x;
    index row;
    LANE_FN void operator()(index i) const {
        const PhiloxStream<float> random(seed, kStreamChoose, static_cast<index>(column) + i);
        uint32 u[4];
        random.draw(0, u);
        // −ln(−ln u); what has no weight is chosen from nothing else alone.
        const float wait = -log<Portable>(uniform_open<float>(u[0]));
        const float key = log_weight[i] > kNoWeight ? log_weight[i] - log<Portable>(max(wait, 1e-30f)) : kNoWeight;
        if (!is_first && !(key > best[i])) return;
        best[i] = key;
        for (int d = 0; d < dim; ++d) x[d * row + i] = proposed[d * n + i];
    }
};

HOST_PASS_BEGIN

void proposal_weights(Stream& stream, index n, float beta, const float* energy,
                      const float* log_density, float* log_weight) {
    for_each_lane(stream, n, ProposalWeightBody{beta, energy, log_density, log_weight});
}

void first_columns(Stream& stream, index values, index each, index functions, const float* f, index row,
                   float* out) {
    for_each_index(stream, functions * values, FirstColumnsBody{values, each, f, row, out});
}

void weighted_sums(Stream& stream, index values, index each, index chunks, index functions,
                   const float* f, index row, const float* log_weight, const double* greatest,
                   double* out) {
    for_each_index(stream, values * chunks,
                   WeightedSumsBody{each, chunks, functions, f, row, log_weight, greatest, out});
}

void metropolis_chains(Stream& stream, index values, index each, index chains, index length,
                       index skip, index functions, const float* f, index row,
                       const float* log_weight, uint64 seed, double* out) {
    for_each_index(stream, values * chains,
                   MetropolisChainBody{each, chains, length, skip, functions, f, row, log_weight,
                                       seed, out});
}

void accept_moves(Stream& stream, index n, int dim, const float* proposed, const float* old_weight,
                  const float* new_weight, uint64 seed, uint64 attempt, float* x, uint64* counts) {
    for_each_index(stream, n, AcceptMoveBody{n, dim, proposed, old_weight, new_weight, seed,
                                             attempt, x, counts});
}

void choose_proposals(Stream& stream, index n, int dim, const float* proposed, const float* log_weight,
                      uint64 seed, uint64 column, bool is_first, float* best, float* x, index row) {
    for_each_index(stream, n, ChooseBody{n, dim, proposed, log_weight, seed, column, is_first, best, x, row});
}

HOST_PASS_END

}  // namespace microlift
