// First-passage kernels of tables, and the detection for paths that were stored.
#include "kernels/dynamics/table_systems.h"
#include "sampling/closure/first_passage.h"
#include "sampling/closure/first_passage_kernels.h"

namespace microlift {

struct PassageStartBody {
    PassageColumns columns;
    index first;
    LANE_FN void operator()(index i) const {
        columns.number[i] = static_cast<uint32>(first + i);
        columns.alive[i] = 1.0f;
    }
};

struct KeepAliveBody {
    int dim;
    index row;
    const double* place;
    PassageColumns from, to;
    LANE_FN void operator()(index i) const {
        if (!(from.alive[i] > 0.0f)) return;
        const index at = static_cast<index>(place[i]) - 1;
        to.number[at] = from.number[i];
        to.alive[at] = 1.0f;
        for (int d = 0; d < dim; ++d) to.x[d * row + at] = from.x[d * row + i];
    }
};

// One passage: the crossings of a stored path. Column s · columns + i is the state after step s. What a trajectory
// does after its passage is thrown away: it goes back to where the path began, for as long as it is in the way.
struct StoredPassageBody {
    static constexpr index kGrain = 64;
    PassageArgs a;
    StoredPath p;
    float inverse_period[kMaxCvs] = {};  // 0: none

    LANE_FN float distance(const PassageSet& set, const float* x, index row, index column,
                           const float (&xi)[kMaxCvs]) const {
        return distance_to_set<Portable, float>(
                   set, p.dim, p.cvs, [&](int d) { return x[d * row + column]; },
                   [&](int k) {
                       float at = xi[0];
LANE_UNROLL  // here and below for arrays to stay in registers
                       for (int j = 1; j < kMaxCvs; ++j) at = k == j ? xi[j] : at;
                       return at;
                   })
            .signed_distance;
    }

    // ½|σᵀ∇d|² of the distance d, after a step: D_kl = ½ σᵀ∇ξ_k · σᵀ∇ξ_l follow the drifts in the
    // closure program's outputs.
    LANE_FN float half_noise(const PassageSet& set, index column) const {
        if (set.kind == PassageSet::ball) return p.ball_diffusion;
        if (set.kind == PassageSet::cv) return p.closure[(p.cvs + 2 * set.k) * p.row + column];
        float g[kMaxCvs] = {}, r2 = 1e-12f, sum = 0.0f;
LANE_UNROLL
        for (int k = 0; k < kMaxCvs; ++k) {
            if (k >= p.cvs) break;
            const float d = p.xi[k * p.row + column] - set.center[k];
            const float u =
                (d - whole_turns(d, set.period[k], set.inverse_period[k])) * set.inverse_radius[k];
            g[k] = u * set.inverse_radius[k];
            r2 = fma(u, u, r2);
        }
        int o = p.cvs;
LANE_UNROLL
        for (int k = 0; k < kMaxCvs; ++k)
LANE_UNROLL
            for (int l = k; l < kMaxCvs; ++l)
                if (l < p.cvs)
                    sum = fma((k == l ? 1.0f : 2.0f) * g[k] * g[l], p.closure[o++ * p.row + column], sum);
        return sum / r2;
    }

    LANE_FN void go_back(index i) const {
        for (int d = 0; d < p.dim; ++d) a.x[d * a.row + i] = p.begin_x[d * a.columns + i];
    }

