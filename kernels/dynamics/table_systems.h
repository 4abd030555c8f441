// Reduced models: systems of one or two variables whose drift and noise are tables.
#pragma once

#include "kernels/dynamics/period.h"

namespace microlift {

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
// the rim all stays as it is there, or where a variable has a period its image is looked up.
struct PlaneTableSystem {
    static constexpr int dim = 2, n_observed = 0;
    static constexpr bool gradient = false;
    float from[2], inverse_width[2];
    int points[2];
    const float* table;  // (b₁, b₂, σ₁₁, σ₂₁, σ₂₂; points₀, points₁)
    CvPeriods periods{};

    // `count` quantities from the first one on.
    template <int count, class L>
    LANE_FN void look_up(int first, const L (&x)[2], L (&out)[count]) const {
        constexpr int W = kWidth<L>;
        L t[2];
        float cell[2][W];
        for (int k = 0; k < 2; ++k) {
            const L place = (periods.image(k, x[k]) - broadcast<L>(from[k])) *
                            broadcast<L>(inverse_width[k]);
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
