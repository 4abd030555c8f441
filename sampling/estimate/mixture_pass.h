// MBAR's pass over biased samples, on the device. Chunks are fixed by the numbers of samples and windows,
// and their sums are added in a fixed order.
#pragma once

#include "kernels/block/block.h"
#include "kernels/lane/math.h"
#include "sampling/estimate/sample_kernels.h"

namespace microlift {

// Windows in groups of kWindowGroup: for CV k of padded window w, center[k*padded + w] and
// half_stiffness (reduced, times ½). Cells of `lists` name the groups whose terms count there.
inline constexpr int kWindowGroup = 8;
struct MixtureTables {
    int32 dims = 1, padded = 0;
    const double* log_population = nullptr;  // a_w = f_w + ln N_w
    const double* center = nullptr;
    const double* half_stiffness = nullptr;
    double period[kMaxCvs] = {0, 0};  // of CVs that go all round
    CellGrid lists;
    const int32* list_start = nullptr;  // cells + 1
    const int32* list_groups = nullptr;
};
// Samples in a chunk.
index mixture_chunk(index n, index padded);
// Doubles of scratch.
index mixture_scratch(index n, index padded);
// One pass: sums[w] = Σ_n P_w(ξ_n) with P_w = e^{a_w−u_w} / Σ_l e^{a_l−u_l}, and sums[padded] = Σ_n
// D_n, D = ln Σ_l e^{a_l−u_l}. Where log_weight is not null it receives −D_n.
void mixture_pass(Stream& stream, const BiasedSamples& samples, const MixtureTables& tables,
                  Span<double> scratch, Span<double> sums, float* log_weight);

// --- the kernel: eight threads a chunk of samples, one for each window of a group ----------------------

// Window w's exponent at a point; lanes are windows w, w + 1, …
template <class L>
LANE_FN L mixture_term(const MixtureTables& t, int32 w, L x0, L x1) {
    const L d0 = nearest_image(x0 - load<L>(t.center, w), t.period[0]);
    L u = fnma(load<L>(t.half_stiffness, w) * d0, d0, load<L>(t.log_population, w));
    if (t.dims == 2) {
        const L d1 = nearest_image(x1 - load<L>(t.center, t.padded + w), t.period[1]);
        u = fnma(load<L>(t.half_stiffness, t.padded + w) * d1, d1, u);
    }
    return u;
}

LANE_FN int32 mixture_cell(const MixtureTables& t, double x0, double x1) {
    double unused;
    const int32 cell = t.lists.cell(0, x0, &unused);
    return t.dims == 2 ? cell * t.lists.cells[1] + t.lists.cell(1, x1, &unused) : cell;
}

struct MixtureKernel {
    static constexpr int kThreads = 128;
    static constexpr int kChunks = kThreads / kWindowGroup;  // of a block
    struct Shared {};
    const float* xi;
    index row, n, chunk_size, chunks;
    MixtureTables t;
    double* scratch;  // (chunk, 2 padded + 1): the sums, Σ D, terms of the sample at hand
    float* log_weight;

    template <class Block>
    LANE_FN void operator()(Block& block, Shared&) const {
        constexpr int G = kWindowGroup;
        const int j = block.thread() % G, first_lane = block.lane() - j;
        const index chunk = block.block() * kChunks + block.thread() / G;
        const bool mine = chunk < chunks;
        double* const sums = scratch + (mine ? chunk : 0) * (2 * t.padded + 1);
        double* const e = sums + t.padded + 1;
        if (mine)
            for (int32 w = j; w < t.padded; w += G) sums[w] = 0.0;
        const index from = chunk * chunk_size;
        const index to = !mine ? 0 : from + chunk_size < n ? from + chunk_size : n;
        double total = 0.0;
        // Every lane goes round as often as the block's first chunk has samples, for the shuffles.
        const index most = n - block.block() * kChunks * chunk_size;
        const index rounds = chunk_size < most ? chunk_size : most;
        for (index i = from; i < from + rounds; ++i) {
            const bool active = i < to;
            const double x0 = active ? static_cast<double>(xi[i]) : 0.0;
            const double x1 = active && t.dims == 2 ? static_cast<double>(xi[row + i]) : 0.0;
            const int32 cell = mixture_cell(t, x0, x1);
            const int32 first = t.list_start[cell];
            const int32 last = active ? t.list_start[cell + 1] : first;
            double top = -1e300;
            for (int32 q = first; q < last; ++q)
                top = max(top, mixture_term(t, t.list_groups[q] * G + j, x0, x1));
            for (int by = G / 2; by > 0; by /= 2) top = max(top, block.shuffle_xor(top, by));
            double sum = 0.0;
            for (int32 q = first; q < last; ++q) {
                const double v =
                    exp<Portable>(mixture_term(t, t.list_groups[q] * G + j, x0, x1) - top);
                e[(q - first) * G + j] = v;
                sum = sum + v;
            }
            double z = 0.0;
            for (int k = 0; k < G; ++k) z += block.shuffle(sum, first_lane + k);
            if (!active) continue;
            const double inverse = 1.0 / z;
            for (int32 q = first; q < last; ++q) {
                double& p = sums[t.list_groups[q] * G + j];
                p = fma(e[(q - first) * G + j], inverse, p);
            }
            const double d = top + log<Portable>(z);
            total += d;
            if (log_weight && j == 0) log_weight[i] = static_cast<float>(-d);
        }
        if (mine && j == 0) sums[t.padded] = total;
    }
};

}  // namespace microlift
