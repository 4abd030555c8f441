// First passages: free dynamics in registers until a trajectory enters one of two sets. A crossing
// between the ends of a step is seen with the probability of the Brownian bridge, and the moment of the
// crossing is drawn from the bridge's own law.
#pragma once

#include "kernels/dynamics/cv.h"
#include "kernels/dynamics/path.h"

namespace microlift {

// Where a trajectory ends: where distance ≤ 0.
struct PassageSet {
    enum Kind : int { none, cv, ball, ellipse };
    int kind = none;
    int k = 0;           // cv: sign (bound − ξ_k)
    float sign = 1;      // +1: ξ_k ≥ bound is the set, −1: ξ_k ≤ bound
    float bound = 0;
    float radius = 0;    // ball: |x − center| − radius
    float center[kMaxDim] = {};
    float inverse_radius[kMaxCvs] = {};  // ellipse: |u| − 1, u_k = (ξ_k − center_k)/radius_k
};

// `slots` trajectories run at a time; slot i runs those numbered i, i + slots, … < total one after the
// other. Noise belongs to (slot, step), so no number is used twice.
struct PassageArgs {
    index slots, total;
    uint64 seed;
    uint32 stream, bridge_stream;
    uint64 first_step;  // steps taken before this launch
    uint64 steps;       // of this launch
    float dt;
    PassageSet sets[2];
    const float* start;  // (dim, total)
    float* x;            // (dim, slots)
    uint32* turn;        // (slots): trajectories that the slot has finished
    uint64* born;        // (slots): the step at which the present one began
    float* time;         // (total): of the passage
    int32* entered;      // (total): 0 not yet, 1 or 2 the set
    uint64* status;      // {non-finite, min over (step << 32 | slot), passages}
};

// The moment τ/dt at which a Brownian bridge from d0 > 0 to d1 over a step first reaches 0, given that
// it does: τ/(dt − τ) is inverse Gaussian with mean d0/|d1| and shape d0²/variance, variance = s² dt.
// Michael, Schucany and Haas, Am. Stat. 30 (1976) 88; normal and uniform are its two random numbers.
LANE_FN float bridge_moment(float d0, float d1, float variance, float normal, float uniform) {
    if (!(d0 > 0.0f)) return 0.0f;
    const float mean = d0 / max(abs(d1), 1e-6f * d0);
    const float shape = max(d0 * d0 / max(variance, 1e-30f), 1e-20f);
    const float w = mean * normal * normal;
    const float low =
        mean / fma(w + sqrt_exact(w * fma(4.0f, shape, w)), 0.5f / shape, 1.0f);
    const float ratio = uniform * (mean + low) <= mean ? low : mean / low * mean;
    return 1.0f - 1.0f / (1.0f + ratio);
}

template <class System, class Cv, class M>
struct PassageBody {
    static constexpr index kGrain = 1;
    static constexpr int D = System::dim;
    static constexpr int K = Cv::n;
    System system;
    Cv cv;
    PassageArgs a;

    template <class U>
    static LANE_FN uint32 word(const U& u, int j) {
        if constexpr (sizeof(U) == sizeof(uint32))
            return *reinterpret_cast<const uint32*>(&u);
        else
            return u.v[j];
    }

    // Signed distance to a set, and its gradient.
    template <class L>
    LANE_FN void distance(const PassageSet& set, const L (&x)[D], L& d, L (&gradient)[D]) const {
        if (set.kind == PassageSet::ball) {
            L r2 = broadcast<L>(1e-20f);
            for (int e = 0; e < D; ++e) {
                gradient[e] = x[e] - broadcast<L>(set.center[e]);
                r2 = fma(gradient[e], gradient[e], r2);
            }
            const L r = sqrt<M>(r2);
            for (int e = 0; e < D; ++e) gradient[e] = gradient[e] / r;
            d = r - broadcast<L>(set.radius);
            return;
        }
        L xi[K], g[K][D];
        cv.template evaluate<M>(x, xi, g);
        d = broadcast<L>(1e30f);
        for (int e = 0; e < D; ++e) gradient[e] = broadcast<L>(0.0f);
        if (set.kind == PassageSet::none) return;
        if (set.kind == PassageSet::ellipse) {
            L u[K], r2 = broadcast<L>(1e-12f);
            for (int k = 0; k < K; ++k) {
                u[k] = (xi[k] - broadcast<L>(set.center[k])) * broadcast<L>(set.inverse_radius[k]);
                r2 = fma(u[k], u[k], r2);
            }
            const L r = sqrt<M>(r2);
            d = r - broadcast<L>(1.0f);
            for (int k = 0; k < K; ++k)
                for (int e = 0; e < D; ++e)
                    gradient[e] = fma(u[k] * broadcast<L>(set.inverse_radius[k]) / r, g[k][e],
                                      gradient[e]);
            return;
        }
        for (int k = 0; k < K; ++k)
            if (k == set.k) {
                d = broadcast<L>(set.sign) * (broadcast<L>(set.bound) - xi[k]);
                for (int e = 0; e < D; ++e) gradient[e] = g[k][e];
            }
    }

