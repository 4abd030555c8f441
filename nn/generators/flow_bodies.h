// Kernel bodies of flow matching and of its sampler with the density. Rows are batch entries, in whitened
// units. Of states that go round (WhiteningView::period) these are angles: the sampler follows them on the
// line, which covers the circle, and the network sees √2 (cos kθ, sin kθ), k = 1…kHarmonics.
#pragma once

#include "kernels/dynamics/period.h"
#include "nn/train/batch.h"

namespace microlift {

inline constexpr int kMostDensityStates = 512;
inline constexpr float kTurn = 6.28318531f;

// Random blocks of angles, beyond those of normals.
inline constexpr uint64 kAngleBlocks = uint64{1} << 60;

LANE_FN float round_angle(float theta) { return nearest_image(theta, kTurn); }

LANE_FN bool goes_round(const float* period, int d) { return period && period[d] > 0.0f; }

// A state as the network sees it; returns how many numbers that are.
LANE_FN int write_state(bool angle, float x, float* out) {
    if (!angle) {
        out[0] = x;
        return 1;
    }
    float sine, cosine;
    sincos<Portable>(x, sine, cosine);
    float c = 1.0f, z = 0.0f;
    for (int k = 0; k < kHarmonics; ++k) {
        const float next = c * cosine - z * sine;
        z = c * sine + z * cosine;
        c = next;
        out[2 * k] = c * 1.41421356f;
        out[2 * k + 1] = z * 1.41421356f;
    }
    return 2 * kHarmonics;
}

// Uniform angles of the states that go round; LatentBody gives the others.
struct AngleLatentBody {
    uint64 seed;
    uint32 stream;
    index first;  // number of the first row
    int states;
    const float* period;
    float* out;
    index ld;
    LANE_FN void operator()(index row) const {
        const PhiloxStream<float> random(seed, stream, first + row);
        for (int first_of = 0; first_of < states; first_of += 4) {
            uint32 words[4];
            random.draw(kAngleBlocks + static_cast<uint64>(first_of / 4), words);
            LANE_UNROLL
            for (int c = 0; c < 4; ++c) {
                const int d = first_of + c;
                if (d < states && period[d] > 0.0f)
                    out[row * ld + d] = kTurn * (uniform_open<float>(words[c]) - 0.5f);
            }
        }
    }
};

// Angles back to the turn about 0.
struct RoundBody {
    int states;
    const float* period;
    float* x;
    index ld;
    LANE_FN void operator()(index row) const {
        for (int d = 0; d < states; ++d)
            if (period[d] > 0.0f) x[row * ld + d] = round_angle(x[row * ld + d]);
    }
};

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

// v += g(t) x, and its derivatives (state, row, ld) along each state; none of angles.
struct NormalVelocityBody {
    int states;
    const float* period;
    float g;
    const float* x;  // the network's input
    index x_ld;
    float *v, *derivative;
    index ld, plane;  // plane: of the derivatives along one state
    LANE_FN void operator()(index row) const {
        const float* in = x + row * x_ld;
        for (int d = 0; d < states; ++d) {
            if (goes_round(period, d)) {
                in += 2 * kHarmonics;
                continue;
            }
            v[row * ld + d] = fma(g, *in++, v[row * ld + d]);
            if (derivative) derivative[d * plane + row * ld + d] += g;
        }
    }
};

// A batch of flow matching (Lipman et al., 2023) on straight lines x_t = (1 − t) z + t x: the network's
// input (x_t, features of s, features of t) and its target x − z. Angles go the shorter way round from
// uniform ones (Chen and Lipman, 2024). Times are stratified over the batch.
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
            const uint64 number = block * static_cast<uint64>(blocks) + static_cast<uint64>(b);
            normal_block<Portable>(random, number, z);
            uint32 turn[4] = {};
            if (white.period) random.draw(kAngleBlocks + number, turn);
            for (int c = 0; c < 4 && 4 * b + c < n; ++c) {
                const int d = 4 * b + c;
                const int from = ring_site(ring, counter[3], d, n);
                const float x =
                    (states[from * row_size + j] - white.look_up(white.mean, d, knot, weight)) /
                    white.look_up(white.deviation, d, knot, weight);
                if (white.is_angle(d)) {
                    const float from_angle = kTurn * (uniform_open<float>(turn[c]) - 0.5f);
                    aim[d] = round_angle(x - from_angle);
                    in += write_state(true, fma(t, aim[d], from_angle), in);
                    continue;
                }
                aim[d] = x - z[c];
                const float now = fma(t, aim[d], z[c]);
                *in++ = now;
                if (normal) aim[d] = fma(-normal_velocity(t), now, aim[d]);
            }
        }
        white.write_features(s, row_size, in);
        write_time(t, waves, in + white.features);
    }
};

