#include "sampling/molecule/worst_force.h"

#include <cmath>
#include <cstdio>

#include "sampling/molecule/forces.h"

namespace microlift {

namespace {

std::string short_number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3g", value);
    return text;
}

// NaN counts as the largest of all.
bool larger(double a, double b) { return !(std::abs(a) <= std::abs(b)) && !std::isnan(b); }

}  // namespace

std::string atom_words(const Molecule& molecule, index atom) {
    const Atom& a = molecule.atoms[static_cast<std::size_t>(atom)];
    const std::string number = "atom " + std::to_string(atom);
    if (a.name.empty()) return number;
    return (a.residue.empty() ? "" : a.residue + " " + std::to_string(a.residue_number) + " ") + a.name + " (" +
           number + ")";
}

std::string worst_force(Stream& stream, const Molecule& molecule, std::span<const float> x) {
    for (std::size_t k = 0; k < x.size(); ++k)
        if (!std::isfinite(x[k]))
            return atom_words(molecule, static_cast<index>(k / 3)) + " is the first that is not finite";
    const std::vector<double> state(x.begin(), x.end());
    const auto dim = static_cast<index>(state.size());
    Buffer<double> at(stream.device(), dim), force(stream.device(), dim), energy(stream.device(), kForceTerms);
    copy_to_device(stream, at.span(), state.data());
    MoleculeForces<double> forces(stream, molecule, 1);
    forces.evaluate(stream, std::as_const(at).span(), 1, 1, force.span(), energy.span());
    const std::vector<double> f = to_host(stream, std::as_const(force).span());
    const std::vector<double> terms = to_host(stream, std::as_const(energy).span());
    std::size_t worst = 0, term = 0;
    double most = 0;
    for (std::size_t k = 0; k + 2 < f.size(); k += 3)
        if (const double norm = std::hypot(f[k], f[k + 1], f[k + 2]); larger(norm, most)) {
            most = norm;
            worst = k / 3;
        }
    for (std::size_t k = 1; k < terms.size(); ++k)
        if (larger(terms[k], terms[term])) term = k;
    return "the largest force, " + short_number(most) + " kJ/mol/nm, is on " +
           atom_words(molecule, static_cast<index>(worst)) + "; the largest energy, " + short_number(terms[term]) +
           " kJ/mol, is of the term " + force_term_names()[term];
}

}  // namespace microlift
