// What an estimator is asked for and what it answers.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "sampling/numerics/grid.h"
#include "sampling/numerics/statistics.h"
#include "sampling/samples/sample_set.h"

namespace microlift {

// What an estimator is asked for.
struct EstimateOptions {
    std::string method = "mbar";  // of estimators(), sampling/estimate/estimators.h
    double kt = 1.0;           // unit of the profile: F = −kt ln p
    double tolerance = 1e-10;  // largest change of a window's free energy (kT) at convergence
    index max_iterations = 10000;
    index error_blocks = 0;  // independent blocks for errors; 0: chosen
    double overlap_warning = 0.03;
    // Energy at bin centres of a bias that all windows have besides their own; empty: none. Profile and weights are
    // without it: log_weight is told by who knows it for every sample.
    std::vector<double> common_bias;
};

// How much two windows share.
struct WindowOverlap {
    index a, b;
    double overlap;  // ∫ min(p_a, p_b) dξ, 0 … 1
};

// A profile on the grid with the influence of every block: influence[g*bins + b] = ∂F_b/∂weight_g.
// Bins without data are NaN.
class FreeEnergyProfile {
public:
    Grid grid;
    std::vector<double> free_energy;  // minimum 0
    // Of F(bin) − F(minimum bin): 0 at the minimum, infinite where no samples connect the two.
    std::vector<double> std_error;
    std::vector<double> samples;  // in each bin
    index minimum_bin = 0;
    index blocks = 0;
    std::vector<double> influence;
    // By bin, what the estimator's own assumptions may have moved; empty: nothing.
    std::vector<double> bias;

    // Of EstimateOptions::common_bias.
    void remove(const std::vector<double>& common);
    // Cubic interpolation; NaN where a bin in reach has no data.
    double value_at(double x0, double x1 = 0.0) const;
    // Standard error of F(x) − F(y).
    double difference_error(const std::array<double, 2>& x, const std::array<double, 2>& y) const;

    // Subtracts the minimum and fills std_error from influence, bias, and what it adds that noise
    // chose the minimum.
    void finish();
};

// What an estimator answers: a profile, and what to think of it.
struct FreeEnergyResult {
    std::vector<double> window_f;        // −ln Z_w/Z_0, in kT; window 0 is 0
    std::vector<double> window_f_error;  // of f_w − f_0, from blocks
    // Asymptotic covariance for independent samples, (K, K), MBAR and WHAM only; meaningful in
    // differences: var(f_i − f_j) = C_ii + C_jj − 2 C_ij.
    std::vector<double> asymptotic_covariance;
    FreeEnergyProfile profile;
    Buffer<float> log_weight;  // per sample, up to a constant: ln of (unbiased / sampled density)
    bool converged = false;
    index iterations = 0;
    double residual = 0.0;                        // max_w |Σ_n W_nw − 1| (MBAR, WHAM)
    // Umbrella integration all round a period: what the mean force integrates to, in kT.
    double once_round = kNaN, once_round_error = kNaN;
    std::vector<WindowOverlap> overlaps;          // neighbours
    std::vector<WindowOverlap> tree;              // the largest overlaps that connect all windows
    std::vector<WindowOverlap> missing_overlaps;  // links of it too weak to trust
    std::vector<double> inefficiency;             // per window, in samples: g = 1 + 2Στ
    std::vector<double> effective_samples;
    ErrorBlocks error_blocks;
    std::vector<std::string> warnings;
    std::vector<std::string> compared;  // with one another: "halves", "windows", "estimators"
    std::vector<std::string> doubts;    // where the data disagree with themselves

    // Of window_f[i] − window_f[j], in kT.
    double asymptotic_error(index i, index j) const;
};

}  // namespace microlift
