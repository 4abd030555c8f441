#include "sampling/model/model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <span>

#include "engine/at.h"
#include "engine/config/checks.h"
#include "engine/text.h"
#include "sampling/dynamics/bytecode_path.h"
#include "sampling/dynamics/molecule_path.h"
#include "sampling/dynamics/path_kernel.h"
#include "sampling/dynamics/systems.h"
#include "sampling/formula/mobility.h"
#include "sampling/model/cv_config.h"
#include "sampling/model/molecule_variable.h"
#include "sampling/molecule/coordinates/molecule_coordinates.h"
#include "sampling/molecule/files/read_molecule.h"

namespace microlift {

Symbols symbols_of(const SystemConfig& system) {
    return {system.is_formula() ? system.variables : find_system(system.name).variables,
            system.parameters};
}

void check_formulas(Checks& checks, const ModelConfig& config) {
    const SystemConfig& system = config.system;
    const Symbols symbols = symbols_of(system);
    const auto check = [&](const std::string& key, const std::string& shown,
                           const std::string& formula, const std::vector<std::string>& names = {}) {
        checks.with({"system.name", "system.variables", "system.parameters", key}, [&] {
            try {
                Expressions graph;
                Symbols all = symbols;
                all.variables.insert(all.variables.end(), names.begin(), names.end());
                (void)parse_formula(graph, formula, all);
            } catch (const FormulaError& error) {
                throw of_formula(error.with_key(shown));
            }
        });
    };
    const auto check_list = [&](const std::string& key, const std::vector<std::string>& formulas) {
        for (std::size_t i = 0; i < formulas.size(); ++i) {
            const std::string name = key + "[" + std::to_string(i) + "]";
            check(name, name, formulas[i]);
        }
    };
    checks.with({"system.name", "system.variables"}, [&] {
        try {
            check_names(symbols);
        } catch (const FormulaError& error) {
            throw of_formula(error.with_key("system.variables"));
        }
    });
    if (!system.potential.empty()) check("system.potential", "system.potential", system.potential);
    check_list("system.drift", system.drift);
    for (std::size_t i = 0; i < system.diffusion.size(); ++i)
        check_list(system.diffusion_is_matrix ? "system.diffusion[" + std::to_string(i) + "]"
                                              : "system.diffusion",
                   system.diffusion[i]);
    check_list("system.observe", system.observe);
    for (std::size_t k = 0; k < config.cv.variables.size(); ++k) {
        const CvVariable& variable = config.cv.variables[k];
        const std::string number = "[" + std::to_string(k) + "]";
        if (variable.file.empty())
            check("cv.variables" + number, "cv" + number,
                  variable.text.empty() ? variable.formula : variable.text, variable.known);
        else
            checks.with({"cv.variables"}, [&] {
                of_key("cv.variables", [&] { (void)load_learned(variable.file); });
            });
    }
}

Model::Model(const ModelConfig& config) : molecule_(config.molecule), cvs_(config.cv.variables) {
    const SystemConfig& system = config.system;
    builtin_ = !system.is_formula();
    states_alone_ = system.states_alone;
    given_unit_ = system.energy_unit;
    double beta = system.beta.value_or(0.0);
    if (builtin_) {
        const SystemInfo& info = find_system(system.name);
        name_ = info.name;
        text_.variables = info.variables;
        for (const ParameterInfo& p : info.parameters) {
            double value = p.value;
            for (const auto& [given, v] : system.parameters)
                if (given == p.name) value = v;
            text_.parameters.emplace_back(p.name, value);
            builtin_parameters_.push_back(value);
        }
        text_.potential = info.potential;
        text_.drift = info.drift;
        text_.diffusion = info.diffusion;
        if (beta == 0) beta = info.beta;
    } else {
        name_ = molecule_ ? "molecule" : states_alone_ ? "samples" : "formula";
        text_.elsewhere = molecule_ || states_alone_;
        text_.variables = system.variables;
        text_.parameters = system.parameters;
        text_.potential = system.potential;
        text_.drift = system.drift;
        if (system.diffusion_is_matrix)
            text_.diffusion_matrix = system.diffusion;
        else if (!system.diffusion.empty())
            text_.diffusion = system.diffusion[0];
    }
    if (molecule_) describe_torsions();
    text_.beta = beta;
    text_.observe = system.observe;
    for (const CvVariable& cv : config.cv.variables) {
        text_.cv.push_back(cv.formula);
        text_.cv_builders.emplace_back();
        learned_.emplace_back();
        if (!cv.file.empty()) {
            learned_.back() = std::make_shared<const LearnedCoordinates>(load_learned(cv.file));
            text_.cv_builders.back() = [this, learned = learned_.back(), k = cv.coordinate](Expressions& graph) {
                return learned->build(graph, {text_.variables, text_.parameters}, k);
            };
        }
        cv_names_.push_back(cv.name.empty() ? cv.formula : cv.name);
        const std::size_t k = cv_names_.size() - 1;
        if (!cv.round || k >= at(kMaxCvs)) continue;
        period_[k] = cv.period;
        periods_.period[k] = static_cast<float>(cv.period);
        periods_.middle[k] = static_cast<float>(cv.middle);
    }
    try {
        formulas_ = std::make_shared<const FormulaSystem>(make_formula_system(text_));
        text_.cv_builders.clear();
    } catch (const FormulaError& error) {
        throw of_formula(error);
    }
    if (const SchemeRefusal no =
            text_.elsewhere ? SchemeRefusal{}
                      : scheme_refusal(*formulas_, scheme_named(config.integrator.scheme));
        !no.wrong.empty())
        throw KeyError("integrator.scheme", "key 'integrator.scheme': " + no.wrong, no.right);
    start_ = config.start;
    start_.resize(static_cast<std::size_t>(dim()), 0.0);
    if (gradient()) cv_beta_ = {beta, beta};
    // Not a number where it depends on the state: no bias has a temperature then, and dynamics need none.
    for (std::size_t k = 0; k < at(n_cvs()) && !gradient(); ++k)
        cv_beta_[k] = formulas_->cvs[k].diffusion ? 1 / noise_along(static_cast<int>(k))
                                                  : std::numeric_limits<double>::quiet_NaN();
    if (observed()) {
        for (std::size_t o = 0; o < formulas_->observe_nodes.size(); ++o)
            target_names_.push_back("y" + std::to_string(o + 1));
    } else {
        target_names_ = variables();
    }
    const Device host = Device::cpu(1);
    observe_ = std::make_unique<ColumnProgram>(host, formulas_->observe);
    features_ = std::make_unique<ColumnProgram>(host, formulas_->features);
    cv_ = std::make_unique<ColumnProgram>(host, formulas_->cv);
    closure_ = std::make_unique<ColumnProgram>(host, formulas_->closure);
    potential_ = std::make_unique<ColumnProgram>(host, formulas_->potential);
    force_ = std::make_unique<ColumnProgram>(host, formulas_->force);
    if (!states_alone_) usual_ = path_setup(config.integrator);
}

void Model::describe_torsions() {
    const Molecule& molecule = molecule_->molecule;
    const auto places = [&](std::span<const index> atoms) {
        std::string names;
        for (const index atom : atoms)
            for (std::size_t d = 0; d < 3; ++d)
                names += (names.empty() ? "" : ", ") + text_.variables[3 * at(atom) + d];
        return names;
    };
    const auto is_cv = [&](const NamedTorsion& torsion) {
        return std::ranges::any_of(cvs_, [&](const CvVariable& cv) {
            return std::ranges::equal(cv.atoms, torsion.atoms) ||
                   std::equal(cv.atoms.rbegin(), cv.atoms.rend(), torsion.atoms.begin(), torsion.atoms.end());
        });
    };
    std::vector<NamedTorsion> torsions = rotatable_torsions(molecule);
    // What the collective variables are tells nothing, unless there is nothing else.
    if (!std::ranges::all_of(torsions, is_cv)) std::erase_if(torsions, is_cv);
    for (const NamedTorsion& torsion : torsions) {
        torsion_names_.push_back(torsion.name);
        for (const char* function : {"cos", "sin"}) {
            text_.features.push_back(std::string(function) + "(dihedral(" + places(torsion.atoms) + "))");
            feature_names_.push_back(std::string(function) + "(" + torsion.name + ")");
        }
    }
    if (!feature_names_.empty() || molecule.size() < 2) return;
    // No torsion: a distance across.
    const std::array<index, 2> ends{0, molecule.size() - 1};
    text_.features.push_back("distance(" + places(ends) + ")");
    feature_names_.push_back("distance(first, last)");
}

void Model::features(Stream& stream, Span<const float> x, index row, index n, Span<float> y,
                     index y_row) const {
    features_->run(stream, x, row, n, y, y_row);
}

// D_k = ∇ξ_k·D∇ξ_k.
double Model::noise_along(int k) const {
    const std::optional<double>& d = formulas_->cvs[static_cast<std::size_t>(k)].diffusion;
    const std::string key = "cv.variables[" + std::to_string(k) + "]";
    const std::string along = "key '" + key + "': the noise along '" +
                              text_.cv[static_cast<std::size_t>(k)] + "' ";
    if (!d)
        throw KeyError(key,
                       along + "depends on the state, so no constant kT belongs to a bias on it",
                       "choose a collective variable with constant noise (of one variable x the "
                       "integral of dx/diffusion), or a system with a potential");
    return static_cast<double>(static_cast<float>(*d));  // as the programs have it
}

void Model::check_bias() const {
    for (int k = 0; k < n_cvs(); ++k) {
        const double beta = cv_beta_[static_cast<std::size_t>(k)];
        const std::string key = "cv.variables[" + std::to_string(k) + "]";
        if (std::isnan(beta)) (void)noise_along(k);
        if (std::isfinite(beta)) {
            if (1 / beta >= std::numeric_limits<float>::min() &&
                1 / beta <= std::numeric_limits<float>::max())
                continue;
            throw KeyError(key,
                           "key '" + key + "': the squared noise along '" +
                               text_.cv[static_cast<std::size_t>(k)] +
                               "' is beyond single precision",
                           "choose other units");
        }
        throw KeyError(key,
                       "key '" + key + "': the noise along '" +
                           text_.cv[static_cast<std::size_t>(k)] +
                           "' is zero, so no bias on it has a stationary law",
                       "choose a collective variable that noise acts on");
    }
}

std::string Model::energy_unit() const {
    if (molecule_) return "kJ/mol";
    if (states_alone_) return given_unit_;
    if (gradient()) return "that of the potential";
    if (std::isnan(kt())) return "none is known: the noise along " + cv_names_[0] + " depends on the state";
    std::string text = "kT = D = " + number(kt(), 6) + ", half the squared noise along " +
                       cv_names_[0] + " (its square / time)";
    if (n_cvs() == 2 && cv_beta_[0] != cv_beta_[1])
        text += "; of umbrella.stiffness[1] kT = " + number(1 / cv_beta_[1], 6) + ", along " +
                cv_names_[1];
    return text;
}

std::string Model::bias_remark() const {
    const DetailedBalance balance = detailed_balance(*formulas_);
    if (balance == DetailedBalance::holds) return "";
    const std::string consequence =
        "a bias then changes more than the weight exp(-U/D) of each value of the collective "
        "variables, and the free energy is right only as far as the states at one value relax "
        "faster than that value changes; compare runs of half the stiffness";
    return balance == DetailedBalance::broken
               ? "drift and noise have no detailed balance (the drift is not -D grad V + div D of "
                 "any V, D half the squared noise): " + consequence
               : "whether drift and noise have detailed balance could not be found out; where they "
                 "have not, " + consequence;
}

double Model::turn(int k) const {
    return cvs_[at(k)].kind == "dihedral" ? 2 * std::numbers::pi : period(k);
}

bool Model::own_unit(int k) const { return cvs_[at(k)].kind == "dihedral" || cvs_[at(k)].kind == "distance"; }

bool Model::linear_cvs() const {
    return formulas_->linear_cvs();
}

int Model::target_dim() const { return static_cast<int>(target_names_.size()); }

PathSetup Model::path_setup(const IntegratorConfig& integrator) const {
    PathSetup setup;
    setup.scheme = integrator.scheme == "lf_middle" ? Scheme::lf_middle
                                                    : scheme_named(integrator.scheme);
    setup.dt = integrator.dt;
    setup.mass = integrator.mass;
    setup.friction = integrator.friction;
    setup.philox_rounds = integrator.philox_rounds;
    setup.compile_after = integrator.compile_after;
    setup.portable_math = integrator.portable_math;
    setup.beta = gradient() ? formulas_->beta : 1.0;
    setup.periods = periods_;
    for (const FormulaSystem::Cv& cv : formulas_->cvs)
        if (cv.linear) {
            setup.cv_weight.push_back(cv.weights);
            setup.cv_offset.push_back(cv.offset);
            if (!gradient()) setup.cv_pull.push_back(cv.pull);
        }
    return setup;
}

std::unique_ptr<PathKernel> Model::path_kernel(const PathSetup& setup) const {
    if (molecule_) return molecule_kernel(setup);
    PathSetup resolved = setup;
    resolved.scheme = effective_scheme(*formulas_, setup);
    bool ahead = builtin_ && linear_cvs() && find_system(name_).kernel &&
                 setup.bias != BiasKind::grid && !setup.periodic();
    visit_scheme(resolved.scheme,
                 [&](const auto& scheme) { ahead = ahead && std::decay_t<decltype(scheme)>::ahead; });
    if (ahead) return find_system(name_).kernel(builtin_parameters_, resolved);
    return make_formula_path_kernel(formulas_, setup);
}

MoleculeSetup Model::molecule_setup(const PathSetup& setup) const {
    MoleculeSetup own;
    own.scheme = setup.scheme == Scheme::baoab ? MoleculeScheme::baoab : MoleculeScheme::lf_middle;
    own.dt = setup.dt;
    own.friction = setup.friction;
    own.temperature = 1 / (kGasConstant * setup.beta);
    own.portable_math = setup.portable_math;
    own.philox_rounds = setup.philox_rounds;
    for (std::size_t k = 0; k < cvs_.size(); ++k)
        own.cvs.push_back(molecule_variable(cvs_[k], text_.variables, learned_[k]));
    return own;
}

std::unique_ptr<PathKernel> Model::molecule_kernel(const PathSetup& setup) const {
    if (setup.held()) throw std::logic_error("molecules are biased, not held");
    return make_molecule_path_kernel({molecule_, &molecule_->molecule}, molecule_setup(setup));
}

std::vector<ConditionOfMolecule> Model::molecule_conditions() const {
    std::vector<ConditionOfMolecule> conditions;
    for (const CvVariable& cv : cvs_) {
        ConditionOfMolecule condition;
        condition.period = cv.period;
        if (cv.kind == "dihedral") condition.dihedral = {cv.atoms[0], cv.atoms[1], cv.atoms[2], cv.atoms[3]};
        conditions.push_back(condition);
    }
    return conditions;
}

MoleculeStates& Model::molecule_states(Stream& stream) const {
    if (!molecule_states_)
        molecule_states_ = std::make_unique<MoleculeStates>(
            stream, std::shared_ptr<const Molecule>(molecule_, &molecule_->molecule),
            molecule_setup(usual_));
    return *molecule_states_;
}

void Model::energies(Stream& stream, Span<const float> x, index row, index n,
                     Span<float> energy) const {
    if (!molecule_) return potential_->run(stream, x, row, n, energy, row);
    if (unused_.size() < dim() * row) unused_ = Buffer<float>(stream.device(), dim() * row);
    molecule_states(stream).evaluate(stream, x, row, n, unused_.span(), energy);
}

index Model::force_rows() const { return molecule_ ? dim() : force_->outputs(); }

void Model::forces(Stream& stream, Span<const float> x, index row, index n, Span<float> force) const {
    if (!molecule_) return force_->run(stream, x, row, n, force, row);
    if (unused_.size() < row) unused_ = Buffer<float>(stream.device(), row);
    molecule_states(stream).evaluate(stream, x, row, n, force, unused_.span());
}

std::optional<ExactModel> Model::exact(std::string* why) const {
    if (states_alone_ || !gradient() || dim() > 2 || n_cvs() != 1 || !linear_cvs()) return std::nullopt;
    const FormulaSystem::Cv& cv = formulas_->cvs[0];
    int coordinate = -1;
    for (int d = 0; d < dim(); ++d) {
        const double w = cv.weights[static_cast<std::size_t>(d)];
        if (w == 1.0 && coordinate < 0)
            coordinate = d;
        else if (w != 0.0)
            return std::nullopt;
    }
    if (coordinate < 0 || cv.offset != 0) return std::nullopt;
    auto evaluator = std::make_shared<BatchEvaluator>(formulas_->graph,
                                                      std::vector<NodeId>{formulas_->potential_node});
    auto bounds = std::make_shared<IntervalEvaluator>(formulas_->graph, formulas_->potential_node);
    ExactModel model(dim(), coordinate, formulas_->beta, start_,
                     [evaluator](const double* x, index n, double* v) {
                         (*evaluator)(x, static_cast<std::size_t>(n), static_cast<std::size_t>(n), v);
                     },
                     [bounds](std::span<const Interval> x) { return (*bounds)(x); });
    if (!model.law(start_[static_cast<std::size_t>(coordinate)], why)) return std::nullopt;
    return model;
}

void Model::observe(Stream& stream, Span<const float> x, index row, index n, Span<float> y,
                    index y_row) const {
    if (observed()) {
        observe_->run(stream, x, row, n, y, y_row);
        return;
    }
    for (int d = 0; d < dim(); ++d)
        copy(stream, y.subspan(d * y_row, n), x.subspan(d * row, n));
}

void Model::evaluate_cvs(Stream& stream, Span<const float> x, index row, index n,
                         Span<float> values, index values_row) const {
    cv_->run(stream, x, row, n, values, values_row);
    for (int k = 0; k < n_cvs(); ++k)
        if (all_round(k)) fold(stream, periods_, k, values.subspan(k * values_row, n));
}

void Model::closure(Stream& stream, Span<const float> x, index row, index n, Span<float> values,
                    index values_row) const {
    closure_->run(stream, x, row, n, values, values_row);
}

void Model::project(Stream& stream, Span<const float> target, index target_row, index n,
                    Span<float> x, index row, int newton_steps) const {
    if (molecule_ && molecule_states(stream).sets_cvs())
        return molecule_states(stream).set_cvs(stream, target, target_row, n, x, row);
    // What is rigid gives way and is put right, in turns; steps are short, as ξ is curved.
    constexpr int kTurns = 30;
    constexpr float kLongest = 0.01f;  // nm
    if (molecule_) newton_steps = std::max(newton_steps, kTurns);
    const int outputs = cv_->outputs();
    constexpr index kPiece = 1 << 18;
    Buffer<float> values(stream.device(), outputs * std::min(n, kPiece));
    const index values_row = std::min(n, kPiece);
    for (index from = 0; from < n; from += kPiece) {
        const index count = std::min(kPiece, n - from);
        const Span<float> here{x.data + from, (dim() - 1) * row + count};
        const Span<const float> aim{target.data + from, (n_cvs() - 1) * target_row + count};
        for (int s = 0; s < newton_steps; ++s) {
            evaluate_cvs(stream, here, row, count, values.span(), values_row);
            newton_step(stream, dim(), n_cvs(), periods_, aim, target_row, values.span(), values_row,
                        count, here, row, molecule_ ? kLongest : 0.0f);
            if (molecule_) molecule_states(stream).restore_bonds(stream, count, here, row);
        }
    }
}

}  // namespace microlift
