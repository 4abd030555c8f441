// Statistics of correlated series.
#pragma once

#include <limits>
#include <vector>

#include "kernels/lane/lane.h"

namespace microlift {

// What cannot be told.
inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// g = 1 + 2 Σ_t ρ(t)(1 − t/S) of a series of S values, from its normalised autocovariance ρ(t):
// Geyer's initial positive sequence (pairs ρ(2m)+ρ(2m+1) until one is not positive; Stat. Sci. 7
// (1992) 473), and past kDenseLags a geometric grid of lags, so that slow series stay cheap.
inline constexpr index kDenseLags = 256;

// The sum, lag by lag: take(ρ(lag)) until it is done.
struct InefficiencySum {
    index samples = 0, lag = 1, last = 0;
    double g = 1.0, previous = 1.0;  // ρ of the last even lag, or of the last lag
    bool done = true;

    // For a series of `count` values; then take() for each `lag` until `done`, and g is the answer.
    LANE_FN void begin(index count) {
        *this = InefficiencySum{};
        samples = count;
        done = count < 2;
    }
    LANE_FN double weight(index t) const {
        return 1.0 - static_cast<double>(t) * (1.0 / static_cast<double>(samples));
    }
    LANE_FN void take(double rho) {
        if (lag <= kDenseLags) {
            // The pair's first member is in the sum already (but for ρ(0)).
            if (lag % 2 == 1 && previous + rho <= 0.0) {
                if (lag > 1) g = g - 2.0 * previous * weight(lag - 1);
                done = true;
                return;
            }
            g += 2.0 * rho * weight(lag);
            if (lag % 2 == 0) previous = rho;
        } else {
            // Trapezoid with growing steps: the lags last+1 … lag, less half of the first, plus half the
            // last.
            if (rho <= 0.0) {
                done = true;
                return;
            }
            const index step = lag - last;
            g += previous * weight(last) * static_cast<double>(step - 1) +
                 rho * weight(lag) * static_cast<double>(step + 1);
            previous = rho;
        }
        last = lag;
        lag = last < kDenseLags ? last + 1 : last + last / 16;
        if (lag >= samples) lag = samples - 1;
        done = last + 1 >= samples;
    }
};

// The sum of rho(lag), a function of the lag.
template <class Correlation>
double inefficiency_from_correlation(index samples, const Correlation& rho) {
    InefficiencySum sum;
    sum.begin(samples);
    while (!sum.done) sum.take(rho(sum.lag));
    return sum.g;
}

// Statistical inefficiency of R replicas of S values, series[s*replicas + r], about their common
// mean.
double statistical_inefficiency(const double* series, index samples, index replicas = 1);
inline double statistical_inefficiency(const std::vector<double>& series) {
    return statistical_inefficiency(series.data(), static_cast<index>(series.size()));
}

// Few blocks tell their own spread badly: by Student's factor two standard errors cover 95 % all the
// same. Of fewer than kLeastBlocks there is no error (NaN), from kManyBlocks on the factor is 1.
inline constexpr index kLeastBlocks = 4, kManyBlocks = 16;
double student_factor(index blocks);

// Standard error from influences (G), `stride` apart, of G independent blocks: sqrt(G/(G−1) Σ_g influence_g²)
// times Student's factor.
double influence_error(const double* influence, index blocks, index stride = 1);

// Delete-one-block jackknife of (blocks): influences (θ̄ − θ_(−g))(G−1)/G, in place of leave-one-out values.
void jackknife_influence(double* leave_one_out, index blocks, index stride = 1);
double jackknife_error(std::vector<double> leave_one_out);  // standard error, by the same

// A standard normal number as improbable as Student's t, within 1 % (Wallace, Ann. Math. Stat. 30
// (1959) 1124).
double normal_of_t(double t, double degrees);
double t_of_normal(double z, double degrees);
// What the largest of `tests` standard normal numbers exceeds with probability `false_alarm` at most.
double largest_deviation(double tests, double false_alarm);

// Solves A x = b for a symmetric positive definite A (n, n); `columns` right-hand sides b[i*columns
// + c] are overwritten. Returns false where A is not positive definite. Fixed order of operations.
bool cholesky_factor(std::vector<double>& a, index n);
void cholesky_solve(const std::vector<double>& factor, index n, double* b, index columns);

}  // namespace microlift
