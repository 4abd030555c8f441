// Free energies from biased samples: MBAR, WHAM and umbrella integration behind one interface, with
// errors from independent blocks of trajectories. Conditional averages: sampling/estimate/conditional.h.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "engine/device/buffer.h"
#include "kernels/dynamics/cv.h"

namespace microlift {

// A product grid of bins over the collective variables; CV 0 varies slowest: b = b0*bins[1] + b1.
struct Grid {
    int dims = 1;
    std::array<double, kMaxCvs> from{}, to{};
    std::array<index, kMaxCvs> bins{1, 1};

    index size() const { return dims == 1 ? bins[0] : bins[0] * bins[1]; }
    double width(int k) const { return (to[k] - from[k]) / static_cast<double>(bins[k]); }
    index bin(int k, index b) const { return dims == 1 ? b : (k == 0 ? b / bins[1] : b % bins[1]); }
    double centre(int k, index b) const {
        return from[k] + (static_cast<double>(bin(k, b)) + 0.5) * width(k);
    }
};

// Cubic (four-point Lagrange) interpolation between bin centres: value(x) = Σ weight · value[bin].
struct GridWeight {
    index bin;
    double weight;
};
std::vector<GridWeight> interpolation_weights(const Grid& grid, const std::array<double, 2>& x);

// One rectangular run: windows × replicas trajectories, `samples` stored states each. Column
// j = first + s*trajectories() + t; trajectory t is replica t % replicas of window
// first_window + t / replicas.
struct SampleBlock {
    index first = 0, first_window = 0, windows = 0, replicas = 0, samples = 0;
    index trajectories() const { return windows * replicas; }
    index size() const { return trajectories() * samples; }
};

struct BiasedSamples {
    Span<const float> xi;  // (n_cvs, row) on the device: xi[k*row + j], j < n
    index row = 0;
    int n_cvs = 1;
    index n = 0;
    std::vector<SampleBlock> blocks;  // one after the other, together n columns
};

// The biases u_w(ξ) = Σ_k beta[k] stiffness[w][k]/2 (ξ_k − center[w][k])².
struct BiasWindows {
    std::vector<std::array<double, kMaxCvs>> center, stiffness;
    std::array<double, kMaxCvs> beta{1.0, 1.0};

    index size() const { return static_cast<index>(center.size()); }
    double reduced_stiffness(index w, int k) const {
        return beta[k] * stiffness[static_cast<std::size_t>(w)][k];
    }
};

enum class FreeEnergyMethod { mbar, wham, umbrella_integration };
// "mbar", "wham", "umbrella_integration"; InputError for anything else.
FreeEnergyMethod free_energy_method(const std::string& name);

struct EstimateOptions {
    FreeEnergyMethod method = FreeEnergyMethod::mbar;
    double kt = 1.0;           // unit of the profile: F = −kt ln p
    double tolerance = 1e-10;  // largest change of a window's free energy (kT) at convergence
    index max_iterations = 10000;
    index error_blocks = 0;  // independent blocks for errors; 0: chosen
    double overlap_warning = 0.03;
};

// How samples are divided into independent blocks for errors: block = (replica group, time
// segment).
struct ErrorBlocks {
    index replica_groups = 1, time_segments = 1;
    index count() const { return replica_groups * time_segments; }
    std::string description;
};

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
    std::vector<double> std_error;    // of F(bin) − F(minimum bin): 0 at the minimum
    index minimum_bin = 0;
    index blocks = 0;
    std::vector<double> influence;

    // Cubic interpolation; NaN where a bin in reach has no data.
    double value_at(double x0, double x1 = 0.0) const;
    // Standard error of F(x) − F(y).
    double difference_error(const std::array<double, 2>& x, const std::array<double, 2>& y) const;

    // Subtracts the minimum and fills std_error from the influence.
    void finish();
};

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
    std::vector<WindowOverlap> overlaps;          // neighbours
    std::vector<WindowOverlap> missing_overlaps;  // links too weak to trust
    std::vector<double> inefficiency;             // per window, in samples: g = 1 + 2Στ
    std::vector<double> effective_samples;
    ErrorBlocks error_blocks;
    std::vector<std::string> warnings;

    double asymptotic_error(index i, index j) const;
};

// Throws InputError (shapes, 2-D umbrella integration) and NumericError (a sample that is not
// finite, named). Does not throw on missing overlap or non-convergence: see the fields.
FreeEnergyResult estimate_free_energy(Stream& stream, const BiasedSamples& samples,
                                      const BiasWindows& windows, const Grid& grid,
                                      const EstimateOptions& options);

// Checks shapes and that the grid makes sense; throws InputError.
void check_estimate_input(const BiasedSamples& samples, const BiasWindows* windows,
                          const Grid& grid);
// The division for errors. `inefficiency`: the largest over windows, in samples (time segments are
// at least ten times as long).
ErrorBlocks choose_error_blocks(const BiasedSamples& samples, double inefficiency,
                                index wanted = 0);

}  // namespace microlift
