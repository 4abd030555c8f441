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
    float period[kMaxCvs] = {};          // of its CVs, where they go all round; 0: none
    float inverse_period[kMaxCvs] = {};  // likewise
};

// Trajectories side by side, of which some have passed. A passage's noise and its crossings belong to its
// number and to its own steps: nothing depends on which others run, or on how launches divide the steps.
struct PassageArgs {
    index columns, row;
    uint64 seed;
    uint32 stream, bridge_stream;
    uint64 first_step;  // steps taken before this launch
    uint64 steps;       // of this launch
    float dt;
    PassageSet sets[2];
    float* x;              // (dim, row), of which `columns` are used
    const uint32* number;  // (columns): of the passage
    float* alive;          // (columns): 1, and 0 once it has passed
    float* time;           // by number: of the passage
    int32* entered;        // by number: 0 not yet, 1 or 2 the set
    uint64* status;        // {non-finite, least number of them, passages}
};

// Signed distance of a point from a set, and of a ball or an ellipse its distance from the centre in the
// set's own unit. x(d), d < dim, and xi(k), k < cvs, give the point.
template <class L>
struct SetDistance {
    L signed_distance, radius;
};
template <class M, class L, class X, class Xi>
LANE_FN SetDistance<L> distance_to_set(const PassageSet& set, int dim, int cvs, const X& x,
                                       const Xi& xi) {
    if (set.kind == PassageSet::none) return {broadcast<L>(1e30f), broadcast<L>(1.0f)};
    if (set.kind == PassageSet::cv)
        return {broadcast<L>(set.sign) * (broadcast<L>(set.bound) - xi(set.k)), broadcast<L>(1.0f)};
    const bool is_ball = set.kind == PassageSet::ball;
    L r2 = broadcast<L>(is_ball ? 1e-14f * set.radius * set.radius : 1e-12f);
    if (is_ball) {
        for (int d = 0; d < dim; ++d) {
            const L u = x(d) - broadcast<L>(set.center[d]);
            r2 = fma(u, u, r2);
        }
    } else {
LANE_UNROLL  // no more than there are
        for (int k = 0; k < kMaxCvs; ++k) {
            if (k >= cvs) break;
            const L d = xi(k) - broadcast<L>(set.center[k]);
            const L u = (d - whole_turns(d, set.period[k], set.inverse_period[k])) *
                        broadcast<L>(set.inverse_radius[k]);
            r2 = fma(u, u, r2);
        }
    }
    const L r = sqrt<M>(r2);
    return {r - broadcast<L>(is_ball ? set.radius : 1.0f), r};
}

// Both ends of a step as two sets see it: distances, and the variance of the noise along them.
template <class L>
struct StepEnds {
    L before[2], after[2], variance[2];

    // The Brownian bridge between the ends reaches set b with probability e^(−exponent), where both lie
    // outside.
    LANE_FN L exponent(int b) const { return twice(b) / positive(b); }
    LANE_FN Mask<L> ends_in(int b) const {
        const L zero = broadcast<L>(0.0f);
        return (after[b] <= zero) | (before[b] <= zero);
    }
    // A passage less likely than e^−16 between two outer points is not looked for. Asked in every step: no quotient.
    LANE_FN Mask<L> near(int b) const {
        return ends_in(b) | (twice(b) < broadcast<L>(16.0f) * positive(b));
    }

private:
    LANE_FN L twice(int b) const { return broadcast<L>(2.0f) * before[b] * after[b]; }
    LANE_FN L positive(int b) const { return max(variance[b], broadcast<L>(1.2e-38f)); }
};

// The moment τ/dt at which a Brownian bridge from d0 > 0 to d1 over a step first reaches 0, given that
// it does: τ/(dt − τ) is inverse Gaussian with mean d0/|d1| and shape d0²/variance, variance = s² dt.
// Michael, Schucany and Haas, Am. Stat. 30 (1976) 88; normal and uniform are its two random numbers.
LANE_FN float bridge_moment(float d0, float d1, float variance, float normal, float uniform) {
    if (!(d0 > 0.0f)) return 0.0f;
    const float mean = d0 / max(abs(d1), 1e-6f * d0);
    const float shape = min(max(d0 * d0 / max(variance, 1.2e-38f), 1e-20f), 1e30f);
    const float w = mean * normal * normal;
    const float low =
        mean / fma(w + sqrt_exact(w * fma(4.0f, shape, w)), 0.5f / shape, 1.0f);
    const float ratio = uniform * (mean + low) <= mean ? low : mean / low * mean;
    return 1.0f - 1.0f / (1.0f + ratio);
}

