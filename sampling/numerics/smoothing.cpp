#include "sampling/numerics/smoothing.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/error.h"
#include "sampling/numerics/band_matrix.h"
#include "sampling/numerics/statistics.h"

namespace microlift {

namespace {

constexpr int kProbes = 16;  // random signs that estimate the trace of a surface's smoother

// Squared errors; those that vanish would make the problem singular.
std::vector<double> usable_variances(const std::vector<double>& y, const std::vector<double>& se) {
    const double n = static_cast<double>(y.size());
    double usual = 0, size = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
        usual += se[i] * se[i] / n;
        size += y[i] * y[i] / n;
    }
    std::vector<double> variance;
    for (const double e : se)
        variance.push_back(std::max(e * e, 1e-10 * usual + 1e-14 * size + 1e-300));
    return variance;
}

}  // namespace

// --- curves ------------------------------------------------------------------------------------

SmoothingSpline::SmoothingSpline(std::vector<double> x, const std::vector<double>& y,
                                 const std::vector<double>& se, double lambda)
    : x_(std::move(x)), g_(y), second_(x_.size(), 0.0), lambda_(std::max(lambda, 0.0)) {
    const index n = static_cast<index>(x_.size()), m = n - 2;
    if (n < 2) throw InputError("smoothing: fewer than two points");
    if (m < 1) return;
    const std::vector<double> variance = usable_variances(y, se);
    std::vector<double> h(at(n - 1));
    for (index i = 0; i + 1 < n; ++i) h[at(i)] = x_[at(i + 1)] - x_[at(i)];
    // Column j of Q: 1/h_j, −1/h_j − 1/h_{j+1}, 1/h_{j+1} in rows j, j+1, j+2. R tridiagonal.
    const auto q = [&](index row, index j) {
        if (row == j) return 1 / h[at(j)];
        if (row == j + 1) return -1 / h[at(j)] - 1 / h[at(j + 1)];
        return row == j + 2 ? 1 / h[at(j + 1)] : 0.0;
    };
    std::vector<double> r(at(m * m), 0.0), qvq(at(m * m), 0.0), qy(at(m), 0.0);
    for (index j = 0; j < m; ++j) {
        r[at(j * m + j)] = (h[at(j)] + h[at(j + 1)]) / 3;
        if (j + 1 < m) r[at(j * m + j + 1)] = r[at((j + 1) * m + j)] = h[at(j + 1)] / 6;
        for (index k = std::max<index>(0, j - 2); k <= std::min(m - 1, j + 2); ++k)
            for (index i = std::max(j, k); i <= std::min(j, k) + 2; ++i)
                qvq[at(j * m + k)] += q(i, j) * variance[at(i)] * q(i, k);
        for (index i = j; i <= j + 2; ++i) qy[at(j)] += q(i, j) * y[at(i)];
    }
    // Residual of a fit: y − g = λ V Q γ, (R + λ QᵀVQ) γ = Qᵀy; tr(1 − A) = λ tr((R + λQᵀVQ)⁻¹ QᵀVQ).
    const auto fit = [&](double l, std::vector<double>& gamma, double* score) {
        std::vector<double> matrix(r);
        for (std::size_t i = 0; i < matrix.size(); ++i) matrix[i] += l * qvq[i];
        if (!cholesky_factor(matrix, m)) return false;
        gamma = qy;
        cholesky_solve(matrix, m, gamma.data(), 1);
        if (!score) return true;
        std::vector<double> product(qvq);
        cholesky_solve(matrix, m, product.data(), m);
        double trace = 0, residual = 0;
        for (index j = 0; j < m; ++j) trace += l * product[at(j * m + j)];
        for (index i = 0; i < n; ++i) {
            double d = 0;
            for (index j = std::max<index>(0, i - 2); j <= std::min(i, m - 1); ++j)
                d += q(i, j) * gamma[at(j)];
            residual += l * l * variance[at(i)] * d * d;
        }
        *score = residual + 2 * (static_cast<double>(n) - trace);
        return true;
    };
    std::vector<double> gamma;
    if (lambda < 0) {
        double trace_r = 0, trace_q = 0, best = 1e300;
        for (index j = 0; j < m; ++j) {
            trace_r += r[at(j * m + j)];
            trace_q += qvq[at(j * m + j)];
        }
        for (int e = -16; e <= 28; ++e) {
            const double l = trace_r / trace_q * std::pow(10.0, 0.25 * e);
            double score = 0;
            if (fit(l, gamma, &score) && score < best) {
                best = score;
                lambda_ = l;
            }
        }
    }
    if (!fit(lambda_, gamma, nullptr))
        throw NumericError("smoothing: the normal equations are singular");
    for (index i = 0; i < n; ++i)
        for (index j = std::max<index>(0, i - 2); j <= std::min(i, m - 1); ++j)
            g_[at(i)] -= lambda_ * variance[at(i)] * q(i, j) * gamma[at(j)];
    for (index j = 0; j < m; ++j) second_[at(j + 1)] = gamma[at(j)];
}

