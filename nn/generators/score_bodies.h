// Kernel bodies of denoising score matching. Rows are batch entries, in whitened units.
#pragma once

#include "nn/generators/flow_bodies.h"

namespace microlift {

// A state on the line at time t in [0, 1] is x_t = α x + σ ε with α = sin πt/2 and σ = cos πt/2: a
// variance-preserving diffusion run backwards (Song et al., 2021). The network tells the noise,
// ε̂ = σ x_t − α n/(π/2), so that n vanishes for a normal law, and the score is −ε̂/σ. The
// probability-flow equation, dx/dt = α'/α x + (σ' − σ α'/α) ε̂, then is dx/dt = n: what moves a state is
// the network's output itself, bounded at both ends. Loss: |ε̂ − ε|² (π/2α)², that is |n − (π/2)(σ x − α ε)|².
//
// An angle diffuses round its circle, θ_t = θ + σ ε with σ = π (1 − t); its score is that of the wrapped
// normal law, and dθ/dt = σ' ε̂ = −π ε̂ with ε̂ = −σ ∂ ln p (Jing et al., 2022). At t = 0 the law is uniform
// but for e^{−π²/2}, and the sampler starts from uniform angles.
inline constexpr float kHalfPi = 1.57079633f;
inline constexpr int kWrappedImages = 3;  // each way round; the next would have weight e^{−17}

// The noise that a wrapped normal law of deviation σ ≤ π expects in a difference δ of angles, |δ| ≤ π.
LANE_FN float wrapped_noise(float delta, float sigma) {
    float weights = 0, sum = 0;
    for (int k = -kWrappedImages; k <= kWrappedImages; ++k) {
        const float z = (delta + kTurn * static_cast<float>(k)) / sigma, near = delta / sigma;
        const float w = exp<Portable>(0.5f * (near - z) * (near + z));  // beside the nearest image
        weights += w;
        sum = fma(w, z, sum);
    }
    return sum / weights;
}

// The network's input (x_t, features of s, features of t) and the target of its output. Times are
// stratified over the batch.
struct ScoreBatchBody {
    TrainingColumns columns;
    WhiteningView white;
    const float *states, *conditions;
    index row_size;  // of the data
    const TrainClock* clock;
    uint64 seed;
    float inverse_batch;
    int waves;
    bool ring;
    float *input, *target;
    index input_ld, target_ld;
    LANE_FN void operator()(index row) const {
        const uint64 block = clock->iteration;
        uint32 counter[4] = {static_cast<uint32>(row), kStreamBatch, static_cast<uint32>(block),
                             static_cast<uint32>(block >> 32)};
        philox4x32(counter, philox_key(seed));
        const index j = columns.pick(counter[0], counter[1]);
        const float t = (static_cast<float>(row) + uniform_open<float>(counter[2])) * inverse_batch;
        float alpha, sigma;
        sincos<Portable>(kHalfPi * t, alpha, sigma);
        const float width = 2.0f * kHalfPi * max(1.0f - t, 1e-6f);  // of an angle's noise
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
                if (white.is_angle(d)) {
                    const float away = round_angle(width * z[c]);
                    aim[d] = -2.0f * kHalfPi * wrapped_noise(away, width);
                    in += write_state(true, x + away, in);
                    continue;
                }
                aim[d] = kHalfPi * (sigma * x - alpha * z[c]);
                *in++ = fma(alpha, x, sigma * z[c]);
            }
        }
        white.write_features(s, row_size, in);
        write_time(t, waves, in + white.features);
    }
};

}  // namespace microlift
