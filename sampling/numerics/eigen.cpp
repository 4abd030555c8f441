#include "sampling/numerics/eigen.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/error.h"
#include "engine/stop.h"

namespace microlift {

namespace {

constexpr int kBlocks = 8;  // of one Krylov space
constexpr index kWidth2 = kEigenBlock * kEigenBlock;

// Householder reduction to tridiagonal form, then the QL iteration with implicit shifts (Bowdler,
// Martin, Reinsch and Wilkinson, Numer. Math. 11 (1968) 293; tred2 and tql2 of EISPACK). v holds the transpose of EISPACK's z: its rows become the
// eigenvectors.
struct SymmetricQl {
    int n;
    std::vector<double> v, d, e;

    SymmetricQl(int size, std::vector<double> a)
        : n(size), v(std::move(a)), d(static_cast<std::size_t>(n)), e(d.size(), 0.0) {}

    std::size_t at(int i, int j) const {
        return static_cast<std::size_t>(i) * static_cast<std::size_t>(n) +
               static_cast<std::size_t>(j);
    }
    double& D(int i) { return d[static_cast<std::size_t>(i)]; }
    double& E(int i) { return e[static_cast<std::size_t>(i)]; }
    double& V(int i, int j) { return v[at(j, i)]; }

    // Householder reflections to a tridiagonal matrix, and their product in v.
    void tridiagonalise() {
        for (int j = 0; j < n; ++j) D(j) = V(n - 1, j);
        for (int i = n - 1; i > 0; --i) {
            check_stop();
            double scale = 0, h = 0;
            for (int k = 0; k < i; ++k) scale += std::abs(D(k));
            if (scale == 0) {
                E(i) = D(i - 1);
                for (int j = 0; j < i; ++j) {
                    D(j) = V(i - 1, j);
                    V(i, j) = V(j, i) = 0;
                }
            } else {
                for (int k = 0; k < i; ++k) {
                    D(k) /= scale;
                    h += D(k) * D(k);
                }
                const double f0 = D(i - 1), g0 = f0 > 0 ? -std::sqrt(h) : std::sqrt(h);
                E(i) = scale * g0;
                h -= f0 * g0;
                D(i - 1) = f0 - g0;
                for (int j = 0; j < i; ++j) E(j) = 0;
                for (int j = 0; j < i; ++j) {
                    const double f = D(j);
                    V(j, i) = f;
                    double g = E(j) + V(j, j) * f;
                    for (int k = j + 1; k < i; ++k) {
                        g += V(k, j) * D(k);
                        E(k) += V(k, j) * f;
                    }
                    E(j) = g;
                }
                double f = 0;
                for (int j = 0; j < i; ++j) {
                    E(j) /= h;
                    f += E(j) * D(j);
                }
                const double hh = f / (h + h);
                for (int j = 0; j < i; ++j) E(j) -= hh * D(j);
                for (int j = 0; j < i; ++j) {
                    for (int k = j; k < i; ++k) V(k, j) -= D(j) * E(k) + E(j) * D(k);
                    D(j) = V(i - 1, j);
                    V(i, j) = 0;
                }
            }
            D(i) = h;
        }
        accumulate();
    }

    void accumulate() {
        for (int i = 0; i < n - 1; ++i) {
            check_stop();
            V(n - 1, i) = V(i, i);
            V(i, i) = 1;
            const double h = D(i + 1);
            if (h != 0) {
                for (int k = 0; k <= i; ++k) D(k) = V(k, i + 1) / h;
                for (int j = 0; j <= i; ++j) {
                    double g = 0;
                    for (int k = 0; k <= i; ++k) g += V(k, i + 1) * V(k, j);
                    for (int k = 0; k <= i; ++k) V(k, j) -= g * D(k);
                }
            }
            for (int k = 0; k <= i; ++k) V(k, i + 1) = 0;
        }
        for (int j = 0; j < n; ++j) {
            D(j) = V(n - 1, j);
            V(n - 1, j) = 0;
        }
        V(n - 1, n - 1) = 1;
    }

