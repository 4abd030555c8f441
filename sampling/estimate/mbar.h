// MBAR (Shirts, Chodera, J. Chem. Phys. 129 (2008) 124105) for biases that depend on the collective
// variables alone. In a_w = f_w + ln N_w it minimises the convex
//   Φ(a) = Σ_n D(ξ_n) − Σ_w N_w a_w,   D(ξ) = ln Σ_w exp(a_w − u_w(ξ)),
// with gradient Σ_n P_w(ξ_n) − N_w and Hessian Σ_n (P_w δ_wv − P_w P_v), P_w = exp(a_w − u_w − D).
// A fine histogram of ξ carries a damped Newton solution (that alone is WHAM) and the Hessian; the
// exact gradient over all samples, streamed on the device, then corrects it to the tolerance.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "sampling/estimate/mixture_pass.h"

namespace microlift {

// The windows as a mixture; [k*windows + w] for CV k.
struct Mixture {
    int dims = 1;
    index windows = 0;
    std::vector<double> center, half_stiffness, population;
    double period[kMaxCvs] = {0, 0};  // of CVs that go all round

    // The terms P_w > 1e-18 at a point; D is returned.
    struct Term {
        index window;
        double p;
    };
    double terms(const std::vector<double>& a, const double* x, std::vector<Term>& out) const;
};

// Samples gathered in points: x[m*dims + k], counts, counts of each error block [g*points + m].
struct GatheredSamples {
    std::vector<double> x, count, block_count;
    index points() const { return static_cast<index>(count.size()); }
};

struct MixtureDerivatives {
    double objective = 0.0;
    std::vector<double> gradient, hessian;  // K, (K, K)
};
MixtureDerivatives mixture_derivatives(const Mixture& mixture, const GatheredSamples& samples,
                                       const std::vector<double>& a);

struct MixtureSolution {
    std::vector<double> a;
    bool converged = false;
    index iterations = 0;
    double residual = 0.0;  // max |gradient_w / N_w|
};

// Window free energies from the windows' means and variances (as if every window were Gaussian),
// along the tree of best overlaps: exact for harmonic systems, a start for others. mean, variance:
// [w*dims+k].
std::vector<double> gaussian_start(const Mixture& mixture, const std::vector<double>& mean,
                                   const std::vector<double>& variance);

// Levenberg–Marquardt on the gathered samples.
MixtureSolution solve_gathered(const Mixture& mixture, const GatheredSamples& samples,
                               std::vector<double> start, double tolerance, index max_iterations);

// Newton on all samples with the Hessian of the gathered ones; writes −D(ξ_n) to log_weight.
MixtureSolution solve_streaming(Stream& stream, const Mixture& mixture,
                                const BiasedSamples& samples, const double* range,
                                const GatheredSamples& gathered, std::vector<double> start,
                                double tolerance, index max_iterations, float* log_weight);

// −D(ξ_n) of every sample for given a.
void mixture_log_weights(Stream& stream, const Mixture& mixture, const BiasedSamples& samples,
                         const double* range, const std::vector<double>& a, float* log_weight);

struct Estimation;
std::vector<double> estimate_mbar(Estimation& e);

// H made positive definite: its null vector (1, …, 1) gets the mean eigenvalue. Factored, ready for
// cholesky_solve. Windows without overlap get a minute diagonal.
std::vector<double> factor_hessian(std::vector<double> hessian, index n, double damping,
                                   const std::vector<double>& population);

// ∫ min(p_a, p_b), all pairs (K, K).
std::vector<double> window_overlaps(const Mixture& mixture, const GatheredSamples& samples,
                                    const std::vector<double>& a);

}  // namespace microlift
