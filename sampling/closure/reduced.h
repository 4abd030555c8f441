// A reduced model dξ = b dt + sqrt(2 D) dW (Itô) of one collective variable: smooth curves from
// estimates with errors, and what follows from them by quadrature: the stationary density, mean
// first-passage times, the committor and the leading relaxation rates. On a ring, where estimates cover a
// whole period, all of it is periodic; else the ends reflect.
#pragma once

#include <functional>
#include <vector>

#include "sampling/closure/cell_chain.h"
#include "sampling/numerics/smoothing.h"

namespace microlift {

// Estimates at increasing values of ξ; one with an error that is not finite is left out of fits.
struct ClosureEstimate {
    std::vector<double> x, drift, drift_error, diffusion, diffusion_error;
    double period = 0;  // of ξ; 0: none

    std::size_t size() const { return x.size(); }  // values
};

// The model; drift in ξ a unit of time, diffusion in ξ² a unit of time.
class ReducedModel {
public:
    ReducedModel() = default;
    // Curves through smoothed estimates; lambda: of the drift and of ln D, < 0 chosen.
    explicit ReducedModel(const ClosureEstimate& estimate, double drift_lambda = -1,
                          double diffusion_lambda = -1);
    // The reversible model of a stationary density p and D: drift D (ln p)′ + D′. `log_density` of bins
    // around the estimate's x, up to a constant; the estimate's drift is not used.
    ReducedModel(const ClosureEstimate& estimate, const std::vector<double>& log_density,
                 double diffusion_lambda = -1);

    // The same for other estimates at the same values, as smooth as this one: replicates, for errors.
    ReducedModel with(const ClosureEstimate& estimate) const {
        return ReducedModel(estimate, drift_lambda(), diffusion_lambda());
    }
    ReducedModel with(const ClosureEstimate& estimate, const std::vector<double>& log_density) const {
        return ReducedModel(estimate, log_density, diffusion_lambda());
    }

    // The same without walls: beyond the ends the drift of the coordinate whose noise is the same everywhere
    // goes on as a line, where it leads inwards. What walls do to times and rates is the difference.
    ReducedModel beyond_ends() const;
    // The same with curves of fifth degree through the values of its own at the estimates' places: the
    // difference is what curves miss between them. Not of a model from a density.
    ReducedModel with_finer_curves() const;
    // The same on half of the points and cells: a fifteenth of the difference is what meshes do, which
    // are right to the fourth order.
    ReducedModel coarser() const;

    // The range that is modelled, and whether it is a ring.
    double from() const { return ring() ? from_ + period_ : from_; }
    double to() const { return ring() ? from_ + 2 * period_ : to_; }
    bool ring() const { return period_ > 0; }
    // The curves; and their smoothing, for models that shall be as smooth.
    double drift(double x) const { return drift_(x); }
    double diffusion(double x) const;
    double drift_lambda() const { return drift_.lambda(); }
    double diffusion_lambda() const { return log_diffusion_.lambda(); }

    // Reflecting ends at from() and to(), or a ring, on which a target is reached either way round.
    double density(double x) const;
    double mean_time(double start, double target) const;
    double committor(double x, double a, double b) const;  // of reaching b before a
    std::vector<double> rates(int count) const;            // the slowest, without 0
    // The eigenfunctions of these rates at x, linear between the points of a grid.
    std::vector<std::vector<double>> eigenfunctions(int count, const std::vector<double>& x) const;

    // E and variance of ξ(τ) − ξ(0) from each start, by Crank–Nicolson on a wider interval. After so
    // many Euler–Maruyama steps instead, where `steps` > 0: as a chain, or where they are many with the
    // coefficients whose continuous motion is the steps' to second order in their size.
    void displacement(const std::vector<double>& start, double tau, std::vector<double>& mean,
                      std::vector<double>& variance, index steps = 0) const;

private:
    struct Generator {  // −L on cells of width h, made symmetric by sqrt(π)
        double h;
        std::vector<double> log_pi, diag, off;
    };
    Generator generator(index cells) const;
    CellChain ring_chain(index cells) const;
    std::vector<double> rates_on(index cells, int count) const;
    double wrapped(double x) const;  // onto [from(), to()) of a ring
    // From x until left or right of it is reached: the mean time, and the probability of the right.
    struct Exit {
        double time, right;
    };
    Exit exit(double x, double left, double right) const;
    struct Known {
        std::vector<double> x, y, y_error;
    };
    // y, called `name`, where it and D are known. Sets the range and the curve of D.
    Known take(const ClosureEstimate& estimate, const char* name, const std::vector<double>& y,
               const std::vector<double>& y_error, double diffusion_lambda);
    void tabulate(const std::function<double(double)>& log_density = {});
    std::vector<double> unit_noise_lengths() const;  // ∫ dx/√D at the points, from the first
    void integrate();  // what follows from the tables of Φ and D
    double cumulative(const std::vector<double>& table, double x) const;
    index points_ = 1601;  // of the quadratures
    index cells_ = 800;    // of the rates' finite volumes
    bool reversible_ = false;               // Φ from a density
    double from_ = 0, to_ = 0, width_ = 0;  // of a ring: three turns
    double period_ = 0;                     // of a ring
    double first_ = 0, last_ = 0;           // where D is known; beyond, it is held
    SmoothingSpline drift_, log_diffusion_;
    double integral(double a, double b, double shift, const std::vector<double>* f) const;
    std::vector<double> potential_, d_;          // Φ = −∫ b/D with minimum 0, and D, at the points
    std::vector<double> mass_left_, mass_right_;  // ∫ e^−Φ/D from each end
    std::vector<double> ring_density_;
};

// b and D whose displacements over the lag τ, made of so many Euler–Maruyama steps (0: continuous), are
// the given ones: mean Δξ and its variance at x with their errors. A fixed point: estimates are shifted by
// what the present model misses. It begins with `guess` if there is one, for instance the model of a
// shorter lag, which stays where a long lag says little (in narrow wells). Returns the corrected estimate;
// `model` its smooth curves. With `finer` curves of fifth degree between the values, which `model` has not.
ClosureEstimate invert_displacements(const std::vector<double>& x, double tau,
                                     const std::vector<double>& mean,
                                     const std::vector<double>& mean_error,
                                     const std::vector<double>& variance,
                                     const std::vector<double>& variance_error,
                                     ReducedModel& model, const ReducedModel* guess = nullptr,
                                     double drift_lambda = -1, double diffusion_lambda = -1,
                                     double period = 0, index steps = 0, bool finer = false);

// Real eigenvalues of largest modulus of a matrix by rows (n, n), by orthogonal iteration.
std::vector<double> leading_eigenvalues(const std::vector<double>& matrix, index n, int count);

}  // namespace microlift
