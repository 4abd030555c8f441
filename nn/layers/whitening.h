// Whitening: the network sees each state variable with its conditional mean taken off and divided by
// its conditional standard deviation, so that it learns only the shape; and conditions centred and
// scaled, periodic ones as Fourier features. A state that goes round is whitened to an angle in [−π, π],
// without a mean.
//
// The conditional moments are tables over a regular grid of the condition: kKnots1 knots for one
// condition, kKnots2² for two, linear between them; one global pair for more.
#pragma once

#include <string>
#include <vector>

#include "engine/device/buffer.h"
#include "engine/files/safetensors.h"
#include "kernels/lane/matrix.h"
#include "nn/layers/limits.h"

namespace microlift {

inline constexpr index kKnots1 = 64, kKnots2 = 24;
inline constexpr int kHarmonics = 3;  // of each periodic condition or state

// What kernels see; passed by value.
struct WhiteningView {
    int states = 0, conditions = 0, features = 0;
    int axes = 0;                 // of the grid: 0, 1 or 2
    index knots[2] = {1, 1};
    float low[2] = {0, 0}, inverse_step[2] = {0, 0};
    bool wraps[2] = {false, false};
    const float* mean = nullptr;       // (knots0, knots1, states)
    const float* deviation = nullptr;  // the same
    const float* range = nullptr;      // (states, 2): least and greatest whitened value of the data
    int angles = 0;                    // states that go round
    const float* period = nullptr;     // (states), 0: does not go round; null: none does
    float center[kMostConditions] = {}, inverse_scale[kMostConditions] = {};
    bool periodic[kMostConditions] = {};
    // Conditions that are not periodic are also seen as cos and sin of π w (s − wave_low) wave_scale,
    // w = 1…waves, half waves over the range of the data: shapes that change fast with s are learned
    // in a fraction of the updates.
    int waves = 0;
    float wave_low[kMostConditions] = {}, wave_scale[kMostConditions] = {};

    LANE_FN bool is_angle(int d) const { return period && period[d] > 0.0f; }
    // Up to four knots and their weights for a condition at s[k*stride].
    LANE_FN void place(const float* s, index stride, index (&knot)[4], float (&weight)[4]) const {
        index lower[2] = {0, 0}, upper[2] = {0, 0};
        float part[2] = {0, 0};
        LANE_UNROLL  // here and below: no array in local memory on CUDA
        for (int k = 0; k < 2; ++k) {
            if (k >= axes) continue;
            float u = (s[k * stride] - low[k]) * inverse_step[k];
            if (wraps[k]) {
                const float period = static_cast<float>(knots[k]);
                u -= period * __builtin_floorf(u / period);
                u = u < period ? u : 0.0f;
            } else {
                u = min(max(u, 0.0f), static_cast<float>(knots[k] - 1));
            }
            lower[k] = static_cast<index>(u);
            if (lower[k] > knots[k] - 1) lower[k] = knots[k] - 1;
            upper[k] = lower[k] + 1;
            if (upper[k] > knots[k] - 1) upper[k] = wraps[k] ? 0 : knots[k] - 1;
            part[k] = u - static_cast<float>(lower[k]);
        }
        LANE_UNROLL
        for (int c = 0; c < 4; ++c) {
            const bool up0 = (c & 1) != 0, up1 = (c & 2) != 0;
            knot[c] = (up0 ? upper[0] : lower[0]) * knots[1] + (up1 ? upper[1] : lower[1]);
            weight[c] = (up0 ? part[0] : 1.0f - part[0]) * (up1 ? part[1] : 1.0f - part[1]);
        }
    }

    LANE_FN float look_up(const float* table, int d, const index (&knot)[4],
                          const float (&weight)[4]) const {
        float sum = 0.0f;
        const int corners = axes == 0 ? 1 : axes == 1 ? 2 : 4;
        LANE_UNROLL
        for (int c = 0; c < 4; ++c)
            if (c < corners) sum = fma(weight[c], table[knot[c] * states + d], sum);
        return sum;
    }

    // The network's view of a condition, `features` numbers.
    LANE_FN void write_features(const float* s, index stride, float* out) const;
    // The same of one condition a lane: of(k) gives the k-th of all lanes; lane w goes to out + w*ld.
    template <class L, class Condition>
    LANE_FN void write_features_of(const Condition& of, float* out, index ld) const;
};

class Whitening {
public:
    enum class Kind { conditional, global };

    Whitening() = default;
    // Measures the tables on up to kMostMeasured evenly spread columns of x (state, sample) and
    // s (condition, sample), of the same stride. periods, state_periods: one entry a condition or a
    // state, 0 = not periodic, or empty.
    Whitening(Stream& stream, Kind kind, Matrix<const float> states, Matrix<const float> conditions,
              const std::vector<double>& periods, int waves,
              const std::vector<double>& state_periods = {});
    // From a file or a checkpoint.
    Whitening(Stream& stream, const TensorMap& tensors);

    // One mean, deviation and range for all states, which are alike.
    void share_over_states(Stream& stream);

    const WhiteningView& view() const { return view_; }
    TensorMap tensors() const;

private:
    struct Data {
        Matrix<const float> states, conditions;
    };
    struct Moments {
        std::vector<double> mean, deviation, least, most;
    };
    static Moments moments(Stream& stream, Matrix<const float> values);
    void scale_conditions(const Moments& s, const std::vector<double>& periods, int waves);
    void lay_grid(const Moments& s, const std::vector<double>& periods);
    void fit_means(Stream& stream, const Data& data, const Moments& x, const float* global);
    void fit_deviations(Stream& stream, const Data& data, const Moments& x, const float* global);
    void measure_range(Stream& stream, const Data& data);
    void check_angles(const Moments& x, const std::vector<double>& periods);
    void set_angles();
    void upload(Stream& stream);
    WhiteningView view_;
    std::vector<float> mean_, deviation_, range_, period_;  // period_ empty: none goes round
    Buffer<float> tables_;
};

}  // namespace microlift

#include "kernels/lane/math.h"

namespace microlift {

// Lane w of x goes to out[w*ld].
template <class L>
LANE_FN void store_strided(float* out, index ld, L x) {
    float values[kWidth<L>];
    store(values, 0, x);
    for (int w = 0; w < kWidth<L>; ++w) out[w * ld] = values[w];
}

template <class L, class Condition>
LANE_FN void WhiteningView::write_features_of(const Condition& of, float* out, index ld) const {
    const L zero = broadcast<L>(0.0f), one = broadcast<L>(1.0f), root = broadcast<L>(1.41421356f);
    int at = 0;
    for (int k = 0; k < conditions; ++k) {
        const L s = of(k);
        const L u = (s - broadcast<L>(center[k])) * broadcast<L>(inverse_scale[k]);
        const int count = periodic[k] ? kHarmonics : waves;
        L angle = u;
        if (!periodic[k]) {
            store_strided(out + at++, ld, u);
            angle = broadcast<L>(3.14159265f) *
                    min(max((s - broadcast<L>(wave_low[k])) * broadcast<L>(wave_scale[k]), zero),
                        one);
        }
        L sine, cosine;
        sincos<Portable>(angle, sine, cosine);
        L c = one, z = zero;
        for (int h = 0; h < count; ++h) {
            const L next = c * cosine - z * sine;
            z = c * sine + z * cosine;
            c = next;
            store_strided(out + at++, ld, c * root);
            store_strided(out + at++, ld, z * root);
        }
    }
}

LANE_FN void WhiteningView::write_features(const float* s, index stride, float* out) const {
    write_features_of<float>([&](int k) { return s[k * stride]; }, out, 0);
}

}  // namespace microlift
