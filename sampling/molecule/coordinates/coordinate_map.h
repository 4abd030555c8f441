// Kernel bodies between internal coordinates q and what a generator makes of them, y. A lane is a state.
//
// Line coordinates u (bonds, angles, torsions that stay within an arc) and angles θ: u = q − centre, to the
// nearest image; y = L⁻¹ (u − B f), f waves of the angles and of the conditions, B their regression, L the
// Cholesky factor of what is left, which varies with the condition where there is one; y = θ of the angles. B
// moves volumes and L scales them by its diagonal.
#pragma once

#include "kernels/molecule/internal_coordinates.h"

namespace microlift {

inline constexpr int kAngleWaves = 3, kConditionWaves = 2;
inline constexpr int kMostWaveConditions = 2;

struct CoordinateMap {
    int32 lines = 0, angles = 0, conditions = 0;
    int32 condition_waves = 0;  // of each condition that goes round; 0: f has no products with conditions
    float condition_period[kMostWaveConditions] = {};  // 0: not in f
    const int32* row = nullptr;      // (lines + angles): in q
    const float* centre = nullptr;   // (lines + angles)
    const float* period = nullptr;   // (lines + angles): 0, or a turn
    // L at `knots` values of the only condition, linear between them; (knots, lines, lines).
    int32 knots = 1;
    float low = 0, inverse_step = 0;
    bool wraps = false;
    const float* factor = nullptr;
    const float* regression = nullptr;  // B, (lines, waves())
    LANE_FN int32 products() const {
        int32 n = 1;
        for (int k = 0; k < conditions; ++k) n += condition_period[k] > 0 ? 2 * condition_waves : 0;
        return n;
    }
    LANE_FN int32 waves() const { return angles * 2 * kAngleWaves * products(); }
    LANE_FN int32 scratch_rows() const { return waves() + lines + products(); }
};

// L at each lane's condition.
template <class L>
struct FactorAt {
    static constexpr int kLanes = kWidth<L>;
    const CoordinateMap& map;
    int32 lower[kLanes], upper[kLanes];
    float part[kLanes];

