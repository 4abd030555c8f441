#include "sampling/numerics/band_matrix.h"

#include <algorithm>

#include "engine/stop.h"

namespace microlift {

namespace {

// Σ a[j] b[j] in eight sums of their own, joined in one order: as wide as the machine is, with the same bits.
double dot(const double* a, const double* b, index n) {
    constexpr index kSums = 8;
    double sum[kSums] = {};
    index j = 0;
    for (; j + kSums <= n; j += kSums)
        for (index k = 0; k < kSums; ++k) sum[k] += a[j + k] * b[j + k];
    for (index k = 0; j < n; ++j, ++k) sum[k] += a[j] * b[j];
    return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

}  // namespace

template <class F>
void BandMatrix::eliminate(index k, const F& also) {
    check_stop();
    const double* pivot = row_of(k);
    const index last = std::min(n_ - 1, k + half_);
    for (index i = k + 1; i <= last; ++i) {
        double* row = row_of(i) + (k - i);
        if (row[0] == 0) continue;
        const double f = row[0] / pivot[0];
        row[0] = f;
        for (index j = 1; j <= last - k; ++j) row[j] -= f * pivot[j];
        also(i, f);
    }
}

bool BandMatrix::factor() {
    for (index k = 0; k < n_; ++k) {
        if (!(row_of(k)[0] > 0)) return false;
        eliminate(k, [](index, double) {});
    }
    return true;
}

bool BandMatrix::factor_generator(std::vector<double> row_sum) {
    for (index k = 0; k < n_; ++k) {
        double* pivot = row_of(k);
        const double sum = row_sum[static_cast<std::size_t>(k)];
        pivot[0] = sum;
        for (index j = 1; j <= std::min(n_ - 1 - k, half_); ++j) pivot[0] -= pivot[j];
        if (!(pivot[0] > 0)) return false;
        eliminate(k, [&](index i, double f) { row_sum[static_cast<std::size_t>(i)] -= f * sum; });
    }
    return true;
}

void BandMatrix::solve(double* b) const {
    for (index i = 0; i < n_; ++i) {
        const index first = std::max<index>(0, i - half_);
        b[i] -= dot(row_of(i) + (first - i), b + first, i - first);
    }
    for (index i = n_; i-- > 0;) {
        const double* row = row_of(i);
        b[i] = (b[i] - dot(row + 1, b + i + 1, std::min(n_ - 1 - i, half_))) / row[0];
    }
}

void BandMatrix::solve_transposed(double* b) const {
    for (index i = 0; i < n_; ++i) {
        const double* row = row_of(i);
        b[i] /= row[0];
        for (index j = i + 1; j <= std::min(n_ - 1, i + half_); ++j) b[j] -= row[j - i] * b[i];
    }
    for (index i = n_; i-- > 0;) {
        const double* row = row_of(i);
        for (index j = std::max<index>(0, i - half_); j < i; ++j) b[j] -= row[j - i] * b[i];
    }
}

void solve_tridiagonal(const std::vector<double>& sub, std::vector<double> diag,
                       const std::vector<double>& super, std::vector<double>& b) {
    const std::size_t n = diag.size();
    for (std::size_t i = 1; i < n; ++i) {
        const double m = sub[i] / diag[i - 1];
        diag[i] -= m * super[i - 1];
        b[i] -= m * b[i - 1];
    }
    b[n - 1] /= diag[n - 1];
    for (std::size_t i = n - 1; i-- > 0;) b[i] = (b[i] - super[i] * b[i + 1]) / diag[i];
}

}  // namespace microlift