// Which set (0, 1; −1: none) a step entered first, and when, in steps from its start. A passage draws from
// the bridge's stream, at two blocks of its own for each step.
struct Passage {
    int set;
    float moment;
};
template <class M>
LANE_CALL Passage find_passage(const StepEnds<float>& ends, const PhiloxStream<float>& bridge,
                               uint64 step) {
    Passage first{-1, 2.0f};
    uint32 u[4], v[4];
    bridge.draw(2 * step, u);
    bridge.draw(2 * step + 1, v);
LANE_UNROLL
    for (int b = 0; b < 2; ++b) {
        if (!ends.near(b)) continue;
        if (!ends.ends_in(b) &&
            !(uniform_open<float>(u[b]) <= exp<M>(-max(ends.exponent(b), 0.0f))))
            continue;
        float normal, other;
        box_muller<M, float>(v[2 * b], v[2 * b + 1], normal, other);
        const float m = bridge_moment(ends.before[b], ends.after[b], ends.variance[b], normal,
                                      uniform_open<float>(u[2 + b]));
        if (m < first.moment) first = {b, m};
    }
    return first;
}

// Linear collective variables of D variables.
template <int D>
struct LinearCvs {
    int n = 1;
    float weight[kMaxCvs][D] = {};
    float offset[kMaxCvs] = {};

    template <class L>
    LANE_FN L value(int k, const L (&x)[D]) const {
        L sum = broadcast<L>(offset[k]);
LANE_UNROLL
        for (int d = 0; d < D; ++d) sum = fma(broadcast<L>(weight[k][d]), x[d], sum);
        return sum;
    }
};

template <class System, class M>
struct PassageBody {
    static constexpr index kGrain = 1;
    static constexpr bool kPartialPacks = true;
    static constexpr int D = System::dim;
    System system;
    LinearCvs<D> cvs;
    PassageArgs a;

    LANE_FN uint64 steps() const { return a.steps; }

private:
    template <class L>
    LANE_FN SetDistance<L> distance(const PassageSet& set, const L (&x)[D]) const {
        return distance_to_set<M, L>(
            set, D, cvs.n, [&](int d) { return x[d]; }, [&](int k) { return cvs.value(k, x); });
    }
    LANE_CALL float distance_of_one(const PassageSet& set, const float (&x)[D]) const {
        return distance(set, x).signed_distance;
    }

