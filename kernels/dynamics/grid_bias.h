// A bias from a table: energies at the points of a grid of one or two collective variables, between them
// linear or cubic (Keys, IEEE Trans. Acoust. Speech Signal Process. 29 (1981) 1153). The pull is the
// derivative of that same interpolant, so that energy and force belong together.
#pragma once

#include "kernels/dynamics/cv.h"

namespace microlift {

// The greatest whole number ≤ x (at a whole number perhaps the one before), |x| < 2²².
template <class L>
LANE_FN L whole_part(L x) {
    const L shift = broadcast<L>(12582912.0f);  // adding 1.5 · 2²³ rounds
    return (x - broadcast<L>(0.5f) + shift) - shift;
}

// Of all trajectories of a launch. Points k of variable d lie at from + k / inverse_width; with a period
// the point after the last is the first again. Beyond the ends the energy stays as it is there.
struct GridView {
    const float* energy = nullptr;  // (points₀[, points₁])
    int points[kMaxCvs] = {1, 1};
    float from[kMaxCvs] = {}, inverse_width[kMaxCvs] = {1, 1};
    bool periodic[kMaxCvs] = {};
    bool cubic = true;
};

template <class L, int K>
struct GridBias {
    using View = GridView;
    static constexpr bool holds = false;
    static constexpr bool of_launch = true;  // it knows of no trajectory of its own
    View view;

    LANE_FN explicit GridBias(const View& v, index = 0, int = kWidth<L>) : view(v) {}

    LANE_FN L energy(const L (&xi)[K], L v) const {
        L u, slope[K];
        interpolate(xi, u, slope);
        return v + u;
    }
    LANE_FN void pull(const L (&xi)[K], L (&p)[K]) const {
        L u, slope[K];
        interpolate(xi, u, slope);
        for (int k = 0; k < K; ++k) p[k] = -slope[k];
    }

    // U and ∂U/∂ξ.
    LANE_FN void interpolate(const L (&xi)[K], L& u, L (&slope)[K]) const {
        Weights w[K];
LANE_UNROLL
        for (int k = 0; k < K; ++k) w[k] = weights(xi[k], k);
        u = broadcast<L>(0.0f);
        for (int k = 0; k < K; ++k) slope[k] = u;
LANE_UNROLL
        for (int a = 0; a < 4; ++a) {
            if (!takes_part(a)) continue;
            if constexpr (K == 1) {
                const L p = gather(w, a, 0);
                u = fma(w[0].value[a], p, u);
                slope[0] = fma(w[0].slope[a], p, slope[0]);
            } else {
                L row = broadcast<L>(0.0f), row_slope = row;
LANE_UNROLL
                for (int b = 0; b < 4; ++b) {
                    if (!takes_part(b)) continue;
                    const L p = gather(w, a, b);
                    row = fma(w[1].value[b], p, row);
                    row_slope = fma(w[1].slope[b], p, row_slope);
                }
                u = fma(w[0].value[a], row, u);
                slope[0] = fma(w[0].slope[a], row, slope[0]);
                slope[1] = fma(w[0].value[a], row_slope, slope[1]);
            }
        }
        for (int k = 0; k < K; ++k) slope[k] = slope[k] * broadcast<L>(view.inverse_width[k]);
    }

private:
    // Of the points cell − 1 … cell + 2.
    struct Weights {
        int cell[kWidth<L>];
        L value[4], slope[4];
    };

    LANE_FN bool takes_part(int a) const { return view.cubic || a == 1 || a == 2; }

