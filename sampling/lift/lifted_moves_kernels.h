// The kernels of jumps to lifted states.
#pragma once

#include "engine/launch/lanes.h"
#include "kernels/dynamics/bias.h"
#include "kernels/dynamics/grid_bias.h"
#include "kernels/lane/whole.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"

namespace microlift {

// Places along ξ, as GridAxes has them, at each of which there is a mixture. Trajectories that share one bias may be
// anywhere, and propose from that nearest to their own ξ; what has its ξ nearer to another is refused.
struct PlaceGrid {
    int cvs = 0;  // 0: none, a trajectory's mixture is its window's
    int points[kMaxCvs] = {1, 1};
    float from[kMaxCvs] = {}, inverse_width[kMaxCvs] = {1, 1};
    bool periodic[kMaxCvs] = {};

    LANE_FN index nearest(const float* xi, index row, index t) const {
        index place = 0;
        for (int k = 0; k < cvs; ++k) {
            const float all = static_cast<float>(points[k]);
            float at = fma(xi[k * row + t] - from[k], inverse_width[k], 0.5f);
            if (periodic[k]) at = at - all * whole_part(at * (1.0f / all));
            const int point = at > 0.0f ? at < all ? static_cast<int>(at) : points[k] - 1 : 0;  // NaN: 0
            place = place * points[k] + point;
        }
        return place;
    }
};

// The mixture of one window; scaled variable f of point m: points[(w*free + f)*points + m].
struct MixtureView {
    const float* points;
    const float* scale;  // (window, free): physical unit of a scaled variable
    const float* width;  // (window, point): deviation of a Gaussian, in scaled units
    const int32* free_list;
    index count;  // points
    int free;

    // ln q of a state, up to a constant of the window.
    LANE_FN float log_density(index w, const float* x, index row, index t) const {
        float most = -3.0e38f, sum = 0.0f;
        for (index m = 0; m < count; ++m) {
            const float h = width[w * count + m];
            float r2 = 0.0f;
            for (int f = 0; f < free; ++f) {
                const float u = x[free_list[f] * row + t] / scale[w * free + f];
                const float d = (u - points[(w * free + f) * count + m]) / h;
                r2 = fma(d, d, r2);
            }
            const float term = -0.5f * r2 - static_cast<float>(free) * log<Portable>(h);
            if (term > most) {
                sum = fma(sum, exp<Portable>(most - term), 1.0f);
                most = term;
            } else {
                sum += exp<Portable>(term - most);
            }
        }
        return most + log<Portable>(sum);
    }
};

// Proposes for every trajectory: all but the free variables stay. log_q (2, n): of the old state and
// of the new one.
struct LiftedProposalBody {
    static constexpr index kGrain = 16;
    MixtureView mixture;
    const float* x;
    float* out;
    float* log_q;
    int dim;
    index n, replicas;
    uint64 seed, attempt;
    PlaceGrid places{};
    const float* xi = nullptr;  // (K, n) of the old states, where there are places

    LANE_FN void operator()(index t) const {
        const index w = places.cvs > 0 ? places.nearest(xi, n, t) : quotient(t, replicas);
        for (int d = 0; d < dim; ++d) out[d * n + t] = x[d * n + t];
        const PhiloxStream<float> rng(seed, kStreamJump, t);
        // Blocks of an attempt: one for choices, then normals.
        const uint64 blocks = 1 + static_cast<uint64>(mixture.free + 3) / 4;
        uint32 u[4];
        rng.draw(attempt * blocks, u);
        const index m = static_cast<index>(
            (static_cast<uint64>(u[0]) * static_cast<uint64>(mixture.count)) >> 32);
        float z[4] = {0, 0, 0, 0};
        for (int f = 0; f < mixture.free; ++f) {
            if (f % 4 == 0)
                normal_block<Portable>(rng, attempt * blocks + 1 + static_cast<uint64>(f / 4), z);
            const float p = mixture.points[(w * mixture.free + f) * mixture.count + m];
            const float scaled = fma(mixture.width[w * mixture.count + m], z[f % 4], p);
            out[mixture.free_list[f] * n + t] = scaled * mixture.scale[w * mixture.free + f];
        }
        if (log_q) {
            log_q[t] = mixture.log_density(w, x, n, t);
            log_q[n + t] = mixture.log_density(w, out, n, t);
        }
    }
};

struct LiftedAcceptBody {
    MixtureView mixture;
    WindowView windows;
    const float* proposal;
    const float* log_q;
    const float* v;   // (2, n): energy of the old state, of the new one
    const float* xi;  // (2, K, n) likewise, or null: ξ does not change
    const float* u;   // (2, n) likewise, of the bias that all share; null: each has its window's
    float* x;
    float beta;
    int cvs;
    index n;
    uint64 seed, attempt;
    uint64* accepted;
    PlaceGrid places{};

    LANE_FN void operator()(index t) const {
        float change = beta * (v[n + t] - v[t]);
        bool back = true;  // from the same mixture
        if (u) {
            change = fma(beta, u[n + t] - u[t], change);
            back = places.nearest(xi, n, t) == places.nearest(xi + cvs * n, n, t);
        } else if (xi)
            for (int k = 0; k < cvs; ++k)
                change = PeriodicBias<float, 1>(windows.variable(k), t)
                             .times({beta})
                             .energy_rise({xi[k * n + t]}, {xi[(cvs + k) * n + t]}, change);
        const float ratio = log_q[t] - log_q[n + t] - change;
        const PhiloxStream<float> rng(seed, kStreamAccept, t);
        uint32 u[4];
        rng.draw(attempt, u);
        atomic_add(&accepted[1], 1);
        // A proposal whose energy is not finite is refused, and one with no way back.
        if (!back || !(log<Portable>(uniform_open<float>(u[0])) < ratio)) return;
        atomic_add(&accepted[0], 1);
        for (int f = 0; f < mixture.free; ++f) {
            const index d = mixture.free_list[f];
            x[d * n + t] = proposal[d * n + t];
        }
    }
};

struct LiftedWeightBody {
    MixtureView mixture;
    const float* x;
    const float* v;
    float* log_weight;
    float beta;
    index n, each;

    LANE_FN void operator()(index t) const {
        log_weight[t] = -beta * v[t] - mixture.log_density(quotient(t, each), x, n, t);
    }
};

// One jump, or one state, for each t < n.
void propose_lifted(Stream& stream, index n, const LiftedProposalBody& body);
void accept_lifted(Stream& stream, index n, const LiftedAcceptBody& body);
void weigh_lifted(Stream& stream, index n, const LiftedWeightBody& body);

}  // namespace microlift
