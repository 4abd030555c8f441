// Energies, term by term, and forces of given states of a molecule.
#pragma once

#include "engine/launch/rows.h"
#include "sampling/molecule/force_tables.h"

namespace microlift {

// Names of the terms in files, in the order of ForceTerm.
const std::vector<std::string>& force_term_names();

// T double: what files and estimators get; float: the forces that the dynamics sees.
template <class T>
class MoleculeForces {
public:
    MoleculeForces(Stream& stream, const Molecule& molecule, index most_states);
    index variables() const { return 3 * tables_.view().atoms; }  // three an atom: x0 y0 z0 x1 …
    // Arrays on the device: x and force (variables, row), energy (kForceTerms, row).
    void evaluate(Stream& stream, Span<const T> x, index row, index states, Span<T> force,
                  Span<T> energy);

private:
    ForceTables<T> tables_;
    RowMemory<T> memory_;
};

extern template class MoleculeForces<float>;
extern template class MoleculeForces<double>;

}  // namespace microlift
