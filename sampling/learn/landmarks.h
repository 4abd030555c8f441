// Learned coarse variables: a diffusion map of a run's samples, in a form that a later run can bias.
//
// Nyström's extension φ_k(x) = λ_k⁻¹ Σ_j P(x, j) φ_k(j) is an average of values weighted by Gaussians.
// The same form with few landmarks in place of all samples,
//   ξ_k(x) = (Σ_m c_km g_m(x) + δ c_k∞) / (Σ_m g_m(x) + δ),   g_m = exp(−|y(x) − y_m|²/h²),
// with the c_km fitted to φ_k at the samples, is an expression of the system's variables; y are the
// variables themselves or the observed functions of them. So gradient, Laplacian, constraint and
// closure come from the same symbolic derivatives as those of a formula, on every machine.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/progress.h"
#include "engine/device/stream.h"
#include "sampling/formula/formula.h"
#include "sampling/run/run_config.h"

namespace microlift {

struct LearnedCoordinates {
    std::vector<std::string> variables;  // of the system that was learned from
    std::vector<std::string> features;   // formulas; empty: the variables themselves
    double length2 = 1.0;                // h²
    std::vector<double> landmarks;       // (landmark, feature)
    std::vector<double> values;          // c: (coordinate, landmark)
    std::vector<double> outside;         // c∞ of each coordinate
    std::vector<double> fit_error;       // RMS of ξ_k − φ_k at held-out samples, in deviations of φ_k
    std::vector<double> low, high;       // range of φ_k over the samples

    int feature_count() const {
        return static_cast<int>(features.empty() ? variables.size() : features.size());
    }
    int coordinates() const { return static_cast<int>(outside.size()); }
    int landmark_count() const {
        return static_cast<int>(landmarks.size()) / feature_count();
    }
    // ξ_k, k from 1, as a node of the graph of a system with these symbols.
    NodeId build(Expressions& graph, const Symbols& symbols, int k) const;
};

// `count` of the n rows, each the farthest from those chosen before it: an even cover of the data.
// `spacing` is the distance of the last one to the others. Ends early where points coincide.
// `nearest`: of every row, which chosen one is nearest.
std::vector<index> farthest_points(const std::vector<double>& rows, int dim, index n, index count,
                                   double& spacing, std::vector<index>* nearest = nullptr);

// The landmarks among points (feature, n) by farthest-point choice, h by the error at held-out
// points, the values by least squares. functions (coordinate, n).
void fit_landmarks(std::span<const double> points, index n, std::span<const double> functions,
                   int landmarks, LearnedCoordinates& learned);

// Lifting back by geometric harmonics (Coifman and Lafon, Appl. Comput. Harmon. Anal. 21 (2006) 31):
// functions f (column, n) of points (dim, n) extended through the eigenvectors of the Gaussian kernel
// with eigenvalue above `least` of the first. The kernel's centres are at most 600 groups of nearby
// points, and f there is the groups' mean: of noisy values a conditional mean. The classical
// comparison to a generator.
class GeometricHarmonics {
public:
    GeometricHarmonics(std::span<const double> points, int dim, index n,
                       std::span<const double> f, int columns, double least = 1e-4);
    // out[c], for one point.
    void operator()(const double* point, double* out) const;
    double epsilon() const { return epsilon_; }

private:
    int dim_, columns_;
    double epsilon_ = 0.0;
    std::vector<double> centres_, mean_, weights_;  // (centre, dim), (column), (centre, column)
};

// The share of points at which |∇ξ| is below a hundredth of its root mean square, from the |∇ξ|² of
// each: a bias on ξ moves nothing there. More than kMostFlat of them are warned of.
double flat_share(std::span<const double> squared_gradients);
inline constexpr double kMostFlat = 0.01;

// Local noise of observed functions: for each point the pseudo-inverse of the covariance of the ends
// (column, replica) of its short runs, `rank` directions, times `time`; upper triangle, row-major.
std::vector<double> inverse_covariance(std::span<const double> ends, int dim, int replicas,
                                       int rank, double time);

LearnedCoordinates load_learned(const std::string& file);

// What `microlift learn` says of the coordinates 1 … K, here first.
struct LearnedSummary {
    index points = 0;
    double epsilon = 0.0, dimension = 0.0;
    std::vector<double> eigenvalues, rates;
    std::vector<int> independent;
    std::vector<std::string> variables;
    std::vector<std::vector<double>> rank_correlation;  // with each variable
    double harmonics_error = 0.0;                       // of lifting by geometric harmonics
    std::vector<std::string> warnings;
    std::string text;  // to print
};

// Reads DIR/samples.h5, writes the file.
LearnedSummary learn_coordinates(Stream& stream, const RunConfig& run, const LearnOptions& options,
                                 Progress& progress);
// `microlift learn`: of the run in the directory.
LearnedSummary learn_coordinates(const LearnOptions& options, Progress& progress);

}  // namespace microlift