    // |σᵀ g|².
    template <class L>
    LANE_FN L noise_along(const L (&x)[D], const L (&g)[D]) const {
        L sum = broadcast<L>(0.0f);
LANE_UNROLL
        for (int j = 0; j < D; ++j) {
            L unit[D], column[D], along = broadcast<L>(0.0f);
            for (int e = 0; e < D; ++e) {
                unit[e] = broadcast<L>(e == j ? 1.0f : 0.0f);
                column[e] = broadcast<L>(0.0f);
            }
            system.add_noise(x, unit, 1.0f, column);
            for (int e = 0; e < D; ++e) along = fma(column[e], g[e], along);
            sum = fma(along, along, sum);
        }
        return sum;
    }

    template <class L>
    LANE_FN void operator()(L, index i) const {
        constexpr int W = kWidth<L>;
        constexpr int group_steps = NoiseLayout<D>::steps;
        // A passage less likely than e^−16 between two outer points is not looked for.
        constexpr float far = 16.0f;
        L x[D], z[group_steps][D], d0[2], s2[2] = {broadcast<L>(1.0f), broadcast<L>(1.0f)};
        for (int d = 0; d < D; ++d) x[d] = load<L>(a.x + d * a.slots, i);
        index current[W];
        uint64 born[W];
        float alive_lanes[W];
        int running = 0;
        for (int j = 0; j < W; ++j) {
            current[j] = i + j + static_cast<index>(a.turn[i + j]) * a.slots;
            born[j] = a.born[i + j];
            alive_lanes[j] = current[j] < a.total ? 1.0f : 0.0f;
            running += current[j] < a.total;
        }
        L alive = load<L>(alive_lanes, 0);
        const float sqrt_dt = sqrt_exact(a.dt);
        const PhiloxStream<L> rng(a.seed, a.stream, i), bridge(a.seed, a.bridge_stream, i);
        uint64 step = a.first_step;
        const uint64 end = step + a.steps;
        uint64 passages = 0;
        for (int b = 0; b < 2; ++b) {
            L gradient[D];
            distance(a.sets[b], x, d0[b], gradient);
        }
        while (step < end && running > 0) {
            const uint64 group = step / group_steps;
            const int from = static_cast<int>(step - group * group_steps);
            const int to = end - group * group_steps < group_steps
                               ? static_cast<int>(end - group * group_steps)
                               : group_steps;
            noise_group<M, L, D>(rng, group, z);
LANE_UNROLL
            for (int s = 0; s < group_steps; ++s) {
                if (s < from || s >= to) continue;
                // Heun in the drift, the noise of the step's start: second order in law where the
                // noise does not depend on the state, and Itô where it does.
                L f[D], kick[D], y[D], f1[D];
                system.template force<M>(x, f);
                for (int d = 0; d < D; ++d) kick[d] = broadcast<L>(0.0f);
                system.add_noise(x, z[s], sqrt_dt, kick);
                for (int d = 0; d < D; ++d) y[d] = fma(f[d], broadcast<L>(a.dt), x[d] + kick[d]);
                system.template force<M>(y, f1);
                for (int d = 0; d < D; ++d)
                    y[d] = fma(f[d] + f1[d], broadcast<L>(0.5f * a.dt), x[d] + kick[d]);

                L d1[2], q[2];
                const L zero = broadcast<L>(0.0f);
                auto near = alive < zero;  // none
                for (int b = 0; b < 2; ++b) {
                    q[b] = broadcast<L>(1e30f);
                    d1[b] = d0[b];
                    if (a.sets[b].kind == PassageSet::none) continue;
                    L gradient[D];
                    distance(a.sets[b], y, d1[b], gradient);
                    s2[b] = noise_along(x, gradient) * broadcast<L>(a.dt);
                    q[b] = broadcast<L>(2.0f) * d0[b] * d1[b] /
                           max(s2[b], broadcast<L>(1e-30f));
                    near = near | (d1[b] <= zero) | (d0[b] <= zero) |
                           (q[b] < broadcast<L>(far));
                }
                near = near & (alive > zero);
                for (int d = 0; d < D; ++d) x[d] = y[d];
                const uint64 now = group * group_steps + static_cast<uint64>(s);
                if (any(near)) {
                    Uint<L> u[4], v[4];
                    bridge.draw(2 * now, u);
                    L p[2];
                    Mask<L> hit[2];
                    for (int b = 0; b < 2; ++b) {
                        p[b] = exp<M>(-max(q[b], zero));
                        hit[b] = near & ((d1[b] <= zero) | (d0[b] <= zero) |
                                         ((q[b] < broadcast<L>(far)) &
                                          (uniform_open<L>(u[b]) <= p[b])));
                    }
                    if (any(hit[0] | hit[1])) {
                        bridge.draw(2 * now + 1, v);
                        float lanes[D][W];
                        for (int d = 0; d < D; ++d) store(&lanes[d][0], 0, x[d]);
                        for (int j = 0; j < W; ++j) {
                            int which = -1;
                            float moment = 2.0f;
                            for (int b = 0; b < 2; ++b) {
                                if (!get_lane(hit[b], j)) continue;
                                float normal, other;
                                box_muller<M, float>(word(v[2 * b], j), word(v[2 * b + 1], j),
                                                     normal, other);
                                const float m =
                                    bridge_moment(get_lane(d0[b], j), get_lane(d1[b], j),
                                                  get_lane(s2[b], j), normal,
                                                  uniform_open<float>(word(u[2 + b], j)));
                                if (m < moment) {
                                    moment = m;
                                    which = b;
                                }
                            }
                            if (which < 0) continue;
                            a.time[current[j]] =
                                a.dt * (static_cast<float>(now - born[j]) + moment);
                            a.entered[current[j]] = which + 1;
                            ++passages;
                            current[j] += a.slots;
                            born[j] = now + 1;
                            if (current[j] < a.total) {
                                for (int d = 0; d < D; ++d)
                                    lanes[d][j] = a.start[d * a.total + current[j]];
                            } else {
                                alive_lanes[j] = 0.0f;
                                --running;
                            }
                        }
                        for (int d = 0; d < D; ++d) x[d] = load<L>(&lanes[d][0], 0);
                        alive = load<L>(alive_lanes, 0);
                        for (int b = 0; b < 2; ++b) {
                            L gradient[D];
                            distance(a.sets[b], x, d1[b], gradient);
                        }
                    }
                }
                for (int b = 0; b < 2; ++b) d0[b] = d1[b];
            }
            step = group * group_steps + static_cast<uint64>(to);
        }
        Mask<L> bad = is_bad(x[0]);
        for (int d = 1; d < D; ++d) bad = bad | is_bad(x[d]);
        bad = bad & (alive > broadcast<L>(0.0f));
        for (int j = 0; j < W; ++j) {
            if (get_lane(bad, j)) {
                atomic_add(&a.status[0], 1);
                atomic_min(&a.status[1], step << 32 | static_cast<uint64>(i + j));
            }
            a.turn[i + j] = static_cast<uint32>((current[j] - i - j) / a.slots);
            a.born[i + j] = born[j];
        }
        if (passages) atomic_add(&a.status[2], passages);
        for (int d = 0; d < D; ++d) store(a.x + d * a.slots, i, x[d]);
    }
};

// One variable with drift and noise amplitude from tables, linear between their points: a reduced
// model. Beyond the ends the drift goes on as a line, the noise stays.
struct TableSystem {
    static constexpr int dim = 1, n_observed = 0;
    static constexpr bool gradient = false;
    float from, inverse_width;
    int points;
    const float* drift;  // (points)
    const float* sigma;  // (points), sqrt(2 D)

