#include "sampling/numerics/statistics.h"

#include <cmath>
#include <limits>

#include "engine/stop.h"

namespace microlift {

double statistical_inefficiency(const double* series, index samples, index replicas) {
    if (samples < 2 || replicas < 1) return 1.0;
    const index n = samples * replicas;
    double mean = 0.0;
    for (index i = 0; i < n; ++i) mean += series[i];
    mean /= static_cast<double>(n);
    const auto covariance = [&](index lag) {
        check_stop();
        double sum = 0.0;
        for (index i = 0; i < n - lag * replicas; ++i)
            sum += (series[i] - mean) * (series[i + lag * replicas] - mean);
        return sum / static_cast<double>(n - lag * replicas);
    };
    const double variance = covariance(0);
    if (!(variance > 0.0)) return 1.0;
    return inefficiency_from_correlation(samples,
                                         [&](index lag) { return covariance(lag) / variance; });
}

double student_factor(index blocks) {
    if (blocks < kLeastBlocks) return std::numeric_limits<double>::quiet_NaN();
    return blocks < kManyBlocks ? 0.5 * t_of_normal(2.0, static_cast<double>(blocks - 1)) : 1.0;
}

double influence_error(const double* influence, index blocks, index stride) {
    const double factor = student_factor(blocks);
    if (std::isnan(factor)) return factor;
    double sum = 0.0;
    for (index g = 0; g < blocks; ++g) sum += influence[g * stride] * influence[g * stride];
    return factor * std::sqrt(sum * static_cast<double>(blocks) / static_cast<double>(blocks - 1));
}

void jackknife_influence(double* leave_one_out, index blocks, index stride) {
    double mean = 0.0;
    for (index g = 0; g < blocks; ++g) mean += leave_one_out[g * stride];
    mean /= static_cast<double>(blocks);
    const double scale = static_cast<double>(blocks - 1) / static_cast<double>(blocks);
    for (index g = 0; g < blocks; ++g)
        leave_one_out[g * stride] = (mean - leave_one_out[g * stride]) * scale;
}

double jackknife_error(std::vector<double> leave_one_out) {
    const auto blocks = static_cast<index>(leave_one_out.size());
    jackknife_influence(leave_one_out.data(), blocks);
    return influence_error(leave_one_out.data(), blocks);
}

double normal_of_t(double t, double degrees) {
    const double z = std::sqrt(degrees * std::log1p(t * t / degrees));
    return std::copysign(z * (8 * degrees + 1) / (8 * degrees + 3), t);
}

double t_of_normal(double z, double degrees) {
    const double u = z * (8 * degrees + 3) / (8 * degrees + 1);
    return std::copysign(std::sqrt(degrees * std::expm1(u * u / degrees)), z);
}

double largest_deviation(double tests, double false_alarm) {
    double low = 0, high = 40;
    for (int i = 0; i < 60; ++i) {
        const double middle = 0.5 * (low + high);
        (std::erfc(middle / std::sqrt(2.0)) > false_alarm / tests ? low : high) = middle;
    }
    return high;
}

bool cholesky_factor(std::vector<double>& a, index n) {
    // Right-looking on rows of the upper triangle: A = UᵀU, so that inner loops run along rows.
    for (index k = 0; k < n; ++k) {
        check_stop();
        double* row = &a[static_cast<std::size_t>(k * n)];
        if (!(row[k] > 0.0) || !std::isfinite(row[k])) return false;
        const double pivot = std::sqrt(row[k]);
        for (index j = k; j < n; ++j) row[j] /= pivot;
        row[k] = pivot;
        for (index i = k + 1; i < n; ++i) {
            const double factor = row[i];
            if (factor == 0.0) continue;
            check_stop();
            double* below = &a[static_cast<std::size_t>(i * n)];
            for (index j = i; j < n; ++j) below[j] -= factor * row[j];
        }
    }
    return true;
}

void cholesky_solve(const std::vector<double>& factor, index n, double* b, index columns) {
    const double* u = factor.data();
    for (index i = 0; i < n; ++i) {
        check_stop();
        for (index c = 0; c < columns; ++c) b[i * columns + c] /= u[i * n + i];
        for (index j = i + 1; j < n; ++j) {
            const double f = u[i * n + j];
            if (f == 0.0) continue;
            for (index c = 0; c < columns; ++c) b[j * columns + c] -= f * b[i * columns + c];
        }
    }
    for (index i = n - 1; i >= 0; --i) {
        check_stop();
        for (index j = i + 1; j < n; ++j) {
            const double f = u[i * n + j];
            if (f == 0.0) continue;
            for (index c = 0; c < columns; ++c) b[i * columns + c] -= f * b[j * columns + c];
        }
        for (index c = 0; c < columns; ++c) b[i * columns + c] /= u[i * n + i];
    }
}

}  // namespace microlift