    // The gradient at x of the distance, given the radius there.
    template <class L>
    LANE_FN void distance_gradient(const PassageSet& set, const L (&x)[D], L radius,
                                   L (&gradient)[D]) const {
        if (set.kind == PassageSet::ball) {
            for (int e = 0; e < D; ++e)
                gradient[e] = (x[e] - broadcast<L>(set.center[e])) / radius;
        } else if (set.kind == PassageSet::cv) {
            for (int e = 0; e < D; ++e) gradient[e] = broadcast<L>(cvs.weight[set.k][e]);
        } else {
            for (int e = 0; e < D; ++e) gradient[e] = broadcast<L>(0.0f);
LANE_UNROLL
            for (int k = 0; k < kMaxCvs; ++k) {
                if (k >= cvs.n) break;
                const L inverse = broadcast<L>(set.inverse_radius[k]);
                const L d = cvs.value(k, x) - broadcast<L>(set.center[k]);
                const L u = (d - whole_turns(d, set.period[k], set.inverse_period[k])) * inverse;
                for (int e = 0; e < D; ++e)
                    gradient[e] =
                        fma(u * inverse / radius, broadcast<L>(cvs.weight[k][e]), gradient[e]);
            }
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

    // Heun in the drift, the noise of the step's start: second order in law where the noise does not
    // depend on the state, and Itô where it does.
    template <class L>
    LANE_FN void step_to(const L (&x)[D], const L (&z)[D], float sqrt_dt, L (&y)[D]) const {
        L f[D], kick[D], f1[D];
        system.template force<M>(x, f);
        for (int d = 0; d < D; ++d) kick[d] = broadcast<L>(0.0f);
        system.add_noise(x, z, sqrt_dt, kick);
        for (int d = 0; d < D; ++d) y[d] = fma(f[d], broadcast<L>(a.dt), x[d] + kick[d]);
        system.template force<M>(y, f1);
        for (int d = 0; d < D; ++d)
            y[d] = fma(f[d] + f1[d], broadcast<L>(0.5f * a.dt), x[d] + kick[d]);
    }

    // Of a pack's lanes what is looked at one by one.
    template <int W>
    struct Lanes {
        uint32 number[W];
        float alive[W];
        int running = 0;
        uint64 passages = 0;
    };

    // Finds the passages of the lanes that `near` marks, in the step after `now`.
    template <int W>
    LANE_CALL void pass(Lanes<W>& s, const bool (&near)[W], const float (&before)[2][W],
                        const float (&after)[2][W], const float (&variance)[2][W],
                        uint64 now) const {
        for (int j = 0; j < W; ++j) {
            if (!near[j]) continue;
            const Passage passage = find_passage<M>(
                {{before[0][j], before[1][j]}, {after[0][j], after[1][j]},
                 {variance[0][j], variance[1][j]}},
                PhiloxStream<float>(a.seed, a.bridge_stream, s.number[j]), now);
            if (passage.set < 0) continue;
            a.time[s.number[j]] = a.dt * (static_cast<float>(now) + passage.moment);
            a.entered[s.number[j]] = passage.set + 1;
            s.alive[j] = 0.0f;
            --s.running;
            ++s.passages;
        }
    }

public:
    template <class L>
    LANE_FN void operator()(L, index i) const {
        constexpr int W = kWidth<L>;
        constexpr int group_steps = NoiseLayout<D>::steps;
        const int lanes = lanes_before<L>(a.columns, i);
        L x[D], z[group_steps][D];
        StepEnds<L> ends;
        Lanes<W> own;
        for (int d = 0; d < D; ++d) x[d] = load<L>(a.x + d * a.row, i, lanes);
        for (int j = 0; j < W; ++j) {
            own.number[j] = a.number[i + (j < lanes ? j : 0)];
            own.alive[j] = j < lanes ? a.alive[i + j] : 0.0f;
            own.running += own.alive[j] > 0.0f;
        }
        if (own.running == 0) return;
        L alive = load<L>(own.alive, 0);
        const float sqrt_dt = sqrt_exact(a.dt);
        const PhiloxStream<L> rng = numbered_stream<L>(a.seed, a.stream, own.number, 0, W);
        uint64 step = a.first_step;
        const uint64 end = step + a.steps;
        for (int b = 0; b < 2; ++b) {
            ends.before[b] = distance(a.sets[b], x).signed_distance;
            ends.variance[b] = broadcast<L>(1.0f);
        }
        while (step < end && own.running > 0) {
            const uint64 group = step / group_steps;
            const int from = static_cast<int>(step - group * group_steps);
            const int to = end - group * group_steps < group_steps
                               ? static_cast<int>(end - group * group_steps)
                               : group_steps;
            noise_group<M, L, D>(rng, group, z);
            for (int s = from; s < to; ++s) {
                L noise[D], y[D];
                select_step(z, s, noise);
                step_to(x, noise, sqrt_dt, y);
                Mask<L> near = alive < broadcast<L>(0.0f);  // none
LANE_UNROLL  // for the distances to stay in registers
                for (int b = 0; b < 2; ++b) {
                    const PassageSet& set = a.sets[b];
                    ends.after[b] = ends.before[b];
                    if (set.kind == PassageSet::none) continue;
                    const SetDistance<L> there = distance(set, y);
                    ends.after[b] = there.signed_distance;
                    L gradient[D];
                    distance_gradient(set, y, there.radius, gradient);
                    ends.variance[b] = noise_along(x, gradient) * broadcast<L>(a.dt);
                    near = near | ends.near(b);
                }
                near = near & (alive > broadcast<L>(0.0f));
                for (int d = 0; d < D; ++d) x[d] = y[d];
                if (any(near)) {
                    bool near_lanes[W];
                    float before[2][W], after[2][W], variance[2][W];
                    for (int j = 0; j < W; ++j) near_lanes[j] = get_lane(near, j);
                    for (int b = 0; b < 2; ++b) {
                        store(before[b], 0, ends.before[b]);
                        store(after[b], 0, ends.after[b]);
                        store(variance[b], 0, ends.variance[b]);
                    }
                    pass(own, near_lanes, before, after, variance,
                         group * group_steps + static_cast<uint64>(s));
                    alive = load<L>(own.alive, 0);
                }
                for (int b = 0; b < 2; ++b) ends.before[b] = ends.after[b];
            }
            step = group * group_steps + static_cast<uint64>(to);
        }
        Mask<L> bad = is_bad(x[0]);
        for (int d = 1; d < D; ++d) bad = bad | is_bad(x[d]);
        bad = bad & (alive > broadcast<L>(0.0f));
        for (int j = 0; j < lanes; ++j) {
            if (!get_lane(bad, j)) continue;
            atomic_add(&a.status[0], 1);
            atomic_min(&a.status[1], own.number[j]);
        }
        if (own.passages) atomic_add(&a.status[2], own.passages);
        store(a.alive, i, alive, lanes);
        for (int d = 0; d < D; ++d) store(a.x + d * a.row, i, x[d], lanes);
    }
};

}  // namespace microlift
