// A user's system from formulas: programs for the drift, the noise, the observed functions, the
// collective variables ξ and the closure integrands, and the same as a C++ struct for run-time
// compilation (the interface of kernels/dynamics/systems.h).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sampling/formula/program.h"

namespace microlift {

// What the configuration holds. Either `potential` (dX = −∇V dt + sqrt(2/β) dW), or `drift` and
// `diffusion` (dX = b dt + σ dW, Itô). Keys of errors: system.potential, system.drift[0], ….
struct FormulaSystemText {
    std::vector<std::string> variables;
    std::vector<std::pair<std::string, double>> parameters;
    std::string potential;
    std::vector<std::string> drift;
    std::vector<std::string> diffusion;                      // the diagonal of σ, or
    std::vector<std::vector<std::string>> diffusion_matrix;  // σ by rows, dim × dim
    std::vector<std::string> observe;
    std::vector<std::string> features;  // of `elsewhere`: what tells its shape
    std::vector<std::string> cv;
    // Where set, builds ξ_k as an expression itself, and cv[k] is only its name.
    std::vector<std::function<NodeId(Expressions&)>> cv_builders;
    double beta = 0.0;  // inverse temperature; needed with a potential
    // The potential is no formula (a molecule's): there are programs of the collective variables alone.
    bool elsewhere = false;
};

// A system that was read and lowered, for ensembles, quadrature and generated sources; make_formula_system() makes it.
struct FormulaSystem {
    // One collective variable. A linear one, ξ = Σ weights_d x_d + offset, needs no program. A bias acts
    // along `pull`, D∇ξ/(∇ξ·D∇ξ) with D = ½σσᵀ (kernels/dynamics/cv.h); that is ∇ξ with a potential.
    struct Cv {
        bool linear = false;
        std::vector<double> weights;
        double offset = 0.0;
        std::vector<double> pull;  // of a linear one, where it is the same at all states
        int value_output = -1;     // in `force`, non-linear only
        int pull_output = -1;      // in `force`: the first of dim outputs, where `pull` is empty
        // ∇ξ·D∇ξ where it is the same at all states: what kT is in the law exp(−U/kT) of a bias on ξ.
        std::optional<double> diffusion;
    };
    // σ: one entry a variable, or a matrix.
    enum class Noise { diagonal, matrix };

    // Whether all are linear.
    bool linear_cvs() const;
    // Which variable the one CV is, where holding it moves no other; else −1.
    int held_coordinate() const;
    // σ where it is one positive constant for all variables, else 0: integrators draw normals with it.
    float noise_amplitude() const;
    // A bias that is one function of all CVs has its energy in the unit of the first; one that is a sum has
    // each CV's part in that CV's: what the pull on CV k is multiplied by in the first case.
    double pull_unit(std::size_t k) const;
    // σ is diagonal, depends on the state, and σ_d on x_d alone.
    bool milstein_fits() const { return !noise_slope.outputs.empty(); }

    int dim = 0;
    std::vector<std::string> variables;
    bool gradient = false;  // drift = −∇V with thermal noise
    bool elsewhere = false;  // V is no formula; force, potential, closure and fixman have no outputs
    double beta = 0.0;
    Noise noise = Noise::diagonal;
    bool noise_constant = true;
    std::vector<double> noise_values;  // if constant: dim, or dim·dim by rows
    int noise_output = -1;             // if not: the first of dim, or dim·dim, outputs of `force`
    std::vector<Cv> cvs;

    // Inputs of every program: the dim variables. An output may be flagged constant or input.
    Program force;      // drift, dim; [noise]; of each non-linear CV its value; of each its pull if not constant
    Program potential;  // V; gradient systems only, else no outputs
    Program noise_slope;  // ½ σ_d ∂σ_d/∂x_d, dim; see milstein_fits()
    Program observe;    // one output a formula
    Program features;   // one output a formula
    Program cv;         // every ξ_k, linear or not; then their gradients, [k][d]
    Program pull;       // the directions of the pulls, [k][d]; no outputs where they are the gradients
    // What the closure averages over the conditional measure, K CVs:
    //   K of  b·∇ξ_k + ½ σσᵀ:∇∇ξ_k     (gradient systems −∇V·∇ξ + β⁻¹ Δξ),
    //   then for k ≤ l  ½ (σᵀ∇ξ_k)·(σᵀ∇ξ_l)  (β⁻¹ ∇ξ_k·∇ξ_l), order (0,0) (0,1) … (1,1) ….
    Program closure;
    // Gradient of (1/2β) ln det(∇ξ_k·∇ξ_l): add this term to V where dynamics is constrained to a
    // level set of ξ, then it samples the conditional measure. Gradient systems with a non-linear CV
    // and at most 2 CVs; else no outputs. All constant 0 where the determinant is constant. Without a
    // potential what takes its place, see held_correction() in sampling/formula/mobility.h.
    Program fixman;

    Expressions graph;  // the expressions behind the programs, for double precision
    NodeId potential_node = -1;
    std::vector<NodeId> drift_nodes, noise_nodes, observe_nodes, cv_nodes, pull_nodes, closure_nodes,
        fixman_nodes;
};

// What directions are for: a bias that is a sum over the CVs, one that is one function of all of them, or
// holding ξ.
// in_place: held, and held_coordinate() is not −1 and has no period.
enum class Directions { of_a_sum, of_one_bias, held, in_place };

// Throws FormulaError with the key of the formula at fault.
FormulaSystem make_formula_system(const FormulaSystemText& text);

// A struct `name` with the interface of kernels/dynamics/systems.h: dim, n_observed, gradient, force<M>,
// potential<M>, add_noise, noise_amplitude and add_noise_slope where there is one, observe<M>; without
// includes and namespace. Needs kernels/lane/special.h.
// constrained: the force is that of V plus the Fixman term.
std::string system_source(const FormulaSystem& system, const std::string& name,
                          bool constrained = false);
// A struct `name` with the interface of kernels/dynamics/cv.h: n, evaluate<M>(x, xi, gradient) and, where
// it differs, evaluate_pull<M>(x, xi, pull).
std::string cv_source(const FormulaSystem& system, const std::string& name,
                      Directions directions = Directions::of_a_sum);

// A system with a potential, for Metropolis schemes: force and energy are one program, in which they share
// their exponentials; V is its last output.
FormulaSystem with_energy(const FormulaSystem& system);

}  // namespace microlift
