#include "sampling/molecule/worst_force.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <vector>

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

constexpr double kRisen = 10;  // between thermal motion, which does not reach it, and infinity

// Forces of states (state, 3 · atoms) by these terms, in the same order.
std::vector<double> forces_of(Stream& stream, const Molecule& molecule, std::span<const float> states) {
    const index dim = 3 * molecule.size(), count = std::ssize(states) / dim;
    const auto place = [&](index s, index d) { return static_cast<std::size_t>(d * count + s); };
    std::vector<double> columns(states.size()), force(states.size());
    for (index s = 0; s < count; ++s)
        for (index d = 0; d < dim; ++d)
            columns[place(s, d)] = static_cast<double>(states[static_cast<std::size_t>(s * dim + d)]);
    Buffer<double> at(stream.device(), dim * count), pull(stream.device(), dim * count),
        energy(stream.device(), kForceTerms * count);
    copy_to_device(stream, at.span(), columns.data());
    MoleculeForces<double> forces(stream, molecule, count);
    forces.evaluate(stream, std::as_const(at).span(), count, count, pull.span(), energy.span());
    columns = to_host(stream, std::as_const(pull).span());
    for (index s = 0; s < count; ++s)
        for (index d = 0; d < dim; ++d)
            force[static_cast<std::size_t>(s * dim + d)] = columns[place(s, d)];
    return force;
}

using Force = std::array<double, 3>;

double norm(const Force& f) { return std::hypot(f[0], f[1], f[2]); }

struct Worst {
    index atom = 0;
    double force = 0;
};

Worst worst_of(const double* force, index atoms) {
    Worst worst;
    for (index a = 0; a < atoms; ++a)
        if (const double f = norm({force[3 * a], force[3 * a + 1], force[3 * a + 2]}); larger(f, worst.force))
            worst = {a, f};
    return worst;
}

// The molecule with charges, or Lennard-Jones, or neither, and nothing else.
Molecule with_pairs(const Molecule& molecule, bool coulomb, bool lennard_jones) {
    Molecule some;
    some.atoms = molecule.atoms;
    some.exceptions = molecule.exceptions;
    for (Atom& atom : some.atoms) {
        if (!coulomb) atom.charge = 0;
        if (!lennard_jones) atom.epsilon = 0;
    }
    for (PairException& e : some.exceptions) {
        if (!coulomb) e.charge_product = 0;
        if (!lennard_jones) e.epsilon = 0;
    }
    return some;
}

// The molecule with one term of its energy; of solvent, with Coulomb's besides.
Molecule with_term(const Molecule& molecule, int32 term) {
    Molecule some = with_pairs(molecule, term == kTermCoulomb || term == kTermSolvent, term == kTermLennardJones);
    if (term == kTermBond) some.bonds = molecule.bonds;
    if (term == kTermAngle) some.angles = molecule.angles;
    if (term == kTermTorsion) {
        some.torsions = molecule.torsions;
        some.ryckaert_torsions = molecule.ryckaert_torsions;
        some.harmonic_torsions = molecule.harmonic_torsions;
    }
    if (term == kTermCmap) {
        some.maps = molecule.maps;
        some.correction_terms = molecule.correction_terms;
    }
    if (term == kTermSolvent || term == kTermSurface) some.solvent = molecule.solvent;
    if (term == kTermSolvent) some.solvent.surface_energy = 0;
    if (term == kTermRestraint) some.restraints = molecule.restraints;
    return some;
}

// What each term does to an atom.
std::array<Force, kForceTerms> forces_by_term(Stream& stream, const Molecule& molecule,
                                              std::span<const float> x, index atom) {
    std::array<Force, kForceTerms> by_term{};
    for (int32 term = 0; term < kForceTerms; ++term) {
        const std::vector<double> force = forces_of(stream, with_term(molecule, term), x);
        std::copy_n(force.begin() + 3 * atom, 3, by_term[static_cast<std::size_t>(term)].begin());
    }
    for (std::size_t d = 0; d < 3; ++d) by_term[kTermSolvent][d] -= by_term[kTermCoulomb][d];
    return by_term;
}

std::string words_of(Stream& stream, const Molecule& molecule, std::span<const float> x, const Worst& worst) {
    const auto by_term = forces_by_term(stream, molecule, x, worst.atom);
    std::size_t term = 0;
    for (std::size_t t = 1; t < by_term.size(); ++t)
        if (larger(norm(by_term[t]), norm(by_term[term]))) term = t;
    return "the largest force, " + short_number(worst.force) + " kJ/mol/nm, is on " +
           atom_words(molecule, worst.atom) + ", where the term " + force_term_names()[term] +
           " pulls most, with " + short_number(norm(by_term[term]));
}

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
    const std::vector<double> force = forces_of(stream, molecule, x);
    return words_of(stream, molecule, x, worst_of(force.data(), molecule.size()));
}

std::string worst_force_on_the_way(Stream& stream, const Molecule& molecule, std::span<const float> states) {
    const index dim = 3 * molecule.size(), count = std::ssize(states) / dim;
    const std::vector<double> force = forces_of(stream, molecule, states);
    const double usual = worst_of(force.data(), molecule.size()).force;
    index first = 0;
    for (index s = 1; s < count && first == 0; ++s)
        if (larger(worst_of(force.data() + s * dim, molecule.size()).force, kRisen * usual)) first = s;
    const auto begin = static_cast<std::size_t>(first * dim);
    return words_of(stream, molecule, states.subspan(begin, static_cast<std::size_t>(dim)),
                    worst_of(force.data() + first * dim, molecule.size())) +
           ", " + std::to_string(count - first) + (count - first == 1 ? " step" : " steps") + " before";
}

}  // namespace microlift
