#include "sampling/closure/cell_chain.h"

#include <algorithm>
#include <cmath>
#include <complex>

#include "engine/error.h"

namespace microlift {

namespace {

// The eigenvalues of a small real matrix by rows: its characteristic polynomial (Faddeev and
// LeVerrier), and all roots of that at once (Durand and Kerner).
std::vector<std::complex<double>> small_eigenvalues(const std::vector<double>& matrix, int n) {
    double scale = 0;
    for (const double v : matrix) scale = std::max(scale, std::fabs(v));
    if (!(scale > 0)) return std::vector<std::complex<double>>(static_cast<std::size_t>(n), 0.0);
    const auto entry = [n](int i, int j) { return static_cast<std::size_t>(i * n + j); };
    std::vector<double> a(matrix), m(matrix.size(), 0.0), c(static_cast<std::size_t>(n) + 1, 0.0);
    for (double& v : a) v /= scale;
    c[static_cast<std::size_t>(n)] = 1;
    for (int k = 1; k <= n; ++k) {
        std::vector<double> next(matrix.size(), 0.0);
        for (int i = 0; i < n; ++i)
            for (int j = 0; j < n; ++j) {
                for (int l = 0; l < n; ++l) next[entry(i, j)] += a[entry(i, l)] * m[entry(l, j)];
                if (i == j) next[entry(i, j)] += c[static_cast<std::size_t>(n - k + 1)];
            }
        m = next;
        double trace = 0;
        for (int i = 0; i < n; ++i)
            for (int l = 0; l < n; ++l) trace += a[entry(i, l)] * m[entry(l, i)];
        c[static_cast<std::size_t>(n - k)] = -trace / k;
    }
    std::vector<std::complex<double>> roots;
    for (int k = 0; k < n; ++k) roots.push_back(std::pow(std::complex<double>(0.4, 0.9), k));
    for (int round = 0; round < 400; ++round) {
        double change = 0;
        for (std::size_t k = 0; k < roots.size(); ++k) {
            std::complex<double> value = 1, others = 1;
            for (int i = n - 1; i >= 0; --i) value = value * roots[k] + c[static_cast<std::size_t>(i)];
            for (std::size_t l = 0; l < roots.size(); ++l)
                if (l != k) others *= roots[k] - roots[l];
            if (others == 0.0) others = 1e-300;
            roots[k] -= value / others;
            change = std::max(change, std::abs(value / others));
        }
        if (change < 1e-15) break;
    }
    for (auto& r : roots) r *= scale;
    return roots;
}

}  // namespace

double bernoulli(double x) {
    return std::fabs(x) < 1e-5 ? 1 - 0.5 * x : x / std::expm1(std::min(x, 700.0));
}

CellChain::CellChain(index cells, std::vector<Edge> edges, double slow)
    : size_(cells), slow_(slow), edges_(std::move(edges)) {
    for (const Edge& e : edges_) half_width_ = std::max(half_width_, std::abs(e.from - e.to));
}

void CellChain::Resolvent::apply(std::vector<double>& v) const {
    const auto centre = [&] {
        double mean = 0;
        for (std::size_t i = 0; i < v.size(); ++i) mean += pi[i] * v[i];
        for (double& x : v) x -= mean;
    };
    centre();
    factor.solve(v.data());
    centre();
}

CellChain::Resolvent CellChain::resolvent() const {
    Resolvent r;
    r.shift = 1e-7 * slow_;
    r.factor = BandMatrix(size_, half_width_);
    for (const Edge& e : edges_) {
        r.factor(e.from, e.to) -= e.weight * bernoulli(-e.force);
        r.factor(e.to, e.from) -= e.weight * bernoulli(e.force);
    }
    const auto n = static_cast<std::size_t>(size_);
    if (!r.factor.factor_generator(std::vector<double>(n, r.shift)))
        throw NumericError("closure: the generator has no inverse");
    r.pi.assign(n, 1.0 / static_cast<double>(n));
    for (int round = 0; round < 60; ++round) {
        std::vector<double> next = r.pi;
        r.factor.solve_transposed(next.data());
        double sum = 0, change = 0;
        for (const double p : next) sum += p;
        for (std::size_t i = 0; i < n; ++i) {
            next[i] /= sum;
            change += std::fabs(next[i] - r.pi[i]);
        }
        r.pi = std::move(next);
        if (change < 1e-12) break;
    }
    return r;
}

std::vector<double> CellChain::stationary() const { return resolvent().pi; }

std::vector<double> CellChain::rates(int count, std::vector<std::vector<double>> q) const {
    const Resolvent r = resolvent();
    const auto n = static_cast<std::size_t>(size_);
    const int block = static_cast<int>(q.size());
    const auto product = [&](const std::vector<double>& a, const std::vector<double>& b) {
        double sum = 0;
        for (std::size_t i = 0; i < n; ++i) sum += r.pi[i] * a[i] * b[i];
        return sum;
    };
    std::vector<double> found;
    for (int round = 0; round < 60; ++round) {
        for (std::size_t k = 0; k < q.size(); ++k) {
            for (std::size_t l = 0; l < k; ++l) {
                const double along = product(q[l], q[k]);
                for (std::size_t i = 0; i < n; ++i) q[k][i] -= along * q[l][i];
            }
            const double norm = std::sqrt(product(q[k], q[k]));
            for (double& v : q[k]) v /= norm > 0 ? norm : 1;
        }
        std::vector<std::vector<double>> next = q;
        std::vector<double> matrix;
        for (auto& v : next) r.apply(v);
        for (std::size_t k = 0; k < q.size(); ++k)
            for (std::size_t l = 0; l < q.size(); ++l) matrix.push_back(product(q[k], next[l]));
        std::vector<double> now;
        for (const std::complex<double>& mu : small_eigenvalues(matrix, block))
            now.push_back((1.0 / mu).real() - r.shift);
        std::sort(now.begin(), now.end());
        now.resize(static_cast<std::size_t>(std::min(count, block)));
        q = std::move(next);
        double change = round == 0 ? 1 : 0;
        for (std::size_t k = 0; k < found.size(); ++k)
            change = std::max(change, std::fabs(now[k] / found[k] - 1));
        found = now;
        if (change < 1e-7) break;
    }
    for (double& rate : found)
        if (!(rate > 0)) rate = std::nan("");
    return found;
}

std::vector<double> CellChain::slowest(std::vector<double> v) const {
    const Resolvent r = resolvent();
    for (int round = 0; round < 40; ++round) {
        r.apply(v);
        double norm = 0;
        for (std::size_t i = 0; i < v.size(); ++i) norm += r.pi[i] * v[i] * v[i];
        for (double& x : v) x /= std::sqrt(norm);
    }
    return v;
}

}  // namespace microlift