double SmoothingSpline::operator()(double x) const {
    const std::size_t n = x_.size();
    const auto slope = [&](std::size_t i, bool right) {  // at an end of interval i
        const double h = x_[i + 1] - x_[i], d = (g_[i + 1] - g_[i]) / h;
        return right ? d + h * (second_[i] + 2 * second_[i + 1]) / 6
                     : d - h * (2 * second_[i] + second_[i + 1]) / 6;
    };
    if (x <= x_[0]) return g_[0] + (x - x_[0]) * slope(0, false);
    if (x >= x_[n - 1]) return g_[n - 1] + (x - x_[n - 1]) * slope(n - 2, true);
    const std::size_t i =
        static_cast<std::size_t>(std::upper_bound(x_.begin(), x_.end(), x) - x_.begin()) - 1;
    const double h = x_[i + 1] - x_[i], a = (x_[i + 1] - x) / h, b = 1 - a;
    return a * g_[i] + b * g_[i + 1] +
           ((a * a * a - a) * second_[i] + (b * b * b - b) * second_[i + 1]) * h * h / 6;
}

SmoothingSpline SmoothingSpline::of_fifth_degree() const {
    constexpr std::size_t kParts = 8, kMost = 6;  // of an interval; knots of a polynomial
    const std::size_t n = x_.size(), used = std::min(kMost, n);
    std::vector<double> x, y;
    for (std::size_t i = 0; i + 1 < n; ++i)
        for (std::size_t part = 0; part < (i + 2 < n ? kParts : kParts + 1); ++part) {
            const double share = static_cast<double>(part) / static_cast<double>(kParts);
            const double at_x = x_[i] + share * (x_[i + 1] - x_[i]);
            const std::size_t first =
                std::min(n - used, i + 1 > used / 2 ? i + 1 - used / 2 : std::size_t{0});
            double sum = 0;
            for (std::size_t j = first; j < first + used; ++j) {
                double weight = 1;
                for (std::size_t k = first; k < first + used; ++k)
                    if (k != j) weight *= (at_x - x_[k]) / (x_[j] - x_[k]);
                sum += weight * g_[j];
            }
            x.push_back(at_x);
            y.push_back(sum);
        }
    return interpolating(std::move(x), std::move(y));
}

SmoothingSpline SmoothingSpline::interpolating(std::vector<double> x, std::vector<double> y) {
    SmoothingSpline s;
    s.x_ = std::move(x);
    s.g_ = std::move(y);
    const std::size_t n = s.x_.size();
    // R γ = Qᵀ g with γ = 0 at the ends.
    std::vector<double> sub(n, 0.0), diag(n, 1.0), super(n, 0.0);
    s.second_.assign(n, 0.0);
    for (std::size_t i = 1; i + 1 < n; ++i) {
        const double left = s.x_[i] - s.x_[i - 1], right = s.x_[i + 1] - s.x_[i];
        sub[i] = left / 6;
        diag[i] = (left + right) / 3;
        super[i] = right / 6;
        s.second_[i] = (s.g_[i + 1] - s.g_[i]) / right - (s.g_[i] - s.g_[i - 1]) / left;
    }
    solve_tridiagonal(sub, diag, super, s.second_);
    return s;
}

// --- surfaces ------------------------------------------------------------------------------------

// What the data's places and errors decide: N + λ P in factors, N = Bᵀ W B of the splines' values B.
struct SmoothingSurface::Fit {
    struct Row {  // the 4 × 4 splines that do not vanish at a place
        index first[2];
        double value[2][4];
    };
    Mesh mesh;
    std::vector<Row> rows;        // of the data
    std::vector<double> weight;   // 1/se²
    BandMatrix factor;

    index count(int k) const { return mesh.intervals[static_cast<std::size_t>(k)] + 3; }
    index coefficients() const { return count(0) * count(1); }

    Row row(const CvValue& x) const {
        Row r;
        for (std::size_t k = 0; k < 2; ++k) {
            const double cells = static_cast<double>(mesh.intervals[k]);
            const double t = std::clamp(
                cells * (x[k] - mesh.from[k]) / (mesh.to[k] - mesh.from[k]), 0.0, cells);
            r.first[k] = std::min(static_cast<index>(t), mesh.intervals[k] - 1);
            const double u = t - static_cast<double>(r.first[k]), v = 1 - u;
            r.value[k][0] = v * v * v / 6;
            r.value[k][1] = (4 - 6 * u * u + 3 * u * u * u) / 6;
            r.value[k][2] = (4 - 6 * v * v + 3 * v * v * v) / 6;
            r.value[k][3] = u * u * u / 6;
        }
        return r;
    }
    // f(coefficient, spline's value) over the splines of a row.
    template <class F>
    void each(const Row& r, const F& f) const {
        for (index a = 0; a < 4; ++a)
            for (index b = 0; b < 4; ++b)
                f((r.first[0] + a) * count(1) + r.first[1] + b, r.value[0][a] * r.value[1][b]);
    }
    double value(const Row& r, const std::vector<double>& c) const {
        double sum = 0;
        each(r, [&](index i, double v) { sum += v * c[at(i)]; });
        return sum;
    }
    // Bᵀ W y
    std::vector<double> gathered(const std::vector<double>& y) const {
        std::vector<double> b(at(coefficients()), 0.0);
        for (std::size_t j = 0; j < rows.size(); ++j)
            each(rows[j], [&](index i, double v) { b[at(i)] += weight[j] * v * y[j]; });
        return b;
    }
};