    // Implicit QL steps, each eigenvalue in turn.
    void diagonalise() {
        for (int i = 1; i < n; ++i) E(i - 1) = E(i);
        E(n - 1) = 0;
        double f = 0, largest = 0;
        for (int l = 0; l < n; ++l) {
            largest = std::max(largest, std::abs(D(l)) + std::abs(E(l)));
            int m = l;
            while (m < n - 1 && std::abs(E(m)) > 0x1p-52 * largest) ++m;
            for (int iteration = 0; m > l && iteration < 200; ++iteration) {
                check_stop();
                double g = D(l), p = (D(l + 1) - g) / (2 * E(l)), r = std::hypot(p, 1.0);
                if (p < 0) r = -r;
                D(l) = E(l) / (p + r);
                D(l + 1) = E(l) * (p + r);
                const double dl1 = D(l + 1);
                double h = g - D(l);
                for (int i = l + 2; i < n; ++i) D(i) -= h;
                f += h;
                p = D(m);
                double c = 1, c2 = c, c3 = c, s = 0, s2 = 0;
                const double el1 = E(l + 1);
                for (int i = m - 1; i >= l; --i) {
                    c3 = c2;
                    c2 = c;
                    s2 = s;
                    g = c * E(i);
                    h = c * p;
                    r = std::hypot(p, E(i));
                    E(i + 1) = s * r;
                    s = E(i) / r;
                    c = p / r;
                    p = c * D(i) - s * g;
                    D(i + 1) = h + s * (c * g + s * D(i));
                    for (int k = 0; k < n; ++k) {
                        h = V(k, i + 1);
                        V(k, i + 1) = s * V(k, i) + c * h;
                        V(k, i) = c * V(k, i) - s * h;
                    }
                }
                p = -s * s2 * c3 * el1 * E(l) / dl1;
                E(l) = s * p;
                D(l) = c * p;
                if (std::abs(E(l)) <= 0x1p-52 * largest) break;
            }
            D(l) += f;
            E(l) = 0;
        }
    }
};

}  // namespace

DenseEigen eigen_symmetric(int n, std::vector<double> a) {
    SymmetricQl ql(n, std::move(a));
    ql.tridiagonalise();
    ql.diagonalise();
    std::vector<int> order(static_cast<std::size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int i, int j) { return ql.D(i) > ql.D(j); });
    DenseEigen result;
    for (const int i : order) {
        result.values.push_back(ql.D(i));
        result.vectors.insert(result.vectors.end(), ql.v.begin() + static_cast<long>(ql.at(i, 0)),
                              ql.v.begin() + static_cast<long>(ql.at(i, 0)) + n);
    }
    return result;
}

bool solve_positive(int n, std::vector<double>& a, std::vector<double>& b, int columns) {
    const auto at = [n](int i, int j) {
        return static_cast<std::size_t>(i) * static_cast<std::size_t>(n) +
               static_cast<std::size_t>(j);
    };
    for (int j = 0; j < n; ++j) {
        check_stop();
        double pivot = a[at(j, j)];
        for (int k = 0; k < j; ++k) pivot -= a[at(j, k)] * a[at(j, k)];
        if (!(pivot > 1e-14 * a[at(j, j)])) return false;
        a[at(j, j)] = std::sqrt(pivot);
        for (int i = j + 1; i < n; ++i) {
            double value = a[at(i, j)];
            for (int k = 0; k < j; ++k) value -= a[at(i, k)] * a[at(j, k)];
            a[at(i, j)] = value / a[at(j, j)];
        }
    }
    for (int c = 0; c < columns; ++c) {
        double* x = b.data() + at(c, 0);
        for (int i = 0; i < n; ++i) {
            for (int k = 0; k < i; ++k) x[i] -= a[at(i, k)] * x[k];
            x[i] /= a[at(i, i)];
        }
        for (int i = n - 1; i >= 0; --i) {
            for (int k = i + 1; k < n; ++k) x[i] -= a[at(k, i)] * x[k];
            x[i] /= a[at(i, i)];
        }
    }
    return true;
}

namespace {

class BlockKrylov {
public:
    BlockKrylov(Stream& stream, index n, int wanted,
                const std::function<void(Span<const double>, Span<double>)>& apply,
                const EigenOptions& options)
        : stream_(stream),
          n_(n),
          wanted_(wanted),
          apply_(apply),
          options_(options),
          blocks_(static_cast<int>(std::clamp<index>(n / kEigenBlock, 1, kBlocks))),
          basis_(stream.device(), blocks_ * n * kEigenBlock),
          image_(stream.device(), blocks_ * n * kEigenBlock),
          y_(stream.device(), n * kEigenBlock),
          ay_(stream.device(), n * kEigenBlock),
          gram_(stream.device(), kWidth2),
          theta_(stream.device(), kEigenBlock),
          z_(stream.device(), blocks_ * kWidth2),
          scratch_(stream.device(), gram_scratch(n)) {}