    template <class L>
    LANE_FN L look_up(const float* table, L x, bool extend) const {
        constexpr int W = kWidth<L>;
        const L place = (x - broadcast<L>(from)) * broadcast<L>(inverse_width);
        const L inside = max(min(place, broadcast<L>(static_cast<float>(points - 2))),
                             broadcast<L>(0.0f));  // NaN: the last cell
        // Adding 1.5 · 2²³ rounds to an integer.
        const L shift = broadcast<L>(12582912.0f);
        const L cell = (inside - broadcast<L>(0.5f) + shift) - shift;
        float c[W], left[W], right[W];
        store(c, 0, cell);
        for (int j = 0; j < W; ++j) {
            const int i = static_cast<int>(c[j]);
            left[j] = table[i];
            right[j] = table[i + 1];
        }
        L t = place - cell;
        if (!extend) t = max(min(t, broadcast<L>(1.0f)), broadcast<L>(0.0f));
        const L begin = load<L>(left, 0);
        return fma(t, load<L>(right, 0) - begin, begin);
    }
    template <class M, class L>
    LANE_FN void force(const L (&x)[1], L (&f)[1]) const {
        f[0] = look_up(drift, x[0], true);
    }
    template <class L>
    LANE_FN void add_noise(const L (&x)[1], const L (&z)[1], float s, L (&f)[1]) const {
        f[0] = fma(look_up(sigma, x[0], false) * broadcast<L>(s), z[0], f[0]);
    }
    template <class M, class L>
    LANE_FN void observe(const L (&)[1], L (&)[1]) const {}
};

// Two variables alike, bilinear between the points of a rectangle; σσᵀ = 2 D, lower triangular. Beyond
// the rim all stays as it is there.
struct PlaneTableSystem {
    static constexpr int dim = 2, n_observed = 0;
    static constexpr bool gradient = false;
    float from[2], inverse_width[2];
    int points[2];
    const float* table;  // (b₁, b₂, σ₁₁, σ₂₁, σ₂₂; points₀, points₁)