    LANE_FN FactorAt(const CoordinateMap& m, const float* s, index i, int lanes) : map(m) {
        for (int w = 0; w < kLanes; ++w) {
            lower[w] = upper[w] = 0;
            part[w] = 0.0f;
            if (m.knots < 2) continue;
            float u = (s[i + (w < lanes ? w : 0)] - m.low) * m.inverse_step;
            const float knots = static_cast<float>(m.knots);
            if (m.wraps) u -= knots * __builtin_floorf(u / knots);
            u = min(max(u, 0.0f), m.wraps ? knots : knots - 1.0f);
            const int32 at = static_cast<int32>(u), last = m.knots - 1;
            lower[w] = at < last ? at : last;
            upper[w] = lower[w] < last ? lower[w] + 1 : m.wraps ? 0 : last;
            part[w] = u - static_cast<float>(lower[w]);
        }
    }
    LANE_FN L operator()(int32 row, int32 column) const {
        const index size = static_cast<index>(map.lines) * map.lines;
        const float* own = map.factor + row * map.lines + column;
        float values[kLanes];
        for (int w = 0; w < kLanes; ++w) {
            const float a = own[lower[w] * size];
            values[w] = fma(part[w], own[upper[w] * size] - a, a);
        }
        return load<L>(values, 0);
    }
};

// cos kθ and sin kθ, k = 1…count, as put(2(k−1)), put(2(k−1) + 1).
template <class L, class Put>
LANE_FN void each_wave(L theta, int count, const Put& put) {
    L sine, cosine;
    sincos<Portable>(theta, sine, cosine);
    L c = broadcast<L>(1.0f), s = broadcast<L>(0.0f);
    for (int k = 0; k < count; ++k) {
        const L next = c * cosine - s * sine;
        s = c * sine + s * cosine;
        c = next;
        put(2 * k, c);
        put(2 * k + 1, s);
    }
}

// f of angles at `theta` (angle, stride) into rows; products with 1 and the conditions' waves.
template <class L, class Rows>
LANE_FN void write_waves(const CoordinateMap& map, const float* theta, index theta_row, const float* s,
                         index s_row, index i, int lanes, const Rows& rows) {
    const int32 products = map.products(), factors = map.waves() + map.lines;  // rows of the latter
    rows[factors] = broadcast<L>(1.0f);
    int32 n = factors + 1;
    for (int k = 0; k < map.conditions; ++k) {
        if (!(map.condition_period[k] > 0) || map.condition_waves == 0) continue;
        const L value = load<L>(s + k * s_row, i, lanes);
        each_wave(value * broadcast<L>(6.28318531f / map.condition_period[k]), map.condition_waves,
                  [&](int w, L wave) { rows[n + w] = wave; });
        n += 2 * map.condition_waves;
    }
    for (int32 a = 0; a < map.angles; ++a) {
        const L at = load<L>(theta + a * theta_row, i, lanes);
        each_wave(at, kAngleWaves, [&](int w, L wave) {
            for (int32 m = 0; m < products; ++m)
                rows[(a * 2 * kAngleWaves + w) * products + m] = wave * rows[factors + m];
        });
    }
}

template <class L, class Rows>
LANE_FN L regressed(const CoordinateMap& map, int32 e, const Rows& rows) {
    L sum = broadcast<L>(0.0f);
    const int32 waves = map.waves();
    for (int32 w = 0; w < waves; ++w)
        sum = fma(broadcast<L>(map.regression[e * waves + w]), rows[w], sum);
    return sum;
}

// q (…, q_row) → y (lines, then angles).
struct ToStatesBody {
    CoordinateMap map;
    const float *q, *s;
    index q_row, s_row;
    float* y;
    index y_row;
    float* log_jacobian;  // ln |L| is added; may be null
    template <class L, class Rows>
    LANE_FN void operator()(L, index i, int lanes, const Rows& rows) const {
        const int32 n = map.lines + map.angles, waves = map.waves();
        for (int32 k = 0; k < n; ++k) {
            const L value = load<L>(q + map.row[k] * q_row, i, lanes) - broadcast<L>(map.centre[k]);
            store(y + k * y_row, i, nearest_image(value, map.period[k]), lanes);
        }
        write_waves<L>(map, y + map.lines * y_row, y_row, s, s_row, i, lanes, rows);
        const FactorAt<L> factor(map, s, i, lanes);
        L volume = broadcast<L>(0.0f);
        for (int32 e = 0; e < map.lines; ++e) {
            L u = load<L>(y + e * y_row, i, lanes) - regressed<L>(map, e, rows);
            for (int32 j = 0; j < e; ++j) u = fma(-factor(e, j), rows[waves + j], u);
            const L own = factor(e, e);
            rows[waves + e] = u / own;
            volume = volume + log<Portable>(own);
            store(y + e * y_row, i, rows[waves + e], lanes);
        }
        if (log_jacobian)
            store(log_jacobian, i, load<L>(log_jacobian, i, lanes) + volume, lanes);
    }
};

// The reverse; leaves the other rows of q alone.
struct FromStatesBody {
    CoordinateMap map;
    const float *y, *s;
    index y_row, s_row;
    float* q;
    index q_row;
    float* log_jacobian;  // ← ln |L|; may be null
    template <class L, class Rows>
    LANE_FN void operator()(L, index i, int lanes, const Rows& rows) const {
        const FactorAt<L> factor(map, s, i, lanes);
        L volume = broadcast<L>(0.0f);
        write_waves<L>(map, y + map.lines * y_row, y_row, s, s_row, i, lanes, rows);
        for (int32 e = 0; e < map.lines; ++e) {
            L u = regressed<L>(map, e, rows);
            for (int32 j = 0; j <= e; ++j) u = fma(factor(e, j), load<L>(y + j * y_row, i, lanes), u);
            volume = volume + log<Portable>(factor(e, e));
            store(q + map.row[e] * q_row, i, u + broadcast<L>(map.centre[e]), lanes);
        }
        if (log_jacobian) store(log_jacobian, i, volume, lanes);
        for (int32 k = map.lines; k < map.lines + map.angles; ++k)
            store(q + map.row[k] * q_row, i,
                  load<L>(y + k * y_row, i, lanes) + broadcast<L>(map.centre[k]), lanes);
    }
};

// Rows of q that no generator makes: rigid bonds (value), and torsions that a condition is (condition ≥ 0).
struct FixedRow {
    int32 row = 0, condition = -1;
    float value = 0;
};
struct FixedRowsBody {
    const FixedRow* fixed;
    int32 count;
    const float* s;
    index s_row;
    float* q;
    index q_row;
    template <class L>
    LANE_FN void operator()(L, index i) const {
        for (int32 k = 0; k < count; ++k) {
            const FixedRow f = fixed[k];
            store(q + f.row * q_row, i,
                  f.condition >= 0 ? load<L>(s + f.condition * s_row, i) : broadcast<L>(f.value));
        }
    }
};

}  // namespace microlift