    LeadingPairs solve(Span<const double> start) {
        LeadingPairs result;
        fill_eigen_block(stream_, n_, start, block(basis_, 0));
        orthonormalise(block(basis_, 0));
        orthonormalise(block(basis_, 0));
        multiply(0, result);
        double best = 1e300;
        int idle = 0;
        // Enough blocks for the wanted pairs: what is kept of a cycle is one block, or several.
        const int keep = (wanted_ + kEigenBlock - 1) / kEigenBlock;
        int have = 1;
        for (int cycle = 0; cycle < options_.max_cycles; ++cycle) {
            for (int s = have; s < blocks_; ++s) {
                const Span<double> next = block(basis_, s);
                copy(stream_, next, Span<const double>(block(image_, s - 1)));
                for (int pass = 0; pass < 2; ++pass) {
                    for (int r = 0; r < s; ++r) project_out(block(basis_, r), next);
                    orthonormalise(next);
                }
                multiply(s, result);
            }
            ritz(result);
            if (result.residual <= options_.tolerance) {
                result.converged = true;
                break;
            }
            // Rounding ends the progress of a float operator somewhat above its precision.
            idle = result.residual < 0.5 * best ? 0 : idle + 1;
            best = std::min(best, result.residual);
            if (idle >= 4 && best <= 30 * options_.tolerance) {
                result.converged = true;
                break;
            }
            if (blocks_ <= keep) break;  // the whole space: nothing is left to improve
            have = keep;
        }
        return result;
    }

private:
    Span<double> block(Buffer<double>& all, int s) {
        return all.span().subspan(s * n_ * kEigenBlock, n_ * kEigenBlock);
    }

    std::vector<double> gram(Span<const double> q, Span<const double> w) {
        block_gram(stream_, n_, q, w, gram_.span(), scratch_.span());
        std::vector<double> g(static_cast<std::size_t>(kWidth2));
        copy_to_host(stream_, g.data(), Span<const double>(gram_.span()));
        return g;
    }

    void project_out(Span<const double> q, Span<double> w) {
        block_gram(stream_, n_, q, w, gram_.span(), scratch_.span());
        block_subtract(stream_, n_, q, gram_.span(), w);
    }

    // Orthonormal columns with the same span, by the inverse square root's triangular cousin: the
    // inverse Cholesky factor of the Gram matrix. A column without a direction of its own becomes
    // 0.
    void orthonormalise(Span<double> w) {
        const std::vector<double> g = gram(w, w);
        constexpr int W = kEigenBlock;
        double r[W][W] = {}, inverse[W][W] = {};  // g = rᵀ r, r upper
        for (int j = 0; j < W; ++j) {
            double pivot = g[static_cast<std::size_t>(j * W + j)];
            const double size = pivot;
            for (int k = 0; k < j; ++k) pivot -= r[k][j] * r[k][j];
            if (!(pivot > 1e-14 * size) || !(size > 0)) continue;
            r[j][j] = std::sqrt(pivot);
            for (int c = j + 1; c < W; ++c) {
                double value = g[static_cast<std::size_t>(j * W + c)];
                for (int k = 0; k < j; ++k) value -= r[k][j] * r[k][c];
                r[j][c] = value / r[j][j];
            }
        }
        for (int c = 0; c < W; ++c) {
            if (r[c][c] == 0) continue;
            inverse[c][c] = 1 / r[c][c];
            for (int j = c - 1; j >= 0; --j) {
                if (r[j][j] == 0) continue;
                double value = 0;
                for (int k = j + 1; k <= c; ++k) value += r[j][k] * inverse[k][c];
                inverse[j][c] = -value / r[j][j];
            }
        }
        copy_to_device(stream_, z_.span().subspan(0, kWidth2), &inverse[0][0]);
        block_combine(stream_, n_, 1, w, z_.span(), y_.span());
        copy(stream_, w, Span<const double>(y_.span()));
    }

    void multiply(int s, LeadingPairs& result) {
        apply_(block(basis_, s), block(image_, s));
        ++result.products;
    }

