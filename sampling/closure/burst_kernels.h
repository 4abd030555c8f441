// Launchers of the closure's bodies (sampling/closure/burst_kernels.ops.cpp).
#pragma once

#include "engine/device/buffer.h"

namespace microlift {

// What a burst gains by drift and by diffusion, step after step: with ξ and the closure's integrands at
// the steps' starts, drift_k += b_k dt and square_kl += (ξ − ξ₀)_k b_l dt + (ξ − ξ₀)_l b_k dt +
// 2 D_kl dt + b_k b_l dt². By these Δξ and ΔξΔξ differ from martingales.
struct BurstDrift {
    int cvs;
    index n, steps;
    float dt;
    const float* begin;   // (cvs, n): ξ₀
    float* last;          // (cvs + outputs, n): ξ and integrands at the piece's start, then at its end
    const float* xi;      // (cvs, steps · n): after each step
    const float* closure; // (outputs, steps · n)
    index row;            // of xi and closure
    float period[2];      // 0: none
    float* drift;         // (cvs + pairs, n): drift, square
};
void add_burst_drift(Stream& stream, const BurstDrift& piece);

// First and second moments of the 2R quantities Δξ_k, Δξ_kΔξ_l (R of them) and of their martingale
// parts, R = K + K(K+1)/2: 1, then the quantities, then their products.
struct BurstSums {
    int cvs;
    index values, replicas, blocks;
    const float* begin;  // (cvs, n): ξ at the start
    const float* end;    // (cvs, n)
    const float* drift;  // (R, n) of add_burst_drift, or null: no martingale parts
    float period[2];
    float from, inverse_width;  // of the values, one CV
    double* sums;               // (value, block, burst_width)
    double* transition;         // (value, block, value), or null
};
constexpr int burst_outputs(int cvs) { return cvs + cvs * (cvs + 1) / 2; }
constexpr int burst_width(int cvs) {
    return 1 + 2 * burst_outputs(cvs) + burst_outputs(cvs) * (2 * burst_outputs(cvs) + 1);
}
void add_burst_sums(Stream& stream, const BurstSums& sums);

}  // namespace microlift
