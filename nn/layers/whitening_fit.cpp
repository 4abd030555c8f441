#include "nn/layers/whitening_fit.h"

#include <algorithm>

#include "nn/layers/whitening_bodies.h"

namespace microlift {
namespace {

// The neighbour of knot (a, b) at an offset, or −1 beyond an end.
index neighbour(const WhiteningView& view, index a, index b, index step0, index step1) {
    index at[2] = {a + step0, b + step1};
    for (int k = 0; k < 2; ++k) {
        const index n = view.knots[k];
        if (view.wraps[k]) at[k] = (at[k] + n) % n;
        if (at[k] < 0 || at[k] >= n) return -1;
    }
    return at[0] * view.knots[1] + at[1];
}

// y = A x.
void apply(const WhiteningView& view, const std::vector<double>& table, index entry,
           const TableSmoothness& smoothness, const std::vector<double>& x, std::vector<double>& y) {
    std::fill(y.begin(), y.end(), 0.0);
    const auto u = [](index i) { return static_cast<std::size_t>(i); };
    for (index a = 0; a < view.knots[0]; ++a)
        for (index b = 0; b < view.knots[1]; ++b) {
            const index here = a * view.knots[1] + b;
            for (index s0 = -1; s0 <= 1; ++s0)
                for (index s1 = -1; s1 <= 1; ++s1) {
                    const index other = neighbour(view, a, b, s0, s1);
                    if (other >= 0)
                        y[u(here)] += table[u(here * entry + (s0 + 1) * 3 + s1 + 1)] * x[u(other)];
                }
            for (int axis = 0; axis < view.axes; ++axis) {
                const index before = neighbour(view, a, b, axis == 0 ? -1 : 0, axis == 1 ? -1 : 0);
                const index after = neighbour(view, a, b, axis == 0 ? 1 : 0, axis == 1 ? 1 : 0);
                if (after >= 0) {
                    const double d = smoothness.slope * (x[u(after)] - x[u(here)]);
                    y[u(after)] += d;
                    y[u(here)] -= d;
                }
                if (before >= 0 && after >= 0) {
                    const double d =
                        smoothness.curvature * (x[u(before)] - 2 * x[u(here)] + x[u(after)]);
                    y[u(before)] += d;
                    y[u(here)] -= 2 * d;
                    y[u(after)] += d;
                }
            }
            y[u(here)] += 1e-9 * x[u(here)];
        }
}

}  // namespace

// Conjugate gradients; the matrix is positive definite.
std::vector<double> fitted_table(const WhiteningView& view, const std::vector<double>& table,
                                 index entry, const TableSmoothness& smoothness,
                                 const std::vector<double>& right) {
    const std::size_t n = right.size();
    std::vector<double> x(n, 0.0), r = right, p = right, ap(n);
    const auto dot = [n](const std::vector<double>& a, const std::vector<double>& b) {
        double sum = 0;
        for (std::size_t i = 0; i < n; ++i) sum += a[i] * b[i];
        return sum;
    };
    double rr = dot(r, r);
    const double enough = 1e-28 * rr;
    for (int round = 0; round < 4000 && rr > enough; ++round) {
        apply(view, table, entry, smoothness, p, ap);
        const double alpha = rr / dot(p, ap);
        for (std::size_t i = 0; i < n; ++i) x[i] += alpha * p[i], r[i] -= alpha * ap[i];
        const double next = dot(r, r);
        for (std::size_t i = 0; i < n; ++i) p[i] = r[i] + next / rr * p[i];
        rr = next;
    }
    return x;
}

std::vector<double> neighbour_sums(const WhiteningView& view, const std::vector<double>& from,
                           index entry) {
    std::vector<double> out(from.size(), 0.0);
    for (index a = 0; a < view.knots[0]; ++a)
        for (index b = 0; b < view.knots[1]; ++b)
            for (index s0 = -1; s0 <= 1; ++s0)
                for (index s1 = -1; s1 <= 1; ++s1) {
                    const index other = neighbour(view, a, b, s0, s1);
                    if (other < 0) continue;
                    const double w = (s0 == 0 ? 0.5 : 0.25) * (s1 == 0 ? 0.5 : 0.25);
                    for (index e = 0; e < entry; ++e)
                        out[static_cast<std::size_t>((a * view.knots[1] + b) * entry + e)] +=
                            w * from[static_cast<std::size_t>(other * entry + e)];
                }
    return out;
}

}  // namespace microlift
