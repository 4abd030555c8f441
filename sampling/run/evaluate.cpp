#include "sampling/run/evaluate.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>

#include "engine/at.h"
#include "engine/files/array_file.h"
#include "engine/stop.h"
#include "sampling/model/model.h"
#include "sampling/model/molecule_config.h"
#include "sampling/model/state_formulas.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/molecule/forces.h"
#include "sampling/molecule/worst_force.h"
#include "sampling/run/config/run_config.h"
#include "sampling/samples/files/states_file.h"

namespace microlift {
namespace {

namespace fs = std::filesystem;

constexpr index kStatesAtOnce = 4096;

// What is written of a piece of states, by rows of states.
struct Piece {
    std::vector<double> energy, force, cv;
    std::vector<std::vector<double>> terms;

    bool known(index state, index variables, index cvs) const {
        const auto finite = [&](const std::vector<double>& of, index each) {
            return std::all_of(of.begin() + state * each, of.begin() + (state + 1) * each,
                               [](double v) { return std::isfinite(v); });
        };
        return (energy.empty() || finite(energy, 1)) && finite(force, variables) && finite(cv, cvs);
    }
};

class MoleculeEvaluator {
public:
    MoleculeEvaluator(const Device& device, const Molecule& molecule, index most)
        : stream_(device), molecule_(molecule), most_(most), forces_(stream_, molecule, most),
          x_(device, forces_.variables() * most), force_(device, forces_.variables() * most),
          energy_(device, kForceTerms * most) {}

    void evaluate(const std::vector<double>& states, index count, Piece& out) {
        const index n = forces_.variables();
        std::vector<double> columns(at(n * most_));
        for (index s = 0; s < most_; ++s)
            for (index d = 0; d < n; ++d)
                columns[at(d * most_ + s)] = states[at(std::min(s, count - 1) * n + d)];
        copy_to_device(stream_, x_.span(), columns.data());
        forces_.evaluate(stream_, std::as_const(x_).span(), most_, count, force_.span(), energy_.span());
        const std::vector<double> force = to_host(stream_, std::as_const(force_).span());
        const std::vector<double> energy = to_host(stream_, std::as_const(energy_).span());
        out.terms.assign(kForceTerms, {});
        for (index s = 0; s < count; ++s) {
            double sum = 0;
            for (index t = 0; t < kForceTerms; ++t) {
                out.terms[at(t)].push_back(energy[at(t * most_ + s)]);
                sum += energy[at(t * most_ + s)];
            }
            out.energy.push_back(sum);
            for (index d = 0; d < n; ++d) out.force.push_back(force[at(d * most_ + s)]);
        }
    }

    // What is wrong with a state, in words.
    std::string describe(std::span<const double> x) {
        return worst_force(stream_, molecule_, std::vector<float>(x.begin(), x.end()));
    }

private:
    Stream stream_;
    const Molecule& molecule_;
    index most_;
    MoleculeForces<double> forces_;
    Buffer<double> x_, force_, energy_;
};

class Writer {
public:
    Writer(const fs::path& file, const ModelConfig& model, const StateFormulas& formulas, index states)
        : variables_(variable_count(model.system)), cvs_(model.cv.count()),
          energies_(model.molecule != nullptr || formulas.has_energy()),
          file_(file, "evaluation",
                8 * static_cast<std::size_t>(states) *
                    static_cast<std::size_t>(variables_ + cvs_ + kForceTerms + 1)) {
        if (energies_) file_.add_array("energy", {DType::f64, {states}});
        file_.add_array("force", {DType::f64, {states, variables_}});
        file_.attribute("force", "variables", symbols_of(model.system).variables);
        if (cvs_ > 0) {
            std::vector<std::string> names;
            for (const CvVariable& cv : model.cv.variables) names.push_back(cv.name);
            file_.add_array("cv", {DType::f64, {states, cvs_}});
            file_.attribute("cv", "variables", names);
        }
        if (!model.molecule) return;
        file_.attribute("energy", "units", "kJ/mol");
        file_.attribute("force", "units", "kJ/(mol nm)");
        for (const std::string& name : force_term_names())
            file_.add_array("terms/" + name, {DType::f64, {states}});
    }
    void write(index first, index count, const Piece& piece) {
        if (energies_) file_.write("energy", first, count, piece.energy.data());
        file_.write("force", first, count, piece.force.data());
        if (cvs_ > 0) file_.write("cv", first, count, piece.cv.data());
        for (std::size_t t = 0; t < piece.terms.size(); ++t)
            file_.write("terms/" + force_term_names()[t], first, count, piece.terms[t].data());
    }
    void finish() { file_.commit(); }

private:
    index variables_, cvs_;
    bool energies_;
    ArrayFileWriter file_;
};

}  // namespace

void evaluate_states(const EvaluateOptions& options) {
    const ModelConfig model = load_system(options.config_file, options.set);
    const Device device = Device::pick(options.device, options.threads);
    StatesFile states(options.states_file, symbols_of(model.system).variables, model.molecule.get());
    const StateFormulas formulas(model);
    const index n = variable_count(model.system), most = std::min(states.count(), kStatesAtOnce);
    std::optional<MoleculeEvaluator> molecule;
    if (model.molecule) molecule.emplace(device, model.molecule->molecule, most);
    Writer writer(options.out_file, model, formulas, states.count());
    std::vector<double> rows;
    index unknown = 0;
    std::string first_unknown;
    for (index first = 0; first < states.count(); first += most) {
        const index count = std::min(most, states.count() - first);
        states.read(first, count, rows);
        check_stop();
        Piece piece;
        if (molecule) molecule->evaluate(rows, count, piece);
        for (index s = 0; s < count; ++s) {
            const std::span<const double> x(rows.data() + s * n, at(n));
            for (index k = 0; k < model.cv.count(); ++k) piece.cv.push_back(formulas.cv(x, k));
            if (molecule) continue;
            if (formulas.has_energy()) piece.energy.push_back(formulas.energy(x));
            for (index d = 0; d < n; ++d) piece.force.push_back(formulas.force(x, d));
        }
        writer.write(first, count, piece);
        for (index s = 0; s < count; ++s) {
            if (piece.known(s, n, model.cv.count())) continue;
            if (unknown++ > 0) continue;
            first_unknown = "; the first is state " + std::to_string(first + s);
            if (molecule) first_unknown += ": " + molecule->describe({rows.data() + s * n, at(n)});
        }
    }
    writer.finish();
    if (unknown > 0)
        std::fprintf(stderr, "microlift: warning: energy, forces or collective variables are not finite at "
                             "%lld of %lld states%s\n",
                     static_cast<long long>(unknown), static_cast<long long>(states.count()),
                     first_unknown.c_str());
}

}  // namespace microlift