    LANE_FN void operator()(index i) const {
        if (!(a.alive[i] > 0.0f)) return go_back(i);
        const uint32 number = a.number[i];
        const PhiloxStream<float> bridge(a.seed, a.bridge_stream, number);
        StepEnds<float> ends;
        float xi[kMaxCvs] = {};
LANE_UNROLL
        for (int k = 0; k < kMaxCvs; ++k)
            if (k < p.cvs) xi[k] = p.periods.image(k, p.begin_xi[k * a.columns + i]);
LANE_UNROLL
        for (int b = 0; b < 2; ++b) {
            ends.before[b] = distance(a.sets[b], p.begin_x, a.columns, i, xi);
            ends.after[b] = ends.before[b];
            ends.variance[b] = 1.0f;
        }
        for (index s = 0; s < p.steps; ++s) {
            const index column = s * a.columns + i;
            const uint64 now = a.first_step + static_cast<uint64>(s);
LANE_UNROLL
            for (int k = 0; k < kMaxCvs; ++k) {
                if (k >= p.cvs) break;
                const float now_at = p.xi[k * p.row + column];
                xi[k] = now_at - whole_turns(now_at - xi[k], p.periods.period[k], inverse_period[k]);
            }
            bool close = false;
LANE_UNROLL
            for (int b = 0; b < 2; ++b) {
                const PassageSet& set = a.sets[b];
                if (set.kind == PassageSet::none) continue;
                ends.after[b] = distance(set, p.x, p.row, column, xi);
                ends.variance[b] = 2.0f * half_noise(set, column) * a.dt;
                close = close || ends.near(b);
            }
            const Passage passage =
                close ? find_passage<Portable>(ends, bridge, now) : Passage{-1, 0.0f};
            if (passage.set >= 0) {
                a.time[number] = a.dt * (static_cast<float>(now) + passage.moment);
                a.entered[number] = passage.set + 1;
                a.alive[i] = 0.0f;
                atomic_add(&a.status[2], 1);
                return go_back(i);
            }
LANE_UNROLL
            for (int b = 0; b < 2; ++b) ends.before[b] = ends.after[b];
        }
        bool bad = false;
        for (int d = 0; d < p.dim; ++d) bad = bad || is_bad(a.x[d * a.row + i]);
        if (!bad) return;
        atomic_add(&a.status[0], 1);
        atomic_min(&a.status[1], number);
    }
};

HOST_PASS_BEGIN

void number_passages(Stream& stream, index first, index n, const PassageColumns& columns) {
    for_each_index(stream, n, PassageStartBody{columns, first});
}

void keep_alive(Stream& stream, int dim, index row, index columns, Span<const double> place,
                const PassageColumns& from, const PassageColumns& to) {
    for_each_index(stream, columns, KeepAliveBody{dim, row, place.data, from, to});
}

void find_stored_passages(Stream& stream, const PassageArgs& args, const StoredPath& path) {
    StoredPassageBody body{args, path};
    for (int k = 0; k < kMaxCvs; ++k)
        if (path.periods.period[k] > 0.0f) body.inverse_period[k] = 1.0f / path.periods.period[k];
    for_each_index(stream, args.columns, body);
}

std::unique_ptr<PassageKernel> table_passage_kernel(double from, double to, Span<const float> drift,
                                                    Span<const float> sigma, bool portable) {
    const double points = static_cast<double>(drift.size);
    LinearCvs<1> cv;
    cv.weight[0][0] = 1.0f;
    const TableSystem system{static_cast<float>(from),
                             static_cast<float>((points - 1) / (to - from)),
                             static_cast<int>(drift.size), drift.data, sigma.data};
    return std::make_unique<TypedPassageKernel<TableSystem>>(system, cv, portable);
}

std::unique_ptr<PassageKernel> plane_passage_kernel(const std::array<double, 2>& from,
                                                    const std::array<double, 2>& to,
                                                    const std::array<index, 2>& points,
                                                    Span<const float> table, bool portable,
                                                    const CvPeriods& periods) {
    PlaneTableSystem system{};
    system.periods = periods;
    LinearCvs<2> cvs;
    cvs.n = 2;
    for (std::size_t k = 0; k < 2; ++k) {
        system.from[k] = static_cast<float>(from[k]);
        system.inverse_width[k] =
            static_cast<float>(static_cast<double>(points[k] - 1) / (to[k] - from[k]));
        system.points[k] = static_cast<int>(points[k]);
        cvs.weight[k][k] = 1.0f;
    }
    system.table = table.data;
    return std::make_unique<TypedPassageKernel<PlaneTableSystem>>(system, cvs, portable);
}

HOST_PASS_END

}  // namespace microlift