    void ritz(LeadingPairs& result) {
        const int m = blocks_ * kEigenBlock;
        std::vector<double> t(static_cast<std::size_t>(m) * static_cast<std::size_t>(m));
        for (int r = 0; r < blocks_; ++r)
            for (int s = r; s < blocks_; ++s) {
                const std::vector<double> g = gram(block(basis_, r), block(image_, s));
                for (int a = 0; a < kEigenBlock; ++a)
                    for (int b = 0; b < kEigenBlock; ++b) {
                        const auto i = static_cast<std::size_t>(r * kEigenBlock + a);
                        const auto j = static_cast<std::size_t>(s * kEigenBlock + b);
                        const double value = g[static_cast<std::size_t>(a * kEigenBlock + b)];
                        t[i * static_cast<std::size_t>(m) + j] = value;
                        t[j * static_cast<std::size_t>(m) + i] = value;
                    }
            }
        const DenseEigen e = eigen_symmetric(m, std::move(t));
        result.values.assign(e.values.begin(), e.values.begin() + wanted_);
        result.vectors.resize(static_cast<std::size_t>(wanted_) * static_cast<std::size_t>(n_));
        result.residual = 0;
        const int keep = (wanted_ + kEigenBlock - 1) / kEigenBlock;
        Buffer<double> kept(stream_.device(), 2 * keep * n_ * kEigenBlock);
        std::vector<double> z(static_cast<std::size_t>(blocks_ * kWidth2));
        for (int g = 0; g < keep; ++g) {
            for (int i = 0; i < m; ++i)
                for (int b = 0; b < kEigenBlock; ++b)
                    z[static_cast<std::size_t>(i * kEigenBlock + b)] =
                        e.vectors[static_cast<std::size_t>((g * kEigenBlock + b) * m + i)];
            copy_to_device(stream_, z_.span(), z.data());
            const Span<double> y = kept.span().subspan(g * n_ * kEigenBlock, n_ * kEigenBlock);
            const Span<double> ay =
                kept.span().subspan((keep + g) * n_ * kEigenBlock, n_ * kEigenBlock);
            block_combine(stream_, n_, blocks_, basis_.span(), z_.span(), y);
            block_combine(stream_, n_, blocks_, image_.span(), z_.span(), ay);
            copy_to_device(stream_, theta_.span(), e.values.data() + g * kEigenBlock);
            block_residual(stream_, n_, ay, y, theta_.span(), ay_.span());
            const std::vector<double> norms = gram(ay_.span(), ay_.span());
            std::vector<double> host(static_cast<std::size_t>(n_ * kEigenBlock));
            copy_to_host(stream_, host.data(), Span<const double>(y));
            for (int b = 0; b < kEigenBlock && g * kEigenBlock + b < wanted_; ++b) {
                result.residual =
                    std::max(result.residual,
                             std::sqrt(norms[static_cast<std::size_t>(b * kEigenBlock + b)]));
                double* out =
                    result.vectors.data() + static_cast<std::size_t>((g * kEigenBlock + b) * n_);
                for (index i = 0; i < n_; ++i)
                    out[i] = host[static_cast<std::size_t>(i * kEigenBlock + b)];
            }
        }
        for (int g = 0; g < keep; ++g) {
            copy(stream_, block(basis_, g),
                 Span<const double>(kept.span().subspan(g * n_ * kEigenBlock, n_ * kEigenBlock)));
            copy(stream_, block(image_, g),
                 Span<const double>(
                     kept.span().subspan((keep + g) * n_ * kEigenBlock, n_ * kEigenBlock)));
        }
        stream_.synchronize();
    }

    Stream& stream_;
    index n_;
    int wanted_;
    const std::function<void(Span<const double>, Span<double>)>& apply_;
    EigenOptions options_;
    int blocks_;
    Buffer<double> basis_, image_, y_, ay_, gram_, theta_, z_, scratch_;
};

}  // namespace

LeadingPairs leading_eigenpairs(Stream& stream, index n, int wanted,
                                const std::function<void(Span<const double>, Span<double>)>& apply,
                                Span<const double> start, const EigenOptions& options) {
    constexpr int kMost = kEigenBlock * kBlocks / 2;
    if (wanted < 1 || wanted > kMost)
        throw InputError("eigenproblem: " + std::to_string(wanted) +
                         " pairs were asked for; give 1 to " + std::to_string(kMost));
    // Below two blocks the Krylov space is the space itself and rounding spoils its basis.
    if (n < 4 * kEigenBlock || n < 2 * wanted)
        throw InputError("eigenproblem: " + std::to_string(n) +
                         " samples are too few; give at least " +
                         std::to_string(std::max(4 * kEigenBlock, 2 * wanted)));
    BlockKrylov solver(stream, n, wanted, apply, options);
    return solver.solve(start);
}

}  // namespace microlift