// The network's input at time t: x + factor·v, and the time's features behind those of the condition.
struct FlowInputBody {
    int states, offset, waves;  // offset: of the time's features
    const float* period;
    float t, factor;
    const float *x, *v;
    float* input;
    index ld, input_ld;
    LANE_FN void operator()(index row) const {
        float* in = input + row * input_ld;
        float* out = in;
        for (int d = 0; d < states; ++d)
            out += write_state(goes_round(period, d), fma(factor, v[row * ld + d], x[row * ld + d]), out);
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

// y ← y + a x, of so many numbers.
LANE_FN void add_multiple(float a, const float* __restrict__ x, float* __restrict__ y, int count) {
    for (int i = 0; i < count; ++i) y[i] = fma(a, x[i], y[i]);
}

// Solves J u = r for u in place by elimination with row pivoting, J (n, n) column by column; returns
// ln det J, NaN unless det J > 0.
LANE_FN float solve_with_log_det(float* j, int n, float* r) {
    float log_det = 0, sign = 1;
    for (int c = 0; c < n; ++c) {
        float* const column = j + c * n;
        int best = c;
        for (int i = c + 1; i < n; ++i)
            if (abs(column[i]) > abs(column[best])) best = i;
        if (best != c) {
            for (int k = c; k < n; ++k) {
                const float keep = j[k * n + c];
                j[k * n + c] = j[k * n + best];
                j[k * n + best] = keep;
            }
            const float keep = r[c];
            r[c] = r[best];
            r[best] = keep;
            sign = -sign;
        }
        const float pivot = column[c];
        if (pivot < 0) sign = -sign;
        log_det += log<Portable>(abs(pivot));
        const int below = n - c - 1;
        for (int i = c + 1; i < n; ++i) column[i] /= pivot;
        for (int k = c + 1; k < n; ++k)
            add_multiple(-j[k * n + c], column + c + 1, j + k * n + c + 1, below);
        add_multiple(-r[c], column + c + 1, r + c + 1, below);
    }
    for (int c = n - 1; c >= 0; --c) {
        for (int k = c + 1; k < n; ++k) r[c] = fma(-j[k * n + c], r[k], r[c]);
        r[c] /= j[c * n + c];
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
    float* scratch;  // (row, states + 1, states): J by columns, and a vector
    LANE_FN float* matrix(index row) const { return scratch + row * states * (states + 1); }
    LANE_FN float* vector(index row) const { return matrix(row) + states * states; }
    LANE_FN void fill(index row) const {
        for (int c = 0; c < states; ++c) {
            float* __restrict__ j = matrix(row) + c * states;
            const float* __restrict__ b = middle + c * group + row * ld;
            for (int r = 0; r < states; ++r) j[r] = b[r];
            for (int k = 0; k < states; ++k) {
                // A(k, c) = ∂v_k/∂x_c
                const float a = start[c * group + row * ld + k];
                const float* __restrict__ from = middle + k * group + row * ld;
                for (int r = 0; r < states; ++r) j[r] = fma(0.5f * h * from[r], a, j[r]);
            }
            for (int r = 0; r < states; ++r) j[r] = fma(h, j[r], r == c ? 1.0f : 0.0f);
        }
    }
};

// A step forward, x += h v, with log_density −= ln det J.
struct FlowStepBody {
    FlowJacobian jacobian;
    const float* v;
    float *x, *log_density;
    LANE_FN void operator()(index row) const {
        float* unused = jacobian.vector(row);
        for (int d = 0; d < jacobian.states; ++d) unused[d] = 0;
        jacobian.fill(row);
        log_density[row] -= solve_with_log_det(jacobian.matrix(row), jacobian.states, unused);
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
        float* r = jacobian.vector(row);
        const index at = row * jacobian.ld;
        jacobian.fill(row);
        for (int d = 0; d < jacobian.states; ++d)
            r[d] = fma(jacobian.h, v[at + d], x[at + d]) - y[at + d];
        const float log_det = solve_with_log_det(jacobian.matrix(row), jacobian.states, r);
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

// log_density ← ln of the standard normal density of z, uniform of angles, or added to it.
struct NormalDensityBody {
    int states;
    bool add;
    const float *period, *z;
    float* log_density;
    index ld;
    LANE_FN void operator()(index row) const {
        float sum = 0;
        for (int d = 0; d < states; ++d)
            sum = goes_round(period, d)
                      ? sum - 1.837877066f
                      : fma(-0.5f * z[row * ld + d], z[row * ld + d], sum - 0.918938533f);
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