    // `count` quantities from the first one on.
    template <int count, class L>
    LANE_FN void look_up(int first, const L (&x)[2], L (&out)[count]) const {
        constexpr int W = kWidth<L>;
        L t[2];
        float cell[2][W];
        for (int k = 0; k < 2; ++k) {
            const L place = (x[k] - broadcast<L>(from[k])) * broadcast<L>(inverse_width[k]);
            const L inside = max(min(place, broadcast<L>(static_cast<float>(points[k]) - 1.001f)),
                                 broadcast<L>(0.0f));  // NaN: the last cell
            const L shift = broadcast<L>(12582912.0f);
            const L whole = max((inside - broadcast<L>(0.5f) + shift) - shift, broadcast<L>(0.0f));
            t[k] = inside - whole;
            store(cell[k], 0, whole);
        }
        for (int q = 0; q < count; ++q) {
            const float* values = table + (first + q) * points[0] * points[1];
            float corner[2][2][W];
            for (int j = 0; j < W; ++j) {
                const float* at = values + static_cast<int>(cell[0][j]) * points[1] +
                                  static_cast<int>(cell[1][j]);
                corner[0][0][j] = at[0];
                corner[0][1][j] = at[1];
                corner[1][0][j] = at[points[1]];
                corner[1][1][j] = at[points[1] + 1];
            }
            L side[2];
            for (int i = 0; i < 2; ++i) {
                const L begin = load<L>(corner[i][0], 0);
                side[i] = fma(t[1], load<L>(corner[i][1], 0) - begin, begin);
            }
            out[q] = fma(t[0], side[1] - side[0], side[0]);
        }
    }
    template <class M, class L>
    LANE_FN void force(const L (&x)[2], L (&f)[2]) const {
        look_up<2>(0, x, f);
    }
    template <class L>
    LANE_FN void add_noise(const L (&x)[2], const L (&z)[2], float s, L (&f)[2]) const {
        L sigma[3];
        look_up<3>(2, x, sigma);
        const L a = broadcast<L>(s) * z[0], b = broadcast<L>(s) * z[1];
        f[0] = fma(sigma[0], a, f[0]);
        f[1] = fma(sigma[1], a, fma(sigma[2], b, f[1]));
    }
    template <class M, class L>
    LANE_FN void observe(const L (&)[2], L (&)[1]) const {}
};

}  // namespace microlift
