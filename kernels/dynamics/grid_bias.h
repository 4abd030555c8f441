// A bias from a table: energies at the points of a grid of one or two collective variables, between them
// linear or cubic (Keys, IEEE Trans. Acoust. Speech Signal Process. 29 (1981) 1153). The pull is the
// derivative of that same interpolant, so that energy and force belong together. Each cell has the coefficients of its
// polynomial side by side: a trajectory reads 16 bytes of one variable, one line of the cache of two.
#pragma once

#include "kernels/dynamics/cv.h"

namespace microlift {

inline constexpr float kWholeShift = 12582912.0f;  // adding 1.5 · 2²³ rounds

// The greatest whole number ≤ x (at a whole number perhaps the one before), |x| < 2²².
template <class L>
LANE_FN L whole_part(L x) {
    const L shift = broadcast<L>(kWholeShift);
    return (x - broadcast<L>(0.5f) + shift) - shift;
}

// Of all trajectories of a launch. Points k of variable d lie at from + k / inverse_width; with a period
// the point after the last is the first again. Beyond the ends the energy stays as it is there.
struct GridView {
    // A polynomial for each cell between points, 4 numbers (of two variables 4 × 4) by cell_polynomial(); before the
    // first cell and after the last there is one more, of what lies beyond. (cells₀[, cells₁], 4[, 4]).
    const float* polynomials = nullptr;
    int points[kMaxCvs] = {1, 1};
    float from[kMaxCvs] = {}, inverse_width[kMaxCvs] = {1, 1};
    float length[kMaxCvs] = {}, inverse_length[kMaxCvs] = {};  // in cells
    bool periodic[kMaxCvs] = {};
    bool cubic = true;

    // Cells between points along variable k, and those that are stored.
    LANE_FN int cells(int k) const { return periodic[k] ? points[k] : points[k] - 1; }
    LANE_FN int stored_cells(int k) const { return cells(k) + 2; }
};
LANE_FN constexpr int polynomial_size(int cvs) { return cvs == 2 ? 16 : 4; }  // numbers of a cell's polynomial

// The bias of a table, for the time loops (bias.h).
template <class L, int K>
struct GridBias {
    using View = GridView;
    static constexpr bool holds = false;
    static constexpr bool of_launch = true;  // it knows of no trajectory of its own
    View view;

    LANE_FN explicit GridBias(const View& v, index = 0, int = kWidth<L>) : view(v) {}

    // v + U(ξ), and −∂U/∂ξ_k.
    LANE_FN L energy(const L (&xi)[K], L v) const {
        L u, pull[K];
        interpolate(xi, u, pull);
        return v + u;
    }
    // −∂U/∂ξ_k.
    LANE_FN void pull(const L (&xi)[K], L (&p)[K]) const {
        L u;  // nobody asks for it, so that it is not computed
        interpolate(xi, u, p);
    }

