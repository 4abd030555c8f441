// Displacements of a reduced model over a lag: by the backward equation, or by Euler–Maruyama steps.
#include <algorithm>
#include <array>
#include <cmath>

#include "engine/at.h"
#include "sampling/closure/reduced.h"
#include "sampling/numerics/band_matrix.h"

namespace microlift {

namespace {

constexpr index kMeshCells = 480;       // of the mesh, wider than the model
constexpr index kMostChained = 64;  // steps; more are as good as continuous, once corrected

// Points and weights of Gauss and Hermite for a normal deviate: exact to the ninth power.
constexpr double kNodes[5] = {-2.8569700138728056, -1.3556261799742659, 0, 1.3556261799742659,
                              2.8569700138728056};
constexpr double kWeights[5] = {0.011257411327720689, 0.22207592200561264, 0.53333333333333333,
                                0.22207592200561264, 0.011257411327720689};

// Four points of a mesh that starts at `low` and the Lagrange weights of x between them.
struct Interpolation {
    std::size_t first;
    std::array<double, 4> weight;

    Interpolation(double x, double low, double h, std::size_t n) {
        const double t = (x - low) / h;
        const std::size_t i = std::min(static_cast<std::size_t>(std::max(t, 1.0)), n - 3);
        const double f = t - static_cast<double>(i);
        first = i - 1;
        weight = {-f * (f - 1) * (f - 2) / 6, (f + 1) * (f - 1) * (f - 2) / 2,
                  -(f + 1) * f * (f - 2) / 2, (f + 1) * f * (f - 1) / 6};
    }
    double operator()(const std::vector<double>& values) const {
        double sum = 0;
        for (std::size_t k = 0; k < 4; ++k) sum += weight[k] * values[first + k];
        return sum;
    }
};

// b and D on a mesh.
struct Mesh {
    double low, h;
    std::vector<double> x, b, d;
};

// The coefficients whose continuous motion has the first two moments of Euler–Maruyama steps of size dt,
// to second order in it: b − dt/2 (bb′ + Db″) and D − dt/2 (2Db′ + bD′ + DD″).
void correct_for_steps(Mesh& m, double dt) {
    const std::vector<double> b = m.b, d = m.d;
    for (std::size_t i = 1; i + 1 < b.size(); ++i) {
        const double b1 = (b[i + 1] - b[i - 1]) / (2 * m.h), d1 = (d[i + 1] - d[i - 1]) / (2 * m.h);
        const double b2 = (b[i + 1] - 2 * b[i] + b[i - 1]) / (m.h * m.h);
        const double d2 = (d[i + 1] - 2 * d[i] + d[i - 1]) / (m.h * m.h);
        m.b[i] -= 0.5 * dt * (b[i] * b1 + d[i] * b2);
        m.d[i] = std::max(0.5 * d[i], d[i] - 0.5 * dt * (2 * d[i] * b1 + b[i] * d1 + d[i] * d2));
    }
}

// Functions u of ξ become E[u(ξ(τ)) | ξ(0)].
void chain(const Mesh& m, double dt, index steps, std::array<std::vector<double>, 2>& functions) {
    const std::size_t n = m.x.size();
    std::vector<Interpolation> ends;
    for (std::size_t i = 0; i < n; ++i)
        for (const double node : kNodes)
            ends.emplace_back(m.x[i] + m.b[i] * dt + std::sqrt(2 * m.d[i] * dt) * node, m.low, m.h, n);
    std::vector<double> next(n);
    for (index k = 0; k < steps; ++k)
        for (std::vector<double>& f : functions) {
            for (std::size_t i = 0; i < n; ++i) {
                next[i] = 0;
                for (std::size_t q = 0; q < 5; ++q) next[i] += kWeights[q] * ends[5 * i + q](f);
            }
            f.swap(next);
        }
}

// The same in continuous time: L u = b u′ + D u″ by Crank–Nicolson; at the two ends u″ = 0.
void diffuse(const Mesh& m, double tau, std::array<std::vector<double>, 2>& functions) {
    const std::size_t n = m.x.size();
    std::vector<double> sub(n), diag(n), super(n), lower(n), middle(n), upper(n), rhs(n);
    constexpr int kSteps = 48;
    const double s = 0.5 * tau / kSteps;
    for (std::size_t i = 0; i < n; ++i) {
        const double b = m.b[i], d = m.d[i] / (m.h * m.h);
        const bool first = i == 0, last = i + 1 == n;
        sub[i] = first ? 0.0 : last ? -b / m.h : d - 0.5 * b / m.h;
        super[i] = last ? 0.0 : first ? b / m.h : d + 0.5 * b / m.h;
        diag[i] = -sub[i] - super[i];
        lower[i] = -s * sub[i];
        middle[i] = 1 - s * diag[i];
        upper[i] = -s * super[i];
    }
    for (int k = 0; k < kSteps; ++k)
        for (std::vector<double>& f : functions) {
            for (std::size_t i = 0; i < n; ++i)
                rhs[i] = f[i] + s * (diag[i] * f[i] + (i > 0 ? sub[i] * f[i - 1] : 0.0) +
                                     (i + 1 < n ? super[i] * f[i + 1] : 0.0));
            solve_tridiagonal(lower, middle, upper, rhs);
            f.swap(rhs);
        }
}

}  // namespace

void ReducedModel::displacement(const std::vector<double>& start, double tau,
                                std::vector<double>& mean, std::vector<double>& variance,
                                index steps) const {
    double most = 0;
    for (double d : d_) most = std::max(most, d);
    const double margin = std::min(5 * std::sqrt(2 * most * tau), to_ - from_);
    Mesh m{from_ - margin, (to_ - from_ + 2 * margin) / kMeshCells, {}, {}, {}};
    std::array<std::vector<double>, 2> functions;  // x and x²
    for (index i = 0; i <= kMeshCells; ++i) {
        const double x = m.low + m.h * static_cast<double>(i);
        // Beyond the ends a drift that would drive outward is held.
        double b = drift(x);
        if ((x > to_ && b > 0) || (x < from_ && b < 0)) b = drift(std::clamp(x, from_, to_));
        m.x.push_back(x);
        m.b.push_back(b);
        m.d.push_back(diffusion(x));
        functions[0].push_back(x);
        functions[1].push_back(x * x);
    }
    const double dt = steps > 0 ? tau / static_cast<double>(steps) : 0.0;
    if (steps > 0 && steps <= kMostChained) {
        chain(m, dt, steps, functions);
    } else {
        if (steps > 0) correct_for_steps(m, dt);
        diffuse(m, tau, functions);
    }
    mean.resize(start.size());
    variance.resize(start.size());
    for (std::size_t j = 0; j < start.size(); ++j) {
        const Interpolation at_start(start[j], m.low, m.h, m.x.size());
        const double first = at_start(functions[0]);
        mean[j] = first - start[j];
        variance[j] = at_start(functions[1]) - first * first;
    }
}

// --- how far the ends and the mesh can be trusted ------------------------------------------------

std::vector<double> ReducedModel::unit_noise_lengths() const {
    std::vector<double> s{0};
    for (std::size_t i = 1; i < d_.size(); ++i)
        s.push_back(s.back() + 0.5 * width_ * (1 / std::sqrt(d_[i - 1]) + 1 / std::sqrt(d_[i])));
    return s;
}

ReducedModel ReducedModel::beyond_ends() const {
    constexpr double kEnough = 30;  // kT above the end, where next to nothing is
    ReducedModel m = *this;
    if (ring()) return m;
    // Where noise is 1 everywhere, at s = ∫ dx/√D, the potential is Φ + ½ ln D. Its slope goes on as a line,
    // through the slopes of two layers: a density's slope at a place is mostly noise or structure.
    const std::vector<double> s = unit_noise_lengths();
    const double layer = (reversible_ ? 0.1 : 0.01) * s.back();
    const auto potential_at = [&](double length) {
        const auto above = std::lower_bound(s.begin() + 1, s.end() - 1, length);
        const double part = (length - above[-1]) / (above[0] - above[-1]);
        const double x = from_ + width_ * (static_cast<double>(above - s.begin()) - 1 + part);
        return cumulative(potential_, x) + 0.5 * std::log(cumulative(d_, x));
    };
    // Φ beyond an end, where D is held, in steps of the mesh; a range at most.
    const auto beyond = [&](double sign) {
        const double length = sign > 0 ? s.back() : 0.0;
        const double root = std::sqrt(sign > 0 ? d_.back() : d_.front());
        const auto at_layer = [&](double k) { return potential_at(length - sign * k * layer); };
        const double outer = (at_layer(0) - at_layer(1)) / layer, inner = (at_layer(1) - at_layer(2)) / layer;
        const auto force = [&](double x) {
            return -(outer + (outer - inner) * (0.5 + x / root / layer)) / root;
        };
        std::vector<double> phi;
        const double edge = force(0);
        double last = sign > 0 ? potential_.back() : potential_.front(), at_end = last, before = edge;
        while (edge < 0 && last - at_end < kEnough && std::ssize(phi) < points_) {
            const double now = std::min(force(width_ * static_cast<double>(phi.size() + 1)), edge);
            last -= 0.5 * width_ * (before + now);
            before = now;
            phi.push_back(last);
        }
        return phi;
    };
    const std::vector<double> left = beyond(-1), right = beyond(1);
    m.potential_.insert(m.potential_.end(), right.begin(), right.end());
    m.potential_.insert(m.potential_.begin(), left.rbegin(), left.rend());
    m.d_.insert(m.d_.end(), right.size(), d_.back());
    m.d_.insert(m.d_.begin(), left.size(), d_.front());
    m.from_ -= width_ * static_cast<double>(left.size());
    m.to_ += width_ * static_cast<double>(right.size());
    m.points_ = static_cast<index>(m.potential_.size());
    m.cells_ = 2 * (cells_ * (m.points_ - 1) / (points_ - 1) / 2);  // which halve
    m.integrate();
    return m;
}

ReducedModel ReducedModel::with_finer_curves() const {
    ReducedModel m = *this;
    m.drift_ = drift_.of_fifth_degree();
    m.log_diffusion_ = log_diffusion_.of_fifth_degree();
    m.tabulate();
    return m;
}

ReducedModel ReducedModel::coarser() const {
    ReducedModel m = *this;
    m.points_ = (points_ - 1) / 2 + 1;
    m.cells_ = cells_ / 2;
    if (!reversible_) {
        m.tabulate();
        return m;
    }
    for (index i = 0; i < m.points_; ++i) {
        m.potential_[at(i)] = potential_[at(2 * i)];
        m.d_[at(i)] = d_[at(2 * i)];
    }
    m.potential_.resize(at(m.points_));
    m.d_.resize(at(m.points_));
    m.width_ = 2 * width_;
    m.integrate();
    return m;
}

}  // namespace microlift
