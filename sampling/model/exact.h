// Exact answers by quadrature, for gradient systems of one or two variables whose collective variable
// is a coordinate: what a run is compared with where that is possible.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/lane/lane.h"
#include "sampling/model/quadrature.h"

namespace microlift {

// p(y | ξ = s) of the other variable; y ascends, as closely as the density asks for.
struct ExactConditional {
    double log_z = 0;  // ln ∫ exp(−βV) dy; the free energy is −log_z/β
    double mean = 0, variance = 0;
    std::vector<double> y, density, cdf;

    // Where the distribution reaches p, 0 < p < 1.
    double quantile(double p) const;
};

// Exact laws along one variable of a gradient system of one or two.
class ExactModel {
public:
    // V(points, n) evaluates the potential at n states stored variable-major, x[d*n + p].
    using Potential = std::function<void(const double* x, index n, double* v)>;
    // Bounds of V over intervals of the variables.
    using Bounds = std::function<Interval(std::span<const Interval> x)>;
    // `coordinate` is the variable that is ξ; `start` a state that is not improbable.
    ExactModel(int dim, int coordinate, double beta, std::vector<double> start, Potential potential,
               Bounds bounds);

    int dim() const { return dim_; }  // 1 or 2
    int other() const { return 1 - coordinate_; }  // the variable that is averaged; dim 2 only
    // Nothing where no quadrature is sure of its answer at s: then `why` says why.
    std::optional<ExactConditional> law(double s, std::string* why = nullptr) const;
    // The same; throws NumericError.
    ExactConditional at(double s) const;
    double free_energy(double s) const { return -at(s).log_z / beta_; }

private:
    int dim_ = 0, coordinate_ = 0;
    double beta_ = 1;
    std::vector<double> start_;
    Potential potential_;
    Bounds bounds_;
};

// ∫ |F_n − F| dy between sorted samples and the exact distribution.
double wasserstein_to_exact(std::span<const float> sorted, const ExactConditional& exact);
// W1 between two sorted samples of equal size.
double wasserstein_between(std::span<const float> a, std::span<const float> b);

// The law of one variable at one value of ξ that lifted states are judged by: the exact one where there
// is one, else that of the samples nearby.
class ReferenceLaw {
public:
    // `unit`: of distances; 0: the law's own deviation.
    ReferenceLaw(std::vector<float> samples, std::optional<ExactConditional> exact, double unit = 0);
    // Are there enough samples, where they have to serve, and do they vary?
    bool known() const { return (exact_ || samples_.size() >= kLeastSamples) && sigma_ > 0; }
    const char* name() const { return exact_ ? "exact" : "physics"; }
    const std::optional<ExactConditional>& exact() const { return exact_; }
    const std::vector<float>& samples() const { return samples_; }  // (n), sorted
    double mean() const { return mean_; }
    double sigma() const { return sigma_; }
    // W1 of sorted states (n) from it, in that unit, and what as many states drawn from it show.
    double distance(const std::vector<float>& sorted) const;
    double floor(std::size_t states) const;

    static constexpr std::size_t kLeastSamples = 100;

private:
    std::vector<float> samples_;
    std::optional<ExactConditional> exact_;
    double mean_ = 0, sigma_ = 1, unit_ = 1;
};

}  // namespace microlift