SmoothingSurface::SmoothingSurface(const Mesh& mesh, const std::vector<CvValue>& places,
                                   const std::vector<double>& y, const std::vector<double>& se,
                                   double lambda) {
    const auto fit = std::make_shared<Fit>();
    fit->mesh = mesh;
    for (const CvValue& x : places) fit->rows.push_back(fit->row(x));
    for (const double v : usable_variances(y, se)) fit->weight.push_back(1 / v);
    const index n = fit->coefficients(), across = fit->count(1), half = 3 * across + 3;
    BandMatrix normal(n, half), rough(n, half);
    for (std::size_t j = 0; j < fit->rows.size(); ++j)
        fit->each(fit->rows[j], [&](index i, double v) {
            fit->each(fit->rows[j],
                      [&](index k, double w) { normal(i, k) += fit->weight[j] * v * w; });
        });
    // Squared second differences along both axes, and twice the mixed one: as in a thin plate.
    const auto add_square = [&](const std::vector<std::pair<index, double>>& difference,
                                double factor) {
        for (const auto& [i, v] : difference)
            for (const auto& [k, w] : difference) rough(i, k) += factor * v * w;
    };
    for (index i = 0; i < fit->count(0); ++i)
        for (index j = 0; j < across; ++j) {
            const index here = i * across + j;
            if (i + 2 < fit->count(0))
                add_square({{here, 1}, {here + across, -2}, {here + 2 * across, 1}}, 1);
            if (j + 2 < across) add_square({{here, 1}, {here + 1, -2}, {here + 2, 1}}, 1);
            if (i + 1 < fit->count(0) && j + 1 < across)
                add_square({{here, 1}, {here + 1, -1}, {here + across, -1}, {here + across + 1, 1}},
                           2);
        }
    double trace_normal = 0, trace_rough = 0;
    for (index i = 0; i < n; ++i) {
        trace_normal += normal(i, i);
        trace_rough += rough(i, i);
    }
    const double usual = trace_normal / trace_rough;
    const auto factor = [&](double l) {
        BandMatrix sum(n, half);
        for (index i = 0; i < n; ++i)
            for (index k = std::max<index>(0, i - half); k <= std::min(n - 1, i + half); ++k)
                sum(i, k) = normal(i, k) + l * rough(i, k);
        if (!sum.factor()) throw NumericError("smoothing: the normal equations are singular");
        return sum;
    };
    const std::vector<double> right = fit->gathered(y);
    double chosen = std::max(lambda, 1e-4 * usual);
    if (lambda < 0) {
        // C_p = Σ residuals²/se² + 2 tr((N + λP)⁻¹ N), the trace as the mean of zᵀ(…)z over signs z.
        std::vector<std::vector<double>> probes, images;
        uint64 bits = 0x9E3779B97F4A7C15ull;
        for (int p = 0; p < kProbes; ++p) {
            std::vector<double> z(at(n)), image(at(n), 0.0);
            for (double& v : z) {
                bits ^= bits << 13;
                bits ^= bits >> 7;
                bits ^= bits << 17;
                v = bits >> 63 ? 1.0 : -1.0;
            }
            for (index i = 0; i < n; ++i)
                for (index k = std::max<index>(0, i - half); k <= std::min(n - 1, i + half); ++k)
                    image[at(i)] += normal(i, k) * z[at(k)];
            probes.push_back(std::move(z));
            images.push_back(std::move(image));
        }
        double best = 1e300;
        for (int e = -12; e <= 12; ++e) {
            const double l = usual * std::pow(10.0, 0.5 * e);
            const BandMatrix matrix = factor(l);
            std::vector<double> c = right;
            matrix.solve(c.data());
            double score = 0;
            for (std::size_t j = 0; j < fit->rows.size(); ++j) {
                const double d = y[j] - fit->value(fit->rows[j], c);
                score += fit->weight[j] * d * d;
            }
            for (int p = 0; p < kProbes; ++p) {
                std::vector<double> v = images[static_cast<std::size_t>(p)];
                matrix.solve(v.data());
                for (index i = 0; i < n; ++i)
                    score += 2 * v[at(i)] * probes[static_cast<std::size_t>(p)][at(i)] / kProbes;
            }
            if (score < best) {
                best = score;
                chosen = l;
            }
        }
    }
    fit->factor = factor(chosen);
    lambda_ = chosen;
    c_ = right;
    fit->factor.solve(c_.data());
    fit_ = fit;
}

SmoothingSurface SmoothingSurface::with(const std::vector<double>& y) const {
    SmoothingSurface other;
    other.fit_ = fit_;
    other.lambda_ = lambda_;
    other.c_ = fit_->gathered(y);
    fit_->factor.solve(other.c_.data());
    return other;
}

double SmoothingSurface::operator()(const CvValue& x) const {
    return fit_->value(fit_->row(x), c_);
}

}  // namespace microlift