    // U and −∂U/∂ξ.
    LANE_FN void interpolate(const L (&xi)[K], L& u, L (&pull)[K]) const {
        const auto c = [](float a) { return broadcast<L>(a); };
        Uint<L> cell = as_uint(c(0.0f));
        L t[K];
LANE_UNROLL
        for (int k = 0; k < K; ++k) {
            if (k > 0) cell = cell * static_cast<uint32>(view.stored_cells(k));
            cell = cell + find(xi[k], k, t[k]);
        }
        if constexpr (K == 1) {
            // The coefficients of the pull, and the energy where t is 0.
            L p[4];
            load_fours(view.polynomials, cell, p);
            const L half = c(0.5f) * p[2], third = c(1.0f / 3.0f) * p[3];
            u = fma(-t[0] * c(1.0f / view.inverse_width[0]), fma(fma(third, t[0], half), t[0], p[1]), p[0]);
            pull[0] = fma(fma(p[3], t[0], p[2]), t[0], p[1]);
        } else {
            L row[4], row_slope[4];
            cell = cell * 4u;
LANE_UNROLL
            for (int a = 0; a < 4; ++a) {
                L p[4];
                load_fours(view.polynomials, cell + static_cast<uint32>(a), p);
                row[a] = fma(fma(fma(p[3], t[1], p[2]), t[1], p[1]), t[1], p[0]);
                row_slope[a] = slope(p, t[1]);
            }
            u = fma(fma(fma(row[3], t[0], row[2]), t[0], row[1]), t[0], row[0]);
            pull[0] = c(-view.inverse_width[0]) * slope(row, t[0]);
            pull[1] = c(-view.inverse_width[1]) *
                      fma(fma(fma(row_slope[3], t[0], row_slope[2]), t[0], row_slope[1]), t[0], row_slope[0]);
        }
    }

private:
    static LANE_FN L slope(const L (&p)[4], L t) {
        return fma(fma(broadcast<L>(3.0f) * p[3], t, p[2] + p[2]), t, p[1]);
    }
    // The number of the cell that ξ is in, and where there.
    LANE_FN Uint<L> find(L xi, int k, L& t) const {
        const auto c = [](float a) { return broadcast<L>(a); };
        L place = (xi - c(view.from[k])) * c(view.inverse_width[k]);
        if (view.periodic[k]) place = place - c(view.length[k]) * whole_part(place * c(view.inverse_length[k]));
        // Half a cell beyond either end stands for all that lies there, and for NaN.
        place = max(min(place, c(view.length[k] + 0.5f)), c(-0.5f));
        const L shift = c(kWholeShift), shifted = place - c(0.5f) + shift;
        t = place - (shifted - shift);
        return as_uint(shifted) - (as_uint(kWholeShift) - 1u);
    }
};

// The polynomial of a cell along one variable, of energies at the points before and after it and one more on either
// side: p is of the points clamped to the grid, or all round.
LANE_FN void line_polynomial(const GridView& grid, int k, int cell, double p0, double p1, double p2, double p3,
                             double (&c)[4]) {
    c[0] = p1;
    c[1] = c[2] = c[3] = 0.0;
    if (!grid.periodic[k]) {
        if (cell < 0 || cell >= grid.cells(k)) return;
        // The point beyond an end goes on as a line.
        if (cell == 0) p0 = p1 + (p1 - p2);
        if (cell == grid.cells(k) - 1) p3 = p2 + (p2 - p1);
    }
    if (!grid.cubic) {
        c[1] = p2 - p1;
        return;
    }
    c[1] = 0.5 * (p2 - p0);
    c[2] = (p0 - p1) + 2.0 * (p2 - p1) - 0.5 * (p3 - p1);
    c[3] = 0.5 * (p3 - p0) + 1.5 * (p1 - p2);
}

// A point along variable k, clamped to the grid, or all round.
LANE_FN int grid_point(const GridView& grid, int k, int at) {
    const int n = grid.points[k];
    if (grid.periodic[k]) return at < 0 ? at + n : at >= n ? at - n : at;
    return at < 0 ? 0 : at >= n ? n - 1 : at;
}

// What GridBias reads of stored cell j, from energy(point).
template <class Energy>
LANE_FN void cell_polynomial(const GridView& grid, int cvs, index j, const Energy& energy, float* out) {
    if (cvs == 1) {
        const int cell = static_cast<int>(j) - 1;
        double c[4];
        const auto at = [&](int offset) { return energy(index{grid_point(grid, 0, cell + offset)}); };
        line_polynomial(grid, 0, cell, at(-1), at(0), at(1), at(2), c);
        const double scale = -static_cast<double>(grid.inverse_width[0]);
        out[0] = static_cast<float>(c[0]);
        out[1] = static_cast<float>(scale * c[1]);
        out[2] = static_cast<float>(scale * (2.0 * c[2]));
        out[3] = static_cast<float>(scale * (3.0 * c[3]));
        return;
    }
    const index cells = grid.stored_cells(1);
    const int first = static_cast<int>(j / cells) - 1, second = static_cast<int>(j % cells) - 1;
    double row[4][4];
LANE_UNROLL
    for (int a = 0; a < 4; ++a) {
        const index line = index{grid_point(grid, 0, first + a - 1)} * grid.points[1];
        const auto at = [&](int offset) { return energy(line + grid_point(grid, 1, second + offset)); };
        line_polynomial(grid, 1, second, at(-1), at(0), at(1), at(2), row[a]);
    }
LANE_UNROLL
    for (int b = 0; b < 4; ++b) {
        double c[4];
        line_polynomial(grid, 0, first, row[0][b], row[1][b], row[2][b], row[3][b], c);
LANE_UNROLL
        for (int a = 0; a < 4; ++a) out[4 * a + b] = static_cast<float>(c[a]);
    }
}

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