    LANE_FN Weights weights(L xi, int k) const {
        const auto c = [](float a) { return broadcast<L>(a); };
        const float cells = static_cast<float>(view.periodic[k] ? view.points[k] : view.points[k] - 1);
        L place = (xi - c(view.from[k])) * c(view.inverse_width[k]);
        Mask<L> beyond = is_bad(place);
        if (view.periodic[k])
            place = place - c(cells) * whole_part(place * c(1.0f / cells));
        else
            beyond = beyond | (place < c(0.0f)) | (place > c(cells));
        place = max(min(place, c(cells)), c(0.0f));  // NaN: the end
        // Rounding may name the cell after the last.
        const L cell = max(min(whole_part(place), c(cells - 1.0f)), c(0.0f));
        const L t = place - cell;
        Weights w;
        float numbers[kWidth<L>];
        store(numbers, 0, cell);
        for (int j = 0; j < kWidth<L>; ++j) w.cell[j] = static_cast<int>(numbers[j]);
        if (view.cubic) {
            const L s = c(1.0f) - t;
            w.value[0] = c(-0.5f) * t * s * s;
            w.value[1] = fma(t * t, fma(c(1.5f), t, c(-2.5f)), c(1.0f));
            w.value[2] = fma(s * s, fma(c(1.5f), s, c(-2.5f)), c(1.0f));
            w.value[3] = c(-0.5f) * s * t * t;
            w.slope[0] = c(-0.5f) * s * fma(c(-3.0f), t, c(1.0f));
            w.slope[1] = t * fma(c(4.5f), t, c(-5.0f));
            w.slope[2] = -(s * fma(c(4.5f), s, c(-5.0f)));
            w.slope[3] = c(0.5f) * t * fma(c(-3.0f), s, c(1.0f));
            if (!view.periodic[k]) {
                // The point beyond an end goes on as a line: 2 p₀ − p₁.
                fold(cell < c(0.5f), w.value[0], w.value[1], w.value[2]);
                fold(cell < c(0.5f), w.slope[0], w.slope[1], w.slope[2]);
                const Mask<L> last = cell > c(cells - 1.5f);
                fold(last, w.value[3], w.value[2], w.value[1]);
                fold(last, w.slope[3], w.slope[2], w.slope[1]);
            }
        } else {
            w.value[0] = w.value[3] = w.slope[0] = w.slope[3] = c(0.0f);
            w.value[1] = c(1.0f) - t;
            w.value[2] = t;
            w.slope[1] = c(-1.0f);
            w.slope[2] = c(1.0f);
        }
LANE_UNROLL
        for (int a = 0; a < 4; ++a) w.slope[a] = select(beyond, c(0.0f), w.slope[a]);
        return w;
    }
    static LANE_FN void fold(Mask<L> where, L& beyond, L& end, L& next) {
        const L zero = broadcast<L>(0.0f), w = select(where, beyond, zero);
        end = fma(broadcast<L>(2.0f), w, end);
        next = next - w;
        beyond = select(where, zero, beyond);
    }

    LANE_FN int point(int cell, int offset, int k) const {
        const int n = view.points[k], at = cell + offset - 1;
        if (view.periodic[k]) return at < 0 ? at + n : at >= n ? at - n : at;
        return at < 0 ? 0 : at >= n ? n - 1 : at;
    }
    LANE_FN L gather(const Weights (&w)[K], int a, int b) const {
        float values[kWidth<L>];
        for (int j = 0; j < kWidth<L>; ++j) {
            int at = point(w[0].cell[j], a, 0);
            if constexpr (K == 2) at = at * view.points[1] + point(w[1].cell[j], b, 1);
            values[j] = view.energy[at];
        }
        return load<L>(values, 0);
    }
};

// Of one or two collective variables, as they are at run time.
template <class L>
LANE_FN void grid_pull(const GridView& grid, int cvs, const L (&xi)[kMaxCvs], L (&pull)[kMaxCvs]) {
    if (cvs == 2) return GridBias<L, 2>(grid).pull(xi, pull);
    const L at[1] = {xi[0]};
    L one[1];
    GridBias<L, 1>(grid).pull(at, one);
    pull[0] = one[0];
}
template <class L>
LANE_FN L grid_energy(const GridView& grid, int cvs, const L (&xi)[kMaxCvs], L v) {
    if (cvs == 2) return GridBias<L, 2>(grid).energy(xi, v);
    const L at[1] = {xi[0]};
    return GridBias<L, 1>(grid).energy(at, v);
}

}  // namespace microlift
