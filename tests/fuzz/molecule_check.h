// What must hold of every molecule that a reader lets through.
#pragma once

#include <cmath>
#include <cstdlib>

#include "sampling/molecule/molecule.h"

namespace microlift {

inline void abort_unless(bool holds) {
    if (!holds) std::abort();
}

template <class Term>
void check_terms(const Molecule& m, const std::vector<Term>& terms) {
    for (const Term& term : terms)
        for (const index atom : term.atoms) abort_unless(atom >= 0 && atom < m.size());
}

inline void check_molecule(const Molecule& m) {
    abort_unless(m.size() > 0);
    check_terms(m, m.bonds);
    check_terms(m, m.angles);
    check_terms(m, m.torsions);
    check_terms(m, m.ryckaert_torsions);
    check_terms(m, m.harmonic_torsions);
    check_terms(m, m.exceptions);
    check_terms(m, m.rigid_bonds);
    for (const Atom& a : m.atoms)
        abort_unless(a.mass > 0 && std::isfinite(a.charge) && std::isfinite(a.sigma) && a.epsilon >= 0 &&
                     std::isfinite(a.epsilon));
    for (const Torsion& t : m.torsions) abort_unless(t.periodicity > 0);
    for (const PairException& e : m.exceptions)
        abort_unless(e.atoms[0] < e.atoms[1] && std::isfinite(e.charge_product) && std::isfinite(e.sigma) &&
                     std::isfinite(e.epsilon));
    for (const CorrectionTerm& term : m.correction_terms) {
        abort_unless(term.map >= 0 && term.map < std::ssize(m.maps));
        for (const auto& atoms : {term.first, term.second})
            for (const index atom : atoms) abort_unless(atom >= 0 && atom < m.size());
    }
    for (const CorrectionMap& map : m.maps)
        abort_unless(static_cast<std::size_t>(map.size) * static_cast<std::size_t>(map.size) ==
                     map.energy.size());
    for (const PositionRestraint& r : m.restraints) abort_unless(r.atom >= 0 && r.atom < m.size());
    if (m.solvent.kind != SolventKind::none) {
        abort_unless(std::ssize(m.solvent.atoms) == m.size());
        for (const auto& a : m.solvent.atoms)
            abort_unless(a.radius > m.solvent.offset && std::isfinite(a.radius) && std::isfinite(a.scale));
    }
    for (const auto& pair : m.bonded)
        for (const index atom : pair) abort_unless(atom >= 0 && atom < m.size());
}

}  // namespace microlift
