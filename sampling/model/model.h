// The model of a run: a system together with its collective variables, built-in or by formula, in
// every form that the stages need.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sampling/dynamics/ensemble.h"
#include "sampling/dynamics/molecule_states.h"
#include "sampling/formula/columns.h"
#include "sampling/formula/learned_cv.h"
#include "sampling/formula/system.h"
#include "sampling/model/exact.h"
#include "sampling/model/model_config.h"
#include "sampling/molecule/torsions.h"

namespace microlift {

class Checks;
struct ConditionOfMolecule;

// KeyErrors of formulas and of files of learned coordinates, each on its own: "system.drift[1]",
// "cv.variables[0]".
void check_formulas(Checks& checks, const ModelConfig& config);

// Names of a system's variables, and its parameters.
Symbols symbols_of(const SystemConfig& system);

// A system, its collective variables and its step. Arrays are on the stream's device, a variable a row.
class Model {
public:
    // Throws KeyError.
    explicit Model(const ModelConfig& config);

    // Variables of a state, and collective variables: how many, and their names; whether there is a potential.
    int dim() const { return formulas_->dim; }
    int n_cvs() const { return static_cast<int>(formulas_->cvs.size()); }
    const std::string& name() const { return name_; }
    const std::vector<std::string>& variables() const { return formulas_->variables; }
    const std::vector<std::string>& cv_names() const { return cv_names_; }
    bool gradient() const { return formulas_->gradient; }
    // Inverse temperature that the bias on CV k sees: β, or 1/D_k of a system without a potential, where
    // D_k = ∇ξ_k·D∇ξ_k, D = ½σσᵀ: the law under a bias U_k is exp(−Σ_k U_k/D_k) times the free one.
    const std::array<double, kMaxCvs>& cv_beta() const { return cv_beta_; }
    // Throws KeyError where no noise acts on a collective variable: it can be held, but not biased.
    void check_bias() const;
    // Of the free energy, and of a bias that is one function of all CVs: F = −kT ln p.
    double kt() const { return 1 / cv_beta_[0]; }
    // In words, of files and reports.
    std::string energy_unit() const;
    // What a bias does to the law besides exp(−U/kT), in words; empty: nothing.
    std::string bias_remark() const;
    bool linear_cvs() const;
    // Of the collective variables that go all round: every value of ξ that the model tells lies in one
    // period about the middle.
    const CvPeriods& periods() const { return periods_; }
    bool all_round(int k) const { return periods_.period[k] > 0; }
    // One turn of a dihedral angle, all round or not; the period of what goes all round; else 0.
    double turn(int k) const;
    // Whether how far atoms have to move along ξ_k is known from its kind: a distance, or a dihedral angle.
    bool own_unit(int k) const;
    double period(int k) const { return period_[static_cast<std::size_t>(k)]; }  // of those, else 0

    // What the generator learns: the state, or the observed functions of it.
    bool observed() const { return !formulas_->observe_nodes.empty(); }
    int target_dim() const;
    const std::vector<std::string>& target_names() const { return target_names_; }

    // Whether its states were made elsewhere and nothing else is known: no force, no energy, no step.
    bool states_alone() const { return states_alone_; }

    // Of a system that is one, else nothing: forces come from its tables, energies in kJ/mol.
    const std::shared_ptr<const LoadedMolecule>& molecule() const { return molecule_; }

    // Of a molecule, what tells its shape wherever it lies: cosine and sine of every torsion about which it
    // turns; of other systems nothing, their variables do. x (dim, row), y (features, y_row).
    const std::vector<std::string>& feature_names() const { return feature_names_; }
    const std::vector<std::string>& torsion_names() const { return torsion_names_; }
    void features(Stream& stream, Span<const float> x, index row, index n, Span<float> y, index y_row) const;

    // What an ensemble needs: its setup, which may be altered, and the kernel of one.
    PathSetup path_setup(const IntegratorConfig& integrator) const;
    std::unique_ptr<PathKernel> path_kernel(const PathSetup& setup) const;

    // What its collective variables are to a generator of its states.
    std::vector<ConditionOfMolecule> molecule_conditions() const;
    // Of a molecule, on the stream's device.
    MoleculeStates& molecule_states(Stream& stream) const;
    // Potentials of n states (dim, row), and forces (dim, row): of what has a potential.
    void energies(Stream& stream, Span<const float> x, index row, index n, Span<float> energy) const;
    index force_rows() const;  // of the result: forces come first
    void forces(Stream& stream, Span<const float> x, index row, index n, Span<float> force) const;

    // The formulas, lowered and as text; of a molecule those of the collective variables alone.
    const FormulaSystem& formulas() const { return *formulas_; }
    const FormulaSystemText& text() const { return text_; }
    // Quadrature, where the system is a gradient system of ≤ 2 variables and ξ is one of them, and
    // where its answer at `start` is sure.
    std::optional<ExactModel> exact(std::string* why = nullptr) const;

    // targets (target_dim, row) of states x (dim, row): observed values, or a copy of the states.
    void observe(Stream& stream, Span<const float> x, index row, index n, Span<float> y,
                 index y_row) const;
    // ξ (K) and ∇ξ (K·dim) rows of states.
    void evaluate_cvs(Stream& stream, Span<const float> x, index row, index n, Span<float> values,
                      index values_row) const;
    // Effective drift (K) and diffusion (K(K+1)/2) integrands of states.
    void closure(Stream& stream, Span<const float> x, index row, index n, Span<float> values,
                 index values_row) const;
    // Of what has no formula, too, whose closures are from bursts alone.
    int closure_outputs() const { return n_cvs() + n_cvs() * (n_cvs() + 1) / 2; }
    // Moves states onto ξ = target by Newton steps; returns nothing, moves no bytes to the host.
    void project(Stream& stream, Span<const float> target, index target_row, index n,
                 Span<float> x, index row, int newton_steps = 3) const;

private:
    double noise_along(int k) const;
    void describe_torsions();
    std::unique_ptr<PathKernel> molecule_kernel(const PathSetup& setup) const;
    MoleculeSetup molecule_setup(const PathSetup& setup) const;

    std::string name_;
    std::vector<std::string> cv_names_, target_names_, feature_names_, torsion_names_;
    std::array<double, kMaxCvs> cv_beta_{1, 1};
    CvPeriods periods_;
    std::array<double, kMaxCvs> period_{};
    std::vector<double> builtin_parameters_;
    FormulaSystemText text_;
    std::shared_ptr<const FormulaSystem> formulas_;
    std::vector<double> start_;
    std::unique_ptr<ColumnProgram> observe_, features_, cv_, closure_, potential_, force_;
    bool builtin_ = false, states_alone_ = false;
    std::string given_unit_;  // of energies, of states alone
    std::shared_ptr<const LoadedMolecule> molecule_;
    std::vector<CvVariable> cvs_;
    std::vector<std::shared_ptr<const LearnedCoordinates>> learned_;  // of each, where it is one
    PathSetup usual_;                                        // of the configuration
    mutable std::unique_ptr<MoleculeStates> molecule_states_;  // made where it is first needed
    mutable Buffer<float> unused_;
};

}  // namespace microlift
