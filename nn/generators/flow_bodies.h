// Kernel bodies of flow matching and of its sampler with the density. Rows are batch entries, in whitened
// units.
#pragma once

#include "nn/train/batch.h"

namespace microlift {

inline constexpr int kMostDensityStates = 16;

// The flow's time t in [0, 1] as the network sees it: 1 + 2·waves numbers.
inline constexpr int time_features(int waves) { return 1 + 2 * waves; }

LANE_FN void write_time(float t, int waves, float* out) {
    out[0] = (t - 0.5f) * 3.46410162f;
    float sine, cosine;
    sincos<Portable>(3.14159265f * t, sine, cosine);
    float c = 1.0f, z = 0.0f;
    for (int w = 0; w < waves; ++w) {
        const float next = c * cosine - z * sine;
        z = c * sine + z * cosine;
        c = next;
        out[1 + 2 * w] = c * 1.41421356f;
        out[2 + 2 * w] = z * 1.41421356f;
    }
}

// v = g(t) x is the velocity that carries a standard normal law into one, on the straight lines below.
// Whitened states are near that in most directions: the network learns the rest, the shape.
LANE_FN float normal_velocity(float t) {
    return (2.0f * t - 1.0f) / fma(t, t, (1.0f - t) * (1.0f - t));
}

// v += g(t) x, and its derivatives (state, row, ld) along each state.
struct NormalVelocityBody {
    int states;
    float g;
    const float* x;
    index x_ld;
    float *v, *derivative;
    index ld, plane;  // plane: of the derivatives along one state
    LANE_FN void operator()(index row) const {
        for (int d = 0; d < states; ++d) {
            v[row * ld + d] = fma(g, x[row * x_ld + d], v[row * ld + d]);
            if (derivative) derivative[d * plane + row * ld + d] += g;
        }
    }
};

// A batch of flow matching (Lipman et al., 2023) on straight lines x_t = (1 − t) z + t x: the network's
// input (x_t, features of s, features of t) and its target x − z. Times are stratified over the batch.
struct FlowBatchBody {
    TrainingColumns columns;
    WhiteningView white;
    const float *states, *conditions;
    index row_size;  // of the data
    const TrainClock* clock;
    uint64 seed;
    float inverse_batch;
    int waves;
    bool ring, normal;  // normal: the target is what is left beside normal_velocity
    float *input, *target;
    index input_ld, target_ld;
    LANE_FN void operator()(index row) const {
        const uint64 block = clock->iteration;
        uint32 counter[4] = {static_cast<uint32>(row), kStreamBatch, static_cast<uint32>(block),
                             static_cast<uint32>(block >> 32)};
        philox4x32(counter, philox_key(seed));
        const index j = columns.pick(counter[0], counter[1]);
        const float t = (static_cast<float>(row) + uniform_open<float>(counter[2])) * inverse_batch;
        const float* s = conditions + j;
        index knot[4];
        float weight[4];
        white.place(s, row_size, knot, weight);
        float* in = input + row * input_ld;
        float* aim = target + row * target_ld;
        const PhiloxStream<float> random(seed, kStreamLatent, row);
        const int n = white.states, blocks = (n + 3) / 4;
        for (int b = 0; b < blocks; ++b) {
            float z[4];
            normal_block<Portable>(random, block * static_cast<uint64>(blocks) +
                                               static_cast<uint64>(b), z);
            for (int c = 0; c < 4 && 4 * b + c < n; ++c) {
                const int d = 4 * b + c;
                const int from = ring_site(ring, counter[3], d, n);
                const float x =
                    (states[from * row_size + j] - white.look_up(white.mean, d, knot, weight)) /
                    white.look_up(white.deviation, d, knot, weight);
                aim[d] = x - z[c];
                in[d] = fma(t, aim[d], z[c]);
                if (normal) aim[d] = fma(-normal_velocity(t), in[d], aim[d]);
            }
        }
        white.write_features(s, row_size, in + n);
        write_time(t, waves, in + n + white.features);
    }
};

// The network's input at time t: x + factor·v, and the time's features behind those of the condition.
struct FlowInputBody {
    int states, offset, waves;  // offset: of the time's features
    float t, factor;
    const float *x, *v;
    float* input;
    index ld, input_ld;
    LANE_FN void operator()(index row) const {
        float* in = input + row * input_ld;
        for (int d = 0; d < states; ++d) in[d] = fma(factor, v[row * ld + d], x[row * ld + d]);
        write_time(t, waves, in + offset);
    }
};

// x += factor·v
struct FlowMoveBody {
    int states;
    float factor;
    const float* v;
    float* x;
    index ld;
    LANE_FN void operator()(index row) const {
        for (int d = 0; d < states; ++d)
            x[row * ld + d] = fma(factor, v[row * ld + d], x[row * ld + d]);
    }
};

struct CopyRowBody {
    int states;
    const float* from;
    float* to;
    index ld;
    LANE_FN void operator()(index row) const {
        for (int d = 0; d < states; ++d) to[row * ld + d] = from[row * ld + d];
    }
};

// Solves J u = r for u in place by elimination with row pivoting; returns ln det J, NaN unless
// det J > 0.
LANE_FN float solve_with_log_det(float (&j)[kMostDensityStates * kMostDensityStates], int n,
                                 float* r) {
    constexpr int N = kMostDensityStates;
    float log_det = 0, sign = 1;
    for (int c = 0; c < n; ++c) {
        int best = c;
        for (int i = c + 1; i < n; ++i)
            if (abs(j[i * N + c]) > abs(j[best * N + c])) best = i;
        if (best != c) {
            for (int k = 0; k < n; ++k) {
                const float keep = j[c * N + k];
                j[c * N + k] = j[best * N + k];
                j[best * N + k] = keep;
            }
            const float keep = r[c];
            r[c] = r[best];
            r[best] = keep;
            sign = -sign;
        }
        const float pivot = j[c * N + c];
        if (pivot < 0) sign = -sign;
        log_det += log<Portable>(abs(pivot));
        for (int i = c + 1; i < n; ++i) {
            const float f = j[i * N + c] / pivot;
            for (int k = c; k < n; ++k) j[i * N + k] = fma(-f, j[c * N + k], j[i * N + k]);
            r[i] = fma(-f, r[c], r[i]);
        }
    }
    for (int c = n - 1; c >= 0; --c) {
        for (int k = c + 1; k < n; ++k) r[c] = fma(-j[c * N + k], r[k], r[c]);
        r[c] /= j[c * N + c];
    }
    return sign > 0 ? log_det : as_float(0x7fc00000u);
}

// What one midpoint step y = x + h v(x + h/2 v(x)) does to volumes: J = 1 + h B (1 + h/2 A) with A and B
// the derivatives of v at the step's start and middle, tangents of `group` = rows·ld apart.
struct FlowJacobian {
    int states;
    float h;
    const float *start, *middle;
    index group, ld;
    LANE_FN void fill(index row, float (&j)[kMostDensityStates * kMostDensityStates]) const {
        constexpr int N = kMostDensityStates;
        for (int c = 0; c < states; ++c)
            for (int r = 0; r < states; ++r) {
                // A(r, c) = ∂v_r/∂x_c
                float product = middle[c * group + row * ld + r];
                for (int k = 0; k < states; ++k)
                    product = fma(0.5f * h * middle[k * group + row * ld + r],
                                  start[c * group + row * ld + k], product);
                j[r * N + c] = fma(h, product, r == c ? 1.0f : 0.0f);
            }
    }
};

// A step forward, x += h v, with log_density −= ln det J.
struct FlowStepBody {
    FlowJacobian jacobian;
    const float* v;
    float *x, *log_density;
    LANE_FN void operator()(index row) const {
        float j[kMostDensityStates * kMostDensityStates], unused[kMostDensityStates];
        for (int d = 0; d < jacobian.states; ++d) unused[d] = 0;
        jacobian.fill(row, j);
        log_density[row] -= solve_with_log_det(j, jacobian.states, unused);
        for (int d = 0; d < jacobian.states; ++d)
            x[row * jacobian.ld + d] =
                fma(jacobian.h, v[row * jacobian.ld + d], x[row * jacobian.ld + d]);
    }
};

// A Newton step for the start x of a step that ends in y. The last one subtracts ln det J from the
// density, and makes it NaN where Newton's steps do not close in.
struct FlowNewtonBody {
    FlowJacobian jacobian;
    const float *v, *y;
    float *x, *log_density;
    bool last;
    LANE_FN void operator()(index row) const {
        float j[kMostDensityStates * kMostDensityStates], r[kMostDensityStates];
        const index at = row * jacobian.ld;
        jacobian.fill(row, j);
        for (int d = 0; d < jacobian.states; ++d)
            r[d] = fma(jacobian.h, v[at + d], x[at + d]) - y[at + d];
        const float log_det = solve_with_log_det(j, jacobian.states, r);
        float move = 0, size = 1;
        for (int d = 0; d < jacobian.states; ++d) {
            x[at + d] -= r[d];
            move = max(abs(r[d]), move);
            size = max(abs(x[at + d]), size);
        }
        if (!last) return;
        log_density[row] -= move <= 1e-3f * size ? log_det : as_float(0x7fc00000u);
    }
};

// log_density ← ln of the standard normal density of z, or added to it.
struct NormalDensityBody {
    int states;
    bool add;
    const float* z;
    float* log_density;
    index ld;
    LANE_FN void operator()(index row) const {
        float sum = 0;
        for (int d = 0; d < states; ++d)
            sum = fma(-0.5f * z[row * ld + d], z[row * ld + d], sum - 0.918938533f);
        log_density[row] = add ? log_density[row] + sum : sum;
    }
};

// Whitened states of physical ones, and log_density ← −Σ ln σ_d(s).
struct WhitenBody {
    WhiteningView white;
    const float *states, *conditions;
    index condition_row, state_row;
    float *x, *log_density;
    index ld;
    LANE_FN void operator()(index row) const {
        index knot[4];
        float weight[4];
        white.place(conditions + row, condition_row, knot, weight);
        float volume = 0;
        for (int d = 0; d < white.states; ++d) {
            const float deviation = white.look_up(white.deviation, d, knot, weight);
            x[row * ld + d] =
                (states[d * state_row + row] - white.look_up(white.mean, d, knot, weight)) /
                deviation;
            volume -= log<Portable>(deviation);
        }
        log_density[row] = volume;
    }
};

// Physical states of whitened ones, wherever they lie, and log_density −= Σ ln σ_d(s).
struct SpreadOutBody {
    WhiteningView white;
    const float *x, *conditions;
    index ld, condition_row, state_row;
    float *states, *log_density;
    LANE_FN void operator()(index row) const {
        index knot[4];
        float weight[4];
        white.place(conditions + row, condition_row, knot, weight);
        float volume = log_density[row];
        for (int d = 0; d < white.states; ++d) {
            const float deviation = white.look_up(white.deviation, d, knot, weight);
            states[d * state_row + row] =
                fma(x[row * ld + d], deviation, white.look_up(white.mean, d, knot, weight));
            volume -= log<Portable>(deviation);
        }
        log_density[row] = volume;
    }
};

}  // namespace microlift
